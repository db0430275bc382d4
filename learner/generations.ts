/**
 * Which generation of the environment each group plays: a function of (run seed, iteration, group) and of the swaps so far, so it
 * depends neither on time nor on actors, and a resumed run decides the same. At any iteration one generation plays, or two: the one
 * on trial, for its share of the groups, and the one it falls back on.
 *
 * Whether a trial fails is counted, not timed. Members without a result are set against all members asked for, finished or not, so the
 * verdict on an iteration is the same in whatever order its episodes arrive.
 */
import type { GenerationRecord } from "../envs/assignment.ts";
import type { EnvironmentSource } from "../envs/environment.ts";
import { mix32 } from "../envs/random.ts";
import type { MemberName } from "./ledger.ts";
import {
  type TaskResult,
  type TaskSampling,
  type TaskSamplingName,
  type TaskSamplingState,
  taskSampling,
} from "./task-sampling.ts";

export interface Generation {
  record: GenerationRecord;
  source: EnvironmentSource;
  close(): void;
}

/** What a checkpoint keeps. */
export interface GenerationsState {
  records: GenerationRecord[];
  /** Of the newest generation: the last iterations that are closed. */
  closed: Tally[];
  /** Members of open iterations that gave no result at least once. */
  failing: { member: MemberName; reason: string }[];
  /** By generation: what is known of its tasks, where that decides which are played. */
  sampling: Record<number, TaskSamplingState>;
}

/** One that plays, with its own choice of tasks. */
interface Playing extends Generation {
  sampling: TaskSampling;
}

interface Tally {
  asked: number;
  failed: number;
}

/** An iteration whose groups have been asked for. */
export interface OpenIteration {
  iteration: number;
  groups: number;
}

// Tells this hash of a group from those that choose its task and its seed.
const CANARY = 5;

/** The verdict looks back on the open iterations and on closed ones with at least this many members. */
const WINDOW_MEMBERS = 100;

const keyOf = (name: MemberName) => `${name.iteration}/${name.group}/${name.member}`;

export class Generations {
  readonly #seed: number;
  readonly #groupSize: number;
  readonly #taskSampling: TaskSamplingName;
  /** Those that play, or whose iterations are still open; oldest first. */
  #known: Playing[] = [];
  /** Those that are over. Their late episodes are still to be told from others. */
  #past: GenerationRecord[] = [];
  #next: Generation | undefined;
  #highest = -1;
  #closed: Tally[] = [];
  #failing = new Map<string, { member: MemberName; reason: string }>();

  constructor(options: { seed: number; groupSize: number; taskSampling: TaskSamplingName }) {
    this.#seed = options.seed;
    this.#groupSize = options.groupSize;
    this.#taskSampling = options.taskSampling;
  }

  /** The last that was adopted and not rolled back. */
  get newest(): Generation {
    return this.#inForce(Number.POSITIVE_INFINITY).at(-1)!;
  }

  /** The one that plays where nothing else is on trial. */
  get base(): Generation {
    return this.#inForce(Number.POSITIVE_INFINITY).findLast(({ record }) => record.canaryShare === 1)!;
  }

  /** What the newest would fall back on. */
  get fallback(): Generation | undefined {
    return this.#inForce(Number.POSITIVE_INFINITY).at(-2);
  }

  /** The greatest number given to any so far. */
  get highest(): number {
    return this.#highest;
  }

