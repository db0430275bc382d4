/** What an actor says of itself, about once a second, in its run's directory. An entry that is not renewed goes. Latest wins. */

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
}

/** An actor that has not been heard of for this long leaves the directory. */
export const HEARTBEAT_TTL_MS = 5_000;

export const encodeHeartbeat = (beat: Heartbeat): Uint8Array => new TextEncoder().encode(JSON.stringify(beat));

/** Undefined for what is no heartbeat: the directory may hold other things. */
export function decodeHeartbeat(bytes: Uint8Array): Heartbeat | undefined {
  let beat: Partial<Heartbeat> | null;
  try {
    beat = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
  const numbers = [beat?.forMs, beat?.slots, beat?.idleShare, beat?.weights];
  const isWhole = typeof beat?.actor === "string" && typeof beat.doing === "string" && numbers.every(Number.isFinite);
  return isWhole ? (beat as Heartbeat) : undefined;
}
