/**
 * The actor system under many: 200 actors as processes on one node, and 500 rollout actors feeding one learner beside 50.
 *   1. Process actors: until all run, until those killed run again, memory, what supervising them costs the node, one call to each.
 *   2. Rollout actors, several in each of five process actors, all playing CartPole with two slots: environment steps
 *      a second that the learner trains on, and what they cost, with few and many actors in turns.
 *
 * bun bench/actors.ts [--processes 200] [--few 50] [--many 500] [--rounds 2] [--iterations 8] [--groups 2000]
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ActorSystem } from "../actors/system/index.ts";
import { testingBroker } from "../deploy/testing-broker.ts";
import { type ProcessEvent, TestingProcess } from "../deploy/testing-process.ts";
import { connectNats } from "../proto/bus/nats.ts";
import { median } from "./credit-assignment/statistics.ts";
import { Echo, Rollouts } from "./testing/actors.ts";

const { values } = parseArgs({
  options: {
    processes: { type: "string", default: "200" },
    few: { type: "string", default: "50" },
    many: { type: "string", default: "500" },
    rounds: { type: "string", default: "2" },
    iterations: { type: "string", default: "8" },
    groups: { type: "string", default: "2000" },
  },
});
const processes = Number(values.processes);
const iterations = Number(values.iterations);
const HOSTS = 5;
const PATIENCE = { timeoutMs: 1_800_000 };

const broker = await testingBroker();
if (!broker) process.exit(1);
const folder = mkdtempSync(join(tmpdir(), "proxima-bench-actors-"));
const started: TestingProcess[] = [];
const proxima = (...args: string[]) => {
  const process = new TestingProcess([...args, "--nats", broker.url], folder);
  started.push(process);
  return process;
};
const bus = await connectNats({ servers: broker.url });
const system = new ActorSystem(bus);
const seconds = async (work: () => Promise<unknown>) => {
  const before = performance.now();
  await work();
  return (performance.now() - before) / 1_000;
};

/** MiB of a process: resident, and what it shares with no other. */
function memoryMiB(pid: number): { resident: number; own: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const sum = (pattern: RegExp) => [...text.matchAll(pattern)].reduce((all, [, kib]) => all + Number(kib), 0) / 1024;
  return { resident: sum(/^Rss:\s+(\d+)/gm), own: sum(/^Private_\w+:\s+(\d+)/gm) };
}

/** Processor time of a process so far, seconds. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function manyProcesses(): Promise<void> {
  const node = proxima("node", "--cpus", String(processes));
  await node.until(({ type }) => type === "offers");
  const spawned = performance.now();
  const actors = await system.spawn(Echo, null, { count: processes });
  await Promise.all(actors.map((actor) => actor.ready(PATIENCE)));
  console.log(
    `${processes} process actors run ${((performance.now() - spawned) / 1_000).toFixed(1)} s after they were spawned`,
  );

  const pids = (await system.list()).map(({ load }) => load?.pid).filter((pid) => pid !== undefined);
  const memory = pids.map(memoryMiB);
  const { resident, own } = { resident: median(memory.map((m) => m.resident)), own: median(memory.map((m) => m.own)) };
  console.log(`  memory of one: ${resident.toFixed(0)} MiB resident, ${own.toFixed(0)} MiB of it its own`);

  const before = cpuSeconds(node.child.pid!);
  const watched = await seconds(() => new Promise((resolve) => setTimeout(resolve, 10_000)));
  const share = (cpuSeconds(node.child.pid!) - before) / watched;
  console.log(`  supervising them takes the node ${(100 * share).toFixed(1)} % of a core`);

  const called = await seconds(() => Promise.all(actors.map((actor) => actor.options(PATIENCE).echo(1))));
  console.log(`  one call to each, side by side: ${(1_000 * called).toFixed(0)} ms`);

  const victims = pids.slice(0, Math.ceil(processes / 10));
  for (const pid of victims) process.kill(pid, "SIGKILL");
  const back = await seconds(async () => {
    for (;;) {
      const again = (await system.list()).filter(
        ({ state, incarnation }) => state.type === "running" && incarnation > 1,
      );
      if (again.length === victims.length) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  });
  console.log(
    `  ${victims.length} killed at once: all run again after ${back.toFixed(1)} s (0.5 s of that is the pause before a restart)`,
  );
  console.log(`  the node stopped in order in ${(await seconds(() => node.kill("SIGTERM"))).toFixed(1)} s`);
  await Promise.all(actors.map((actor) => actor.kill()));
}

interface Rate {
  stepsPerSecond: number;
  /** Of the learner, the broker and the rollout actors, per million environment steps. */
  cpuSeconds: { learner: number; broker: number; actors: number };
}

