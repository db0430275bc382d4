/**
 * Holds an environment against its contract, for `proxima env check FILE` and for the tests of those built in.
 *
 *   const report = await checkEnvironment(definition, { difficulty: 3 }, { episodes: 50 });
 *   console.log(renderReport(report));
 *
 * Promises that stay open are given up after a deadline. A call that never returns at all (an endless loop) cannot be
 * interrupted from within: run the check in a process of its own when that is to be expected.
 */
import { resolveArguments } from "./arguments.ts";
import {
  Broken,
  type Caller,
  callWithDeadline,
  describeError,
  difference,
  type Episode,
  type Problem,
  place,
  play,
  playing,
  randomAction,
  type Start,
  same,
  Unresponsive,
} from "./check/play.ts";
import type { Action, Environment, EnvironmentDefinition, EnvironmentSource, TaskSet, Turn } from "./environment.ts";
import { mix32, Random } from "./random.ts";
import { sourceProblem, toDefinition } from "./registry.ts";
import { shown, turnProblem } from "./spaces.ts";

export interface CheckOptions {
  /** Random episodes to play. Default 20. */
  episodes?: number;
  /** Of the tasks, seeds and actions drawn. Default 1. */
  seed?: number;
  /** For each call of the environment. Default 10 000. */
  deadlineMs?: number;
  /** Called when a part of the check begins, and before each random episode. */
  onProgress?: (progress: { check: string; done: number; total: number }) => void;
  signal?: AbortSignal;
}

export interface Finding {
  /** What was checked, in a few words. */
  name: string;
  ok: boolean;
  /** One sentence: what was seen, or what is wrong and where. */
  detail: string;
}

export interface Report {
  environment: string;
  ok: boolean;
  findings: Finding[];
  /** Why the check ended early, where it did. */
  stopped?: string;
  /** A uniformly random policy on the train split; absent when none could be played. */
  random?: {
    episodes: number;
    envSteps: number;
    envStepsPerSecond: number;
    meanReturn: number;
    meanEpisodeLength: number;
    /** Absent where success has no meaning. */
    successRate?: number;
  };
}

const TASKS_SAMPLED = 200;
const EPISODES_COMPARED = 5;
const DEMONSTRATIONS = 12;
const SPEED_MS = 100;
const GIVEN = "observations given away";

/** Never rejects because of the environment: whatever that does becomes a finding. Rejects when `signal` aborts. */
export async function checkEnvironment(
  definition: EnvironmentDefinition,
  args: Readonly<Record<string, unknown>> = {},
  options: CheckOptions = {},
): Promise<Report> {
  const check = new Check(definition, args, options);
  return check.run();
}

/** One line per finding, then what a random policy makes of it. */
export function renderReport(report: Report): string {
  const width = Math.max(...report.findings.map((finding) => finding.name.length));
  const lines = [`${report.environment}: ${report.ok ? "conforms" : "does not conform"}`];
  for (const { name, ok, detail } of report.findings) {
    lines.push(`  ${ok ? "ok  " : "FAIL"}  ${name.padEnd(width)}  ${detail}`);
  }
  if (report.stopped !== undefined) lines.push(`  stopped: ${report.stopped}`);
  if (report.random !== undefined) {
    const { episodes, meanReturn, meanEpisodeLength, successRate, envStepsPerSecond } = report.random;
    const success = successRate === undefined ? "" : `, success ${(100 * successRate).toFixed(1)} %`;
    lines.push(
      `  random policy, ${episodes} episodes: return ${meanReturn.toPrecision(4)}, length ${meanEpisodeLength.toFixed(1)}${success}; ` +
        `${Math.round(envStepsPerSecond).toLocaleString("en")} steps/s`,
    );
  }
  return lines.join("\n");
}

