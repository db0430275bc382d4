/** What learner and actors must agree on about the queue in which they meet. */
import type { PullOptions } from "./bus/bus.ts";
import type { Subjects } from "./subjects.ts";

/** A task that is not extended for this long goes to another actor. */
export const TASK_ACK_WAIT_MS = 5_000;

/** The durable consumer that all actors of a run share. */
export const taskQueue = (subjects: Subjects): PullOptions => ({
  stream: subjects.taskStream,
  durable: subjects.taskConsumer,
  ackWaitMs: TASK_ACK_WAIT_MS,
  maxAckPending: 65_536,
});
