import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createKey } from "../envs/bundle/key-folder.ts";
import { findDeno } from "../envs/bundle/sandbox-process.ts";
import { keptIterations, readIteration } from "../learner/archive.ts";
import { connectNats } from "../proto/bus/index.ts";
import { LearnerService } from "../proto/gen/proxima/v1/learner_pb.ts";
import { connect } from "../proto/grpc.ts";
import { subjects } from "../proto/subjects.ts";
import { actorCommand } from "./actor-runtime.ts";
import { type Broker, startBroker } from "./broker.ts";
import { runCommandLine } from "./command-line.ts";
import { testingProgram } from "./testing-broker.ts";
import { type ProcessEvent, TestingProcess } from "./testing-process.ts";

const program = await testingProgram();
const installed = join(import.meta.dirname, "../node_modules/.bin/deno");
const deno = await findDeno(existsSync(installed) ? installed : "");
const folder = mkdtempSync(join(tmpdir(), "proxima-swap-"));
const envs = join(import.meta.dirname, "../envs");
const coins = join(import.meta.dirname, "testing/swappable-environment.ts");
const ITERATIONS = 14;
const settings = ["--env", coins, "--seed", "5", "--iterations", String(ITERATIONS), "--keepTrajectories", "100"];
const started = new Set<TestingProcess>();
let broker: Broker;
let key: { path: string; publicKey: string };

function proxima(...args: string[]): TestingProcess {
  const process = new TestingProcess(args, folder);
  started.add(process);
  return process;
}
const trusting = () => ["--nats", broker.url, "--trustedKeys", key.publicKey];
const unconfined = ["--sandbox", "none"];
const learner = (run: string, ...more: string[]) =>
  proxima("learner", ...trusting(), ...unconfined, "--run", run, ...more);
const actor = (run: string) => proxima("actor", ...trusting(), ...unconfined, "--run", run);
const iteration = (n: number) => (event: ProcessEvent) =>
  event.type === "iteration" && (event.iteration as number) >= n;
const end = (event: ProcessEvent) => event.type === "end";
const ready = (event: ProcessEvent) => event.type === "ready";
const notice = (text: string) => (event: ProcessEvent) =>
  event.type === "notice" && String(event.message).includes(text);

/** A command of `proxima env`, in this process: what it says, the last of it. */
async function env(...args: string[]): Promise<ProcessEvent> {
  let said = "";
  const streams = { out: (text: string) => (said += text), err: (text: string) => (said += text) };
  await runCommandLine(["env", ...args, "--nats", broker.url, "--json"], streams, AbortSignal.timeout(100_000));
  const events = said
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as ProcessEvent);
  return events.findLast(({ type }) => type !== "error") ?? events.at(-1)!;
}

async function push(run: string): Promise<string> {
  return String((await env("push", coins, "--run", run, "--signWith", key.path)).digest);
}

/** Resolves with what the learner answered. */
const swap = (run: string, ...args: string[]) => env("swap", "--run", run, ...args);