class Check {
  private readonly definition: EnvironmentDefinition;
  private readonly args: Readonly<Record<string, unknown>>;
  private readonly episodes: number;
  private readonly seed: number;
  private readonly onProgress: NonNullable<CheckOptions["onProgress"]>;
  private readonly signal: AbortSignal | undefined;
  private readonly call: Caller;
  private readonly report: Report;
  private readonly created: Environment[] = [];
  private source!: EnvironmentSource;
  private train!: TaskSet;

  constructor(definition: EnvironmentDefinition, args: Readonly<Record<string, unknown>>, options: CheckOptions) {
    this.definition = definition;
    this.args = args;
    this.episodes = options.episodes ?? 20;
    this.seed = options.seed ?? 1;
    this.onProgress = options.onProgress ?? (() => {});
    this.signal = options.signal;
    this.call = callWithDeadline(options.deadlineMs ?? 10_000);
    this.report = {
      environment: String((definition as Partial<EnvironmentDefinition>)?.id ?? "?"),
      ok: false,
      findings: [],
    };
  }

  async run(): Promise<Report> {
    // Without these nothing can be played; the parts after them do not need each other.
    const basis: [string, () => Promise<string>][] = [
      ["definition", () => this.checkDefinition()],
      ["load", () => this.checkLoad()],
      ["tasks", () => this.checkTasks()],
    ];
    const parts: [string, () => Promise<string>][] = [
      ["random episodes", () => this.checkRandomEpisodes()],
      ["determinism", () => this.checkDeterminism()],
      ["reset", () => this.checkReset()],
      ["independence", () => this.checkIndependence()],
      ["step after the end", () => this.checkAfterEnd()],
      ["invalid actions", () => this.checkInvalidActions()],
      ["close", () => this.checkClose()],
      ["demonstrations", () => this.checkDemonstrations()],
      ["task types", () => this.checkTaskTypes()],
    ];
    const all = [...basis, ...parts];
    for (const [i, [name, part]] of all.entries()) {
      this.signal?.throwIfAborted();
      if (name !== "random episodes") this.onProgress({ check: name, done: 0, total: 1 });
      try {
        this.add(name, true, await part());
      } catch (error) {
        if (this.signal?.aborted) throw error;
        this.add(name, false, error instanceof Problems ? error.message : describe(error));
        if (error instanceof Unresponsive) {
          this.report.stopped = "the environment no longer answers, so the rest was not checked";
          break;
        }
        if (i < basis.length) {
          this.report.stopped = `nothing can be played before "${name}" is right`;
          break;
        }
      }
    }
    await this.closeAll();
    this.report.ok = this.report.findings.every((finding) => finding.ok);
    return this.report;
  }

  private add(name: string, ok: boolean, detail: string): void {
    this.report.findings.push({ name, ok, detail });
  }

  private async checkDefinition(): Promise<string> {
    toDefinition(this.definition, "The file");
    resolveArguments(this.definition, this.args);
    const count = Object.keys(this.definition.arguments).length;
    return `id, summary, load and ${count} argument${count === 1 ? "" : "s"}`;
  }

  private async checkLoad(): Promise<string> {
    const args = resolveArguments(this.definition, this.args);
    const source = await this.call("load()", () => this.definition.load(args));
    const problem = sourceProblem(source);
    if (problem !== undefined) throw new Problems(problem);
    if (source.spec.id !== this.definition.id) {
      throw new Problems(`spec.id is ${shown(source.spec.id)}, the definition's is ${shown(this.definition.id)}`);
    }
    this.source = source;
    const env = await this.create();
    if (!same(env.spec, source.spec)) throw new Problems("an instance's spec differs from its source's");
    const { observation, action, maxEpisodeSteps } = source.spec;
    return `${observation.type} observations, ${action.type} actions, at most ${maxEpisodeSteps} steps`;
  }

