/** Injects seeded faults into a run on several hosts, lets it end, and holds what it did against a run that nobody disturbed. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { trainInProcess } from "../../deploy/in-process.ts";
import { Random } from "../../envs/random.ts";
import { runSchema } from "../../learner/config.ts";
import { formatMetrics } from "../../learner/metrics/metrics-file.ts";
import { defaultProvider } from "../../policy/tensor/provider.ts";
import { memoryBus } from "../../proto/bus/memory.ts";
import { resolveConfig } from "../../proto/config.ts";
import { Cluster, settings, untimed } from "./cluster.ts";
import { crashes, drawKind, faults, type Moment, reapLeaks } from "./faults.ts";
import { residentMiB } from "./supervised.ts";

export interface ChaosOptions {
  /** The nats-server program. */
  program: string;
  faults: number;
  /** The faults are spread over this time. */
  minutes: number;
  seed: number;
  actorHosts: number;
  nodeHosts: number;
  log(line: string): void;
}

export interface ChaosReport {
  seed: number;
  separateHosts: boolean;
  hosts: number;
  minutes: number;
  /** Injected, by kind. */
  faults: Record<string, number>;
  iterations: number;
  episodes: { started: number; trained: number; dropped: Record<string, number>; inFlight: number };
  starts: { learner: number; broker: number; actors: number; nodes: number; reapedForMemory: number };
  /** Median resident memory in MiB of the first and the last third of the time. */
  memory: Record<string, { first: number; last: number; max: number }>;
  /** What is not as it should be; empty when everything is. */
  broken: string[];
}

/** No iteration for this long, whatever is done to it, is a failure. */
const STALL_MS = 180_000;
const CALM_ITERATIONS = 3;

export async function chaos(options: ChaosOptions): Promise<ChaosReport> {
  const { log } = options;
  const random = new Random(options.seed);
  const startedAt = performance.now();
  const counts: Record<string, number> = {};
  const notices: string[] = [];
  let iteration = -1;
  let movedAt = performance.now();
  let crashedAt = 0;
  const cluster = await Cluster.start({
    program: options.program,
    actorHosts: options.actorHosts,
    nodeHosts: options.nodeHosts,
    onEvent(event) {
      if (event.type === "iteration") {
        iteration = event.iteration as number;
        movedAt = performance.now();
      } else if (event.type === "notice" && !String(event.message).startsWith("Dead letter")) {
        notices.push(String(event.message));
        log(`      the learner says: ${event.message}`);
      }
    },
  });
  const memory = new MemoryLog(cluster);
  const pending = new Map<object, { end(): void; timer: ReturnType<typeof setTimeout> }>();
  const endAll = () => {
    for (const { end, timer } of pending.values()) {
      clearTimeout(timer);
      end();
    }
    pending.clear();
  };
  try {
    const moving = async (until: () => boolean) => {
      while (!until()) {
        if (performance.now() - movedAt > STALL_MS) {
          const last = cluster.learner.lastWords.slice(-3).join("\n");
          throw new Error(
            `No iteration for ${STALL_MS / 1000} s. ${notices.at(-1) ?? ""}\nThe learner's last words:\n${last}`,
          );
        }
        await sleep(20);
      }
    };
    const held = () => cluster.nodes.reduce((n, { pids }) => n + pids.length, 0);
    await moving(() => iteration >= 1 && held() === cluster.placed);
    const faultsFrom = performance.now();
    let reaped = 0;
    for (let done = 0; done < options.faults; ) {
      const dueAt = faultsFrom + ((done + random.uniform()) / options.faults) * options.minutes * 60_000;
      await moving(() => performance.now() >= dueAt);
      reaped += reapLeaks(cluster);
      const kind = drawKind(random);
      const moment: Moment = { cluster, random, iteration, iterationsSinceCrash: iteration - crashedAt };
      const injected = await faults[kind]!.inject(moment);
      if (!injected) continue; // another kind then
      done++;
      counts[kind] = (counts[kind] ?? 0) + 1;
      if (crashes.includes(kind)) crashedAt = iteration;
      log(
        `${((performance.now() - startedAt) / 1000).toFixed(1)} s  ${done}/${options.faults}  ${kind}: ${injected.target}${injected.forMs ? ` for ${injected.forMs} ms` : ""}  (iteration ${iteration})`,
      );
      if (!injected.end) continue;
      const { end, forMs } = injected;
      const timer = setTimeout(() => {
        pending.delete(injected);
        end();
      }, forMs);
      pending.set(injected, { end, timer });
    }
    endAll();
    const calmFrom = iteration;
    await moving(() => iteration >= calmFrom + CALM_ITERATIONS);
    const minutes = (performance.now() - faultsFrom) / 60_000;
    const iterations = iteration + CALM_ITERATIONS + 20;
    log(`All faults are over; the run ends after iteration ${iterations}.`);
    const learnerStarts = cluster.learner.starts;
    const { balance } = (await cluster.finish(iterations)) as { balance: Balance };
    const metrics = cluster.metrics();
    const starts = {
      learner: learnerStarts + cluster.learner.starts,
      broker: 1 + cluster.brokerStarts,
      actors: cluster.actors.reduce((n, actor) => n + actor.starts, 0),
      nodes: cluster.nodes.reduce((n, node) => n + node.process.starts, 0),
      reapedForMemory: reaped,
    };
    log("Comparing with an undisturbed run.");
    const broken = [...brokenAccounts(balance, metrics, iterations), ...(await differences(metrics, iterations))];
    return {
      seed: options.seed,
      separateHosts: cluster.hosts.every(({ isSeparate }) => isSeparate),
      hosts: cluster.hosts.length,
      minutes,
      faults: counts,
      iterations,
      episodes: {
        started: balance.started,
        trained: balance.trained,
        dropped: balance.reasons,
        inFlight: balance.inFlight,
      },
      starts,
      memory: memory.thirds(),
      broken,
    };
  } finally {
    endAll();
    memory.close();
    await cluster.close();
  }
}

