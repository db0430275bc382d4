/**
 * From the trajectories of an iteration to the arrays that credit assignment and PPO work on. Rows are the steps of all
 * episodes, sorted by (group, member, step), so the arrays do not depend on who played what and when it arrived.
 */

import { encodeTrajectory } from "../policy/acting.ts";
import { answersOf } from "../policy/language/answer-rows.ts";
import { hasTokens, type Policy } from "../policy/policy.ts";
import { type Rows, type RowsBuilder, takeRows } from "../policy/rows.ts";
import type { Steps, Trajectory } from "../proto/trajectory.ts";
import type { Groups } from "./advantage/estimator.ts";

export interface Batch {
  /** The episodes with a result, in the order of the rows. */
  episodes: readonly PlayedTrajectory[];
  groups: Groups;
  /** [R] encoded turns. */
  rows: Rows;
  /** categorical: Int32Array [R]. gaussian: Float32Array [R, D]. tokens: empty, as the answers are in the rows. */
  actions: Int32Array | Float32Array;
  /** [R] under the behaviour policy; of a language policy [n], of every token of the answers. */
  logProbs: Float32Array;
  /** Of a language policy: the tokens of row i are items[i] … items[i+1] of what is given by token. [R + 1] */
  items?: Uint32Array;
  /** In async mode: log(π now / π that acted), by row or by token. */
  logRhos?: Float32Array;
  /** [E] encoded observations the episodes ended in, for the critic to bootstrap from. */
  lastRows?: Rows;
}

export type PlayedTrajectory = Trajectory & { steps: Steps };

export const wasPlayed = (t: Trajectory): t is PlayedTrajectory =>
  t.steps !== undefined && t.outcome.type !== "noResult";

const byLineage = (a: Trajectory, b: Trajectory) =>
  a.lineage.group - b.lineage.group || a.lineage.member - b.lineage.member;

/**
 * Makes a batch of episodes that are added as they arrive, so that most of the work is done when the last one is here. The batch
 * is the same bits whatever the order they were added in.
 */
export class Assembly {
  readonly #policy: Policy;
  readonly #builder: RowsBuilder;
  /** The first row of each. */
  readonly #added = new Map<PlayedTrajectory, number>();

  constructor(policy: Policy) {
    this.#policy = policy;
    this.#builder = policy.rows();
  }

