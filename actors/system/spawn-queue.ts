/** What those who spawn actors and the nodes that run them must agree on about the queue between them. */
import { DEFAULT_LEASE_MS, type SpawnQueue, spawnStream } from "../../proto/actor-subjects.ts";
import type { PullOptions } from "../../proto/bus/bus.ts";

export const spawnPull = ({ durable, subject }: SpawnQueue, options: Partial<PullOptions> = {}): PullOptions => ({
  stream: spawnStream,
  durable,
  subject,
  ackWaitMs: DEFAULT_LEASE_MS,
  maxAckPending: 65_536,
  ...options,
});

/** How long the entry of an actor may come after the request to run it. */
export const ENTRY_MS = 2_500;

/** When to look again for the entry of a request that was delivered so often; undefined: it will not come any more. */
export function lookAgainMs(deliveries: number): number | undefined {
  const pauseMs = 10 * 2 ** deliveries; // those before it add up to as much, less 20 ms
  return pauseMs - 20 > ENTRY_MS ? undefined : pauseMs;
}