  private async checkTasks(): Promise<string> {
    const { source } = this;
    const names = new Map<string, Set<string>>();
    const sizes: string[] = [];
    for (const split of source.splits) {
      const set = await this.call(`tasks(${shown(split)})`, () => source.tasks(split));
      if (!(set?.size >= 1) || (set.size !== Number.POSITIVE_INFINITY && !Number.isSafeInteger(set.size))) {
        throw new Problems(
          `split "${split}" must hold an integer number of tasks ≥ 1 or Infinity, found ${shown(set?.size)}`,
        );
      }
      const seen = new Set<string>();
      for (const index of sampleIndices(set.size, new Random(this.seed))) {
        const task = set.at(index);
        if (typeof task !== "string" || task === "") {
          throw new Problems(`task ${index} of "${split}" must be a non-empty string, found ${shown(task)}`);
        }
        if (set.at(index) !== task) throw new Problems(`task ${index} of "${split}" has another name each time`);
        seen.add(task);
      }
      for (const outside of [-1, 0.5, ...(Number.isFinite(set.size) ? [set.size] : [])]) {
        if (!throws(() => set.at(outside))) {
          throw new Problems(`at(${outside}) of "${split}" must throw a RangeError: there are ${set.size} tasks`);
        }
      }
      names.set(split, seen);
      sizes.push(`${split} ${set.size}`);
    }
    if (!throws(() => source.tasks("no such split"))) throw new Problems('tasks("no such split") must throw');
    this.train = source.tasks("train");
    const [train, held] = [names.get("train") as Set<string>, names.get("eval") as Set<string>];
    const shared = [...held].filter((task) => train.has(task));
    // A world of one task may use it everywhere: its episodes differ by seed.
    if (shared.length > 0 && !(this.train.size === 1 && source.tasks("eval").size === 1)) {
      throw new Problems(
        `task ${shown(shared[0])} is in "train" and in "eval": evaluation would measure what was trained on`,
      );
    }
    return sizes.join(", ");
  }

  private async checkRandomEpisodes(): Promise<string> {
    const found: Record<Problem["check"] | typeof GIVEN, Tally> = {
      spaces: new Tally("as the spec says"),
      rewards: new Tally("finite numbers"),
      endings: new Tally("terminated and truncated are told apart, and one of them comes in time"),
      "success verdict": new Tally(this.source.spec.hasSuccess ? "given with the last step" : "none promised"),
      [GIVEN]: new Tally("every observation keeps what it held when it was given"),
    };
    const env = await this.create();
    let [played, envSteps, returns, wins] = [0, 0, 0, 0];
    try {
      for (; played < this.episodes; played++) {
        this.signal?.throwIfAborted();
        this.onProgress({ check: "random episodes", done: played, total: this.episodes });
        const episode = await play(env, this.start(played), this.randomly(played), this.call, ({ check, detail }) =>
          found[check].add(detail),
        );
        for (const detail of reuse(episode)) found[GIVEN].add(detail);
        envSteps += episode.actions.length;
        returns += episode.return;
        wins += episode.turns[episode.turns.length - 1].copy.success === true ? 1 : 0;
      }
    } finally {
      for (const [name, tally] of Object.entries(found)) this.add(name, tally.count === 0, tally.detail);
    }
    if (found.endings.count > 0) return `${played} played`;
    this.report.random = {
      episodes: played,
      envSteps,
      envStepsPerSecond: await this.measureSpeed(env),
      meanReturn: returns / played,
      meanEpisodeLength: envSteps / played,
      ...(this.source.spec.hasSuccess ? { successRate: wins / played } : {}),
    };
    return `${played} played to their end, ${envSteps} steps`;
  }