  /** Encodes an episode, once. One without steps is left alone. */
  add(trajectory: Trajectory): void {
    if (!wasPlayed(trajectory) || this.#added.has(trajectory)) return;
    this.#added.set(trajectory, this.#builder.count);
    encodeTrajectory(this.#policy, trajectory, this.#builder, { finalRow: this.#policy.hasValue });
  }

  /** Of these and no others; those not yet added are. A batch holds until something more is added. */
  batch(trajectories: readonly Trajectory[]): Batch {
    const episodes = trajectories.filter(wasPlayed).sort(byLineage);
    for (const episode of episodes) this.add(episode);
    const groups = assembleGroups(episodes);
    const encoded = this.#take(episodes);
    if (hasTokens(this.#policy)) return { episodes, groups, ...encoded, ...answerColumns(encoded.rows, episodes) };
    const count = groups.rewards.length;
    const width = actionWidth(this.#policy);
    const actions = this.#policy.head === "gaussian" ? new Float32Array(count * width) : new Int32Array(count);
    const logProbs = new Float32Array(count);
    for (const [e, { steps }] of episodes.entries()) {
      const row = groups.episodeOffsets[e];
      actions.set(actionValues(steps), row * width);
      logProbs.set(steps.logProbs, row);
    }
    return { episodes, groups, actions, logProbs, ...encoded };
  }

  /** Rows of the turns at which an action was taken; for a critic also those in which the episodes ended. */
  #take(episodes: readonly PlayedTrajectory[]): Pick<Batch, "rows" | "lastRows"> {
    const all = this.#builder.finish();
    const taken: number[] = [];
    const last: number[] = [];
    for (const episode of episodes) {
      const first = this.#added.get(episode)!;
      const end = first + episode.steps.count;
      for (let row = first; row < end; row++) taken.push(row);
      last.push(end);
    }
    if (this.#policy.hasValue) return { rows: takeRows(all, taken), lastRows: takeRows(all, last) };
    const isAll = taken.length === all.count && taken.every((row, i) => row === i);
    return { rows: isAll ? all : takeRows(all, taken) };
  }
}

export const assembleBatch = (policy: Policy, trajectories: readonly Trajectory[]): Batch =>
  new Assembly(policy).batch(trajectories);

/** A demonstrator gave no answers of a model, and has no doubts: log π = 0. */
function answerColumns(
  rows: Rows,
  episodes: readonly PlayedTrajectory[],
): Pick<Batch, "actions" | "logProbs" | "items"> {
  const items = answersOf(rows).offsets;
  const logProbs = new Float32Array(items[rows.count]!);
  let row = 0;
  for (const { steps } of episodes) {
    if (steps.tokens) logProbs.set(steps.tokens.logProbs, items[row]);
    row += steps.count;
  }
  return { actions: new Int32Array(0), logProbs, items };
}

/** What is given by row [R], by token [n]; the same where rows have no tokens. */
export function byToken(values: Float32Array, items: Uint32Array | undefined): Float32Array {
  if (!items) return values;
  const out = new Float32Array(items[values.length]!);
  for (let row = 0; row < values.length; row++) out.fill(values[row]!, items[row], items[row + 1]);
  return out;
}

/** The sum over the tokens of each row [R] of what is given by token [n]; the same where rows have no tokens. */
export function byRow(values: Float32Array, items: Uint32Array | undefined): Float32Array {
  if (!items) return values;
  const out = new Float32Array(items.length - 1);
  for (let row = 0; row < out.length; row++) {
    let sum = 0;
    for (let i = items[row]!; i < items[row + 1]!; i++) sum += values[i]!;
    out[row] = sum;
  }
  return out;
}

/**
 * What estimators look at, but for what a model says of it (values, log ratios).
 * @param episodes sorted by (group, member)
 */
export function assembleGroups(episodes: readonly PlayedTrajectory[]): Groups {
  const groups = emptyGroups(
    episodes,
    episodes.reduce((n, e) => n + e.steps.count, 0),
  );
  const anchors = new AnchorTable(groups.anchors?.index);
  let row = 0;
  for (const [e, episode] of episodes.entries()) {
    const { steps, outcome } = episode;
    groups.rewards.set(steps.rewards, row);
    groups.valid.set(steps.valid, row);
    groups.terminated[e] = outcome.type === "finished" ? 1 : 0;
    groups.success[e] = succeeded(episode) ? 1 : 0;
    anchors.add(steps, row);
    row += steps.count;
    groups.episodeOffsets[e + 1] = row;
  }
  if (groups.anchors) groups.anchors.strings = anchors.strings;
  return groups;
}

/** The environment's verdict; where it gives none, a positive return counts. */
export function succeeded({ outcome }: Pick<Trajectory, "outcome">): boolean {
  if (outcome.type === "noResult") return false;
  return outcome.success ?? outcome.return > 0;
}

function emptyGroups(episodes: readonly PlayedTrajectory[], rows: number): Groups {
  const offsets = [0];
  for (let e = 1; e < episodes.length; e++) {
    if (episodes[e]!.lineage.group !== episodes[e - 1]!.lineage.group) offsets.push(e);
  }
  if (episodes.length) offsets.push(episodes.length);
  return {
    groupOffsets: Uint32Array.from(offsets),
    episodeOffsets: new Uint32Array(episodes.length + 1),
    rewards: new Float64Array(rows),
    success: new Uint8Array(episodes.length),
    terminated: new Uint8Array(episodes.length),
    valid: new Uint8Array(rows),
    anchors:
      episodes[0]?.steps.observations.type === "text" ? { strings: [], index: new Uint32Array(rows) } : undefined,
  };
}

/** One table of observation texts for the whole batch, each text once. */
class AnchorTable {
  readonly strings: string[] = [];
  #ids = new Map<string, number>();
  readonly #index: Uint32Array | undefined;

  constructor(index: Uint32Array | undefined) {
    this.#index = index;
  }

  add(steps: Steps, row: number): void {
    if (!this.#index || steps.observations.type !== "text") return;
    const ids = steps.strings.map(() => -1);
    for (let t = 0; t < steps.count; t++) {
      const local = steps.observations.index[t]!;
      if (ids[local]! < 0) ids[local] = this.#id(steps.strings[local]!);
      this.#index[row + t] = ids[local]!;
    }
  }

  #id(text: string): number {
    let id = this.#ids.get(text);
    if (id === undefined) {
      id = this.strings.push(text) - 1;
      this.#ids.set(text, id);
    }
    return id;
  }
}

function actionValues(steps: Steps): Int32Array | Float32Array {
  if (steps.actions.type === "text") {
    throw new TypeError(
      "Cannot train on free-text actions with a policy that chooses or regresses: it needs a language-model policy",
    );
  }
  return steps.actions.values;
}

function actionWidth(policy: Policy): number {
  const { action } = policy.spec;
  return policy.head === "gaussian" && action.type === "box" ? action.shape.reduce((a, b) => a * b, 1) : 1;
}
