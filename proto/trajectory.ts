/**
 * The record of one episode as it travels from actor to learner. Steps are columns, not objects: an episode is a few
 * typed arrays and one table of strings, which is what makes it cheap to pack, check and train on.
 * T = steps of the episode. Observations have T + 1 rows: the last one is where the episode ended, which a critic needs
 * to bootstrap through a truncation.
 */

export interface WeightsVersion {
  /** Counts the versions of a run from 0. */
  counter: number;
  /** Hex SHA-256 of the parameter buffer as the actor received it. */
  sha256: string;
}

/** Where an episode comes from: enough to play it again. */
export interface Lineage {
  run: string;
  iteration: number;
  group: number;
  member: number;
  /** 0 for the first try; one more each time a member was asked for again. */
  attempt: number;
  task: string;
  /** Seed of the environment's reset, shared by the group (uint32). */
  seed: number;
  environment: { id: string; generation: number; digest: string };
  actor: string;
  weights: WeightsVersion;
}

/** Strings by reference: row i is `strings[index[i]]`. Each string is stored once per trajectory. */
export interface TextColumn {
  type: "text";
  index: Uint32Array;
}

/** Row i is values[i*width … (i+1)*width). */
export interface VectorColumn {
  type: "vector";
  width: number;
  values: Float32Array;
}

/** The answers of a language model: that of step t is offsets[t] … offsets[t+1) of both columns, never empty. */
export interface TokenColumn {
  /** [T + 1] */
  offsets: Uint32Array;
  /** Numbers in the model's vocabulary. The one that ended the answer, where one did, is included. */
  values: Int32Array;
  /** log π of each token given all before it, of the distribution that it was drawn from; natural log. */
  logProbs: Float32Array;
}

export interface Steps {
  /** T. */
  count: number;
  /** The table that text columns and `admissible` point into. Empty for vector environments. */
  strings: string[];
  instruction?: string;
  /** [T + 1] */
  observations: TextColumn | VectorColumn;
  /** Admissible actions of step t are strings[index[k]] for k in offsets[t] … offsets[t+1]. offsets is [T + 1]. */
  admissible?: { offsets: Uint32Array; index: Uint32Array };
  /** [T, n], 1 where allowed. */
  actionMask?: Uint8Array;
  /** choice [T]: discrete index, or position within the step's admissible list. vector [T, d]. text [T]. */
  actions: { type: "choice"; values: Int32Array } | VectorColumn | TextColumn;
  /** The answers that text actions were read from, where a language model gave them. Its prompts are rebuilt from the columns above. */
  tokens?: TokenColumn;
  /** [T] log-probability of the action under the behaviour policy, natural log; of an answer, the sum over its tokens. */
  logProbs: Float32Array;
  /** [T] */
  rewards: Float64Array;
  /** [T] 0 where the environment refused the action. */
  valid: Uint8Array;
}

/**
 * `return` is the undiscounted sum of rewards. Infrastructure failure is always `noResult`, never reward 0. `interrupted`: the run cut
 * it (`interruptAfter`), not the environment. `played`: how many steps it had taken.
 */
export type Outcome =
  | { type: "finished"; success?: boolean; return: number }
  | { type: "truncated"; success?: boolean; return: number; interrupted?: true }
  | { type: "noResult"; reason: string; played?: number };

export interface Trajectory {
  lineage: Lineage;
  /** Absent when there is no result. */
  steps?: Steps;
  outcome: Outcome;
}

/** One message of the task queue: play `members` episodes of `task` from the same initial state. */
export interface GroupTask {
  run: string;
  /** Of the learner that asks; tasks of an earlier one are void. */
  incarnation: number;
  iteration: number;
  group: number;
  task: string;
  seed: number;
  /** Members still wanted, by number, and which attempt this is. */
  members: number[];
  attempt: number;
  environmentGeneration: number;
  /** An actor plays only with a version in this range (equal bounds: on-policy). */
  minWeights: number;
  maxWeights: number;
}