  /** Plays for a moment without looking, as an actor would. */
  private async measureSpeed(env: Environment): Promise<number> {
    const startedAt = performance.now();
    for (let envSteps = 0, i = 0; ; i++) {
      const choose = this.randomly(i);
      const reset = env.reset(this.start(i));
      let turn = reset instanceof Promise ? await this.call("reset()", () => reset) : reset;
      for (let t = 0, ended = false; !ended && t < env.spec.maxEpisodeSteps; t++, envSteps++) {
        const step = env.step(choose(turn));
        const next = step instanceof Promise ? await this.call("step()", () => step) : step;
        ended = next.terminated || next.truncated;
        turn = next;
      }
      const elapsedMs = performance.now() - startedAt;
      if (elapsedMs > SPEED_MS) return (envSteps / elapsedMs) * 1000;
    }
  }

  private async checkDeterminism(): Promise<string> {
    const [one, two] = [await this.create(), await this.create()];
    for (let i = 0; i < EPISODES_COMPARED; i++) {
      const original = await play(one, this.start(i), this.randomly(i), this.call);
      const found = difference(original, await this.replay(two, original));
      if (found !== undefined) {
        throw new Problems(
          `two instances given the same task, seed and actions disagree: ${found}. Draw all randomness from reset's seed`,
        );
      }
    }
    return `${EPISODES_COMPARED} episodes repeated exactly by a second instance`;
  }

  private async checkReset(): Promise<string> {
    const env = await this.create();
    const original = await play(env, this.start(0), this.randomly(0), this.call);
    const leave = Math.ceil(original.actions.length / 2);
    const choose = this.randomly(1);
    await play(env, this.start(1), (turn, t) => (t < leave ? choose(turn) : undefined), this.call);
    const found = difference(original, await this.replay(env, original));
    if (found !== undefined)
      throw new Problems(`after another episode, left half-way, reset() does not start afresh: ${found}`);
    return "starts afresh, also from the middle of an episode";
  }

  private async checkIndependence(): Promise<string> {
    const starts = [this.start(0), this.start(1), this.start(0)];
    const alone: Episode[] = [];
    for (const [i, start] of starts.entries()) {
      alone.push(await play(await this.create(), start, this.randomly(i), this.call));
    }
    const environments = await Promise.all(starts.map(() => this.create()));
    const players = alone.map((original, i) => playing(environments[i], original.start, follow(original), this.call));
    const together = await interleave(players);
    for (const [i, original] of alone.entries()) {
      const found = difference(original, together[i]);
      if (found !== undefined) throw new Problems(`an instance is disturbed by others stepped in between: ${found}`);
    }
    return "three instances stepped in turn play as each does alone";
  }

  private async checkAfterEnd(): Promise<string> {
    const env = await this.create();
    const episode = await play(env, this.start(0), this.randomly(0), this.call);
    if (!episode.ended) throw new Problems("no episode came to its end");
    const last = episode.actions[episode.actions.length - 1];
    const outcome = await this.attempt(env, last);
    if (!outcome.threw) throw new Problems("step() after the end of an episode must throw, and returned a transition");
    const found = difference(episode, await this.replay(env, episode));
    if (found !== undefined) throw new Problems(`reset() after a step beyond the end does not start afresh: ${found}`);
    return `throws "${outcome.message}"`;
  }

  private async checkInvalidActions(): Promise<string> {
    const answers: string[] = [];
    for (const [name, action] of this.invalidActions()) {
      const env = await this.create();
      const start = this.start(0);
      const turn = await this.call(`reset() (${place(start, 0)})`, () => env.reset(start));
      const bad = typeof action === "function" ? action(turn) : action;
      if (bad === undefined) continue;
      const outcome = await this.attempt(env, bad);
      if (outcome.threw) {
        if (outcome.message === "") throw new Problems(`${name}: step() threw an error without a message`);
        answers.push(`${name}: throws`);
      } else {
        const ended = outcome.transition.terminated === true || outcome.transition.truncated === true;
        const problem = turnProblem(env.spec, outcome.transition, !ended);
        if (problem !== undefined) throw new Problems(`${name}: step() gave an unusable transition: ${problem}`);
        if (env.spec.action.type !== "box" && outcome.transition.valid !== false) {
          throw new Problems(`${name}: step(${shown(bad)}) must throw or answer with valid: false; it passed as valid`);
        }
        answers.push(`${name}: answered`);
      }
      const again = await play(env, start, this.randomly(0), this.call);
      if (!again.ended) throw new Problems(`${name}: after it, an episode no longer comes to its end`);
    }
    return answers.join(", ");
  }

