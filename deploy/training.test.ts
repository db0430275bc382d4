import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runSchema } from "../learner/config.ts";
import type { IterationRecord } from "../learner/learner.ts";
import type { ReadyInfo } from "../learner/run.ts";
import { defaultProvider } from "../policy/tensor/provider.ts";
import type { Bus } from "../proto/bus/bus.ts";
import { memoryBus } from "../proto/bus/memory.ts";
import { encodeTrajectory } from "../proto/codec.ts";
import { resolveConfig } from "../proto/config.ts";
import { LearnerService } from "../proto/gen/proxima/v1/learner_pb.ts";
import { connect } from "../proto/grpc.ts";
import { subjects } from "../proto/subjects.ts";
import { sampleLineage, vectorTrajectory } from "../proto/testing/trajectories.ts";
import { trainInProcess } from "./in-process.ts";

setDefaultTimeout(60_000); // for machines that do much else at the same time

const folder = mkdtempSync(join(tmpdir(), "proxima-training-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const cartpole = {
  run: "test",
  env: "cartpole",
  policy: "mlp",
  estimator: "gae",
  "policy.valueHead": "separate",
  "policy.hidden": "16,16",
  groupSize: 2,
  groupsPerIteration: 8,
  iterations: 4,
  minibatch: 64,
  epochs: 2,
  seed: 7,
};

let runs = 0;
interface Watching {
  /** Where checkpoints are; a folder of its own otherwise. */
  checkpoints?: string;
  bus?: Bus;
  notices?: string[];
  onReady?(info: ReadyInfo): void;
  onIteration?(record: IterationRecord): void;
}

async function train(
  values: Record<string, unknown>,
  actors: number,
  watching: Watching = {},
): Promise<IterationRecord[]> {
  const { config } = resolveConfig(runSchema, [{ source: "test", values }]);
  const records: IterationRecord[] = [];
  const bus = watching.bus ?? memoryBus();
  await trainInProcess(
    config,
    {
      bus,
      provider: defaultProvider(),
      actors,
      checkpointsFolder: watching.checkpoints ?? join(folder, `run-${runs++}`),
      onIteration: (record) => {
        records.push(record);
        watching.onIteration?.(record);
      },
      onReady: watching.onReady,
      onNotice: (message) => watching.notices?.push(message),
      actorSettings: { stepTimeoutMs: 50 },
      log: () => {},
    },
    AbortSignal.timeout(60_000),
  );
  if (!watching.bus) await bus.close();
  return records;
}

describe("a run in sync mode", () => {
  test("gives the same metrics bit for bit with 1, 2 and 5 actors", async () => {
    const [one, two, five] = [await train(cartpole, 1), await train(cartpole, 2), await train(cartpole, 5)];
    expect(one.length).toBe(4);
    const values = (records: IterationRecord[]) => records.map((r) => r.values);
    expect(values(two)).toEqual(values(one));
    expect(values(five)).toEqual(values(one));
  });

  test("that prefers tasks by their difficulty goes on after an interruption as if there had been none", async () => {
    const run = {
      ...{ run: "test", env: "scavenger", policy: "candidates", "policy.hidden": "16", "env.difficulty": 1 },
      ...{ estimator: "proxmo", taskSampling: "difficulty", groupSize: 4, groupsPerIteration: 6, seed: 7 },
    };
    const whole = await train({ ...run, iterations: 4 }, 2);
    const checkpoints = join(folder, "interrupted");
    const before = await train({ ...run, iterations: 2 }, 1, { checkpoints });
    const after = await train({ ...run, iterations: 4, resume: true }, 2, { checkpoints });
    expect([...before, ...after].map((r) => r.values)).toEqual(whole.map((r) => r.values));
    const uniform = await train({ ...run, iterations: 4, taskSampling: "uniform" }, 1);
    expect(uniform.map((r) => r.values)).not.toEqual(whole.map((r) => r.values));
  }, 30_000);

  test("accounts for every episode it started", async () => {
    const records = await train(cartpole, 2);
    const last = records.at(-1)!.values;
    expect(last["ledger/started"]).toBe(4 * 16);
    expect(last["ledger/trained"]! + last["ledger/dropped"]! + last["ledger/inFlight"]!).toBe(last["ledger/started"]!);
  });
});

describe("a run in async mode", () => {
  test("trains no episode staler than its bound, and drops none for its age", async () => {
    const records = await train({ ...cartpole, mode: "async", maxStaleness: 2, iterations: 8 }, 2);
    for (const { values } of records) expect(values["episode/stalenessMax"]).toBeLessThanOrEqual(2);
    expect(Math.max(...records.map(({ values }) => values["episode/stalenessMax"]!))).toBeGreaterThan(0);
    const last = records.at(-1)!.values;
    expect(last["ledger/dropped"]).toBe(0);
    expect(last["ledger/trained"]! + last["ledger/inFlight"]!).toBe(last["ledger/started"]!);
  });
});

describe("an environment that fails", () => {
  const flaky = {
    ...cartpole,
    env: join(import.meta.dirname, "testing/flaky-environment.ts"),
    estimator: "grpo",
    "policy.valueHead": "none",
    maxAttempts: 2,
    iterations: 3,
  };

  test("by throwing or hanging gives no result, is tried again, and is dropped with its reason: never a score", async () => {
    const records = await train({ ...flaky, "env.throws": 0.2, "env.hangs": 0.3, dropGroupsWithoutSignal: false }, 2);
    const last = records.at(-1)!.values;
    expect(last["dropped/noResult: step failed: the coin rolled away"]).toBeGreaterThan(0);
    expect(last["dropped/noResult: step failed: step took longer than 50 ms"]).toBeGreaterThan(0);
    expect(last["ledger/trained"]! + last["ledger/dropped"]!).toBe(3 * 16);
    const untouched = await train({ ...flaky, dropGroupsWithoutSignal: false }, 2);
    expect(untouched.at(-1)!.values["ledger/trained"]).toBe(3 * 16);
  });

  test("always: the run goes on, trains nothing and says so", async () => {
    const notices: string[] = [];
    const records = await train({ ...flaky, "env.throws": 1 }, 1, { notices });
    expect(records.length).toBe(3);
    expect(records.at(-1)!.values["ledger/dropped"]).toBe(3 * 16);
    expect(notices.join()).toContain("No episode of iteration 0 carried a signal");
  });

  test("in groups without signal: they are dropped with that reason, and refilled when asked", async () => {
    const dropped = await train({ ...flaky, dropGroupsWithoutSignal: true }, 1);
    const plain = dropped.at(-1)!.values;
    expect(plain["dropped/noSignal"]).toBeGreaterThan(0);
    expect(plain["ledger/started"]).toBe(3 * 16);
    const refilled = await train({ ...flaky, dropGroupsWithoutSignal: true, refill: true }, 1);
    const full = refilled.at(-1)!.values;
    expect(full["ledger/started"]).toBeGreaterThan(3 * 16);
    expect(full["ledger/trained"]).toBeGreaterThanOrEqual(3 * 16);
    expect(full["ledger/trained"]! + full["ledger/dropped"]!).toBe(full["ledger/started"]!);
  });
});

describe("a run whose groups are traced", () => {
  test("tells a collector the life of one group an iteration, to the first use of the weights it led to", async () => {
    const spans: { name: string; traceId: string; attributes: { key: string; value: object }[] }[] = [];
    const collector = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      async fetch(request) {
        // biome-ignore lint/suspicious/noExplicitAny: the messages themselves are tested beside their code
        const sent = (await request.json()) as any;
        spans.push(...sent.resourceSpans[0].scopeSpans[0].spans);
        return Response.json({});
      },
    });
    await train({ ...cartpole, traces: `http://127.0.0.1:${collector.port}` }, 2);
    await collector.stop(true);
    const groups = spans.filter(({ name }) => name === "group");
    expect(groups.length).toBe(4);
    const ofTrace = (id: string) => spans.filter(({ traceId }) => traceId === id).map(({ name }) => name);
    const life = ["group", "task", "episode", "episode", "assemble", "advantages", "update", "broadcast", "first use"];
    for (const { traceId } of groups.slice(0, 3)) expect(ofTrace(traceId)).toEqual(life);
  });
});