/** Of a whole run but for its first two iterations, in which actors join. In sync mode every run plays the same episodes. */
async function throughput(run: string, actors: number): Promise<Rate> {
  const settings = ["--env", "cartpole", "--policy.hidden", "16,16", "--learnerThreads", "1", "--minibatch", "4096"];
  const size = ["--groupsPerIteration", values.groups, "--stepsPerIteration", "0", "--iterations", String(iterations)];
  const learner = proxima(
    "learner",
    "--run",
    run,
    ...settings,
    ...size,
    "--totalEnvSteps",
    "0",
    "--keepTrajectories",
    "0",
  );
  await learner.until(({ type }) => type === "ready");
  const args = { run, nats: broker!.url, count: actors / HOSTS, slots: 2 };
  const hosts = await system.spawn(Rollouts, args, { count: HOSTS, name: run, cpus: 0 });
  await Promise.all(hosts.map((host) => host.ready(PATIENCE)));
  const reached = async (n: number) => {
    const event = await learner.until((e: ProcessEvent) => e.type === "iteration" && (e.iteration as number) >= n);
    const pids = await Promise.all(hosts.map((host) => host.options(PATIENCE).pid()));
    return {
      steps: event.envSteps as number,
      at: performance.now(),
      learner: cpuSeconds(learner.child.pid!),
      broker: cpuSeconds(broker!.pid),
      actors: pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0),
    };
  };
  const first = await reached(1);
  const last = await reached(iterations - 2); // while all of them still live
  await learner.exited;
  await Promise.all(hosts.map((host) => host.kill()));
  const steps = last.steps - first.steps;
  const cpu = (of: "learner" | "broker" | "actors") => ((last[of] - first[of]) * 1e6) / steps;
  return {
    stepsPerSecond: steps / ((last.at - first.at) / 1_000),
    cpuSeconds: { learner: cpu("learner"), broker: cpu("broker"), actors: cpu("actors") },
  };
}

try {
  if (processes > 0) await manyProcesses();
  const node = proxima("node");
  await node.until(({ type }) => type === "offers");
  const rates: Record<string, Rate[]> = { [values.few]: [], [values.many]: [] };
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const actors of round % 2 ? [values.many, values.few] : [values.few, values.many]) {
      const rate = await throughput(`bench-${actors}-${round}`, Number(actors));
      rates[actors]!.push(rate);
      const { learner, broker, actors: playing } = rate.cpuSeconds;
      console.log(
        `${actors} rollout actors: ${rate.stepsPerSecond.toFixed(0)} env steps/s; processor time per million: ` +
          `learner ${learner.toFixed(1)} s, broker ${broker.toFixed(1)} s, actors ${playing.toFixed(1)} s`,
      );
    }
  }
  if (Number(values.rounds) > 0) {
    const speed = (actors: string) => median(rates[actors]!.map(({ stepsPerSecond }) => stepsPerSecond));
    const cost = (actors: string) =>
      median(rates[actors]!.map(({ cpuSeconds: { learner, broker, actors } }) => learner + broker + actors));
    console.log(
      `${values.many} / ${values.few} rollout actors: ${(speed(values.many) / speed(values.few)).toFixed(2)} × the throughput (budget: at least 0.90), ` +
        `${(cost(values.many) / cost(values.few)).toFixed(2)} × the processor time`,
    );
  }
} finally {
  await Promise.all(started.map((process) => process.kill()));
  await system.close();
  await bus.close();
  await broker.stop();
  rmSync(folder, { recursive: true, force: true });
}
process.exit(0);