  private invalidActions(): [string, Action | ((turn: Turn) => Action | undefined)][] {
    const { action } = this.source.spec;
    const foreign: [string, Action] = ["another type", (action.type === "discrete" ? "left" : 1) as Action];
    switch (action.type) {
      case "discrete":
        return [
          foreign,
          ["index n", action.n],
          ["index -1", -1],
          ["fraction", 0.5],
          [
            "masked action",
            (turn) => {
              const masked = turn.actionMask?.indexOf(0) ?? -1;
              return masked >= 0 ? masked : undefined;
            },
          ],
        ];
      case "box": {
        const size = action.shape.reduce((product, n) => product * n, 1);
        return [foreign, ["NaN", new Float32Array(size).fill(Number.NaN)], ["too long", new Float32Array(size + 1)]];
      }
      case "admissible":
        return [foreign, ["unlisted command", "xyzzy no such command"], ["empty text", ""]];
      case "text":
        return [foreign, ["too long", "x".repeat(action.maxLength + 1)]];
    }
  }

  private async checkClose(): Promise<string> {
    const [closed, other] = [await this.create(), await this.create()];
    await play(closed, this.start(0), this.randomly(0), this.call);
    await this.call("close()", () => closed.close());
    await play(other, this.start(0), this.randomly(0), this.call);
    await this.call("close()", () => other.close());
    return "closing one instance leaves another playable";
  }

  private async checkDemonstrations(): Promise<string> {
    const { source } = this;
    const demonstrate = source.demonstrate?.bind(source);
    if (demonstrate === undefined) return "none offered";
    const env = await this.create();
    let [steps, known] = [0, 0];
    for (let i = 0; i < DEMONSTRATIONS; i++) {
      const start = this.start(i);
      const actions = await this.call(`demonstrate(${shown(start.task)})`, () => demonstrate(start));
      if (!Array.isArray(actions))
        throw new Problems(`demonstrate() must give a list of actions, found ${shown(actions)}`);
      if (actions.length === 0) continue;
      known++;
      const episode = await play(env, start, (_, t) => actions[t], this.call);
      const last = episode.turns[episode.turns.length - 1].copy;
      const where = place(start, episode.actions.length);
      if (!episode.ended) throw new Problems(`a demonstration stops before the episode ends (${where})`);
      if (source.spec.hasSuccess && last.success !== true)
        throw new Problems(`a demonstration does not succeed (${where})`);
      if (episode.actions.length < actions.length) {
        throw new Problems(`a demonstration of ${actions.length} actions goes on after the end (${where})`);
      }
      const refused = episode.turns.findIndex((turn) => turn.copy.valid === false);
      if (refused >= 0) throw new Problems(`a demonstration has an action that is refused (${place(start, refused)})`);
      steps += episode.actions.length;
    }
    if (known === 0) return `none for ${DEMONSTRATIONS} tasks`;
    const which = known < DEMONSTRATIONS ? `${known} of ${DEMONSTRATIONS} tasks have one; they` : String(known);
    return `${which} succeed, ${(steps / known).toFixed(1)} steps on average`;
  }

  private async checkTaskTypes(): Promise<string> {
    const { source } = this;
    if (source.taskType === undefined) return "none offered";
    const types = new Set<string>();
    for (let i = 0; i < TASKS_SAMPLED; i++) {
      const { task } = this.start(i);
      const type = await this.call(`taskType(${shown(task)})`, () => source.taskType?.(task));
      if (typeof type !== "string" || type === "")
        throw new Problems(`the type of ${shown(task)} must be a word, found ${shown(type)}`);
      types.add(type);
    }
    return [...types].sort().join(", ");
  }

