/**
 * Either end of the way of trajectories, for bench/transport.ts. Each line on its standard input is the number of an iteration:
 *   trajectories.ts send proxima|raw URL COUNT FIRST   publishes COUNT episodes of it, 64 under way, and prints "sent"
 *   trajectories.ts take proxima|raw URL COUNT         prints "ready", takes COUNT of them, and prints "taken" when all are acknowledged
 * raw: the same bytes with @nats-io/jetstream alone, neither encoded nor decoded nor checked.
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { Inbox } from "../../learner/inbox.ts";
import { Ledger } from "../../learner/ledger.ts";
import { connectNats } from "../../proto/bus/nats.ts";
import { encodeTrajectory } from "../../proto/codec.ts";
import { subjects as subjectsOf } from "../../proto/subjects.ts";
import { sampleLineage, textTrajectory } from "../../proto/testing/trajectories.ts";

const UNDER_WAY = 64;
const TIMEOUT_MS = 60_000;

const subjects = subjectsOf("bench");
const CONSUMER = {
  stream: subjects.trajectoryStream,
  durable: subjects.trajectoryConsumer,
  ackWaitMs: TIMEOUT_MS,
  maxAckPending: 65_536,
};
/** Episodes differ, as they do; groups of 8. */
const episodes = Array.from({ length: 16 }, (_, i) => textTrajectory(50, i + 1));
const memberOf = (i: number) => ({ group: i >> 3, member: i & 7 });

async function send(how: string, url: string, count: number, from: number): Promise<void> {
  const bus = await connectNats({ servers: url, timeoutMs: TIMEOUT_MS });
  const connection = await connect({ servers: url, noAsyncTraces: true });
  const client = jetstream(connection, { timeout: TIMEOUT_MS });
  const encoded = episodes.map((episode) => encodeTrajectory(episode));
  const proxima = (i: number, iteration: number) => {
    const name = { iteration, ...memberOf(i) };
    const lineage = sampleLineage({ run: "bench", ...name });
    return bus.publish(subjects.trajectory(lineage), encodeTrajectory({ ...episodes[i % 16]!, lineage }), {
      id: `${iteration}/${i}`,
      timeoutMs: TIMEOUT_MS,
    });
  };
  const raw = (i: number, iteration: number) =>
    client.publish(subjects.trajectory({ iteration, ...memberOf(i) }), encoded[i % 16]!, {
      msgID: `${iteration}/${i}`,
    });
  const publish: (i: number, iteration: number) => Promise<unknown> = how === "proxima" ? proxima : raw;
  console.log("ready");
  for await (const line of createInterface({ input: process.stdin })) {
    let next = from;
    const one = async () => {
      while (next < from + count) await publish(next++, Number(line));
    };
    await Promise.all(Array.from({ length: UNDER_WAY }, one));
    console.log("sent");
  }
}

/** As the learner takes an iteration: decoded and checked as it comes, acknowledged when all of it is there. */
async function takeAsLearner(url: string, count: number): Promise<void> {
  const bus = await connectNats({ servers: url, timeoutMs: TIMEOUT_MS });
  const ledger = new Ledger();
  const inbox = new Inbox(await bus.puller(CONSUMER), {
    bus,
    subjects,
    ledger,
    misfit: () => undefined,
    isVoid: () => false,
    onFailure() {},
    maxAttempts: 1,
    retry: async () => {},
    onEpisode() {},
    onDeadLetter: (subject, reason) => console.error(`${subject}: ${reason}`),
  });
  const { signal } = new AbortController();
  void inbox.pump(signal);
  for await (const line of createInterface({ input: process.stdin })) {
    const iteration = Number(line);
    const groups = Math.ceil(count / 8);
    ledger.start(iteration, groups, 8);
    console.log("ready");
    const taken = await inbox.collect(iteration, () => ledger.isReady(iteration, { groups, share: 1 }), signal);
    if (taken.length !== count) throw new Error(`took ${taken.length} of ${count} trajectories`);
    await Promise.all(inbox.release(iteration).map((delivery) => delivery.ack()));
    console.log("taken");
  }
}

async function takeRaw(url: string, count: number): Promise<void> {
  const client = jetstream(await connect({ servers: url, noAsyncTraces: true }), { timeout: TIMEOUT_MS });
  const consumer = await client.consumers.get(subjects.trajectoryStream, subjects.trajectoryConsumer);
  const messages = await consumer.consume({ max_messages: 256 });
  const arriving = messages[Symbol.asyncIterator]();
  for await (const _ of createInterface({ input: process.stdin })) {
    console.log("ready");
    const acks: Promise<boolean>[] = [];
    while (acks.length < count) acks.push((await arriving.next()).value!.ackAck());
    await Promise.all(acks);
    console.log("taken");
  }
}

const [end, how, url, count, first] = process.argv.slice(2);
if (end === "send") await send(how!, url!, Number(count), Number(first));
else await (how === "proxima" ? takeAsLearner : takeRaw)(url!, Number(count));
process.exit(0);
