/**
 * What actors and learner share. A policy is defined once: how a turn becomes numbers (`encoder`), which parameters it
 * has (`layout`) and how numbers become a distribution over actions and a value (`forward`). The actor runs `forward` on the
 * turns of its live episodes, the learner on the rows of a minibatch, replaying recorded episodes through the same encoder.
 */
import type { Space, Turn } from "../envs/environment.ts";
import type { Trajectory } from "../proto/trajectory.ts";
import type { Rows, RowsBuilder } from "./rows.ts";
import type { Model, ParameterSpec, Tensor, Tensors } from "./tensor/tensors.ts";

/** Everything needed to build the same policy on another machine; published with the run. */
export interface PolicySpec {
  name: string;
  observation: Space;
  action: Space;
  options: Readonly<Record<string, string | number | boolean>>;
  /** The policy's `base` where it was built first: another machine must have the same. */
  base?: string;
}

export interface PolicyOutput {
  /**
   * categorical: one logit per choice, the rows' choices one after the other [N]; forbidden choices are -1e9.
   * gaussian: the mean [B, D].
   * tokens: log π of every token of the rows' answers, one answer after the other [n].
   */
  logits: Tensor;
  /** categorical: the choices of row i are logits[offsets[i] … offsets[i+1]); length B + 1. */
  offsets?: Uint32Array;
  /** gaussian: log standard deviation [D], the same for every row. */
  logStd?: Tensor;
  /** tokens: the entropy of π at each of those tokens [n]; the answer of row i is offsets[i] … offsets[i+1), length B + 1. */
  tokens?: { entropy: Tensor; offsets: Uint32Array };
  /** [B], when the policy has a critic. May be a getter that computes it when it is read, as actors seldom do. */
  value?: Tensor;
}

/** Follows one episode and writes each turn at which an action is due as one row. Turns come in order. */
export interface EpisodeEncoder {
  encode(turn: Turn, into: RowsBuilder): void;
  /**
   * The action taken at the turn encoded last: choice index, or vector, or text; `label` is its text where it has one, and `answer`
   * the tokens that it was read from, where a language model gave them.
   */
  acted(action: number | Float32Array | string, label?: string, answer?: Int32Array): void;
}

/**
 * Follows one episode of a policy whose head is "tokens". An actor asks for the context of each turn and reads the answer; the learner
 * encodes and acts, which gives the same contexts as rows. A row is complete once `acted` was told: without an answer (someone
 * else's demonstration) it has the one that the model should have given for that action.
 */
export interface DialogueEncoder extends EpisodeEncoder {
  /** All that the model sees at this turn before it answers. */
  context(turn: Turn): Int32Array;
  /** What an answer to that context means. `valid` is false where it names no action. */
  answered(answer: Int32Array): { action: string; valid: boolean };
}

/** A context to be continued. */
export interface Prompt {
  /** Contexts of the same dialogue mostly begin alike: what was computed for the one before is used again. */
  dialogue: object;
  context: Int32Array;
  /** Decides token number k of the answer: uniform in [0, 1). Not looked at when greedy. */
  uniform(k: number): number;
}

export interface Answer {
  /** At least one; the token that ended the answer is included. */
  tokens: Int32Array;
  /** log π of each, of the distribution that it was drawn from. */
  logProbs: Float32Array;
}

/** Continues contexts with the weights that its model holds. An answer depends on its prompt and the weights only. */
export interface AnswerWriter {
  answer(prompts: readonly Prompt[], options: { greedy: boolean }): Answer[] | Promise<Answer[]>;
  /** The dialogue is over, or goes on elsewhere: its memory is free. */
  forget(dialogue: object): void;
}

export interface Policy {
  readonly spec: PolicySpec;
  /** categorical: discrete and admissible actions. gaussian: box actions. tokens: a language model, which answers in words (`TokenPolicy`). */
  readonly head: "categorical" | "gaussian" | "tokens";
  readonly hasValue: boolean;
  /** Hex SHA-256 of the files that it builds on and does not train, such as the model that adapters are trained for. */
  readonly base?: string;
  readonly layout: readonly ParameterSpec[];
  /** Where training starts, where that is not what the layout draws from the seed (`firstWeights`). */
  firstWeights?(seed: number): Float32Array;
  /** The columns of its rows, for an empty builder. */
  rows(): RowsBuilder;
  /** A fresh encoder for an episode. */
  encoder(): EpisodeEncoder;
  forward(rows: Rows, t: Tensors): PolicyOutput;
}

/** A language model: its actions are read from the answers it writes. Its rows are those of `answerRows`. */
export interface TokenPolicy extends Policy {
  readonly head: "tokens";
  readonly hasValue: false;
  /** Tokens are numbers below this. */
  readonly vocabulary: number;
  /** Longest answer. */
  readonly answerTokens: number;
  encoder(): DialogueEncoder;
  /** Uses the model as it is when asked: load weights first. */
  writer(model: Model): AnswerWriter;
  /**
   * Writes trained weights for other programs into a folder, and says what it wrote.
   * @param whole adapters worked into the model instead of by themselves
   */
  save?(folder: string, weights: Float32Array, whole: boolean): string;
}

export const hasTokens = (policy: Policy): policy is TokenPolicy => policy.head === "tokens";

/** What the registry holds and what a user's policy file exports as default. */
export interface PolicyDefinition {
  name: string;
  summary: string;
  options: Readonly<Record<string, { default: string | number | boolean; about: string }>>;
  /** Throws TypeError when the spaces do not suit it, saying which would. */
  create(spec: PolicySpec): Policy;
  /** In its place where files are read first. */
  open?(spec: PolicySpec): Promise<Policy>;
  /**
   * Before imitation, where the options do not name what the policy builds on: makes it from the demonstrations, in this folder, and
   * gives the options that name it. `spec.options` are complete.
   */
  prepare?(spec: PolicySpec, demonstrations: readonly Trajectory[], folder: string): Promise<PolicySpec["options"]>;
}