describe("messages that are no trajectories", () => {
  test("are kept as dead letters with the reason; the member they took the place of is played again", async () => {
    const bus = memoryBus();
    const notices: string[] = [];
    const names = subjects("test");
    const garbage = (subject: string, data: Uint8Array) => bus.publish(subject, data, { timeoutMs: 1000 });
    let sent = false;
    const records = await train(cartpole, 2, {
      bus,
      notices,
      onIteration() {
        if (sent) return;
        sent = true;
        void garbage(names.trajectory({ iteration: 1, group: 0, member: 0 }), new Uint8Array([1, 2, 3]));
        void garbage(names.trajectory({ iteration: 99, group: 5, member: 0 }), new Uint8Array(200_000).fill(0xd4));
        void garbage(names.trajectory({ iteration: 0, group: 0, member: 0 }), new Uint8Array());
      },
    });
    expect(records.length).toBe(4);
    expect(notices.filter((n) => n.startsWith("Dead letter")).length).toBe(3);
    const undisturbed = await train(cartpole, 2);
    expect(records.map((r) => r.values)).toEqual(undisturbed.map((r) => r.values));
  });
});

describe("an actor that sends what must be refused", () => {
  test("is quarantined and named; the members that it pretended to have played are played by others", async () => {
    const bus = memoryBus();
    const notices: string[] = [];
    const forge = (group: number) => {
      const name = { iteration: 1, group, member: 0 };
      const lineage = sampleLineage({ run: "test", ...name, actor: "mallory" });
      const data = encodeTrajectory({ ...vectorTrajectory(3), lineage });
      return bus.publish(subjects("test").trajectory(name), data, { timeoutMs: 1000 });
    };
    let sent = false;
    const records = await train({ ...cartpole, quarantineAfter: 2 }, 2, {
      bus,
      notices,
      onIteration() {
        if (!sent) for (let group = 0; group < 4; group++) void forge(group);
        sent = true;
      },
    });
    const letters = notices.filter((notice) => notice.startsWith("Dead letter"));
    expect(letters.filter((letter) => letter.includes("the learner asked for"))).toHaveLength(2);
    expect(letters.filter((letter) => letter.includes("actor mallory is quarantined"))).toHaveLength(2);
    expect(notices.filter((notice) => notice.startsWith("Actor mallory is quarantined: 2 of"))).toHaveLength(1);
    const undisturbed = await train(cartpole, 2);
    expect(records.map((r) => r.values)).toEqual(undisturbed.map((r) => r.values));
  });
});

