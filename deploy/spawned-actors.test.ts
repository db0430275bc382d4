import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ActorSystem } from "../actors/system/index.ts";
import { connectNats } from "../proto/bus/nats.ts";
import type { Cluster } from "./cluster.ts";
import { testingBroker } from "./testing-broker.ts";
import { type ProcessEvent, TestingProcess } from "./testing-process.ts";

const broker = await testingBroker();
const folder = mkdtempSync(join(tmpdir(), "proxima-spawned-"));
const started: TestingProcess[] = [];
afterAll(async () => {
  await Promise.all(started.map((process) => process.kill()));
  await broker?.stop();
  rmSync(folder, { recursive: true, force: true });
});

function proxima(...args: string[]): TestingProcess {
  const process = new TestingProcess([...args, "--nats", broker!.url], folder);
  started.push(process);
  return process;
}
const node = () => proxima("node", "--cpus", "2", "--leaseMs", "1500");
const iteration = (n: number) => (event: ProcessEvent) =>
  event.type === "iteration" && (event.iteration as number) >= n;
/** Without an end: each test stops it when it has seen enough. */
const settings = [
  ...["--env", "cartpole", "--seed", "3", "--groupsPerIteration", "16", "--policy.hidden", "16,16"],
  ...["--totalEnvSteps", "2000000000"],
];
/** Iterations whose metrics must be the same, whoever played. */
const COMPARED = 20;

function metrics(run: string): string[] {
  const lines = readFileSync(join(folder, "runs", run, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n");
  return lines.slice(0, COMPARED).map((line) => line.replace(/,"time\/.*/, ""));
}

test.skipIf(!broker)(
  "a learner spawns its actors onto whatever nodes join, trains on while nodes come and go, and takes its actors along",
  async () => {
    const alone = proxima("learner", "--run", "alone", ...settings);
    const learner = proxima("learner", "--run", "spawns", ...settings, "--actors", "3");
    await learner.until(({ type, message }) => type === "notice" && String(message).startsWith("Waits for nodes"));
    const first = node(); // room for two of the three
    await learner.until(iteration(3));
    const actor = first.events.find(({ type }) => type === "running")!.actor as string;
    expect(actor).toMatch(/^spawns-actor-\d$/);
    const second = node();
    await second.until(({ type }) => type === "running"); // the third
    const top = proxima("top", "--once");
    const cluster = (await top.until(({ type }) => type === "cluster")) as unknown as Cluster & ProcessEvent;
    expect(cluster.nodes.map(({ cpus }) => cpus)).toEqual([2, 2]);
    expect(cluster.actors.map(({ state, kind }) => `${kind} ${state}`)).toEqual(Array(3).fill("rollout running"));
    const run = cluster.runs.find((one) => one.run === "spawns")!;
    expect(run.learner!.iteration).toBeGreaterThanOrEqual(3);
    expect(run.players.find(({ name }) => name === actor)!.lagVersions).toBeGreaterThanOrEqual(0);
    expect(await top.exited).toBe(0);
    await first.kill();
    // The second node has room for one of the two that lived on the first.
    await second.until(({ type, incarnation }) => type === "running" && incarnation === 2);
    const taken = learner.events.filter(iteration(0)).length;
    await learner.until(iteration(Math.max(taken + 3, COMPARED)));
    learner.child.kill("SIGTERM");
    expect(await learner.exited).toBe(0);

    const bus = await connectNats({ servers: broker!.url });
    const system = new ActorSystem(bus);
    expect(await system.list()).toEqual([]);
    await system.close();
    await bus.close();

    proxima("actor", "--run", "alone");
    await alone.until(iteration(COMPARED));
    expect(metrics("spawns")).toEqual(metrics("alone"));
  },
  120_000,
);
