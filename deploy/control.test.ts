import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { runCommandLine } from "./command-line.ts";
import { announceLearner, learnerAddress } from "./learner-link.ts";
import { keepNotice, readNotices } from "./notices.ts";
import { testingBroker } from "./testing-broker.ts";
import { type ProcessEvent, TestingProcess } from "./testing-process.ts";

const root = mkdtempSync(join(tmpdir(), "proxima-control-"));
const before = process.cwd();
let learner: TestingProcess;

async function type(...argv: string[]) {
  const out: string[] = [];
  const err: string[] = [];
  const streams = { out: (line: string) => void out.push(line), err: (line: string) => void err.push(line) };
  const code = await runCommandLine(argv, streams, new AbortController().signal);
  return { code, out: out.join(""), err: err.join("") };
}

const iteration = (least: number) => (event: ProcessEvent) =>
  event.type === "iteration" && (event.iteration as number) >= least;

beforeAll(async () => {
  process.chdir(root);
  const args = ["dev", "--env", "cartpole", "--run", "pole", "--nats", "memory", "--totalEnvSteps", "1e9"];
  learner = new TestingProcess(
    [...args, "--stepsPerIteration", "256", "--minibatch", "256", "--actors", "1", "--ui", "--uiPort", "0"],
    root,
  );
  await learner.until(iteration(1));
}, 60_000);

afterAll(async () => {
  process.chdir(before);
  await learner.kill();
  rmSync(root, { recursive: true, force: true });
});

describe("a learner that is alive", () => {
  test("pauses, writes a checkpoint meanwhile, and goes on", async () => {
    const paused = JSON.parse((await type("pause", "--run", "pole", "--reason", "lunch", "--json")).out);
    expect(paused).toMatchObject({ type: "paused", run: "pole" });
    const written = JSON.parse((await type("checkpoint", "--json")).out); // the only run needs no name
    expect(written.iteration).toBeGreaterThanOrEqual(paused.iteration);
    expect(existsSync(written.path)).toBe(true);
    // Tasks of the iteration under way may still be played; nothing comes after it.
    expect(learner.events.some(iteration(paused.iteration + 1))).toBe(false);
    const { out } = await type("resume", "--run", "pole");
    expect(out).toContain("Run pole goes on after");
    await learner.until(iteration(paused.iteration + 2));
  }, 60_000);
});

describe("the page of a learner (--ui)", () => {
  test("shows its run as it goes, and the learner goes on without where the page cannot be served", async () => {
    const { url } = await learner.until(({ type }) => type === "ui");
    const detail = await (await fetch(`${url}api/run?run=pole`)).json();
    expect(detail).toMatchObject({
      name: "pole",
      live: true,
      status: { actors: { count: 1 }, environment: { id: "cartpole" } },
    });
    const port = new URL(url as string).port;
    const args = ["dev", "--env", "cartpole", "--run", "pole-2", "--nats", "memory", "--iterations", "1"];
    const other = new TestingProcess([...args, "--evalEpisodes", "1", "--ui", "--uiPort", port], root);
    const { message } = await other.until(({ type }) => type === "notice");
    expect(message).toBe(
      `Cannot serve the page on 127.0.0.1:${port}: the port is taken; choose another, or 0 for any free one`,
    );
    expect(await other.exited).toBe(0);
    rmSync(join(root, "runs/pole-2"), { recursive: true });
  }, 60_000);
});

const broker = await testingBroker();
afterAll(() => broker?.stop());

describe.skipIf(!broker)("a learner whose folder is on another machine", () => {
  test("is found on the broker, which names the runs it knows when asked for another", async () => {
    const args = ["learner", "--nats", broker!.url, "--env", "cartpole", "--run", "afar", "--iterations", "1"];
    const afar = new TestingProcess(args, mkdtempSync(join(root, "machine-")));
    await afar.until(({ type }) => type === "ready");
    const { code, out, err } = await type("pause", "--run", "afar", "--nats", broker!.url);
    expect(code, err).toBe(0);
    expect(out).toContain("Run afar pauses after iteration 0");
    expect((await type("pause", "--run", "near", "--nats", broker!.url)).err).toContain("there are afar");
    await afar.kill();
  }, 60_000);
});

describe("without a learner", () => {
  test("a command says that none is alive, and what to do", async () => {
    expect(await type("resume", "--run", "poles")).toMatchObject({ code: 2, err: expect.stringContaining("'pole'") });
    await learner.kill(); // its address stays behind
    expect(existsSync(join(root, "runs/pole/learner.json"))).toBe(true);
    expect(await type("pause", "--run", "pole")).toMatchObject({
      code: 2,
      err: expect.stringContaining("no learner that is alive: go on with it by 'proxima dev --run pole --resume'"),
    });
    // As it is where runs lie on a shared disk and the learner's machine is gone.
    const gone = { address: "127.0.0.1:1", host: `not-${hostname()}`, pid: 1 };
    writeFileSync(join(root, "runs/pole/learner.json"), JSON.stringify(gone));
    expect(await type("pause", "--run", "pole", "--timeoutMs", "2000")).toMatchObject({
      code: 2,
      err: expect.stringContaining("the learner of run 'pole' does not answer"),
    });
  }, 60_000);

  test("an address that is half written or taken away is none", () => {
    const folder = mkdtempSync(join(root, "folder-"));
    expect(learnerAddress(folder)).toBeUndefined();
    const silence = announceLearner(folder, "127.0.0.1:4");
    expect(learnerAddress(folder)).toBe("127.0.0.1:4");
    silence();
    expect(learnerAddress(folder)).toBeUndefined();
    for (const text of ["", '{"addr', "{}", "[]", '{"address":7}']) {
      writeFileSync(join(folder, "learner.json"), text);
      expect(learnerAddress(folder)).toBeUndefined();
    }
  });
});

test("what a run tells people is kept, newest first, and of a long story only the end is read", () => {
  const notices = join(root, "notices.jsonl");
  expect(readNotices({ notices }, 5)).toEqual([]);
  for (let i = 0; i < 2000; i++) keepNotice({ notices }, `notice ${i} ${"x".repeat(60)}`);
  const read = readNotices({ notices }, 3);
  expect(read.map(({ message }) => message.slice(0, 11))).toEqual(["notice 1999", "notice 1998", "notice 1997"]);
  expect(readNotices({ notices }, 1e6).length).toBeLessThan(1000);
});
