/** A NATS cluster of three servers, each stream and bucket on all of them. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { subjects } from "../proto/subjects.ts";
import { type Broker, startBroker } from "./broker.ts";
import { testingProgram } from "./testing-broker.ts";
import { type ProcessEvent, TestingProcess } from "./testing-process.ts";

setDefaultTimeout(240_000);

const program = await testingProgram();
const folder = mkdtempSync(join(tmpdir(), "proxima-cluster-"));
const brokers: Broker[] = [];
const started: TestingProcess[] = [];
afterAll(async () => {
  await Promise.all(started.map((child) => child.kill()));
  await Promise.all(brokers.map((broker) => broker.stop()));
  rmSync(folder, { recursive: true, force: true });
});

/** Ports that were free a moment ago: the servers of a cluster must know each other's beforehand. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(servers.map((server) => new Promise<void>((done) => server.listen(0, "127.0.0.1", done))));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

describe.skipIf(!program)("a cluster of three servers", () => {
  test("loses one in the middle of a run, and nothing else: the metrics are those of a run on one server", async () => {
    const alone = await startBroker({ program: program!, storeDir: join(folder, "alone") });
    const ports = await freePorts(3);
    const cluster = await Promise.all(
      ports.map((port, i) =>
        startBroker({
          program: program!,
          storeDir: join(folder, `server-${i}`),
          cluster: { serverName: `server-${i}`, port, ports },
        }),
      ),
    );
    brokers.push(alone, ...cluster);
    const undisturbed = train("undisturbed", alone.url, 1);
    expectBalanced(await undisturbed.until(end));

    const training = train("server-lost", cluster.map(({ url }) => url).join(","), 3);
    await training.until(iteration(5));
    // The leader of the trajectories: whatever it alone knew would be missed.
    const leader = await leaderOf(cluster, subjects("server-lost").trajectoryStream);
    process.kill(leader.pid, "SIGKILL");
    await leader.exited;
    expectBalanced(await training.until(end));
    expect(metrics("server-lost")).toEqual(metrics("undisturbed"));
  });

  test("keeps every stream and bucket of a run on all of them", async () => {
    const nats = await connect({ servers: brokers.slice(1).map((broker) => broker.url), maxReconnectAttempts: 0 });
    const manager = await jetstreamManager(nats);
    const copies: Record<string, number> = {};
    for await (const { config } of manager.streams.list()) copies[config.name] = config.num_replicas;
    await nats.close();
    const names = subjects("server-lost");
    for (const name of [names.taskStream, names.trajectoryStream, names.deadLetterStream]) expect(copies[name]).toBe(3);
    for (const bucket of [names.stateBucket, names.directoryBucket]) expect(copies[`KV_${bucket}`]).toBe(3);
  });
});

const version = program && spawnSync(program, ["--version"], { encoding: "utf8" }).stdout;
const minor = Number(/v2\.(\d+)/.exec(version ?? "")?.[1] ?? 0);
if (program && minor < 10) console.warn(`Skipping sync_interval, which needs nats-server 2.10: found ${version}`);
test.skipIf(minor < 10)("a server that syncs before it confirms still stores what it is given", async () => {
  const broker = await startBroker({ program: program!, storeDir: join(folder, "synced"), syncAlways: true });
  brokers.push(broker);
  const config = JSON.parse(readFileSync(join(folder, "synced", "nats-server.conf"), "utf8"));
  expect(config.jetstream.sync_interval).toBe("always");
  expectBalanced(await train("synced", broker.url, 1).until(end));
});

function train(run: string, servers: string, replicas: number): TestingProcess {
  const common = ["--run", run, "--nats", servers];
  const settings = ["--env", "cartpole", "--iterations", "16", "--groupsPerIteration", "16", "--seed", "3"];
  const small = ["--policy.hidden", "16,16", "--natsReplicas", String(replicas)];
  // The first actor is there before the learner, and makes what it needs with a single copy.
  started.push(new TestingProcess(["actor", ...common], folder));
  const learner = new TestingProcess(["learner", ...common, ...settings, ...small], folder);
  started.push(learner);
  return learner;
}

const iteration = (n: number) => (event: ProcessEvent) =>
  event.type === "iteration" && (event.iteration as number) >= n;
const end = (event: ProcessEvent) => event.type === "end";

function expectBalanced(event: ProcessEvent): void {
  expect(event.balance).toMatchObject({ dropped: 0, inFlight: 0, balanced: true });
}

/** The metrics of a run, without what depends on the clock. */
function metrics(run: string): unknown[] {
  const lines = readFileSync(join(folder, "runs", run, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n");
  return lines.map((line) =>
    Object.fromEntries(Object.entries(JSON.parse(line)).filter(([key]) => !key.startsWith("time"))),
  );
}

async function leaderOf(cluster: readonly Broker[], stream: string): Promise<Broker> {
  const nats = await connect({ servers: cluster[0]!.url });
  const { cluster: group } = await (await jetstreamManager(nats)).streams.info(stream);
  await nats.close();
  return cluster[Number(group!.leader!.split("-")[1])]!;
}
