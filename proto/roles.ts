/**
 * Who may do what. A role's permissions at the broker and at the learner's services all follow from this list of rights; the
 * table in docs/security.md is made from it, and each cell is tried by a client that holds the role.
 *
 *   permissionsOf("node", ["walk"]);                              // subjects for nats-server's configuration
 *   mayCall("viewer", "/proxima.v1.LearnerService/Pause");        // false
 */
import { actorsBucket, everyCall, nodesBucket, spawnStream, spawnSubjects } from "./actor-subjects.ts";
import { LearnerService } from "./gen/proxima/v1/learner_pb.ts";
import { WeightsService } from "./gen/proxima/v1/weights_pb.ts";
import { runsBucket, type Subjects, subjects } from "./subjects.ts";

export const roles = ["operator", "learner", "node", "relay", "viewer"] as const;
export type Role = (typeof roles)[number];

export interface Permissions {
  publish: string[];
  subscribe: string[];
}

/** One thing that can be done with a run. Subjects are the broker's, calls the paths of gRPC methods. */
export interface Right {
  readonly what: string;
  readonly roles: readonly Role[];
  publish?(names: Subjects): string[];
  subscribe?(names: Subjects): string[];
  readonly calls?: readonly string[];
}

const streamsOf = (s: Subjects) => [s.taskStream, s.trajectoryStream, s.deadLetterStream];
const bucketsOf = (s: Subjects) => [s.stateBucket, s.directoryBucket, runsBucket].map((bucket) => `KV_${bucket}`);
const bundlesOf = (s: Subjects) => `OBJ_${s.bundleStore}`;

/** Of the actor system, which serves every run. */
const actorBuckets = [actorsBucket, nodesBucket].map((bucket) => `KV_${bucket}`);

/** Requests to JetStream's own interface, one for each stream. */
const api = (verbs: readonly string[], streams: readonly string[], rest = "") =>
  verbs.flatMap((verb) => streams.map((stream) => `$JS.API.${verb}.${stream}${rest}`));

/** A consumer of one's own, for what the library reads by pushing. Its messages go wherever its maker says: for the trusted. */
const ownConsumers = (streams: readonly string[]) => [
  ...api(["CONSUMER.CREATE"], streams),
  ...api(["CONSUMER.CREATE", "CONSUMER.DELETE", "CONSUMER.INFO"], streams, ".>"),
  ...streams.map((stream) => `$JS.FC.${stream}.>`),
];

/** Acknowledgements, as servers have written them before and since they name domain and account. */
const acknowledge = (stream: string, durable: string) => [
  `$JS.ACK.${stream}.${durable}.>`,
  `$JS.ACK.*.*.${stream}.${durable}.>`,
];

