import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CheckResult, renderResult, runChecks } from "./doctor/check.ts";
import { type ProcessEvent, TestingProcess } from "./testing-process.ts";

const root = mkdtempSync(join(tmpdir(), "proxima-doctor-"));
const started: TestingProcess[] = [];
afterAll(async () => {
  for (const process of started) await process.kill();
  rmSync(root, { recursive: true, force: true });
});

async function doctor(...args: string[]) {
  const process = new TestingProcess(["doctor", ...args], root);
  started.push(process);
  const code = await process.exited;
  const results = process.events.filter(({ type }) => type === "check") as unknown as CheckResult[];
  return { code, events: process.events, results };
}
const by = (results: CheckResult[], name: string) => results.find((result) => result.name === name)!;

describe("proxima doctor", () => {
  test("looks at runtime, broker, ports, folders, disk, memory and data", async () => {
    const { results } = await doctor();
    expect(results.map(({ name }) => name)).toEqual([
      "runtime",
      "broker",
      "ports",
      "runs",
      "cache",
      "disk",
      "memory",
      "data",
    ]);
    expect(by(results, "runtime")).toMatchObject({ ok: true, found: `Bun ${process.versions.bun}` });
    expect(by(results, "runs")).toMatchObject({ ok: true, found: join(root, "runs") });
  }, 60_000);

  test("suggests the topic that was meant", async () => {
    const { code, events } = await doctor("machin");
    expect(code).toBe(2);
    expect(JSON.stringify(events)).toContain("there is no topic 'machin'");
    expect(JSON.stringify(events)).toContain("machine");
  }, 60_000);

  test("tells of a run that has no actor who waits for whom, and what to try", async () => {
    const learner = new TestingProcess(
      ["dev", "--env", "cartpole", "--run", "alone", "--nats", "memory", "--actors", "1", "--totalEnvSteps", "1e9"],
      root,
    );
    started.push(learner);
    await learner.until(({ type }: ProcessEvent) => type === "iteration");
    const { code, results } = await doctor("--run", "alone");
    expect(code).toBe(0);
    expect(by(results, "learner").found).toContain("1 actors subscribe to its weights");
    expect(by(results, "progress").found).toMatch(/^(Iteration \d+ has waited|The learner has been at) /);
    expect(by(results, "ledger").found).toMatch(/^\d+ started = \d+ trained \+ \d+ dropped/);
    await learner.kill();
    const after = await doctor("--run", "alone");
    expect(after.code).toBe(1);
    expect(by(after.results, "learner").found).toContain("has no learner that is alive");
  }, 60_000);
});

describe("a check", () => {
  test("that throws is a finding, and one that fails says what to try", async () => {
    const [broken] = await runChecks([
      {
        name: "moon",
        run() {
          throw new Error("it is made of cheese");
        },
      },
    ]);
    expect(renderResult(broken!)).toBe("FAIL  moon: it is made of cheese\n      expected: an answer");
    expect(renderResult({ name: "moon", ok: false, found: "dark", expected: "full", fix: "wait" })).toBe(
      "FAIL  moon: dark\n      expected: full\n      try: wait",
    );
    expect(renderResult({ name: "moon", ok: true, found: "full", expected: "full" })).toBe("ok    moon: full");
  });
});