/** The metrics of a run, without what depends on the clock. */
function metrics(run: string): Record<string, number>[] {
  const lines = readFileSync(join(folder, "runs", run, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n");
  return lines.map((line) => {
    const record = JSON.parse(line) as Record<string, number>;
    return Object.fromEntries(Object.entries(record).filter(([key]) => !key.startsWith("time")));
  });
}

function expectBalanced(event: ProcessEvent): void {
  const balance = event.balance as { started: number; trained: number; dropped: number; inFlight: number };
  expect(balance.started).toBe(ITERATIONS * 8 * 4);
  expect(balance.started).toBe(balance.trained + balance.dropped);
  expect(balance.inFlight).toBe(0);
}

/** By iteration and group, the generations of its members. */
async function generationsPlayed(run: string): Promise<Map<string, Set<number>>> {
  const played = new Map<string, Set<number>>();
  const trajectories = join(folder, "runs", run, "trajectories");
  for (const i of await keptIterations(trajectories)) {
    for (const { lineage } of (await readIteration(trajectories, i, coins)).episodes) {
      const group = `${lineage.iteration}/${lineage.group}`;
      played.set(group, (played.get(group) ?? new Set()).add(lineage.environment.generation));
    }
  }
  return played;
}

describe.skipIf(!program)("an environment swapped while a run trains", () => {
  beforeAll(async () => {
    broker = await startBroker({ program: program!, storeDir: join(folder, "broker") });
    key = await createKey(join(folder, "keys"), "tester");
  });
  afterEach(async () => {
    await Promise.all([...started].map((process) => process.kill()));
    started.clear();
  });
  afterAll(async () => {
    await broker?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test("as a canary, then for all groups: none mixes generations, none is lost, and three actors give the metrics of one", async () => {
    const train = async (run: string, actors: number) => {
      const training = learner(run, ...settings);
      await training.until(ready);
      const digest = await push(run);
      const args = ["--bundle", digest.slice(0, 12), "--env.reward", "2"];
      expect(await swap(run, ...args, "--canary", "0.5", "--from", "4")).toMatchObject({ state: "accepted" });
      for (let i = 0; i < actors; i++) actor(run);
      await training.until(notice("plays a share of 0.5 of the groups from iteration 4"));
      // Held here, so that the second swap comes in time however slow this machine is.
      const { client, close } = connect(LearnerService, String((await training.until(ready)).weightsAddress));
      await client.pause({ reason: "swapping" }, { timeoutMs: 20_000 });
      expect(await swap(run, ...args, "--from", "9")).toMatchObject({ generation: 2, state: "accepted" });
      await client.resume({}, { timeoutMs: 20_000 });
      close();
      expectBalanced(await training.until(end));
    };
    await train("swapped-1", 1);
    await train("swapped-3", 3);
    expect(metrics("swapped-3")).toEqual(metrics("swapped-1"));

    const played = await generationsPlayed("swapped-3");
    expect(played.size).toBe(ITERATIONS * 8);
    for (const [group, generations] of played) {
      expect(generations.size).toBe(1);
      const [generation] = generations;
      const i = Number(group.split("/")[0]);
      expect(i < 4 ? [0] : i < 9 ? [0, 1] : [2]).toContain(generation!);
    }
    const canaries = [...played.values()].filter((generations) => generations.has(1)).length;
    expect(canaries).toBeGreaterThan(5 * 8 * 0.2);
    expect(canaries).toBeLessThan(5 * 8 * 0.8);
    expect(metrics("swapped-1").at(-1)!["generation/2/episodes"]).toBe(32);
  }, 120_000);

  test("that throws is rolled back with the reason; its groups are played by the one before, and nothing is lost", async () => {
    const train = async (run: string, actors: number) => {
      const training = learner(run, ...settings);
      await training.until(ready);
      const digest = await push(run);
      await swap(run, "--bundle", digest, "--env.throws", "1", "--canary", "0.5", "--from", "3");
      for (let i = 0; i < actors; i++) actor(run);
      const { message } = await training.until(notice("Rolled environment generation 1"));
      expect(message).toContain('most often: "noResult: step failed: the coin rolled away"');
      expect(message).toContain("Generation 0");
      expectBalanced(await training.until(end));
      const told = await swap(run, "--status");
      expect(told).toMatchObject({ state: "rolledBack", from: 3, until: 3 });
      expect(String(told.reason)).toContain("the coin rolled away");
    };
    await train("throws-1", 1);
    await train("throws-2", 2);
    expect(metrics("throws-2")).toEqual(metrics("throws-1"));
    for (const generations of (await generationsPlayed("throws-1")).values()) expect([...generations]).toEqual([0]);
    expect(metrics("throws-1").at(-1)!["ledger/dropped"]).toBe(metrics("throws-1").at(-1)!["dropped/noSignal"] ?? 0);
  }, 120_000);

  test("goes on as if undisturbed when the learner is killed in the middle of a canary and resumed", async () => {
    const begin = async (run: string, checkpointEvery: string) => {
      const training = learner(run, ...settings, "--checkpointEvery", checkpointEvery);
      await training.until(ready);
      await swap(run, "--bundle", await push(run), "--env.reward", "2", "--canary", "0.5", "--from", "3");
      actor(run);
      return training;
    };
    expectBalanced(await (await begin("calm", "1")).until(end));
    // Its last checkpoint is from before the canary: only the run's state knows of it.
    const killed = await begin("killed", "3");
    await killed.until(iteration(4));
    await killed.kill();
    expectBalanced(await learner("killed", "--resume").until(end));
    expect(metrics("killed")).toEqual(metrics("calm"));
  }, 120_000);

  test("is left again on request, and what does not fit or is not trusted is refused before any group plays it", async () => {
    const run = "refused";
    const training = learner(run, ...settings, "--iterations", "100000", "--totalEnvSteps", "0");
    await training.until(ready);
    actor(run);
    const digest = await push(run);
    const wide = await swap(run, "--bundle", digest, "--env.width", "3");
    expect(wide).toMatchObject({ generation: 1, state: "refused" });
    expect(wide.reason).toContain("its observations are boxes of 3, the policy was built for boxes of 1");
    expect(await swap(run, "--environment", "pendulum")).toMatchObject({ generation: 2, state: "refused" });

    const stranger = await createKey(join(folder, "keys"), "stranger");
    const other = join(folder, "other.ts");
    writeFileSync(
      other,
      readFileSync(coins, "utf8").replaceAll("rolled away", "was stolen").replaceAll("../../envs", envs),
    );
    const theirs = String((await env("push", other, "--run", run, "--signWith", stranger.path)).digest);
    const untrusted = await swap(run, "--bundle", theirs);
    expect(untrusted).toMatchObject({ state: "refused" });
    expect(untrusted.reason).toContain(`it is signed by ${stranger.publicKey}, and trusted are ${key.publicKey}`);

    const bus = await connectNats({ servers: broker.url });
    const store = await bus.objects(subjects(run).bundleStore);
    const tampered = "f".repeat(64);
    await store.put(tampered, (await store.get(digest))!);
    const statement = (await store.list()).find((name) => name.startsWith(`${digest}.`))!;
    await store.put(statement.replace(digest, tampered), (await store.get(statement))!);
    await bus.close();
    const changed = await swap(run, "--bundle", tampered);
    expect(changed).toMatchObject({ state: "refused" });
    expect(changed.reason).toContain("somebody has changed them");

    await swap(run, "--bundle", digest, "--env.reward", "3");
    await training.until(notice("plays all groups from iteration"));
    expect(await swap(run, "--back")).toMatchObject({ state: "rolledBack" });
    expect((await training.until(notice("Rolled environment"))).message).toContain("an operator asked for it");
  }, 120_000);

  test.skipIf(!deno)(
    "that hangs in the sandbox of a Deno actor is killed there and rolled back (skipped without Deno)",
    async () => {
      const run = "hangs";
      const confined = ["--sandbox", "deno", "--denoProgram", deno!];
      const training = learner(run, ...settings, ...confined);
      await training.until(ready);
      await swap(run, "--bundle", await push(run), "--env.hangs", "1", "--from", "2");
      const { file, args } = await actorCommand("deno");
      const deadlines = ["--stepTimeoutMs", "1000"];
      const actor = spawn(file, [...args, ...trusting(), ...confined, "--run", run, ...deadlines], { stdio: "pipe" });
      let said = "";
      actor.stdout.on("data", (text) => (said += text));
      try {
        const { message } = await training.until(notice("Rolled environment generation 1"));
        expect(message).toContain("step took longer than 1000 ms");
        expectBalanced(await training.until(end));
        expect(said).toContain("in a Deno process without permissions");
      } finally {
        actor.kill("SIGKILL");
        await once(actor, "close");
      }
    },
    120_000,
  );
});
