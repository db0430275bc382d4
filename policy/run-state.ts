/** What an actor must know to join a run; the learner keeps the newest in the key-value store. Latest wins. */
import type { EnvironmentArguments } from "../envs/environment.ts";
import type { PolicySpec } from "./policy.ts";

export interface RunState {
  run: string;
  /** Start time of this learner process in ms since 1970: a restarted learner has a greater one. */
  incarnation: number;
  /** All randomness of the run hashes from it (uint32). */
  seed: number;
  policy: PolicySpec;
  environment: {
    generation: number;
    /** Built-in id, or path of a file on the actor's machine. */
    reference: string;
    arguments: EnvironmentArguments;
    digest: string;
  };
  /** host:port of the weights service. */
  weights: string;
  /** How weights travel; stored log-probabilities are those of the weights as received. */
  weightsEncoding: "f32" | "bf16";
  /** Steps after which an episode is cut; absent: never. */
  interruptAfter?: number;
}

export const runStateKey = "run";

export function encodeRunState(state: RunState): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(state));
}

/** Throws TypeError when it is not a run state. */
export function decodeRunState(bytes: Uint8Array): RunState {
  const state = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as RunState;
  const complete =
    typeof state?.run === "string" &&
    Number.isSafeInteger(state.incarnation) &&
    Number.isSafeInteger(state.seed) &&
    typeof state.policy?.name === "string" &&
    typeof state.environment?.reference === "string" &&
    Number.isSafeInteger(state.environment.generation) &&
    typeof state.weights === "string";
  if (!complete)
    throw new TypeError("Cannot read the run's state: it lacks run, incarnation, seed, policy, environment or weights");
  return state;
}
