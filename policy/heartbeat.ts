/**
 * What an actor says of itself in its run's directory: about once a second in a small fleet, more seldom in a large one. An entry
 * that is not renewed goes. Latest wins.
 */

/**
 * What an actor is at. Waiting: for `tasks` (there is nothing to play), for `weights` that its task asks for, for a `step` or reset of
 * an environment, for `room` in the trajectory stream.
 */
export type Activity = "playing" | "tasks" | "weights" | "step" | "room";

export interface Heartbeat {
  actor: string;
  host: string;
  pid: number;
  doing: Activity;
  /** For how long it has been at it, in ms. */
  forMs: number;
  /** Episodes it can play side by side. */
  slots: number;
  /** Mean share of them that was free since the heartbeat before, 0 to 1. */
  idleShare: number;
  groups: number;
  /** Played since it joined. */
  episodes: number;
  envSteps: number;
  /** Counter of the weights it holds; -1 before the first. */
  weights: number;
  /** Milliseconds since 1970, by its own clock. */
  sentAtMs: number;
  /** The next one follows after so many ms. */
  everyMs: number;
}

const LEAST_MS = 1_250;
const MOST_MS = 15_000;
/** Of a whole fleet, about. Each costs actor, broker and learner some 0.3 ms of processor time together. */
const FLEET_BEATS_PER_SECOND = 100;
/** An actor that leaves out so many is taken for gone. */
const MISSED = 4;

/** Entries of the directory that are older go. */
export const HEARTBEAT_TTL_MS = MISSED * MOST_MS;

const bounded = (ms: number) => Math.min(MOST_MS, Math.max(LEAST_MS, ms));

/** Until the next heartbeat of an actor. @param beats those of the whole fleet between its last two; NaN before there are two */
export const heartbeatEveryMs = (beats: number): number =>
  bounded(beats > 0 ? Math.round((1_000 * beats) / FLEET_BEATS_PER_SECOND) : LEAST_MS);

/** An actor that has not been heard of for this long after a heartbeat is gone. */
export const goneAfterMs = ({ everyMs }: Heartbeat): number => MISSED * bounded(everyMs);

export const encodeHeartbeat = (beat: Heartbeat): Uint8Array => new TextEncoder().encode(JSON.stringify(beat));

/** Undefined for what is no heartbeat: the directory may hold other things. */
export function decodeHeartbeat(bytes: Uint8Array): Heartbeat | undefined {
  let beat: Partial<Heartbeat> | null;
  try {
    beat = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
  const numbers = [beat?.forMs, beat?.slots, beat?.idleShare, beat?.weights, beat?.sentAtMs, beat?.everyMs];
  const isWhole = typeof beat?.actor === "string" && typeof beat.doing === "string" && numbers.every(Number.isFinite);
  return isWhole ? (beat as Heartbeat) : undefined;
}
