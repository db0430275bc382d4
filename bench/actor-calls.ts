/**
 * Round trip of a call between two processes on one machine: a typed call of an actor, beside raw NATS request and reply with
 * the same few bytes, in turns in one run.
 *
 * bun bench/actor-calls.ts [--calls 2000] [--rounds 5]
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { connect } from "@nats-io/transport-node";
import { ActorSystem } from "../actors/system/index.ts";
import { testingBroker } from "../deploy/testing-broker.ts";
import { connectNats } from "../proto/bus/nats.ts";
import { Echo } from "./testing/actors.ts";

const { values } = parseArgs({
  options: { calls: { type: "string", default: "2000" }, rounds: { type: "string", default: "5" } },
});
const calls = Number(values.calls);
const rounds = Number(values.rounds);
const SIDE_BY_SIDE = 64;
const SUBJECT = "bench.echo";

const broker = await testingBroker();
if (!broker) process.exit(1);
const children: ChildProcess[] = [];
async function start(...args: string[]): Promise<void> {
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  children.push(child);
  await once(child.stdout!, "data");
}
await start(join(import.meta.dirname, "testing/echo-responder.ts"), broker.url, SUBJECT);
await start(join(import.meta.dirname, "../deploy/proxima.ts"), "node", "--nats", broker.url);

const bus = await connectNats({ servers: broker.url });
const system = new ActorSystem(bus);
const actor = await system.spawn(Echo, null, { concurrency: SIDE_BY_SIDE });
await actor.ready();
const raw = await connect({ servers: broker.url, noAsyncTraces: true });
const payload = new Uint8Array(8);

const contenders: Record<string, (i: number) => Promise<unknown>> = {
  "actor call": (i) => actor.echo(i),
  "raw NATS": () => raw.request(SUBJECT, payload, { timeout: 10_000 }),
};
const micros: Record<string, number[]> = { "actor call": [], "raw NATS": [] };
const perSecond: Record<string, number[]> = { "actor call": [], "raw NATS": [] };
const at = (sorted: number[], share: number) => sorted[Math.floor(share * (sorted.length - 1))]!;

for (let round = 0; round <= rounds; round++) {
  for (const [name, call] of Object.entries(contenders)) {
    const times: number[] = [];
    for (let i = 0; i < calls; i++) {
      const before = performance.now();
      await call(i);
      times.push((performance.now() - before) * 1_000);
    }
    const before = performance.now();
    let sent = 0;
    const lane = async () => {
      while (sent++ < calls) await call(sent);
    };
    await Promise.all(Array.from({ length: SIDE_BY_SIDE }, lane));
    if (round === 0) continue; // warms up
    micros[name]!.push(...times);
    perSecond[name]!.push(calls / ((performance.now() - before) / 1_000));
  }
}
for (const name of Object.keys(contenders)) {
  const sorted = micros[name]!.toSorted((a, b) => a - b);
  const rate = at(
    perSecond[name]!.toSorted((a, b) => a - b),
    0.5,
  );
  console.log(
    `${name.padEnd(10)}  round trip: median ${at(sorted, 0.5).toFixed(0)} µs, p90 ${at(sorted, 0.9).toFixed(0)} µs, p99 ${at(sorted, 0.99).toFixed(0)} µs; ` +
      `${SIDE_BY_SIDE} side by side: ${rate.toFixed(0)} calls/s`,
  );
}
const median = (name: string) =>
  at(
    micros[name]!.toSorted((a, b) => a - b),
    0.5,
  );
console.log(
  `actor call / raw NATS: ${(median("actor call") / median("raw NATS")).toFixed(2)} × the median round trip (budget 300 µs on an idle machine)`,
);

await actor.kill();
await system.close();
await bus.close();
await raw.close();
for (const child of children) child.kill("SIGTERM");
await broker.stop();
process.exit(0);
