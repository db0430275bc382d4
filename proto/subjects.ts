/**
 * Names of everything a run keeps on the bus. Subjects live under `proxima.<run>.`; streams and buckets cannot contain dots,
 * so they join the same words with `-`, the run last.
 *
 *   const names = subjects("walkthrough-7");
 *   await bus.stream({ name: names.trajectoryStream, subjects: [names.trajectories], … });
 *   await bus.publish(names.trajectory({ iteration: 3, group: 12, member: 0 }), bytes, { id: names.trajectoryId(lineage), … });
 */
import { RUN_NAME } from "./check.ts";
import type { GroupTask, Lineage } from "./trajectory.ts";

export interface Subjects {
  readonly run: string;
  /** Every subject of the run. */
  readonly all: string;

  /** JetStream work queue of group tasks, and the durable consumer that all actors share. */
  readonly taskStream: string;
  readonly taskConsumer: string;
  /** All task subjects. */
  readonly tasks: string;
  task(task: Pick<GroupTask, "iteration" | "group">): string;
  /** Deduplication id of a task message: asking for members again is a new attempt, and a new message. */
  taskId(task: Pick<GroupTask, "run" | "incarnation" | "iteration" | "group" | "attempt" | "members">): string;

  /** Stream of finished episodes, and the learner's durable consumer. */
  readonly trajectoryStream: string;
  readonly trajectoryConsumer: string;
  readonly trajectories: string;
  /** One subject for each member of a group, so that `last` tells which members are already stored. */
  trajectory(episode: Pick<Lineage, "iteration" | "group" | "member">): string;
  /** All trajectories of an iteration, or of one of its groups. */
  trajectoriesOf(part: { iteration: number; group?: number }): string;
  /** The member that a trajectory's subject names; undefined for any other subject. */
  memberOf(subject: string): Pick<Lineage, "iteration" | "group" | "member"> | undefined;
  /** Deduplication id of a trajectory. What an earlier learner acknowledged is gone, so its id must not stand in the way. */
  trajectoryId(
    task: Pick<GroupTask, "run" | "incarnation" | "iteration" | "group" | "attempt">,
    member: number,
  ): string;

  /** Messages that did not decode or validate, with the reason in a header. */
  readonly deadLetterStream: string;
  readonly deadLetters: string;
  /** By where the message came from: "task" or "trajectory". */
  deadLetter(kind: "task" | "trajectory"): string;

  /** Key-value bucket: configuration, environment assignment, current weights version. */
  readonly stateBucket: string;
  /** Key-value bucket with a time to live: heartbeats of the rollout actors that play for the run. */
  readonly directoryBucket: string;
  /** Object store of environment bundles, by SHA-256. */
  readonly bundleStore: string;
}

function number(what: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`Cannot name a subject: ${what} must be an integer from 0 on, found ${value}`);
  }
  return value;
}

/** Throws RangeError when the name cannot be a subject token, bucket name and folder. */
export function checkRunName(run: string): string {
  if (!RUN_NAME.test(run)) {
    throw new RangeError(
      `Cannot name the run ${JSON.stringify(run.slice(0, 80))}: it must be 1 to 64 letters, digits, - or _; try ` +
        JSON.stringify(run.replace(/[^A-Za-z0-9_-]+/g, "-").slice(0, 64) || "run-1"),
    );
  }
  return run;
}

/** Throws RangeError for a name that is not a run name. */
export function subjects(run: string): Subjects {
  checkRunName(run);
  const root = `proxima.${run}`;
  const memberSubject = new RegExp(`^proxima\\.${run}\\.trajectory\\.(\\d{1,15})\\.(\\d{1,15})\\.(\\d{1,15})$`);
  const episode = (of: Pick<Lineage, "iteration" | "group">) =>
    `${number("iteration", of.iteration)}.${number("group", of.group)}`;
  return {
    run,
    all: `${root}.>`,

    taskStream: `proxima-tasks-${run}`,
    taskConsumer: "actors",
    tasks: `${root}.task.>`,
    task: (task) => `${root}.task.${episode(task)}`,
    taskId: (task) =>
      `${task.run}/${task.incarnation}/${task.iteration}/${task.group}/${task.members[0]}/${task.attempt}`,

    trajectoryStream: `proxima-trajectories-${run}`,
    trajectoryConsumer: "learner",
    trajectories: `${root}.trajectory.>`,
    trajectory: (of) => `${root}.trajectory.${episode(of)}.${number("member", of.member)}`,
    trajectoriesOf: ({ iteration, group }) =>
      `${root}.trajectory.${number("iteration", iteration)}.${group === undefined ? ">" : `${number("group", group)}.*`}`,
    memberOf: (subject) => {
      const [, iteration, group, member] = memberSubject.exec(subject) ?? [];
      return member === undefined
        ? undefined
        : { iteration: Number(iteration), group: Number(group), member: Number(member) };
    },
    trajectoryId: (of, member) => `${of.run}/${of.incarnation}/${of.iteration}/${of.group}/${member}/${of.attempt}`,

    deadLetterStream: `proxima-dead-${run}`,
    deadLetters: `${root}.dead.>`,
    deadLetter: (kind) => `${root}.dead.${kind}`,

    stateBucket: `proxima-state-${run}`,
    directoryBucket: `proxima-directory-${run}`,
    bundleStore: `proxima-bundles-${run}`,
  };
}

/** Key-value bucket that every learner announces its run in: run name → start time. */
export const runsBucket = "proxima-runs";
