import { describe, expect, test } from "bun:test";
import type { Heartbeat } from "../policy/heartbeat.ts";
import type { KnownActor } from "./fleet.ts";
import type { LearnerStatus } from "./learner.ts";
import { diagnose, type Scene } from "./watchdog.ts";

const NOW = 1_000_000_000;

const waiting: LearnerStatus = {
  section: "wait",
  sinceMs: 62_000,
  iteration: 7,
  groupsReady: 13,
  groupsWanted: 16,
  episodesInFlight: 24,
  withoutSignal: 0,
};

function actor(beat: Partial<Heartbeat>, known: Partial<KnownActor> = {}): KnownActor {
  const base: Heartbeat = {
    actor: "walker",
    host: "box",
    pid: 1,
    doing: "playing",
    forMs: 0,
    slots: 32,
    idleShare: 0,
    groups: 1,
    episodes: 8,
    envSteps: 80,
    weights: 7,
    sentAtMs: NOW - 1000,
    everyMs: 1250,
  };
  return { beat: { ...base, ...beat }, heardAtMs: NOW - 1000, gone: false, ...known };
}

const scene = (over: Partial<Scene> = {}): Scene => ({
  nowMs: NOW,
  run: "maze",
  learner: waiting,
  weightsAddress: "10.0.0.1:7400",
  actors: [],
  queues: { tasksQueued: 3, tasksTaken: 0, trajectories: 0, trajectoryBytes: 0 },
  ...over,
});

const said = (over: Partial<Scene>) => {
  const { what, advice } = diagnose(scene(over));
  return `${what} ${advice}`;
};

describe("the watchdog's paragraph", () => {
  test("says what is waited for, since when, and how to start actors where there are none", () => {
    expect(said({})).toBe(
      "Iteration 7 has waited 62 s for 24 episodes, with 13 of 16 groups there. No trajectory has come yet. 3 tasks in the queue, 0 taken. No actor has been heard of. No actor is there: start some with 'proxima actor --run maze' on the same broker.",
    );
  });

  test("tells of actors that are gone when and at what they were last heard", () => {
    const gone = actor({ doing: "step" }, { heardAtMs: NOW - 40_000, gone: true });
    const text = said({
      actors: [gone],
      learner: { ...waiting, lastArrival: { atMs: NOW - 61_000, actor: "walker" } },
    });
    expect(text).toContain("walker is gone (last heard 40 s ago: waits for an environment's step)");
    expect(text).toContain("The last trajectory came 61 s ago from walker.");
    expect(text).toContain("No actor is there");
  });

  test("names the address of the weights when no actor gets them", () => {
    const text = said({ actors: [actor({ doing: "weights", forMs: 58_000, weights: -1 })] });
    expect(text).toContain("walker waits for weights for 58 s (heard 1 s ago, weights none)");
    expect(text).toContain("They come from 10.0.0.1:7400: can their machines reach that address?");
  });

  test("blames the environment that does not come back, and the one that only fails", () => {
    expect(said({ actors: [actor({ doing: "step", forMs: 30_000 }), actor({ actor: "b" })] })).toContain(
      "An environment does not come back from a step or reset.",
    );
    const failing = { ...waiting, lastNoResult: { atMs: NOW - 100, actor: "walker", reason: "reset failed: no disk" } };
    expect(said({ actors: [actor({})], learner: failing })).toContain(
      'look after the environment ("reset failed: no disk")',
    );
  });

  test("tells of a stream without room how full it is", () => {
    const queues = { tasksQueued: 0, tasksTaken: 1, trajectories: 900, trajectoryBytes: 1023.5 * 2 ** 20 };
    const text = said({ queues, actors: [actor({ doing: "room", forMs: 20_000 })] });
    expect(text).toContain("do not fit into the trajectory stream (1023.5 MiB)");
  });

  test("tells a pause with the words of whoever paused, and a broker that is away before everything else", () => {
    const paused = { ...waiting, section: "issue", paused: { reason: "lunch", sinceMs: NOW - 600_000 } };
    const text = said({ learner: paused, actors: [actor({ doing: "tasks" })] });
    expect(text).toContain('The learner has been paused for 10 min ("lunch")');
    expect(text).toContain("'proxima resume --run maze'");
    expect(said({ learner: paused, brokerAway: { sinceMs: NOW - 5000, reason: "ECONNREFUSED" } })).toStartWith(
      "The learner has not reached its broker for 5 s (ECONNREFUSED)",
    );
  });

  test("blames nobody else while the learner computes, and adds that iterations train nothing", () => {
    const text = said({ learner: { ...waiting, section: "update", withoutSignal: 12 } });
    expect(text).toContain("The learner has been at 'update' of iteration 7 for 62 s; nobody else is waited for.");
    expect(text).toContain("The last 12 iterations trained nothing");
  });

  test("lists the actors that wait longest and counts the rest", () => {
    const actors = Array.from({ length: 9 }, (_, i) => actor({ actor: `a${i}`, doing: "step", forMs: 1000 * i }));
    const text = said({ actors });
    expect(text).toContain("a8 waits for an environment's step for 8 s");
    expect(text).toContain("and 5 more");
    expect(text).not.toContain("a0 ");
  });
});
