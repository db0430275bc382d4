import { beforeEach, describe, expect, test } from "bun:test";
import type { GenerationRecord } from "../envs/assignment.ts";
import type { EnvironmentSource } from "../envs/environment.ts";
import { oneTask } from "../envs/one-task.ts";
import { type Generation, Generations } from "./generations.ts";

let closed: number[];
beforeEach(() => {
  closed = [];
});

function generation(number: number, over: Partial<GenerationRecord> = {}): Generation {
  const terms = { canaryShare: 1, rollBackAt: 0.25, rollBackAfter: 2 };
  const record: GenerationRecord = {
    ...terms,
    generation: number,
    reference: "coins",
    arguments: {},
    digest: `digest-${number}`,
    state: "accepted",
    ...over,
  };
  return { record, source: oneTask("coin") as unknown as EnvironmentSource, close: () => closed.push(number) };
}

/** A run at generation 0 with groups of 4. */
function run(seed = 7): Generations {
  const generations = new Generations({ seed, groupSize: 4, taskSampling: "uniform" });
  generations.add(generation(0, { state: "playing", from: 0 }));
  return generations;
}

const played = (generations: Generations, iteration: number, groups = 1000) =>
  Array.from({ length: groups }, (_, group) => generations.of({ iteration, group }).record.generation);
const share = (all: number[], generation: number) => all.filter((each) => each === generation).length / all.length;

/** Groups of an iteration that play a generation. */
const groupsOf = (all: number[], generation: number) =>
  all.flatMap((each, group) => (each === generation ? [group] : []));

describe("which generation a group plays", () => {
  test("is the same in every process, follows the canary's share, and differs between iterations", () => {
    const [one, two] = [run(), run()];
    for (const each of [one, two]) {
      each.offer(generation(1, { canaryShare: 0.3 }));
      each.adopt(5);
    }
    expect(share(played(one, 4), 1)).toBe(0);
    expect(share(played(one, 5), 1)).toBeCloseTo(0.3, 1);
    expect(played(two, 5)).toEqual(played(one, 5));
    expect(played(one, 6)).not.toEqual(played(one, 5));
    expect(played(run(8), 5)).not.toEqual(played(one, 5));
  });

  test("waits for the iteration that was named, and for the next one otherwise", () => {
    const generations = run();
    generations.offer(generation(1, { from: 9 }));
    expect(generations.adopt(8)).toEqual([]);
    expect(generations.adopt(9).map(({ record }) => record.state)).toEqual(["playing"]);
    expect(share(played(generations, 8), 1)).toBe(0);
    expect(share(played(generations, 9), 1)).toBe(1);
  });

  test("falls back on what played all groups: a second canary takes the place of the first", () => {
    const generations = run();
    generations.offer(generation(1, { canaryShare: 0.5 }));
    generations.adopt(2);
    generations.offer(generation(2, { canaryShare: 0.5 }));
    const changed = generations.adopt(4).map(({ record }) => [record.generation, record.state, record.until]);
    expect(changed).toEqual([
      [1, "replaced", 4],
      [2, "playing", undefined],
    ]);
    expect(new Set(played(generations, 3))).toEqual(new Set([0, 1]));
    expect(new Set(played(generations, 4))).toEqual(new Set([0, 2]));
    expect(generations.fallback?.record.generation).toBe(0);
    generations.offer(generation(3));
    generations.adopt(6);
    expect(new Set(played(generations, 6))).toEqual(new Set([3]));
    expect(generations.fallback?.record.generation).toBe(0);
  });

  test("is decided alike after a checkpoint", () => {
    const generations = run();
    generations.offer(generation(1, { canaryShare: 0.5 }));
    generations.adopt(2);
    generations.fail({ iteration: 2, group: groupsOf(played(generations, 2), 1)[0]!, member: 0 }, "broken");
    const { records, ...state } = JSON.parse(JSON.stringify(generations.state()));
    const resumed = new Generations({ seed: 7, groupSize: 4, taskSampling: "uniform" });
    for (const record of records) resumed.add(generation(record.generation, record));
    resumed.restore(state);
    expect(played(resumed, 3)).toEqual(played(generations, 3));
    expect(resumed.state()).toEqual(generations.state());
  });
});

