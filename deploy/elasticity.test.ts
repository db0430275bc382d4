import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runSchema } from "../learner/config.ts";
import type { IterationRecord } from "../learner/learner.ts";
import { defaultProvider } from "../policy/tensor/provider.ts";
import type { Bus } from "../proto/bus/bus.ts";
import { connectNats } from "../proto/bus/index.ts";
import { memoryBus } from "../proto/bus/memory.ts";
import { resolveConfig } from "../proto/config.ts";
import { subjects } from "../proto/subjects.ts";
import { trainInProcess } from "./in-process.ts";
import { testingBroker } from "./testing-broker.ts";

setDefaultTimeout(60_000); // for machines that do much else at the same time

const broker = await testingBroker();
afterAll(() => broker?.stop());

const folder = mkdtempSync(join(tmpdir(), "proxima-elasticity-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const testing = (file: string) => join(import.meta.dirname, "testing", file);

async function train(
  values: Record<string, unknown>,
  actors = 2,
  actorSettings = {},
  bus: Bus = memoryBus(),
): Promise<IterationRecord[]> {
  const base = {
    run: "elastic",
    policy: "mlp",
    "policy.hidden": "4",
    estimator: "grpo",
    "policy.valueHead": "none",
    groupSize: 4,
    groupsPerIteration: 4,
    iterations: 5,
    dropGroupsWithoutSignal: false,
    seed: 3,
  };
  const { config } = resolveConfig(runSchema, [{ source: "test", values: { ...base, ...values } }]);
  const records: IterationRecord[] = [];
  const options = {
    bus,
    provider: defaultProvider(),
    actors,
    checkpointsFolder: mkdtempSync(join(folder, "run-")),
    onIteration: (record: IterationRecord) => void records.push(record),
    onNotice() {},
    actorSettings: { drainTimeoutMs: 0, ...actorSettings },
    log() {},
  };
  await trainInProcess(config, options, AbortSignal.timeout(50_000));
  await bus.close();
  return records;
}

function expectBalanced(records: readonly IterationRecord[]): void {
  for (const { values } of records) {
    const accounted = values["ledger/trained"]! + values["ledger/dropped"]! + values["ledger/inFlight"]!;
    expect(accounted).toBe(values["ledger/started"]!);
  }
}

describe("an iteration that does not wait for its slowest members", () => {
  // A step that hangs is never given up here, so these runs end only because nobody waits for it.
  const never = { stepTimeoutMs: 3_600_000 };

  // The first step ends half of the episodes, the second hangs for ever.
  const half = {
    env: testing("dawdling-environment.ts"),
    "env.hangs": true,
    groupSize: 8,
    completionRatio: 0.125,
    overSample: 1,
  };

  test("goes on with part of its groups, drops the rest as stragglers, and frees the places they took", async () => {
    // Places for one iteration: the next ones have room only if those of interrupted episodes are free again.
    const records = await train(half, 2, { ...never, slots: 32 });
    expect(records.length).toBe(5);
    expectBalanced(records);
    const last = records.at(-1)!.values;
    expect(last["dropped/straggler"]).toBeGreaterThan(0);
    expect(last["ledger/trained"]! + last["dropped/straggler"]!).toBe(5 * 64);
    expect(last["ledger/inFlight"]).toBe(0);
  });

  test("measures what it leaves out: how long stragglers were beside those that trained", async () => {
    const records = await train({ ...half, iterations: 8 }, 2, never);
    const heard = records.filter(({ values }) => values["straggler/heard"]! > 0);
    expect(heard.length).toBeGreaterThan(0);
    for (const { values } of heard) {
      expect(values["straggler/length"]).toBeLessThanOrEqual(1); // they hang in their second step
      expect(values["straggler/lengthBias"]).toBe(values["straggler/length"]! - values["episode/length"]!);
    }
  });

  test.skipIf(!broker)("takes up no room in a real broker's queue: the tasks that nobody awaits go", async () => {
    const bus = await connectNats({ servers: [broker!.url] });
    const tasks = await connectNats({ servers: [broker!.url] });
    const few = {
      run: "queue",
      env: "cartpole",
      groupsPerIteration: 16,
      iterations: 12,
      mode: "async",
      overSample: 0.5,
    };
    const records = await train({ ...few, completionRatio: 0.5 }, 2, { slots: 8 }, bus);
    expect(records.length).toBe(12);
    expectBalanced(records);
    expect(records.at(-1)!.values["dropped/straggler"]).toBeGreaterThan(0);
    // Of the iterations that are over none is left, of the last and the one ahead at most all.
    expect((await tasks.streamState(subjects("queue").taskStream)).messages).toBeLessThanOrEqual(2 * 24);
    await tasks.close();
  });

  test("goes on with as many groups as it wants of those it asked for", async () => {
    // A quarter of the groups hangs as a whole.
    const spare = { env: testing("flaky-environment.ts"), "env.hangs": 0.25, overSample: 1.5 };
    const records = await train(spare, 2, { ...never, slots: 64 });
    expectBalanced(records);
    expect(records.at(-1)!.values["ledger/started"]).toBe(5 * 10 * 4);
    for (const { values } of records) expect(values["credit/groups"]).toBeGreaterThanOrEqual(4);
    expect(records.at(-1)!.values["dropped/straggler"]).toBeGreaterThan(0);
  });
});

describe("an episode that does not end", () => {
  const long = { env: testing("dawdling-environment.ts"), interruptAfter: 2 };

  test("is cut after interruptAfter steps: counted, without success, and the same with any number of actors", async () => {
    const records = await train(long, 1);
    const { values } = records.at(-1)!;
    expect(values["episode/interrupted"]).toBeGreaterThan(0);
    expect(values["episode/interrupted"]! + values["episode/success"]!).toBeCloseTo(1);
    expect(values["episode/length"]).toBeLessThanOrEqual(2);
    expect(values["ledger/dropped"]).toBe(0);
    expect((await train(long, 3)).map((record) => record.values)).toEqual(records.map((record) => record.values));
  });
});

describe("whoever scales actors", () => {
  test("finds queue, idle share and a suggestion among the times of every iteration, and none of it among the values", async () => {
    const records = await train({ env: "cartpole", groupsPerIteration: 16, iterations: 20 }, 2);
    const { timing, values } = records.at(-1)!;
    expect(timing.tasksQueued).toBeGreaterThanOrEqual(0);
    expect(timing.idleShare).toBeGreaterThanOrEqual(0);
    expect(timing.idleShare).toBeLessThanOrEqual(1);
    // Two actors have 32 places each, and an iteration 64 episodes.
    expect([1, 2]).toContain(timing.actorsSuggested!);
    expect(Object.keys(values).filter((name) => /straggler|interrupted|idle/.test(name))).toEqual([]);
  });
});
