/**
 * Which task a group plays: any with equal chance, any type with equal chance, or those at the edge of what the policy can do.
 * A choice is a hash of (run seed, iteration, group) and, where results matter, of what earlier iterations showed; so it depends
 * neither on time nor on actors, and a resumed run chooses as if it had not been interrupted.
 */

import type { EnvironmentSource } from "../envs/environment.ts";
import { mix32, uniform01 } from "../envs/random.ts";

export type TaskSamplingName = "uniform" | "type" | "difficulty";

export interface GroupName {
  iteration: number;
  group: number;
}

/** How episodes of a task ended. */
export interface TaskResult {
  task: string;
  success: boolean;
}

export interface TaskSampling {
  /** The task of a group: the same whenever it is asked for, until its iteration is settled. */
  task(name: GroupName): string;
  /** The group is issued: what later iterations show must not change its task. */
  hold(name: GroupName): void;
  /** The iteration has ended. */
  settle(iteration: number, results: readonly TaskResult[]): void;
  /** For the checkpoint; undefined where there is nothing to remember. */
  state(): TaskSamplingState | undefined;
  restore(state: TaskSamplingState): void;
}

/** Decayed counts of episodes and of successes among them. */
type Counts = [episodes: number, successes: number];

export interface TaskSamplingState {
  tasks: [task: string, counts: Counts][];
  types: [type: string, counts: Counts][];
  /** By "iteration/group". */
  held: [name: string, task: string][];
}

type Tasks = Pick<EnvironmentSource, "tasks" | "taskType">;

export function taskSampling(name: TaskSamplingName, source: Tasks, seed: number): TaskSampling {
  if (name === "uniform") return memoryless((group) => uniform(source, seed, group, 0));
  if (name === "type") return memoryless((group) => evenly(source, seed, group));
  return new ByDifficulty(source, seed);
}

// Keeps the hashes of a group apart. The first is part of what runs mean: never change it.
const TASK = 1;
const TYPE = 3;
const CHOICE = 4;

/** Draw number `draw` of a group. */
function uniform(source: Tasks, seed: number, { iteration, group }: GroupName, draw: number): string {
  const tasks = source.tasks("train");
  const words = draw === 0 ? [TASK] : [TASK, draw];
  return tasks.at(mix32(seed, iteration, group, ...words) % Math.min(tasks.size, 2 ** 31));
}

/** Types are known by looking at so many tasks, evenly spread. */
const LOOKED_AT = 4096;
/** A type so rare that this many draws do not meet it is left out. */
const MAX_DRAWS = 4096;

const typesOf = new WeakMap<Tasks, readonly string[]>();

function types(source: Tasks): readonly string[] {
  let known = typesOf.get(source);
  if (!known) {
    const tasks = source.tasks("train");
    const looked = Math.min(tasks.size, LOOKED_AT);
    const stride = Number.isFinite(tasks.size) ? tasks.size / looked : 1;
    const all = Array.from({ length: looked }, (_, i) => source.taskType?.(tasks.at(Math.floor(i * stride))) ?? "");
    known = [...new Set(all)].sort();
    typesOf.set(source, known);
  }
  return known;
}

/** First a type, then a task of it. */
function evenly(source: Tasks, seed: number, name: GroupName): string {
  const all = types(source);
  const wanted = all[mix32(seed, name.iteration, name.group, TYPE) % all.length];
  for (let draw = 0; draw < MAX_DRAWS; draw++) {
    const task = uniform(source, seed, name, draw);
    if ((source.taskType?.(task) ?? "") === wanted) return task;
  }
  return uniform(source, seed, name, 0);
}

function memoryless(task: (name: GroupName) => string): TaskSampling {
  return { task, hold() {}, settle() {}, state: () => undefined, restore() {} };
}

/** Tasks drawn for a group, of which one is chosen. */
const CANDIDATES = 8;
/** Weight of a task that is always won, or never: policies change, so it is looked at again now and then. */
const FLOOR = 0.02;
/** What an episode counts after the next group of its task, and of its type. */
const TASK_DECAY = 0.5;
const TYPE_DECAY = 0.95;
/** A task is believed to be like its type until so many episodes of its own outweigh that. */
const PRIOR_EPISODES = 4;
/** The tasks played last are remembered. */
const REMEMBERED = 10_000;

/**
 * Prefers tasks whose success is uncertain: with a chance p of success, episodes of a group differ with variance p(1 − p), and it is
 * their difference that advantages are made of.
 */
class ByDifficulty implements TaskSampling {
  readonly #source: Tasks;
  readonly #seed: number;
  readonly #tasks = new Map<string, Counts>();
  readonly #types = new Map<string, Counts>();
  readonly #held = new Map<string, string>();

  constructor(source: Tasks, seed: number) {
    this.#source = source;
    this.#seed = seed;
  }

  task(name: GroupName): string {
    return this.#held.get(keyOf(name)) ?? this.#choose(name);
  }

  hold(name: GroupName): void {
    this.#held.set(keyOf(name), this.task(name));
  }

  settle(iteration: number, results: readonly TaskResult[]): void {
    const played = new Map<string, Counts>();
    for (const { task, success } of results) add(played, task, [1, Number(success)], 1);
    for (const [task, counts] of played) {
      add(this.#tasks, task, counts, TASK_DECAY);
      add(this.#types, this.#typeOf(task), counts, TYPE_DECAY);
      if (this.#tasks.size > REMEMBERED) this.#tasks.delete(this.#tasks.keys().next().value!);
    }
    for (const name of this.#held.keys()) if (Number.parseInt(name, 10) <= iteration) this.#held.delete(name);
  }

  state(): TaskSamplingState {
    return { tasks: [...this.#tasks], types: [...this.#types], held: [...this.#held] };
  }

  restore({ tasks, types, held }: TaskSamplingState): void {
    for (const [task, counts] of tasks) this.#tasks.set(task, counts);
    for (const [type, counts] of types) this.#types.set(type, counts);
    for (const [name, task] of held) this.#held.set(name, task);
  }

  #choose(name: GroupName): string {
    const { iteration, group } = name;
    const drawn = Array.from({ length: CANDIDATES }, (_, draw) => uniform(this.#source, this.#seed, name, draw));
    const weights = drawn.map((task) => this.#weight(task));
    let left = uniform01(mix32(this.#seed, iteration, group, CHOICE), 0) * weights.reduce((sum, w) => sum + w, 0);
    for (const [i, weight] of weights.entries()) {
      left -= weight;
      if (left < 0) return drawn[i];
    }
    return drawn[0];
  }

  #weight(task: string): number {
    const [typeEpisodes, typeSuccesses] = this.#types.get(this.#typeOf(task)) ?? [0, 0];
    const ofType = (typeSuccesses + 1) / (typeEpisodes + 2);
    const [episodes, successes] = this.#tasks.get(task) ?? [0, 0];
    const p = (successes + PRIOR_EPISODES * ofType) / (episodes + PRIOR_EPISODES);
    return p * (1 - p) + FLOOR;
  }

  #typeOf(task: string): string {
    return this.#source.taskType?.(task) ?? "";
  }
}

const keyOf = ({ iteration, group }: GroupName) => `${iteration}/${group}`;

/** The key goes to the end of the map: what is first was used longest ago. */
function add(counts: Map<string, Counts>, key: string, [episodes, successes]: Counts, decay: number): void {
  const [before, won] = counts.get(key) ?? [0, 0];
  counts.delete(key);
  counts.set(key, [decay * before + episodes, decay * won + successes]);
}