  private async create(): Promise<Environment> {
    const env = await this.call("create()", () => this.source.create());
    this.created.push(env);
    return env;
  }

  /** Closing twice must do no harm; how it is done properly was the subject of `checkClose`. */
  private async closeAll(): Promise<void> {
    const closing = this.created.map((env) => this.call("close()", () => env.close()));
    if (this.report.stopped === undefined) await Promise.allSettled(closing);
    else for (const closed of closing) closed.catch(() => {});
  }

  /** Task and seed number i of the check: consecutive tasks, so that classes that take turns all come up. */
  private start(i: number): Start {
    return { task: this.train.at(i % Math.min(this.train.size, 1_000_000)), seed: mix32(this.seed, i) };
  }

  private randomly(i: number): (turn: Turn) => Action {
    const random = new Random(mix32(this.seed, i, 1));
    return (turn) => randomAction(this.source.spec, turn, random);
  }

  private replay(env: Environment, original: Episode): Promise<Episode> {
    return play(env, original.start, follow(original), this.call);
  }

  private async attempt(env: Environment, action: Action) {
    try {
      return { threw: false as const, transition: await this.call(`step(${shown(action)})`, () => env.step(action)) };
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      return { threw: true as const, message: error.cause instanceof Error ? error.cause.message : "" };
    }
  }
}

/** What a part found wrong, in words for the report. */
class Problems extends Error {}

function describe(error: unknown): string {
  if (error instanceof Broken || error instanceof Unresponsive) return error.message;
  return describeError(error);
}

/** Remembers the first of many findings of a kind. */
class Tally {
  count = 0;
  private first = "";
  private readonly well: string;

  /** @param well what to say when there are none */
  constructor(well: string) {
    this.well = well;
  }

  add(detail: string): void {
    if (this.count++ === 0) this.first = detail;
  }

  get detail(): string {
    if (this.count < 2) return this.count === 0 ? this.well : this.first;
    return `${this.first}; and ${this.count - 1} more like it`;
  }
}

function throws(call: () => unknown): boolean {
  try {
    call();
    return false;
  } catch {
    return true;
  }
}

function sampleIndices(size: number, random: Random): number[] {
  const first = Math.min(size, TASKS_SAMPLED);
  const indices = Array.from({ length: first }, (_, i) => i);
  if (size > first) for (let i = 0; i < TASKS_SAMPLED; i++) indices.push(random.below(Math.min(size, 2 ** 32)));
  if (Number.isFinite(size)) indices.push(size - 1);
  return indices;
}

/** Arrays that were handed out twice, or written to after they were handed out. */
function reuse(episode: Episode): string[] {
  const found: string[] = [];
  const seen = new Set<unknown>();
  for (const [t, { given, copy }] of episode.turns.entries()) {
    const where = place(episode.start, t);
    for (const key of ["observation", "actionMask", "admissible"] as const) {
      const value = given[key];
      if (!same(value, copy[key]))
        found.push(`${key} was written to after it was given (${where}): give a fresh array`);
      if (value instanceof Float32Array) {
        if (seen.has(value.buffer))
          found.push(`${key} shares its memory with an earlier one (${where}): give a fresh array`);
        seen.add(value.buffer);
      }
    }
  }
  return found;
}

/** Runs the generators one step each in turn, and gives what they return. */
async function interleave<T>(players: readonly AsyncGenerator<void, T>[]): Promise<T[]> {
  const results: T[] = [];
  let live = players.length;
  while (live > 0) {
    live = 0;
    for (const [i, player] of players.entries()) {
      if (i in results) continue;
      const next = await player.next();
      if (next.done) results[i] = next.value;
      else live++;
    }
  }
  return results;
}

function follow(original: Episode): (turn: Turn, t: number) => Action {
  return (_, t) => original.actions[t];
}
