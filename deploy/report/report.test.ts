import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommandLine } from "../command-line.ts";
import { longRun, metricsLine } from "../ui/testing.ts";
import { interval } from "./interval.ts";

const root = mkdtempSync(join(tmpdir(), "proxima-report-"));
const before = process.cwd();

/** A run of 100 iterations whose success is `success` throughout, with a little noise. */
function run(name: string, success: number, settings: Record<string, unknown>, timing: Record<string, number> = {}) {
  const path = longRun("runs", name, 0, settings);
  const line = (i: number) =>
    metricsLine(i, { "episode/success": success + (i % 2 ? 0.01 : -0.01), "episode/staleness": 0, ...timing });
  writeFileSync(join(path, "metrics.jsonl"), Array.from({ length: 100 }, (_, i) => line(i)).join(""));
}

async function report(...argv: string[]) {
  const err: string[] = [];
  const streams = { out: () => {}, err: (line: string) => void err.push(line) };
  const code = await runCommandLine(["report", ...argv], streams, new AbortController().signal);
  return { code, err: err.join("") };
}

/** A page is too long to be shown whole when something is not in it. */
const missing = (html: string, ...parts: string[]) => parts.filter((part) => !html.includes(part));

beforeAll(() => {
  process.chdir(root);
  mkdirSync("runs");
  run("first", 0.5, { seed: 0 });
  run("second", 0.6, { seed: 1 });
  run("third", 0.7, { seed: 2 });
  const late = { "time/waitMs": 10, "time/updateMs": 90, "episode/staleness": 1.5, "episode/stalenessMax": 2 };
  run(
    "late",
    0.4,
    { mode: "async", maxStaleness: 2, estimator: "grpo" },
    { ...late, "time/envStepsPerSecond": 25_000 },
  );
  longRun("runs", "empty", 0);
});
afterAll(() => {
  process.chdir(before);
  rmSync(root, { recursive: true, force: true });
});

describe("proxima report", () => {
  test("gives success with its interval, over iterations and over seeds", async () => {
    expect(await report("--run", "first", "--compare", "second, third,late")).toMatchObject({ code: 0 });
    const html = readFileSync("runs/first/report.html", "utf8");
    const half = interval(Array.from({ length: 10 }, (_, i) => (i % 2 ? 0.51 : 0.49))).half;
    expect(missing(html, `50.0 % ± ${(100 * half).toFixed(1)} %`)).toEqual([]);
    expect(missing(html, "first, second, third</th><td>3</td>")).toEqual([]);
    expect(missing(html, `60.0 % ± ${(100 * interval([0.5, 0.6, 0.7]).half).toFixed(1)} %`)).toEqual([]); // Student's t: 24.8
  });

  test("tells how settings differ, what throughput costs in age, and what holds each run up", async () => {
    const html = readFileSync("runs/first/report.html", "utf8");
    expect(
      missing(html, "<code>estimator</code></th><td>proxmo</td><td>proxmo</td><td>proxmo</td><td>grpo</td>"),
    ).toEqual([]);
    expect(missing(html, "<code>seed</code></th><td>0</td><td>1</td><td>2</td><td>0</td>")).toEqual([]);
    expect(missing(html, "<code>run</code>").length).toBe(1);
    expect(
      missing(html, "async (at most 2)</td><td>25.0 k</td><td>1.500</td><td>2</td><td>10 %</td><td>90 %</td>"),
    ).toEqual([]);
    expect(missing(html, "late at 1.500 and 25.0 k")).toEqual([]);
    expect(/<strong>late\.<\/strong> Of the learner.*The learner is the bottleneck/.test(html)).toBe(true);
    expect(/<strong>first\.<\/strong> Of the learner.*The actors are the bottleneck/.test(html)).toBe(true);
  });

  test("is one file: it asks for nothing from anywhere and runs nothing", async () => {
    const html = readFileSync("runs/first/report.html", "utf8");
    expect(/<script|<link|<img|src=|href=|url\(|@import/.exec(html)).toBeNull();
    expect(/role="img" aria-label="Success over environment steps trained on: first ends at 0.50/.test(html)).toBe(
      true,
    );
  });

  test("stands alone for one run, wherever it is wanted, and shows names and settings as text", async () => {
    run("odd", 0.5, { env: "./<b>world</b>.ts" });
    expect((await report("--run", "odd", "--out", "elsewhere/odd.html")).code).toBe(0);
    const html = readFileSync("elsewhere/odd.html", "utf8");
    expect(missing(html, "&#60;b&#62;world")).toEqual([]);
    expect(missing(html, "<b>world").length).toBe(1);
    expect(missing(html, "Over seeds").length).toBe(1);
  });

  test("says what it lacks", async () => {
    expect(await report("--run", "firs")).toMatchObject({
      code: 2,
      err: expect.stringContaining("did you mean 'first'?"),
    });
    expect(await report("--run", "empty")).toMatchObject({ code: 2, err: expect.stringContaining("no iteration yet") });
    expect(await report("--run", "first", "--compare", "a,b,c,d,e,f,g,h")).toMatchObject({
      code: 2,
      err: expect.stringContaining("at most 8 runs"),
    });
    expect(existsSync("runs/empty/report.html")).toBe(false);
  });
});
