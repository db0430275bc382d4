/**
 * What a world must offer to be trained on. An environment is Gymnasium-shaped: `reset` opens an episode, `step`
 * advances it, and `terminated` (the task ended) stays apart from `truncated` (time ran out).
 *
 *   const env = source.create();
 *   let turn = await env.reset({ task, seed });
 *   for (;;) {
 *     const result = await env.step(choose(turn));
 *     if (result.terminated || result.truncated) break;
 *     turn = result;
 *   }
 */

export type Space =
  /** Real numbers. `low` and `high` bound every element, or each element when they are lists. */
  | { type: "box"; shape: readonly number[]; low: number | readonly number[]; high: number | readonly number[] }
  /** One of 0 … n-1; a turn may rule some out with `actionMask`. */
  | { type: "discrete"; n: number }
  /** Any string of at most `maxLength` UTF-16 code units. */
  | { type: "text"; maxLength: number }
  /** Actions only: one of the strings that the turn lists as `admissible`. */
  | { type: "admissible" };

/** A box observation is a Float32Array that the environment gives away (never reuses); a text observation a string. */
export type Observation = Float32Array | string;

/** discrete: the index. box: a Float32Array. text and admissible: the string. */
export type Action = number | Float32Array | string;

/** What the agent sees when it must act. */
export interface Turn {
  observation: Observation;
  /** The goal in words, when the environment has one; given at reset and constant through the episode. */
  instruction?: string;
  /** Text actions accepted now. Required when the action space is `admissible`; then never empty while the episode runs. */
  admissible?: readonly string[];
  /** Discrete actions: 1 where the action is allowed. Absent means all are. */
  actionMask?: Uint8Array;
}

export interface Transition extends Turn {
  reward: number;
  /** The task itself ended: nothing of value follows. */
  terminated: boolean;
  /** The episode was cut (a time limit): the last state still has a future worth estimating. */
  truncated: boolean;
  /** The environment's own verdict, given with the last step of an episode. Absent where success has no meaning. */
  success?: boolean;
  /** False when the action was refused or meant nothing; estimators may take a penalty for it. Absent means true. */
  valid?: boolean;
}

export interface EnvironmentSpec {
  id: string;
  observation: Space;
  action: Space;
  /** The episode is truncated after this many steps. */
  maxEpisodeSteps: number;
  /** Whether episodes end with a verdict of success or failure. */
  hasSuccess: boolean;
}

/** One world at a time, deterministic given `(task, seed)` and the actions. `step` may be asynchronous for worlds elsewhere. */
export interface Environment {
  readonly spec: EnvironmentSpec;
  reset(start: { task: string; seed: number }): Turn | Promise<Turn>;
  step(action: Action): Transition | Promise<Transition>;
  close(): void | Promise<void>;
}

/** The tasks of one split, by index. `size` is Infinity where tasks are generated. */
export interface TaskSet {
  readonly size: number;
  /** The name by which `reset` knows the task. Throws RangeError outside 0 … size-1. */
  at(index: number): string;
}

/** Flat arguments of an environment: `--env.difficulty 3` or `[env]` in a configuration file. */
export type EnvironmentArguments = Readonly<Record<string, string | number | boolean>>;

/** A loaded environment: its data is in memory (or mapped) and it hands out cheap independent instances. */
export interface EnvironmentSource {
  readonly spec: EnvironmentSpec;
  /** "train" and "eval" always exist; others as the environment has them. */
  readonly splits: readonly string[];
  /** Throws when the split does not exist, naming those that do. */
  tasks(split: string): TaskSet;
  create(): Environment;
  /** A successful sequence of actions for the task (for imitation); empty where the environment knows none for this task. */
  demonstrate?(start: { task: string; seed: number }): readonly Action[] | Promise<readonly Action[]>;
  /** A class of the task for per-class metrics (ALFWorld's six task types). */
  taskType?(task: string): string;
  /** What plays, where only loading tells: a server's own digest. Otherwise the definition's version or file does. */
  readonly digest?: string;
  /** No more than this many instances can be in an episode at once; absent or Infinity means no limit. */
  readonly maxSideBySide?: number;
}

/** What the registry holds and what a user's environment file exports as default. */
export interface EnvironmentDefinition {
  id: string;
  /** One sentence for `env list`. */
  summary: string;
  /** Each argument with its default and one sentence. Unknown arguments are refused with the nearest name. */
  arguments: Readonly<Record<string, { default: string | number | boolean; about: string }>>;
  /** Configuration keys in which training here departs from the general defaults (estimator, policy, learning rate, …). */
  trainingDefaults?: Readonly<Record<string, string | number | boolean>>;
  load(args: EnvironmentArguments): EnvironmentSource | Promise<EnvironmentSource>;
}
