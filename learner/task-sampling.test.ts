import { describe, expect, test } from "bun:test";
import { mix32 } from "../envs/random.ts";
import { type TaskSampling, taskSampling } from "./task-sampling.ts";

/** 90 easy tasks, 9 of middling difficulty, one hard one. */
const size = 100;
const typeOf = (task: string) => (Number(task) < 90 ? "easy" : Number(task) < 99 ? "middling" : "hard");
const source = { tasks: () => ({ size, at: String }), taskType: typeOf };
const endless = { tasks: () => ({ size: Number.POSITIVE_INFINITY, at: String }) };

const groups = (sampling: TaskSampling, iteration: number, count: number) =>
  Array.from({ length: count }, (_, group) => sampling.task({ iteration, group }));

const shareOf = (type: string, tasks: readonly string[]) =>
  tasks.filter((task) => typeOf(task) === type).length / tasks.length;

/** Plays iterations of 20 groups of four, in which a task is won as often as its type says. */
function learn(sampling: TaskSampling, iterations: number, chance: Record<string, number>, from = 0): void {
  for (let iteration = from; iteration < from + iterations; iteration++) {
    const results = Array.from({ length: 20 }, (_, group) => {
      sampling.hold({ iteration, group });
      const task = sampling.task({ iteration, group });
      return Array.from({ length: 4 }, (_, member) => ({
        task,
        success: mix32(iteration, group, member) / 2 ** 32 < chance[typeOf(task)],
      }));
    });
    sampling.settle(iteration, results.flat());
  }
}

describe("uniform sampling", () => {
  test("plays every task about as often, the same ones for the same seed", () => {
    const played = groups(taskSampling("uniform", source, 1), 0, 20_000);
    expect(shareOf("easy", played)).toBeCloseTo(0.9, 1);
    expect(new Set(played).size).toBe(size);
    expect(groups(taskSampling("uniform", source, 1), 0, 50)).toEqual(played.slice(0, 50));
    expect(groups(taskSampling("uniform", source, 2), 0, 50)).not.toEqual(played.slice(0, 50));
  });
});

describe("sampling by type", () => {
  test("plays every type about as often, however few tasks it has", () => {
    const played = groups(taskSampling("type", source, 1), 0, 3_000);
    for (const type of ["easy", "middling", "hard"]) expect(shareOf(type, played)).toBeCloseTo(1 / 3, 1);
  });

  test("is uniform where tasks have no types", () => {
    const played = groups(taskSampling("type", endless, 1), 0, 100);
    expect(played).toEqual(groups(taskSampling("uniform", endless, 1), 0, 100));
  });
});

describe("sampling by difficulty", () => {
  const chance = { easy: 1, middling: 0.5, hard: 0 };

  test("comes to prefer tasks that are won now and then, and still plays the others", () => {
    const sampling = taskSampling("difficulty", source, 1);
    const before = groups(sampling, 0, 2_000);
    expect(shareOf("middling", before)).toBeLessThan(0.15);
    learn(sampling, 60, chance);
    const after = groups(sampling, 60, 2_000);
    expect(shareOf("middling", after)).toBeGreaterThan(0.3);
    expect(shareOf("easy", after)).toBeGreaterThan(0.2);
  });

  test("a group keeps its task while its iteration lasts, whatever is learned meanwhile", () => {
    const sampling = taskSampling("difficulty", source, 1);
    learn(sampling, 20, chance);
    const names = Array.from({ length: 200 }, (_, group) => ({ iteration: 30, group }));
    for (const name of names) sampling.hold(name);
    const held = names.map((name) => sampling.task(name));
    learn(sampling, 8, { easy: 0, middling: 0, hard: 1 }, 20);
    expect(names.map((name) => sampling.task(name))).toEqual(held);
    const free = taskSampling("difficulty", source, 1);
    learn(free, 20, chance);
    learn(free, 8, { easy: 0, middling: 0, hard: 1 }, 20);
    expect(names.map((name) => free.task(name))).not.toEqual(held);
  });

  test("goes on from a checkpoint as if it had not been interrupted", () => {
    const whole = taskSampling("difficulty", source, 1);
    learn(whole, 20, chance);
    whole.hold({ iteration: 21, group: 0 });
    const resumed = taskSampling("difficulty", source, 1);
    resumed.restore(JSON.parse(JSON.stringify(whole.state())));
    for (const sampling of [whole, resumed]) learn(sampling, 10, chance, 20);
    expect(resumed.state()).toEqual(whole.state());
    expect(groups(resumed, 30, 100)).toEqual(groups(whole, 30, 100));
  });

  test("remembers a bounded number of an endless set's tasks", () => {
    const sampling = taskSampling("difficulty", endless, 1);
    for (let iteration = 0; iteration < 3; iteration++) {
      const results = Array.from({ length: 5_000 }, (_, i) => ({ task: `${iteration}-${i}`, success: true }));
      sampling.settle(iteration, results);
    }
    expect(sampling.state()!.tasks.length).toBe(10_000);
  });
});
