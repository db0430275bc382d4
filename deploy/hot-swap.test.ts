import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createKey } from "../envs/bundle/key-folder.ts";
import { keptIterations, readIteration } from "../learner/archive.ts";
import { connectNats } from "../proto/bus/index.ts";
import { subjects } from "../proto/subjects.ts";
import { type Broker, startBroker } from "./broker.ts";
import { testingProgram } from "./testing-broker.ts";
import { type ProcessEvent, TestingProcess } from "./testing-process.ts";

const program = await testingProgram();
const folder = mkdtempSync(join(tmpdir(), "proxima-swap-"));
const coins = join(import.meta.dirname, "testing/swappable-environment.ts");
const ITERATIONS = 30;
const settings = ["--env", coins, "--seed", "5", "--iterations", String(ITERATIONS), "--keepTrajectories", "100"];
const started = new Set<TestingProcess>();
let broker: Broker;
let key: { path: string; publicKey: string };

function proxima(...args: string[]): TestingProcess {
  const process = new TestingProcess(args, folder);
  started.add(process);
  return process;
}
const trusting = () => ["--nats", broker.url, "--trustedKeys", key.publicKey, "--sandbox", "none"];
const learner = (run: string, ...more: string[]) => proxima("learner", ...trusting(), "--run", run, ...more);
const actor = (run: string) => proxima("actor", ...trusting(), "--run", run);
const env = (...args: string[]) => proxima("env", ...args, "--nats", broker.url);
const iteration = (n: number) => (event: ProcessEvent) =>
  event.type === "iteration" && (event.iteration as number) >= n;
const end = (event: ProcessEvent) => event.type === "end";
const ready = (event: ProcessEvent) => event.type === "ready";
const notice = (text: string) => (event: ProcessEvent) =>
  event.type === "notice" && String(event.message).includes(text);

async function push(run: string, signWith = key.path): Promise<string> {
  const pushed = await env("push", coins, "--run", run, "--signWith", signWith).until((e) => e.type === "pushed");
  return pushed.digest as string;
}

/** Resolves with what the learner answered. */
async function swap(run: string, ...args: string[]): Promise<ProcessEvent> {
  return env("swap", "--run", run, ...args).until((event) => event.type === "swap");
}

/** The metrics of a run, without what depends on the clock. */
function metrics(run: string): Record<string, number>[] {
  const lines = readFileSync(join(folder, "runs", run, "metrics.jsonl"), "utf8").trim().split("\n");
  return lines.map((line) => {
    const record = JSON.parse(line) as Record<string, number>;
    return Object.fromEntries(Object.entries(record).filter(([key]) => !key.startsWith("time")));
  });
}

function expectBalanced(event: ProcessEvent): void {
  const balance = event.balance as { started: number; trained: number; dropped: number; inFlight: number };
  expect(balance.started).toBe(ITERATIONS * 8 * 4);
  expect(balance.started).toBe(balance.trained + balance.dropped);
  expect(balance.inFlight).toBe(0);
}

/** By iteration and group, the generations of its members. */
async function generationsPlayed(run: string): Promise<Map<string, Set<number>>> {
  const played = new Map<string, Set<number>>();
  const trajectories = join(folder, "runs", run, "trajectories");
  for (const i of await keptIterations(trajectories)) {
    for (const { lineage } of (await readIteration(trajectories, i, coins)).episodes) {
      const group = `${lineage.iteration}/${lineage.group}`;
      played.set(group, (played.get(group) ?? new Set()).add(lineage.environment.generation));
    }
  }
  return played;
}

describe.skipIf(!program)("an environment swapped while a run trains", () => {
  beforeAll(async () => {
    broker = await startBroker({ program: program!, storeDir: join(folder, "broker") });
    key = await createKey(join(folder, "keys"), "tester");
  });
  afterEach(async () => {
    await Promise.all([...started].map((process) => process.kill()));
    started.clear();
  });
  afterAll(async () => {
    await broker?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test("as a canary, then for all groups: none mixes generations, none is lost, and three actors give the metrics of one", async () => {
    const train = async (run: string, actors: number) => {
      const training = learner(run, ...settings);
      await training.until(ready);
      const digest = await push(run);
      const args = ["--bundle", digest.slice(0, 12), "--env.reward", "2"];
      expect(await swap(run, ...args, "--canary", "0.5", "--from", "4")).toMatchObject({ state: "accepted" });
      for (let i = 0; i < actors; i++) actor(run);
      await training.until(notice("plays a share of 0.5 of the groups from iteration 4"));
      expect(await swap(run, ...args, "--from", "20")).toMatchObject({ generation: 2, state: "accepted" });
      expectBalanced(await training.until(end));
    };
    await train("swapped-1", 1);
    await train("swapped-3", 3);
    expect(metrics("swapped-3")).toEqual(metrics("swapped-1"));

    const played = await generationsPlayed("swapped-3");
    expect(played.size).toBe(ITERATIONS * 8);
    for (const [group, generations] of played) {
      expect(generations.size).toBe(1);
      const [generation] = generations;
      const i = Number(group.split("/")[0]);
      expect(i < 4 ? [0] : i < 20 ? [0, 1] : [2]).toContain(generation!);
    }
    const canaries = [...played.values()].filter((generations) => generations.has(1)).length;
    expect(canaries).toBeGreaterThan(16 * 8 * 0.3);
    expect(canaries).toBeLessThan(16 * 8 * 0.7);
    expect(metrics("swapped-1").at(-1)!["generation/2/episodes"]).toBe(32);
  }, 120_000);
});
