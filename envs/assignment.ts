/**
 * Which environment a run plays, generation by generation. Two kinds of entries in the run's state (key-value, latest wins):
 *
 *   environment      what an operator asks for: the next generation, or to go back. Written by `env swap` only where it is the next.
 *   environment.<g>  what the learner made of generation g. Actors load the generation that a task names from here.
 */
import type { EnvironmentArguments } from "./environment.ts";

/** What plays, to the byte. */
export interface EnvironmentAssignment {
  generation: number;
  /** Built-in id, or path of a file on the actor's machine; of a bundle the id in its manifest. */
  reference: string;
  /** Hex SHA-256 of a pushed bundle; absent where the environment is installed on every machine. */
  bundle?: string;
  arguments: EnvironmentArguments;
  digest: string;
}

/** Terms on which a generation is tried. */
export interface SwapTerms {
  /** Share of the groups that play it, above 0 to 1. */
  canaryShare: number;
  /** It is rolled back once more than this share of its members gave no result; 1: never by itself. */
  rollBackAt: number;
  /** … and no fewer than this many of them. */
  rollBackAfter: number;
}

export interface SwapRequest extends SwapTerms, Omit<EnvironmentAssignment, "digest"> {
  type: "swap";
  /** Iteration from which it plays; 0: from the next that is asked for. */
  from: number;
}

/** To leave this generation. */
export interface BackRequest {
  type: "back";
  generation: number;
}

export type EnvironmentRequest = SwapRequest | BackRequest;

/**
 * accepted: fits, and plays soon. playing: some groups or all play it, or it is what a younger one falls back on. replaced: a later
 * one took its place. rolledBack and refused: with the reason.
 */
export type GenerationState = "accepted" | "playing" | "replaced" | "rolledBack" | "refused";

export interface GenerationRecord extends SwapTerms, EnvironmentAssignment {
  state: GenerationState;
  /** Groups of the iterations from … until (not included) play it. */
  from?: number;
  until?: number;
  /** Why it was refused or rolled back. */
  reason?: string;
}

export const defaultTerms: SwapTerms = { canaryShare: 1, rollBackAt: 0.2, rollBackAfter: 4 };

export const requestKey = "environment";
export const generationKey = (generation: number) => `environment.${generation}`;
export const generationKeys = "environment.*";

export const encodeEntry = (entry: EnvironmentRequest | GenerationRecord) =>
  new TextEncoder().encode(JSON.stringify(entry));

/** Throws TypeError when it is no record of a generation. */
export function decodeRecord(bytes: Uint8Array): GenerationRecord {
  const record = JSON.parse(new TextDecoder().decode(bytes)) as GenerationRecord;
  if (!isAssignment(record) || typeof record.state !== "string")
    throw new TypeError("Cannot read the record of an environment's generation: it lacks its parts");
  return record;
}

/** Throws TypeError when it is no request, or its terms make no sense. */
export function decodeRequest(bytes: Uint8Array): EnvironmentRequest {
  const request = JSON.parse(new TextDecoder().decode(bytes)) as EnvironmentRequest;
  if (request?.type === "back" && Number.isSafeInteger(request.generation)) return request;
  if (request?.type !== "swap" || !isAssignment(request)) throw new TypeError("it is no request to swap environments");
  const problem = termsProblem(request);
  if (problem !== undefined) throw new TypeError(problem);
  return request;
}

export function termsProblem({ canaryShare, rollBackAt, rollBackAfter }: SwapTerms): string | undefined {
  if (!(canaryShare > 0 && canaryShare <= 1))
    return `the canary share must be above 0 and at most 1, found ${canaryShare}`;
  if (!(rollBackAt > 0 && rollBackAt <= 1)) return `rollBackAt must be above 0 and at most 1, found ${rollBackAt}`;
  if (!(Number.isSafeInteger(rollBackAfter) && rollBackAfter >= 1))
    return `rollBackAfter must be a whole number of at least 1, found ${rollBackAfter}`;
  return undefined;
}

/** "guess (bundle 3fa2…)" */
export function describeAssignment({ reference, bundle }: Pick<EnvironmentAssignment, "reference" | "bundle">): string {
  return bundle === undefined ? reference : `${reference} (bundle ${bundle.slice(0, 12)})`;
}

function isAssignment(value: Omit<EnvironmentAssignment, "digest">): boolean {
  return (
    Number.isSafeInteger(value?.generation) &&
    typeof value.reference === "string" &&
    (value.bundle === undefined || /^[0-9a-f]{64}$/.test(value.bundle)) &&
    typeof value.arguments === "object" &&
    value.arguments !== null
  );
}
