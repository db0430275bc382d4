/**
 * How operators reach the learner of a run. While it lives it leaves its address in the run's folder; on other machines the
 * run's state on the broker has it.
 *
 *   const link = await linkToRun("runs", "alfworld-3");
 *   const { phase } = await link.client.status({}, { timeoutMs: 2000 });
 *   link.close();
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { decodeRunState, runStateKey } from "../policy/run-state.ts";
import { openBus } from "../proto/bus/index.ts";
import { ConfigError } from "../proto/config.ts";
import { LearnerService } from "../proto/gen/proxima/v1/learner_pb.ts";
import { type Connection, connect, StatusError, status } from "../proto/grpc.ts";
import { runsBucket, subjects } from "../proto/subjects.ts";
import { isAlive, readRunFolder } from "./run-folder.ts";
import { type RoleSecrets, roleSecrets } from "./secrets/role-secrets.ts";

export type LearnerLink = Connection<typeof LearnerService>;

interface Announcement {
  /** host:port of its gRPC services. */
  address: string;
  host: string;
  pid: number;
}

const fileIn = (folder: string) => join(folder, "learner.json");

/** Leaves the address where operators look for it; returns how to take it away. @param folder of the run */
export function announceLearner(folder: string, address: string): () => void {
  const announcement: Announcement = { address, host: hostname(), pid: process.pid };
  writeFileSync(fileIn(folder), `${JSON.stringify(announcement)}\n`);
  return () => rmSync(fileIn(folder), { force: true });
}

/** Address of the run's learner; nothing where none is alive, as far as this machine can tell. @param folder of the run */
export function learnerAddress(folder: string): string | undefined {
  if (!existsSync(fileIn(folder))) return undefined;
  let found: Partial<Announcement>;
  try {
    found = JSON.parse(readFileSync(fileIn(folder), "utf8")) as Partial<Announcement>;
  } catch {
    return undefined; // being written or taken away
  }
  if (typeof found.address !== "string") return undefined;
  return found.host === hostname() && !isAlive(Number(found.pid)) ? undefined : found.address;
}

export interface FindLearner {
  /** A broker that knows the run, for a learner whose folder is elsewhere. */
  nats?: string;
  /** Path of a NATS credentials file. */
  natsCredentials?: string;
  /** Folder of `proxima secure`, for a learner that has one; its operator's files are used. */
  secrets?: string;
  /** How long the broker is waited for. Default 5000. */
  timeoutMs?: number;
}

/**
 * By the run's folder, or over NATS where a URL is given.
 * @param root usually "runs"
 * @throws ConfigError when there is no such run, or its learner is not alive
 */
export async function linkToRun(root: string, run: string, options: FindLearner = {}): Promise<LearnerLink> {
  const secrets = roleSecrets(options.secrets ?? "", "operator");
  if (options.nats) {
    return connect(LearnerService, await addressOnBus(run, options.nats, options, secrets), secrets?.client);
  }
  const address = learnerAddress(readRunFolder(root, run).path);
  if (address === undefined)
    throw new ConfigError([
      `run '${run}' has no learner that is alive: go on with it by 'proxima dev --run ${run} --resume', ` +
        "or, where its learner runs on another machine, add --nats URL",
    ]);
  return connect(LearnerService, address, secrets?.client);
}

/** Calls that fail because nobody listens are the user's to mend. @throws ConfigError in their place */
export async function answerOf<T>(run: string, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    if (error.code === status.UNAVAILABLE || error.code === status.DEADLINE_EXCEEDED)
      throw new ConfigError([`the learner of run '${run}' does not answer: ${error.message}`]);
    throw error;
  }
}

async function addressOnBus(
  run: string,
  nats: string,
  options: FindLearner,
  secrets: RoleSecrets | undefined,
): Promise<string> {
  const { natsCredentials, timeoutMs = 5000 } = options;
  const credentials = natsCredentials ? readFileSync(natsCredentials, "utf8") : undefined;
  const bus = await openBus(nats, {
    name: `proxima operator of ${run}`,
    credentials,
    ...secrets?.bus,
    timeoutMs,
  });
  try {
    // Looked for among the runs first, as asking for a bucket would make it.
    const runs = await bus.keyValue(runsBucket);
    const known = (await runs.get(run)) !== undefined;
    const state = known ? await (await bus.keyValue(subjects(run).stateBucket)).get(runStateKey) : undefined;
    if (!state) {
      const names = await runs.keys();
      throw new ConfigError([
        `no learner of run '${run}' is known at ${nats}: ${names.length ? `there are ${names.sort().join(", ")}` : "there is none of any run"}`,
      ]);
    }
    return decodeRunState(state.value).weights;
  } finally {
    await bus.close();
  }
}
