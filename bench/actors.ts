/**
 * 200 actors as processes on one node: until all run, until those killed run again, memory, what supervising them costs the node, one
 * call to each.
 *
 * bun bench/actors.ts [--processes 200]
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ActorSystem } from "../actors/system/index.ts";
import { testingBroker } from "../deploy/testing-broker.ts";
import { TestingProcess } from "../deploy/testing-process.ts";
import { connectNats } from "../proto/bus/nats.ts";
import { median } from "./credit-assignment/statistics.ts";
import { Echo } from "./testing/actors.ts";

const { values } = parseArgs({
  options: {
    processes: { type: "string", default: "200" },
  },
});
const processes = Number(values.processes);
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

try {
  await manyProcesses();
} finally {
  await Promise.all(started.map((process) => process.kill()));
  await system.close();
  await bus.close();
  await broker.stop();
  rmSync(folder, { recursive: true, force: true });
}
process.exit(0);
