/**
 * Names of what the actor system keeps on the bus. One system spans the broker and serves every run, so its names carry no
 * run: everything begins with `proxima-`, which no run's `proxima.` does.
 */
import { createHash } from "node:crypto";

/** Key-value bucket: actor's name → what it is, where it lives and how it fares. */
export const actorsBucket = "proxima-actors";
/** Key-value bucket with a time to live: node's name → its heartbeat. */
export const nodesBucket = "proxima-nodes";
/** A node not heard of for this long is dead, where nodes are not told otherwise. */
export const DEFAULT_LEASE_MS = 6_000;

/** Names of actors, kinds and nodes: one token of a subject or key. */
export const ACTOR_NAME = /^[A-Za-z0-9_-]{1,128}$/;

/** Throws RangeError for what cannot name an actor, a kind or a node. */
export function checkActorName(what: string, name: string): string {
  if (!ACTOR_NAME.test(name)) {
    throw new RangeError(
      `${JSON.stringify(String(name).slice(0, 60))} cannot name ${what}: use 1 to 128 letters, digits, '-' and '_'.`,
    );
  }
  return name;
}

/** Calls to one life of an actor: whoever holds a stale address reaches nobody instead of the wrong one. */
export const callSubject = (actor: string, incarnation: number) => `proxima-actors.call.${actor}.${incarnation}`;

/** Cancels a call to it. */
export const cancelSubject = (actor: string, incarnation: number) => `proxima-actors.cancel.${actor}.${incarnation}`;

/** Calls to any actor, and what cancels them. */
export const everyCall = ["proxima-actors.call.*.*", "proxima-actors.cancel.*.*"] as const;

/** Work queue of requests to run an actor: one subject and one durable for each resource class. */
export const spawnStream = "proxima-spawn";
export const spawnSubjects = "proxima-actors.spawn.*";

/** The part of it for nodes that can offer what one resource class needs. */
export interface SpawnQueue {
  readonly durable: string;
  readonly subject: string;
}

/** @param resources what an actor needs, as text; the same text is the same queue */
export function spawnQueue(resources: string): SpawnQueue {
  const id = createHash("sha256").update(resources).digest("hex").slice(0, 16);
  return { durable: id, subject: `proxima-actors.spawn.${id}` };
}