interface Balance {
  started: number;
  trained: number;
  dropped: number;
  inFlight: number;
  reasons: Record<string, number>;
}

/** The ledger's sum at the end and in every line, and lines without gap or repetition. */
function brokenAccounts(balance: Balance, metrics: Record<string, number>[], iterations: number): string[] {
  const broken: string[] = [];
  const { started, trained, dropped, inFlight } = balance;
  if (started !== trained + dropped + inFlight)
    broken.push(`${started} started is not ${trained} trained + ${dropped} dropped + ${inFlight} in flight`);
  if (metrics.length !== iterations) broken.push(`${metrics.length} lines of metrics for ${iterations} iterations`);
  for (const [i, line] of metrics.entries()) {
    const accounted = line["ledger/trained"]! + line["ledger/dropped"]! + line["ledger/inFlight"]!;
    if (line.iteration !== i) broken.push(`line ${i} is of iteration ${line.iteration}`);
    if (accounted !== line["ledger/started"])
      broken.push(`iteration ${i} accounts for ${accounted} of ${line["ledger/started"]}`);
  }
  return broken;
}

/**
 * The same settings in one process, without faults: bit for bit the same metrics say that nothing was trained twice, left out or
 * changed, as any of that would have changed the weights.
 */
async function differences(metrics: Record<string, number>[], iterations: number): Promise<string[]> {
  const { config } = resolveConfig(runSchema, [
    { source: "chaos", values: { ...settings, iterations, totalEnvSteps: 0 } },
  ]);
  const folder = mkdtempSync(join(tmpdir(), "proxima-undisturbed-"));
  const broken: string[] = [];
  const bus = memoryBus();
  const compare = (i: number, expected: string) => {
    const found = metrics[i] && textOf(metrics[i]);
    if (found !== expected && broken.length < 5)
      broken.push(`iteration ${i} differs from the undisturbed run:\n${found}${expected}`);
  };
  try {
    const options = {
      bus,
      provider: defaultProvider(),
      actors: 1,
      checkpointsFolder: join(folder, "checkpoints"),
      onIteration: ({
        iteration,
        envSteps,
        values,
      }: {
        iteration: number;
        envSteps: number;
        values: Record<string, number>;
      }) => compare(iteration, textOf({ iteration, envSteps, ...values })),
      onNotice() {},
      log() {},
    };
    await trainInProcess(config, options, new AbortController().signal);
  } finally {
    await bus.close();
    rmSync(folder, { recursive: true, force: true });
  }
  return broken;
}

function textOf({ iteration = 0, envSteps = 0, ...values }: Record<string, number>): string {
  return formatMetrics(iteration, envSteps, untimed(values));
}

const MEMORY_EVERY_MS = 1000;

type Role = "learner" | "broker" | "actor" | "node" | "placed actor";

class MemoryLog {
  readonly #samples: Record<Role, number[]> = { learner: [], broker: [], actor: [], node: [], "placed actor": [] };
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(cluster: Cluster) {
    this.#timer = setInterval(() => {
      this.#note("learner", cluster.learner.pid);
      this.#note("broker", cluster.broker.pid);
      for (const { pid } of cluster.actors) this.#note("actor", pid);
      for (const { process, pids } of cluster.nodes) {
        this.#note("node", process.pid);
        for (const pid of pids) this.#note("placed actor", pid);
      }
    }, MEMORY_EVERY_MS);
  }

  thirds(): ChaosReport["memory"] {
    const sampled = Object.entries(this.#samples).filter(([, samples]) => samples.length > 0);
    const all = sampled.map(([role, samples]) => {
      const third = Math.ceil(samples.length / 3);
      const [first, last] = [median(samples.slice(0, third)), median(samples.slice(-third))];
      return [role, { first, last, max: Math.max(...samples) }];
    });
    return Object.fromEntries(all);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #note(role: Role, pid: number | undefined): void {
    const mebibytes = residentMiB(pid);
    if (mebibytes !== undefined) this.#samples[role].push(mebibytes);
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