  get records(): GenerationRecord[] {
    return [...this.#past, ...this.#known.map(({ record }) => record)];
  }

  /** One that plays already: the first of a run, or those of a run that is resumed. Oldest first. */
  add(generation: Generation): void {
    const sampling = taskSampling(this.#taskSampling, generation.source, this.#seed);
    this.#known.push({ ...generation, sampling });
    this.number(generation.record.generation);
  }

  /** One of a resumed run that is over. */
  remember(record: GenerationRecord): void {
    this.#past.push(record);
    this.number(record.generation);
  }

  /** A number is taken. */
  number(generation: number): void {
    this.#highest = Math.max(this.#highest, generation);
  }

  restore({ closed, failing, sampling }: Omit<GenerationsState, "records">): void {
    this.#closed = closed;
    for (const each of this.#known) {
      const state = sampling[each.record.generation];
      if (state) each.sampling.restore(state);
    }
    this.#failing = new Map(failing.map((each) => [keyOf(each.member), each]));
  }

  state(): GenerationsState {
    return {
      records: structuredClone(this.records),
      closed: structuredClone(this.#closed),
      failing: [...this.#failing.values()],
      sampling: Object.fromEntries(
        this.#known.flatMap(({ record, sampling }) => {
          const state = sampling.state();
          return state ? [[record.generation, state]] : [];
        }),
      ),
    };
  }

  /** What a group plays. */
  of({ iteration, group }: { iteration: number; group: number }): Playing {
    const playing = this.#inForce(iteration);
    for (let i = playing.length - 1; i > 0; i--) {
      const { generation, canaryShare } = playing[i]!.record;
      if (mix32(this.#seed, iteration, group, CANARY, generation) < canaryShare * 2 ** 32) return playing[i]!;
    }
    return playing[0]!;
  }

  /** Groups of an open iteration that play a generation. */
  groupsOf(generation: Generation, { iteration, groups }: OpenIteration): number[] {
    const all = Array.from({ length: groups }, (_, group) => group);
    return all.filter((group) => this.of({ iteration, group }).record === generation.record);
  }

  /** To be adopted when its time has come; takes the place of one that waits. Returns that one. */
  offer(generation: Generation): Generation | undefined {
    const before = this.#next;
    this.#next = generation;
    this.number(generation.record.generation);
    return before;
  }

  /** Before the groups of an iteration are asked for: takes in what waits for it. Returns the generations whose records changed. */
  adopt(iteration: number): Generation[] {
    const next = this.#next;
    if (!next || (next.record.from ?? 0) > iteration) return [];
    this.#next = undefined;
    const before = this.#inForce(iteration);
    const base = before.findLast(({ record }) => record.canaryShare === 1)!;
    const replaced = before.filter((generation) => generation !== base);
    for (const { record } of replaced) Object.assign(record, { state: "replaced", until: iteration });
    Object.assign(next.record, { state: "playing", from: iteration });
    this.add(next);
    this.#closed = [];
    return [...replaced, next];
  }

  /** A member gave no result. Those of one member count once. */
  fail(member: MemberName, reason: string): void {
    const key = keyOf(member);
    if (!this.#failing.has(key)) this.#failing.set(key, { member, reason });
  }

  /** Why the newest generation must go; undefined as long as it may stay. */
  verdict(open: readonly OpenIteration[]): string | undefined {
    const { newest } = this;
    if (!this.fallback) return undefined;
    const failing = [...this.#failing.values()].filter(({ member }) => this.of(member).record === newest.record);
    const tallies = [...this.#closed, ...open.map((each) => this.#tally(newest, each))];
    const asked = tallies.reduce((n, each) => n + each.asked, 0);
    const failed = tallies.reduce((n, each) => n + each.failed, 0);
    const { rollBackAt, rollBackAfter } = newest.record;
    // At most everything can fail: a limit of 1 is never passed.
    if (failed < rollBackAfter || failed <= rollBackAt * asked) return undefined;
    return (
      `${failed} of its ${asked} last members gave no result, more than the share of ${rollBackAt} that is allowed; ` +
      `most often: ${mostFrequent(failing.map(({ reason }) => reason))}`
    );
  }

  /** From this iteration on the newest generation plays no more. Returns it. */
  rollBack(iteration: number, reason: string): Generation {
    const { newest } = this;
    for (const [key, { member }] of this.#failing)
      if (this.of(member).record === newest.record) this.#failing.delete(key); // played afresh by another
    Object.assign(newest.record, { state: "rolledBack", until: iteration, reason });
    this.#closed = [];
    return newest;
  }

  /** Whether a generation that was rolled back played this: nobody waits for it any more. */
  isVoid(generation: number, { iteration }: { iteration: number }): boolean {
    const record = this.records.find((record) => record.generation === generation);
    return record?.until !== undefined && iteration >= record.until;
  }

  /** Ends the account of an iteration, and what only it still played. */
  close(open: OpenIteration, results: readonly (TaskResult & { generation: number })[]): void {
    const { newest } = this;
    for (const { record, sampling } of this.#known) {
      sampling.settle(
        open.iteration,
        results.filter(({ generation }) => generation === record.generation),
      );
    }
    const tally = this.#tally(newest, open);
    if (tally.asked > 0) this.#closed.push(tally);
    let asked = this.#closed.reduce((n, each) => n + each.asked, 0);
    while (this.#closed.length > 0 && asked - this.#closed[0]!.asked >= WINDOW_MEMBERS)
      asked -= this.#closed.shift()!.asked;
    for (const [key, { member }] of this.#failing) if (member.iteration <= open.iteration) this.#failing.delete(key);
    const isOver = ({ record }: Generation) => record.until !== undefined && record.until <= open.iteration + 1;
    for (const generation of this.#known.filter(isOver)) {
      this.#past.push(generation.record);
      generation.close();
    }
    this.#known = this.#known.filter((generation) => !isOver(generation));
  }

  /** Share of the members asked of a generation that gave no result at least once. NaN where none was asked. */
  noResultShare(generation: number, open: OpenIteration): number {
    const found = this.#known.find(({ record }) => record.generation === generation);
    if (!found) return Number.NaN;
    const { asked, failed } = this.#tally(found, open);
    return failed / asked;
  }

  closeAll(): void {
    for (const generation of this.#known) generation.close();
    this.#next?.close();
  }

  #tally(generation: Generation, open: OpenIteration): Tally {
    const isIts = (member: MemberName) =>
      member.iteration === open.iteration && this.of(member).record === generation.record;
    const failed = [...this.#failing.values()].filter(({ member }) => isIts(member)).length;
    return { asked: this.groupsOf(generation, open).length * this.#groupSize, failed };
  }

  #inForce(iteration: number) {
    const plays = ({ from = 0, until }: GenerationRecord) =>
      from <= iteration && (until === undefined || iteration < until);
    return this.#known.filter(({ record }) => plays(record));
  }
}

function mostFrequent(reasons: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const [first] = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  return first ? `"${first[0]}" (${first[1]} times)` : "nothing said";
}