describe("a generation that fails", () => {
  const open = [{ iteration: 2, groups: 16 }];
  function canary() {
    const generations = run();
    generations.offer(generation(1, { canaryShare: 0.5 }));
    generations.adopt(2);
    const all = played(generations, 2, 16);
    return { generations, its: groupsOf(all, 1), others: groupsOf(all, 0) };
  }

  test("is told by its share of all members asked for, in whatever order they fail", () => {
    const { generations, its } = canary();
    const members = its.flatMap((group) => [0, 1, 2, 3].map((member) => ({ iteration: 2, group, member })));
    const limit = Math.floor(members.length * 0.25);
    for (const order of [members, members.toReversed()]) {
      const { generations } = canary();
      for (const name of order.slice(0, limit)) generations.fail(name, "broken");
      expect(generations.verdict(open)).toBeUndefined();
      generations.fail(order[0]!, "broken again"); // of a member once
      expect(generations.verdict(open)).toBeUndefined();
      generations.fail(order[limit]!, "broken");
      expect(generations.verdict(open)).toContain(
        `${limit + 1} of its ${members.length} last members gave no result, more than the share of 0.25`,
      );
      expect(generations.verdict(open)).toContain(`"broken" (${limit + 1} times)`);
    }
    expect(generations.verdict(open)).toBeUndefined();
  });

  test("is not blamed for others, nor for fewer failures than count", () => {
    const { generations, its, others } = canary();
    for (const group of others) generations.fail({ iteration: 2, group, member: 0 }, "broken");
    expect(generations.verdict(open)).toBeUndefined();
    generations.fail({ iteration: 2, group: its[0]!, member: 0 }, "broken");
    expect(generations.verdict([{ iteration: 2, groups: its[0]! + 1 }])).toBeUndefined();
    expect(generations.noResultShare(1, open[0]!)).toBe(1 / (its.length * 4));
  });

  test("gives its groups of open iterations back, and what still arrives of it is void", () => {
    const { generations } = canary();
    generations.rollBack(2, "broken");
    expect(new Set(played(generations, 2))).toEqual(new Set([0]));
    expect(generations.isVoid(1, { iteration: 2 })).toBe(true);
    expect(generations.isVoid(1, { iteration: 1 })).toBe(false);
    expect(generations.isVoid(0, { iteration: 2 })).toBe(false);
    expect(generations.fallback).toBeUndefined();
    generations.close(open[0]!, []);
    expect(closed).toEqual([1]);
    expect(generations.isVoid(1, { iteration: 3 })).toBe(true);
    expect(generations.records.map(({ state }) => state)).toEqual(["rolledBack", "playing"]);
  });

  test("is judged by its last hundred members or so, so that a good past excuses nothing", () => {
    const generations = run();
    generations.offer(generation(1));
    generations.adopt(0);
    const of = (iteration: number) => ({ iteration, groups: 8 }); // 32 members
    for (let i = 0; i < 50; i++) generations.close(of(i), []);
    const fail = (iteration: number, count: number) => {
      for (let i = 0; i < count; i++) generations.fail({ iteration, group: i >> 2, member: i & 3 }, "broken");
    };
    fail(50, 32);
    expect(generations.verdict([of(50)])).toBeUndefined(); // 32 of 128 + 32
    generations.close(of(50), []);
    fail(51, 32);
    expect(generations.verdict([of(51)])).toContain("64 of its 160 last members");
  });

  test("never is the one that a run began with", () => {
    const generations = run();
    for (let member = 0; member < 4; member++) generations.fail({ iteration: 0, group: 0, member }, "broken");
    expect(generations.verdict([{ iteration: 0, groups: 1 }])).toBeUndefined();
  });
});
