/** What learner and actors must agree on about the places where they meet at the broker. */
import type { PullOptions } from "./bus/bus.ts";
import type { Subjects } from "./subjects.ts";

/** A task that is not extended for this long goes to another actor. */
export const TASK_ACK_WAIT_MS = 5_000;

/** An actor that has not been heard of for this long leaves the directory. */
export const DIRECTORY_TTL_MS = 5_000;

/** The durable consumer that all actors of a run share. */
export const taskQueue = (subjects: Subjects): PullOptions => ({
  stream: subjects.taskStream,
  durable: subjects.taskConsumer,
  ackWaitMs: TASK_ACK_WAIT_MS,
  maxAckPending: 65_536,
});
