/**
 * Trajectories from two actor processes to a learner process: Proxima's own path (encode, JetStream, decode, check, ledger, confirmed
 * acknowledgement) beside as many bytes over JetStream alone, by `nats bench` (in Go) and by the client that Proxima uses, and beside
 * Ray's actor calls and object store.
 *   bun bench/transport.ts [--quick] [--rounds N] [--only PEER] [--count 1600]
 * Trajectories per second, from the first that is sent to the last that is acknowledged; episodes of 50 text steps (14 kB, 5 kB packed),
 * 64 under way for each actor.
 */
import { testingBroker } from "../deploy/testing-broker.ts";
import { connectNats } from "../proto/bus/nats.ts";
import { encodeTrajectory } from "../proto/codec.ts";
import { subjects as subjectsOf } from "../proto/subjects.ts";
import { textTrajectory } from "../proto/testing/trajectories.ts";
import { median } from "./credit-assignment/statistics.ts";
import { installNats, NATS_CLI, natsBench } from "./peers/nats-bench.ts";
import { Party } from "./peers/party.ts";
import { peerPython, peerScript, pinned } from "./peers/python.ts";
import { benchOptions, type Comparison, type Figures, sideBySide } from "./peers/side-by-side.ts";

const ACTORS = 2;
const REPEATS = 5;
const options = benchOptions("transport", { rounds: 5, quickRounds: 1 }, { count: "1600" });
/** Of each actor; whole groups. */
const share = Math.ceil(Number(options.extra.count) / ACTORS / 8) * 8;
const count = share * ACTORS;
const UNDER_WAY = 64;
const subjects = subjectsOf("bench");

/** A broker with the stream of trajectories, as the learner makes it. */
async function brokerWithStream() {
  const broker = await testingBroker();
  if (!broker) throw new Error("there is no nats-server");
  const bus = await connectNats({ servers: broker.url });
  const stream = { name: subjects.trajectoryStream, subjects: [subjects.trajectories], maxBytes: 1 << 30 };
  await bus.stream({ ...stream, dedupWindowMs: 120_000, retention: "workqueue" });
  return { broker, bus };
}

async function overNats(how: "proxima" | "raw"): Promise<Figures> {
  const { broker, bus } = await brokerWithStream();
  const durable = { stream: subjects.trajectoryStream, durable: subjects.trajectoryConsumer };
  await (await bus.puller({ ...durable, ackWaitMs: 60_000, maxAckPending: 65_536 })).close();
  await bus.close();
  const script = new URL("testing/trajectories.ts", import.meta.url).pathname;
  const learner = new Party(process.execPath, [script, "take", how, broker.url, count]);
  const actors = Array.from(
    { length: ACTORS },
    (_, i) => new Party(process.execPath, [script, "send", how, broker.url, share, i * share]),
  );
  try {
    await Promise.all(actors.map((actor) => actor.hears("ready")));
    const rates: number[] = [];
    for (let iteration = 0; iteration <= REPEATS; iteration++) {
      learner.ask(iteration);
      await learner.hears("ready");
      const began = performance.now();
      for (const actor of actors) actor.ask(iteration);
      await Promise.all([learner.hears("taken"), ...actors.map((actor) => actor.hears("sent"))]);
      if (iteration > 0) rates.push((1000 * count) / (performance.now() - began)); // the first one warms up
    }
    return { trajectoriesPerSecond: median(rates) };
  } finally {
    await Promise.all([learner, ...actors].map((party) => party.end()));
    await broker.stop();
  }
}

/** Its consumer confirms without waiting for an answer, which is less than ours does. */
async function overNatsBench(): Promise<Figures> {
  installNats();
  const { broker, bus } = await brokerWithStream();
  await bus.close();
  const sizes = Array.from({ length: 16 }, (_, i) => encodeTrajectory(textTrajectory(50, i + 1)).length);
  const bytes = Math.round(sizes.reduce((sum, size) => sum + size) / sizes.length);
  const subject = subjects.trajectories.replace(/\.>$/, "");
  const work = { url: broker.url, stream: subjects.trajectoryStream, subject, count, bytes };
  const rates: number[] = [];
  try {
    for (let repeat = 0; repeat < REPEATS; repeat++)
      rates.push(await natsBench({ ...work, publishers: ACTORS, batch: UNDER_WAY }));
    return { trajectoriesPerSecond: median(rates) };
  } finally {
    await broker.stop();
  }
}

/** What an episode holds, as a Python program would keep it. */
function asColumns(seed: number) {
  const { steps, outcome } = textTrajectory(50, seed);
  const plain = (_: string, value: unknown) => (ArrayBuffer.isView(value) ? Array.from(value as Float64Array) : value);
  return JSON.parse(JSON.stringify({ ...steps, outcome }, plain));
}

async function overRay(how: "call" | "store"): Promise<Figures> {
  const settings = { how, actors: ACTORS, share, repeats: REPEATS, underWay: UNDER_WAY };
  const ray = new Party(peerPython("ray"), [peerScript("transport_ray.py"), JSON.stringify(settings)]);
  try {
    ray.ask(JSON.stringify(Array.from({ length: 16 }, (_, i) => asColumns(i + 1))));
    await ray.hears("ready");
    const rates: number[] = [];
    for (let iteration = 0; iteration <= REPEATS; iteration++) {
      const began = performance.now();
      ray.ask(iteration);
      await ray.hears("taken");
      if (iteration > 0) rates.push((1000 * count) / (performance.now() - began));
    }
    return { trajectoriesPerSecond: median(rates) };
  } finally {
    await ray.end();
  }
}

function beside(peer: string, theirs: () => Promise<Figures>, goal: number): Comparison {
  const measures = [{ figure: "trajectoriesPerSecond", unit: "trajectories/s", better: "more", goal } as const];
  return { name: `${ACTORS} actors to a learner`, peer, measures, ours: () => overNats("proxima"), theirs };
}

await sideBySide(options, [
  beside(`nats bench ${NATS_CLI}, 2 publishers and a consumer`, overNatsBench, 0.8),
  beside("JetStream alone, by its client in TypeScript", () => overNats("raw"), 0.8),
  beside(`Ray ${pinned("ray", "ray")}, actor calls`, () => overRay("call"), 3),
  beside(`Ray ${pinned("ray", "ray")}, object store`, () => overRay("store"), 3),
]);
