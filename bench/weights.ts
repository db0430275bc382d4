/**
 * Broadcast of weights on this machine, in one run: `bun bench/weights.ts [--quick]`.
 *   1. 1 MiB to 32 subscribers: milliseconds from publish() to the last one verified and applied (budget 100), beside plain TCP.
 *   2. 64 MiB to 8 subscribers: MB/s over all of them, against the same bytes over plain TCP without hashing.
 *   3. Adapters of rank 16 for all projections of a language model of 0.5 B parameters (35 MB) to 8 subscribers: milliseconds.
 * Subscribers live in processes of their own, several to a process, as many processes as there are cores.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { availableParallelism } from "node:os";
import { createInterface } from "node:readline";
import { weightsServer } from "../learner/weights-server.ts";

const MiB = 1 << 20;
const ADAPTER_BYTES = 35_192_832; // as bench/language.ts counts them
const quick = process.argv.includes("--quick");
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
      while (applied < total) await new Promise<void>((resolve) => (wake = resolve));
    },
    async stop() {
      for (const child of children) {
        child.stdin!.end();
        if (child.exitCode === null) await once(child, "exit");
      }
    },
  };
}

const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1];

/** Milliseconds from publish to the last subscriber, for each of `rounds` versions. */
async function broadcast(bytes: number, count: number, rounds: number): Promise<number[]> {
  const server = await weightsServer({ run: "bench" });
  const group = subscribers("weights", server.address, count, bytes);
  const weights = Float32Array.from({ length: bytes / 4 }, () => Math.random());
  const times: number[] = [];
  for (let counter = 0; counter <= rounds; counter++) {
    while (server.subscribers().length < count) await new Promise((resolve) => setTimeout(resolve, 10));
    weights[0] = counter;
    const begin = performance.now();
    server.publish({ counter, weights });
    await group.reached((counter + 1) * count);
    if (counter > 0) times.push(performance.now() - begin); // the first one warms up
  }
  await group.stop();
  await server.close(0);
  return times;
}

/** The same through plain sockets: no framing, no hash, one write. */
async function plainTcp(bytes: number, count: number, rounds: number): Promise<number[]> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket.on("error", () => {})));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const group = subscribers("tcp", `127.0.0.1:${(server.address() as AddressInfo).port}`, count, bytes);
  const blob = Buffer.alloc(bytes, 7);
  const times: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    while (sockets.length < count) await new Promise((resolve) => setTimeout(resolve, 10));
    const begin = performance.now();
    for (const socket of sockets) socket.write(blob);
    await group.reached((round + 1) * count);
    if (round > 0) times.push(performance.now() - begin);
  }
  await group.stop();
  for (const socket of sockets) socket.destroy();
  server.close();
  return times;
}

const small = await broadcast(MiB, 32, quick ? 5 : 20);
const smallTcp = await plainTcp(MiB, 32, quick ? 5 : 20);
console.log(
  `1 MiB to 32 subscribers: median ${median(small).toFixed(0)} ms, worst ${Math.max(...small).toFixed(0)} ms until the last one ` +
    `applied it (budget 100 on an idle machine); plain TCP ${median(smallTcp).toFixed(0)} ms`,
);
const rounds = quick ? 2 : 4;
const rate = (ms: number) => (64 * 8 * MiB) / 1e6 / (ms / 1000);
const grpc = rate(median(await broadcast(64 * MiB, 8, rounds)));
const tcp = rate(median(await plainTcp(64 * MiB, 8, rounds)));
console.log(
  `64 MiB to 8 subscribers: ${grpc.toFixed(0)} MB/s hashed and verified, plain TCP ${tcp.toFixed(0)} MB/s (ratio ${(grpc / tcp).toFixed(2)})`,
);
const adapters = await broadcast(ADAPTER_BYTES, 8, rounds);
console.log(
  `${(ADAPTER_BYTES / 1e6).toFixed(0)} MB of adapters to 8 subscribers: median ${median(adapters).toFixed(0)} ms until the last one applied them`,
);
