/**
 * What an actor process costs: milliseconds from starting it to its first word that it plays, and its resident memory after it
 * has played for a while, beside a bare process of the same runtime.
 *   bun bench/actor.ts
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startBroker } from "../deploy/broker.ts";
import { testingProgram } from "../deploy/testing-broker.ts";
import { TestingProcess } from "../deploy/testing-process.ts";
import { median } from "./credit-assignment/statistics.ts";

const RUNS = 5;
const program = await testingProgram();
if (!program) process.exit(1);
const folder = mkdtempSync(join(tmpdir(), "proxima-bench-actor-"));
const broker = await startBroker({ program, storeDir: join(folder, "broker") });
const started: TestingProcess[] = [];
const proxima = (...args: string[]) => {
  const process = new TestingProcess(args, folder);
  started.push(process);
  return process;
};

/** Resident memory of a process, MiB. */
function residentMiB(pid: number): number {
  const [, kib] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))!;
  return Number(kib) / 1024;
}

try {
  const learner = proxima(
    "learner",
    "--nats",
    broker.url,
    "--run",
    "bench",
    "--env",
    "cartpole",
    "--totalEnvSteps",
    "2000000000",
  );
  await learner.until((event) => event.type === "ready");
  const readyMs: number[] = [];
  const memoryMiB: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const before = learner.events.filter((event) => event.type === "iteration").length;
    const at = performance.now();
    const actor = proxima("actor", "--nats", broker.url, "--run", "bench", "--name", `bench-${run}`);
    await actor.until((event) => event.type === "log" && String(event.message).startsWith("plays "));
    readyMs.push(performance.now() - at);
    await learner.until((event) => event.type === "iteration" && Number(event.iteration) > before + 10);
    memoryMiB.push(residentMiB(actor.child.pid!));
    await actor.kill("SIGTERM");
  }
  const bareMs = Array.from({ length: RUNS }, () => {
    const at = performance.now();
    spawnSync(process.execPath, ["-e", "0"]);
    return performance.now() - at;
  });
  const bare = spawn(process.execPath, ["-e", "setTimeout(() => {}, 5000); console.log(1)"]);
  await new Promise((resolve) => bare.stdout.once("data", resolve));
  const bareMiB = residentMiB(bare.pid!);
  bare.kill();
  console.log(
    `actor ready:   ${median(readyMs).toFixed(0)} ms (bare runtime ${median(bareMs).toFixed(0)} ms; budget 300 ms)`,
  );
  console.log(
    `actor memory:  ${median(memoryMiB).toFixed(0)} MiB after 10 iterations (bare runtime ${bareMiB.toFixed(0)} MiB; budget 90 MB)`,
  );
} finally {
  await Promise.all(started.map((process) => process.kill()));
  await broker.stop();
  rmSync(folder, { recursive: true, force: true });
}
