import { afterEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { loadEnvironment } from "../envs/registry.ts";
import { createPolicy } from "../policy/registry.ts";
import type { RunState } from "../policy/run-state.ts";
import { initialise } from "../policy/tensor/initialise.ts";
import { defaultProvider } from "../policy/tensor/provider.ts";
import type { Bus } from "../proto/bus/bus.ts";
import { memoryBus } from "../proto/bus/memory.ts";
import { decodeTrajectory, encodeGroupTask } from "../proto/codec.ts";
import { subjects as subjectsOf } from "../proto/subjects.ts";
import type { GroupTask, Trajectory } from "../proto/trajectory.ts";
import { RolloutActor, type RolloutOptions } from "./rollout.ts";
import type { HeldWeights, WeightsClient } from "./weights-client.ts";

const INCARNATION = 1000;
const subjects = subjectsOf("rollout");
const stops: AbortController[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop.abort();
});

/** Weights as a learner would have sent them; a test decides which and when. */
class GivenWeights implements Pick<WeightsClient, "current" | "waitFor"> {
  held: HeldWeights | undefined;
  #listeners = new Set<() => void>();

  give(counter: number, parameters: Float32Array, incarnation = INCARNATION): void {
    const version = { counter, sha256: counter.toString(16).padStart(64, "0") };
    this.held = { version, incarnation: String(incarnation), weights: parameters, publishedAtMs: 0, receivedAtMs: 0 };
    for (const listener of this.#listeners) listener();
  }

  current() {
    return this.held;
  }

  waitFor(what: number | ((held: HeldWeights) => boolean), { signal }: { signal?: AbortSignal }): Promise<HeldWeights> {
    const fits = what as (held: HeldWeights) => boolean;
    return new Promise((resolve, reject) => {
      const look = () => {
        if (this.held && fits(this.held)) resolve(this.held);
      };
      this.#listeners.add(look);
      signal?.addEventListener("abort", () => reject(signal.reason));
      look();
    });
  }
}

async function stage(given: Partial<RolloutOptions> = {}, env = "scavenger", args = {}) {
  const bus = memoryBus();
  for (const [name, subject, retention] of [
    [subjects.taskStream, subjects.tasks, "workqueue"],
    [subjects.trajectoryStream, subjects.trajectories, "workqueue"],
    [subjects.deadLetterStream, subjects.deadLetters, "limits"],
  ] as const) {
    await bus.stream({ name, subjects: [subject], maxBytes: 1 << 26, dedupWindowMs: 60_000, retention });
  }
  const { source, digest } = await loadEnvironment(env, args);
  const policy = await createPolicy({
    name: env === "scavenger" ? "candidates" : "mlp",
    observation: source.spec.observation,
    action: source.spec.action,
    options: {},
  });
  const parameters = initialise(policy.layout, 1);
  const state: RunState = {
    run: "rollout",
    incarnation: INCARNATION,
    seed: 9,
    policy: policy.spec,
    environment: { generation: 0, reference: env, arguments: {}, digest },
    weights: "",
    weightsEncoding: "f32",
  };
  const options: RolloutOptions = {
    name: "actor",
    slots: 32,
    stepTimeoutMs: 1000,
    weightsTimeoutMs: 60_000,
    publishTimeoutMs: 5000,
    taskAckWaitMs: 1000,
    drainTimeoutMs: 5000,
    ...given,
  };
  const start = async (weights: GivenWeights, name = "actor") => {
    const stop = new AbortController();
    stops.push(stop);
    const logs: string[] = [];
    const tasks = await bus.puller({
      stream: subjects.taskStream,
      durable: subjects.taskConsumer,
      ackWaitMs: options.taskAckWaitMs,
      maxAckPending: 1000,
    });
    const actor = new RolloutActor(
      {
        bus,
        subjects,
        tasks,
        directory: await bus.keyValue(subjects.directoryBucket, { ttlMs: 5000 }),
        weights: weights as unknown as WeightsClient,
        state,
        source,
        policy,
        provider: defaultProvider(),
        log: (message) => logs.push(message),
      },
      { ...options, name },
    );
    return { actor, logs, stop: () => stop.abort(), done: actor.run(stop.signal) };
  };
  const ask = (over: Partial<GroupTask> = {}) => {
    const task: GroupTask = {
      run: "rollout",
      incarnation: INCARNATION,
      iteration: 0,
      group: 0,
      task: source.tasks("train").at(3),
      seed: 5,
      members: [0, 1, 2, 3],
      attempt: 0,
      environmentGeneration: 0,
      minWeights: 0,
      maxWeights: 0,
      ...over,
    };
    return bus.publish(subjects.task(task), encodeGroupTask(task), { id: subjects.taskId(task), timeoutMs: 1000 });
  };
  const inbox = await bus.puller({
    stream: subjects.trajectoryStream,
    durable: subjects.trajectoryConsumer,
    ackWaitMs: 60_000,
    maxAckPending: 1000,
  });
  const receive = async (count: number): Promise<Trajectory[]> => {
    const received: Trajectory[] = [];
    while (received.length < count) {
      const deliveries = await inbox.next(count, 10_000);
      if (!deliveries.length) throw new Error(`${received.length} of ${count} trajectories came`);
      received.push(...deliveries.map(({ data }) => decodeTrajectory(data)));
    }
    return received.sort((a, b) => a.lineage.group - b.lineage.group || a.lineage.member - b.lineage.member);
  };
  return { bus, parameters, start, ask, receive };
}

/** Until the queue holds no task any more: all have been acknowledged. */
async function allAcknowledged(bus: Bus): Promise<void> {
  while ((await bus.streamState(subjects.taskStream)).messages) await new Promise((resolve) => setImmediate(resolve));
}

describe("a rollout actor", () => {
  test("plays every member of a group, tells where each comes from, and then acknowledges the task", async () => {
    const { bus, parameters, start, ask, receive } = await stage();
    const weights = new GivenWeights();
    weights.give(0, parameters);
    await start(weights);
    await ask();
    const trajectories = await receive(4);
    expect(trajectories.map((t) => t.lineage.member)).toEqual([0, 1, 2, 3]);
    for (const { lineage, steps, outcome } of trajectories) {
      expect(lineage).toMatchObject({ run: "rollout", iteration: 0, group: 0, attempt: 0, seed: 5, actor: "actor" });
      expect(lineage.weights.counter).toBe(0);
      expect(outcome.type).not.toBe("noResult");
      expect(steps!.count).toBeGreaterThan(0);
    }
    await allAcknowledged(bus);
  });

  test("samples nothing before it holds the weights that the task asks for", async () => {
    const { bus, parameters, start, ask, receive } = await stage();
    const weights = new GivenWeights();
    const { actor } = await start(weights);
    await ask({ iteration: 2, minWeights: 2, maxWeights: 2 });
    weights.give(1, parameters);
    while (!(await bus.streamState(subjects.taskStream)).pending) await new Promise((resolve) => setImmediate(resolve));
    expect(actor.episodes).toBe(0);
    weights.give(2, parameters);
    for (const { lineage } of await receive(4)) expect(lineage.weights.counter).toBe(2);
  });

  test("gives the same episodes whether it plays groups one by one or side by side with others", async () => {
    const episodes = async (slots: number) => {
      const { parameters, start, ask, receive } = await stage({ slots });
      const weights = new GivenWeights();
      weights.give(0, parameters);
      for (let group = 0; group < 5; group++) await ask({ group, seed: group });
      await start(weights);
      return (await receive(20)).map(({ steps, outcome }) => ({ steps, outcome }));
    };
    expect(await episodes(1)).toEqual(await episodes(1000));
  });

  test("asked again after another actor died, plays only the members that are not stored", async () => {
    const { bus, parameters, start, ask, receive } = await stage({ taskAckWaitMs: 300 });
    const silent = await bus.puller({
      stream: subjects.taskStream,
      durable: subjects.taskConsumer,
      ackWaitMs: 300,
      maxAckPending: 1000,
    });
    await ask();
    expect((await silent.next(1, 1000)).length).toBe(1); // taken by an actor that is never heard of again
    const dead = await stage();
    const weights = new GivenWeights();
    weights.give(0, parameters);
    await dead.start(weights, "dead");
    await dead.ask({ members: [1, 3] });
    const { encodeTrajectory } = await import("../proto/codec.ts");
    for (const trajectory of await dead.receive(2)) {
      const { lineage } = trajectory;
      await bus.publish(subjects.trajectory(lineage), encodeTrajectory(trajectory), { timeoutMs: 1000 });
    }
    const { actor } = await start(weights, "second");
    const trajectories = await receive(4);
    expect(trajectories.map(({ lineage }) => [lineage.member, lineage.actor])).toEqual([
      [0, "second"],
      [1, "dead"],
      [2, "second"],
      [3, "dead"],
    ]);
    await allAcknowledged(bus);
    expect(actor.episodes).toBe(2);
  });

  test("drains: finishes the episodes under way, takes no further task, and leaves the queue to others", async () => {
    const { bus, parameters, start, ask, receive } = await stage({ slots: 4 });
    const weights = new GivenWeights();
    weights.give(0, parameters);
    const { actor, stop, done } = await start(weights);
    for (let group = 0; group < 50; group++) await ask({ group, seed: group });
    while (actor.episodes === 0) await new Promise((resolve) => setImmediate(resolve));
    stop();
    await done;
    const { messages, pending } = await bus.streamState(subjects.taskStream);
    expect(pending).toBe(0);
    expect(messages).toBeGreaterThan(0);
    expect((await receive(actor.episodes)).length).toBe(actor.episodes);
    expect(actor.episodes % 4).toBe(0);
  });

  test("lets a task go that belongs to an earlier learner, or whose time has passed", async () => {
    const { bus, parameters, start, ask } = await stage();
    const weights = new GivenWeights();
    weights.give(7, parameters);
    const { actor } = await start(weights);
    await ask({ incarnation: INCARNATION - 1, iteration: 7, minWeights: 7, maxWeights: 7 });
    await ask({ iteration: 5, minWeights: 5, maxWeights: 5 });
    await allAcknowledged(bus);
    expect(actor.episodes).toBe(0);
  });

  test("ends episodes whose iteration is over, even in a step that hangs, and plays the next in their places", async () => {
    const dawdling = join(import.meta.dirname, "../deploy/testing/dawdling-environment.ts");
    const { bus, parameters, start, ask, receive } = await stage({ stepTimeoutMs: 3_600_000 }, dawdling, {
      hangs: true,
    });
    const weights = new GivenWeights();
    weights.give(0, parameters);
    await start(weights);
    const members = Array.from({ length: 32 }, (_, member) => member); // all places
    await ask({ members });
    const ended = await receive(1); // some end with their first step
    weights.give(1, parameters);
    await ask({ iteration: 1, minWeights: 1, maxWeights: 1, members: [0], seed: 1 });
    const first = [...ended, ...(await receive(31))].filter(({ lineage }) => lineage.iteration === 0);
    const interrupted = first.flatMap(({ outcome }) => (outcome.type === "noResult" ? [outcome] : []));
    expect(interrupted.length).toBeGreaterThan(0);
    for (const { reason, played } of interrupted) {
      expect(reason).toBe("interrupted: its iteration is over");
      expect(played).toBeLessThanOrEqual(1);
    }
    while ((await bus.streamState(subjects.taskStream)).pending > 1)
      await new Promise((resolve) => setImmediate(resolve));
  });

  test("keeps a task that nobody can read as a dead letter, and goes on", async () => {
    const { bus, parameters, start, ask, receive } = await stage();
    const weights = new GivenWeights();
    weights.give(0, parameters);
    await start(weights);
    await bus.publish(subjects.task({ iteration: 0, group: 9 }), new Uint8Array([0x10, 0xc1]), { timeoutMs: 1000 });
    await ask();
    await receive(4);
    await allAcknowledged(bus);
    expect(await bus.last(subjects.deadLetterStream, subjects.deadLetter("task"))).toBeDefined();
  });

  test("waits for room in a full trajectory stream and loses nothing", async () => {
    const { bus, parameters, start, ask, receive } = await stage({ publishTimeoutMs: 20_000 });
    const narrow = { name: subjects.trajectoryStream, subjects: [subjects.trajectories], dedupWindowMs: 60_000 };
    await bus.stream({ ...narrow, maxBytes: 4000, retention: "workqueue" });
    const weights = new GivenWeights();
    weights.give(0, parameters);
    const { actor } = await start(weights);
    await ask();
    while (actor.episodes < 4) await new Promise((resolve) => setImmediate(resolve));
    expect((await bus.streamState(subjects.trajectoryStream)).messages).toBeLessThan(4);
    await bus.stream({ ...narrow, maxBytes: 1 << 26, retention: "workqueue" });
    expect((await receive(4)).length).toBe(4);
    await allAcknowledged(bus);
  });

  test("says in the directory that it is there, and leaves it when it stops", async () => {
    const { bus, parameters, start } = await stage({ taskAckWaitMs: 40 });
    const weights = new GivenWeights();
    weights.give(3, parameters);
    const { stop, done } = await start(weights);
    const directory = await bus.keyValue(subjects.directoryBucket);
    for await (const entry of directory.watch("actor", AbortSignal.timeout(5000))) {
      expect(JSON.parse(new TextDecoder().decode(entry.value))).toMatchObject({
        actor: "actor",
        weights: 3,
        groups: 0,
      });
      break;
    }
    stop();
    await done;
    expect(await directory.get("actor")).toBeUndefined();
  });
});