describe("an operator with a gRPC client", () => {
  test("sees the run's account, pauses it, has a checkpoint written, and lets it go on to the same metrics", async () => {
    let client: ReturnType<typeof connect<typeof LearnerService>> | undefined;
    let address = "";
    const steering = Promise.withResolvers<void>();
    const records = await train(cartpole, 1, {
      onReady: (info) => {
        address = info.weightsAddress;
      },
      onIteration({ iteration }) {
        if (iteration !== 0) return;
        client = connect(LearnerService, address);
        (async (learner) => {
          await learner.pause({ reason: "looking" }, { timeoutMs: 5000 });
          const status = await learner.status({}, { timeoutMs: 5000 });
          expect(status.pausedReason).toBe("looking");
          const { started, trained, inFlight, dropped } = status.episodes!;
          expect(started).toBe(trained + inFlight + Object.values(dropped).reduce((a, b) => a + b, 0n));
          expect(status.subscribers.map((s) => s.actor)).toEqual(["actor-1"]);
          const { path, iteration: at } = await learner.checkpoint({}, { timeoutMs: 5000 });
          expect(existsSync(path)).toBe(true);
          expect(at).toBeGreaterThan(0n);
          const swap = learner.swapEnvironment({ environmentId: "pendulum" }, { timeoutMs: 5000 });
          expect(await swap.catch((e) => e.message)).toContain("trains on cartpole for its whole life");
          await learner.resume({}, { timeoutMs: 5000 });
        })(client.client).then(steering.resolve, steering.reject);
      },
    });
    await steering.promise;
    client!.close();
    expect(records.map((r) => r.values)).toEqual((await train(cartpole, 1)).map((r) => r.values));
  });
});