export const rights: readonly Right[] = [
  {
    what: "see what runs there are, their state, their actors, and how full their streams are",
    roles: ["operator", "learner", "node", "viewer"],
    publish: (s) => [
      "$JS.API.INFO",
      "$JS.API.STREAM.NAMES",
      ...api(["STREAM.INFO", "CONSUMER.LIST"], [...streamsOf(s), ...bucketsOf(s)]),
      ...api(["DIRECT.GET"], bucketsOf(s), ".>"),
      ...api(["STREAM.MSG.GET"], bucketsOf(s)), // where there are copies, nothing is read directly
    ],
  },
  {
    what: "see what nodes there are, and what actors they hold",
    roles: ["operator", "learner", "node", "viewer"],
    publish: () => [
      ...api(["STREAM.INFO", "STREAM.MSG.GET"], actorBuckets),
      ...api(["DIRECT.GET"], actorBuckets, ".>"),
    ],
  },
  {
    what: "open the run's streams and buckets",
    roles: ["learner"],
    publish: (s) => [
      ...api(["STREAM.CREATE", "STREAM.UPDATE"], [...streamsOf(s), ...bucketsOf(s)]),
      ...api(["CONSUMER.DURABLE.CREATE"], [s.taskStream], `.${s.taskConsumer}`),
      ...ownConsumers(bucketsOf(s)),
    ],
  },
  {
    what: "open the queue and the directories of the actor system",
    roles: ["learner"],
    publish: () => [
      ...api(["STREAM.CREATE", "STREAM.UPDATE"], [spawnStream, ...actorBuckets]),
      ...api(["CONSUMER.DURABLE.CREATE", "CONSUMER.INFO"], [spawnStream], ".*"),
      ...ownConsumers(actorBuckets),
    ],
  },
  { what: "announce the run", roles: ["learner"], publish: (s) => [`$KV.${runsBucket}.${s.run}`] },
  {
    what: "write the run's state (the environment assignment is part of it)",
    roles: ["learner", "operator"],
    publish: (s) => [`$KV.${s.stateBucket}.>`],
  },
  { what: "issue group tasks", roles: ["learner"], publish: (s) => [s.tasks] },
  {
    what: "take group tasks and acknowledge them",
    roles: ["node"],
    publish: (s) => [
      ...api(["CONSUMER.INFO", "CONSUMER.MSG.NEXT"], [s.taskStream], `.${s.taskConsumer}`),
      ...acknowledge(s.taskStream, s.taskConsumer),
    ],
  },
  { what: "publish trajectories", roles: ["node"], publish: (s) => [s.trajectories] },
  {
    what: "take trajectories and acknowledge them",
    roles: ["learner"],
    publish: (s) => [
      ...api(["CONSUMER.DURABLE.CREATE", "CONSUMER.DELETE"], [s.trajectoryStream], `.${s.trajectoryConsumer}`),
      ...api(["CONSUMER.INFO", "CONSUMER.MSG.NEXT"], [s.trajectoryStream], `.${s.trajectoryConsumer}`),
      ...acknowledge(s.trajectoryStream, s.trajectoryConsumer),
    ],
  },
  {
    what: "read stored trajectories without taking them",
    roles: ["operator", "node"],
    publish: (s) => api(["STREAM.MSG.GET"], [s.trajectoryStream]),
  },
  { what: "keep a task as a dead letter", roles: ["node"], publish: (s) => [s.deadLetter("task")] },
  { what: "keep a trajectory as a dead letter", roles: ["learner"], publish: (s) => [s.deadLetter("trajectory")] },
  {
    what: "read dead letters",
    roles: ["operator"],
    publish: (s) => api(["STREAM.MSG.GET"], [s.deadLetterStream]),
  },
  {
    what: "purge tasks, trajectories and dead letters",
    roles: ["operator", "learner"],
    publish: (s) => api(["STREAM.PURGE"], streamsOf(s)),
  },
  {
    what: "be in the directory of actors",
    roles: ["node"],
    publish: (s) => [`$KV.${s.directoryBucket}.>`],
  },
  { what: "ask nodes to run actors", roles: ["learner"], publish: () => [spawnSubjects] },
  {
    what: "write what is wanted of an actor, and what has become of it",
    roles: ["learner", "node"],
    publish: () => [`$KV.${actorsBucket}.>`],
  },
  {
    what: "offer a machine, and take actors that wait for one",
    roles: ["node"],
    publish: () => [
      `$KV.${nodesBucket}.>`,
      ...api(["CONSUMER.INFO", "CONSUMER.MSG.NEXT"], [spawnStream], ".*"),
      ...acknowledge(spawnStream, "*"),
    ],
  },
  {
    what: "store and list environment bundles",
    roles: ["operator"],
    publish: (s) => [
      ...api(["STREAM.CREATE", "STREAM.PURGE"], [bundlesOf(s)]),
      ...ownConsumers([bundlesOf(s)]),
      `$O.${s.bundleStore}.>`,
    ],
  },
  {
    what: "fetch environment bundles",
    roles: ["operator", "learner", "node"],
    publish: (s) => api(["STREAM.INFO", "STREAM.MSG.GET"], [bundlesOf(s)]),
  },
  {
    what: "call actors",
    roles: ["operator"],
    publish: () => [...everyCall],
  },
  {
    what: "answer such calls",
    roles: ["node"],
    // Explicitly, because a permission to answer whatever arrives could be had for any subject by writing to oneself.
    publish: () => [`${inboxPrefix("operator")}.>`],
    subscribe: () => [...everyCall],
  },
  {
    what: "receive weights",
    roles: ["operator", "node", "relay"],
    calls: WeightsService.methods.map(({ name }) => `/${WeightsService.typeName}/${name}`),
  },
  {
    what: "ask the learner for its status",
    roles: ["operator", "viewer"],
    calls: [`/${LearnerService.typeName}/${LearnerService.method.status.name}`],
  },
  {
    what: "pause and resume training, ask for a checkpoint, swap the environment",
    roles: ["operator"],
    calls: LearnerService.methods
      .filter((method) => method !== LearnerService.method.status)
      .map(({ name }) => `/${LearnerService.typeName}/${name}`),
  },
];

/** Answers to a role arrive under subjects that other roles cannot listen to. */
export const inboxPrefix = (role: Role) => `_INBOX_${role}`;

/** What a role may publish and subscribe to at the broker, for these runs and no others. */
export function permissionsOf(role: Role, runs: readonly string[]): Permissions {
  const held = rights.filter((right) => right.roles.includes(role));
  const all = (subjectsOf: (right: Right) => string[]) => [...new Set(held.flatMap(subjectsOf))].sort();
  const names = runs.map(subjects);
  return {
    publish: all((right) => names.flatMap((s) => right.publish?.(s) ?? [])),
    subscribe: all((right) => names.flatMap((s) => right.subscribe?.(s) ?? [])).concat(`${inboxPrefix(role)}.>`),
  };
}

/** Whether a role may call the gRPC method of this path, `/package.Service/Method`. */
export function mayCall(role: Role, path: string): boolean {
  return rights.some((right) => right.roles.includes(role) && right.calls?.includes(path));
}
