/**
 * Broadcast of weights on this machine, beside the same bytes over plain TCP (no framing, no hash, one write) and beside Ray's
 * object store, where actors of one machine share one copy that nobody verifies.
 *   bun bench/weights.ts [--quick] [--rounds N] [--only PART] [--versions 10]
 * Milliseconds from publish() to the last subscriber that has verified and applied a version, median and 99th percentile (of so
 * few versions the largest, nearly). Versions follow 250 ms after the one before is everywhere. Subscribers live in as many
 * processes as there are cores; those of Ray are processes each, as its actors are.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { availableParallelism } from "node:os";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { weightsServer } from "../learner/weights-server.ts";
import { median } from "./credit-assignment/statistics.ts";
import { Party } from "./peers/party.ts";
import { peerPython, peerScript, pinned } from "./peers/python.ts";
import { benchOptions, type Comparison, type Figures, type Measure, sideBySide } from "./peers/side-by-side.ts";

const MiB = 1 << 20;
/** Of rank 16 for all projections of a language model of 0.5 B parameters, as bench/language.ts counts them. */
const ADAPTER_BYTES = 35_192_832;
const PAUSE_MS = 250;
/** Until all subscribers must have taken a version. */
const PATIENCE_MS = 120_000;
const options = benchOptions("weights", { rounds: 3, quickRounds: 1 }, { versions: "" });
const processes = Math.max(1, Math.min(4, availableParallelism()));
const script = new URL("testing/subscribers.ts", import.meta.url).pathname;

/** Subscribers in child processes; `applied` counts the lines that they print, one for each version or blob taken. */
function subscribers(mode: "weights" | "tcp", address: string, count: number, bytes: number) {
  const children: ChildProcess[] = [];
  let applied = 0;
  let wake = () => {};
  for (let i = 0; i < processes; i++) {
    const share = Math.floor(count / processes) + (i < count % processes ? 1 : 0);
    const child = spawn(process.execPath, [script, mode, address, String(share), String(bytes)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    createInterface({ input: child.stdout! }).on("line", () => {
      applied++;
      wake();
    });
    children.push(child);
  }
  return {
    async reached(total: number) {
      let late = false;
      const limit = setTimeout(() => {
        late = true;
        wake();
      }, PATIENCE_MS);
      while (applied < total && !late) await new Promise<void>((resolve) => (wake = resolve));
      clearTimeout(limit);
      if (applied < total)
        throw new Error(`only ${applied} of ${total} versions were taken within ${PATIENCE_MS / 1000} s`);
    },
    async stop() {
      for (const child of children) {
        child.stdin!.end();
        if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
      }
    },
  };
}

/** Enough to see how much they vary, few enough for the large ones to take seconds. */
const versionsOf = (bytes: number) => Number(options.extra.versions || (options.quick ? 3 : bytes > MiB ? 4 : 20));

function figuresOf(timesMs: readonly number[]): Figures {
  const sorted = timesMs.toSorted((a, b) => a - b);
  return { medianMs: median(sorted), p99Ms: sorted[Math.ceil(0.99 * sorted.length) - 1]! };
}

async function broadcast(bytes: number, count: number): Promise<Figures> {
  const server = await weightsServer({ run: "bench" });
  const group = subscribers("weights", server.address, count, bytes);
  const weights = Float32Array.from({ length: bytes / 4 }, () => Math.random());
  const times: number[] = [];
  try {
    while (server.subscribers().length < count) await pause(10);
    for (let counter = 0; counter <= versionsOf(bytes); counter++) {
      weights[0] = counter;
      const begin = performance.now();
      server.publish({ counter, weights });
      await group.reached((counter + 1) * count);
      if (counter > 0) times.push(performance.now() - begin); // the first one warms up
      await pause(PAUSE_MS);
    }
    return figuresOf(times);
  } finally {
    await group.stop();
    await server.close(0);
  }
}

async function plainTcp(bytes: number, count: number): Promise<Figures> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket.on("error", () => {})));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const group = subscribers("tcp", `127.0.0.1:${(server.address() as AddressInfo).port}`, count, bytes);
  const blob = Buffer.alloc(bytes, 7);
  const times: number[] = [];
  try {
    while (sockets.length < count) await pause(10);
    for (let round = 0; round <= versionsOf(bytes); round++) {
      const begin = performance.now();
      for (const socket of sockets) socket.write(blob);
      await group.reached((round + 1) * count);
      if (round > 0) times.push(performance.now() - begin);
      await pause(PAUSE_MS);
    }
    return figuresOf(times);
  } finally {
    await group.stop();
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

async function overRay(bytes: number, actors: number): Promise<Figures> {
  const ray = new Party(peerPython("ray"), [peerScript("weights_ray.py"), JSON.stringify({ bytes, actors })]);
  try {
    await ray.hears("ready");
    const times: number[] = [];
    for (let version = 0; version <= versionsOf(bytes); version++) {
      ray.ask(version);
      const ms = Number(await ray.hears());
      if (version > 0) times.push(ms);
      await pause(PAUSE_MS);
    }
    return figuresOf(times);
  } finally {
    await ray.end();
  }
}

type Peer = { name: string; goal?: number; take(bytes: number, count: number): Promise<Figures> };

function beside(bytes: number, count: number, { name, goal, take }: Peer): Comparison {
  const measures: Measure[] = [
    { figure: "medianMs", unit: "ms, median", better: "less", goal },
    { figure: "p99Ms", unit: "ms, p99", better: "less" },
  ];
  const ours = () => broadcast(bytes, count);
  const size = bytes === ADAPTER_BYTES ? "35 MB of adapters" : `${bytes / MiB} MiB`;
  return { name: `${size} to ${count}`, peer: name, measures, ours, theirs: () => take(bytes, count) };
}

const tcp: Peer = { name: "plain TCP", take: plainTcp };
const ray: Peer = { name: `Ray ${pinned("ray", "ray")} put and get`, take: overRay };
await sideBySide(options, [
  ...[1, 8, 32, 128].map((count) => beside(MiB, count, tcp)),
  ...[1, 8].map((count) => beside(64 * MiB, count, { ...tcp, goal: 0.6 })),
  beside(ADAPTER_BYTES, 8, tcp),
  ...[1, 8, 32].map((count) => beside(MiB, count, ray)),
  beside(64 * MiB, 8, ray),
  beside(MiB, 128, ray),
]);
