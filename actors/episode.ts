/**
 * One attempt at a task: an environment, the policy's encoder and a recorder, advanced by one action at a time. A failure of the
 * environment (an exception, a step past its deadline) ends it as `noResult`, never as a score.
 */
import type { Action, Environment, Transition, Turn } from "../envs/environment.ts";
import { mix32 } from "../envs/random.ts";
import { clampToBox, wordsFor } from "../policy/acting.ts";
import type { Answer, DialogueEncoder, EpisodeEncoder, Policy } from "../policy/policy.ts";
import type { RowsBuilder } from "../policy/rows.ts";
import type { Outcome, Steps } from "../proto/trajectory.ts";
import { Recorder } from "./recorder.ts";

/** Where the randomness of an episode comes from: the same numbers give the same episode on any actor. */
export interface EpisodeLineage {
  runSeed: number;
  iteration: number;
  group: number;
  member: number;
}

export interface PlayedEpisode {
  steps?: Steps;
  outcome: Outcome;
}

export interface EpisodeLimits {
  /** For each reset and step of the environment. */
  stepTimeoutMs: number;
  /** An episode that has not ended after this many steps is cut there; 0 or absent: it may take as long as the environment lets it. */
  interruptAfter?: number;
}

export class Episode {
  readonly #environment: Environment;
  readonly #encoder: EpisodeEncoder;
  readonly #recorder = new Recorder();
  readonly #limits: EpisodeLimits;
  /** Hash from which the uniform number of step t is drawn. */
  readonly seed: number;
  #turn: Turn | undefined;
  #outcome: Outcome | undefined;

  constructor(
    environment: Environment,
    policy: Pick<Policy, "encoder">,
    lineage: EpisodeLineage,
    limits: EpisodeLimits,
  ) {
    this.#environment = environment;
    this.#encoder = policy.encoder();
    this.#limits = limits;
    this.seed = mix32(lineage.runSeed, lineage.iteration, lineage.group, lineage.member);
  }

  get ended(): boolean {
    return this.#outcome !== undefined;
  }

  /** What the agent sees now; absent until the reset has succeeded. */
  get turn(): Turn | undefined {
    return this.#turn;
  }

  /** Steps taken so far: the number of the step that comes next. */
  get step(): number {
    return this.#recorder.count;
  }

  reset(start: { task: string; seed: number }): void | Promise<void> {
    return this.#guard(
      "reset",
      () => this.#environment.reset(start),
      (turn) => this.#begin(turn),
    );
  }

  /** Writes the turn at which an action is due. */
  encode(into: RowsBuilder): void {
    this.#encoder.encode(this.#turn!, into);
  }

  /** A choice is turned into the environment's action: the index, or the admissible text. */
  act(action: number | Float32Array, logProb: number): void | Promise<void> {
    const turn = this.#turn!;
    const label = typeof action === "number" ? turn.admissible?.[action] : undefined;
    this.#recorder.act(turn, typeof action === "number" ? { choice: action } : { value: action }, logProb);
    this.#encoder.acted(action, label);
    const given: Action = label ?? (typeof action === "number" ? action : this.#bounded(action));
    return this.#guard(
      "step",
      () => this.#environment.step(given),
      (transition) => this.#advance(transition),
    );
  }

  /** With a language policy: what the model is to answer, asked once a step. Nothing where that cannot be said: the episode has ended. */
  context(): Int32Array | undefined {
    try {
      return this.#dialogue.context(this.#turn!);
    } catch (error) {
      this.#fail("prompt", error);
    }
  }

  /**
   * The action that was read from the answer goes to the environment as it is, admissible or not: what it makes of words that mean
   * nothing is part of the task. The step is valid where the answer names an action and the environment takes it.
   */
  answer(answer: Answer): void | Promise<void> {
    const { action, valid } = this.#dialogue.answered(answer.tokens);
    const given = wordsFor(action, this.#environment.spec.action);
    this.#recorder.answer(this.#turn!, given, answer);
    return this.#guard(
      "step",
      () => this.#environment.step(given),
      (transition) => this.#advance({ ...transition, valid: valid && transition.valid !== false }),
    );
  }

  get #dialogue(): DialogueEncoder {
    return this.#encoder as DialogueEncoder;
  }

  /** Ends it from outside, without result. */
  abandon(reason: string): void {
    this.#outcome ??= { type: "noResult", reason };
  }

  finish(): PlayedEpisode {
    const outcome = this.#outcome ?? { type: "noResult", reason: "abandoned" };
    if (outcome.type !== "noResult") return { outcome, steps: this.#recorder.steps() };
    return { outcome: { ...outcome, played: this.#recorder.count } };
  }

  /** A Gaussian knows no bounds, an environment's box does; what was drawn is what is recorded. */
  #bounded(action: Float32Array): Float32Array {
    const space = this.#environment.spec.action;
    return space.type === "box" ? clampToBox(action, space) : action;
  }

  #begin(turn: Turn): void {
    this.#turn = turn;
    this.#recorder.observe(turn);
  }

  #advance(transition: Transition): void {
    const { reward, terminated, truncated, success, valid } = transition;
    if (!Number.isFinite(reward)) throw new RangeError(`the reward is ${reward}`);
    this.#recorder.result(reward, valid ?? true);
    this.#recorder.observe(transition);
    this.#turn = transition;
    if (terminated) this.#outcome = { type: "finished", success, return: this.#recorder.return };
    else if (truncated) this.#outcome = { type: "truncated", success, return: this.#recorder.return };
    else if (this.#recorder.count === this.#limits.interruptAfter) this.#outcome = this.#cut();
  }

  /** A cut episode is no success: it has not got there in the steps it was given. */
  #cut(): Outcome {
    const success = this.#environment.spec.hasSuccess ? false : undefined;
    return { type: "truncated", success, return: this.#recorder.return, interrupted: true };
  }

  /** Stays synchronous for synchronous environments; gives others a deadline. */
  #guard<T extends object>(what: string, call: () => T | Promise<T>, then: (value: T) => void): void | Promise<void> {
    try {
      const value = call();
      if (!(value instanceof Promise)) return then(value);
      return withDeadline(value, this.#limits.stepTimeoutMs, what)
        .then(then)
        .catch((error) => this.#fail(what, error));
    } catch (error) {
      this.#fail(what, error);
    }
  }

  #fail(what: string, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.abandon(`${what} failed: ${message}`.slice(0, 300));
  }
}

export function withDeadline<T>(promise: Promise<T>, timeoutMs: number, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout>;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${timeoutMs} ms`)), timeoutMs);
  });
  return Promise.race([promise, deadline]).finally(() => clearTimeout(timer));
}
