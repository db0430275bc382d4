/** What can go wrong, and how often: each fault is injected, lasts a while, and is taken back. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Random } from "../../envs/random.ts";
import { subjects } from "../../proto/subjects.ts";
import { ACTOR_LIMIT_MIB, type Cluster, RUN } from "./cluster.ts";
import type { Host } from "./hosts.ts";
import { residentMiB, type Supervised } from "./supervised.ts";
import type { Orders } from "./world.ts";

/** What a fault needs to know of the moment. */
export interface Moment {
  cluster: Cluster;
  random: Random;
  /** Newest iteration that was heard of. */
  iteration: number;
  /** Iterations since the learner, or the broker, was killed: the next time waits for progress. */
  iterationsSinceCrash: number;
}

export interface Injected {
  target: string;
  /** How long until it is taken back, in ms; 0 where there is nothing to take back. */
  forMs: number;
  end?(): void;
}

interface Fault {
  weight: number;
  /** Undefined when it cannot be done now. */
  inject(moment: Moment): Injected | undefined | Promise<Injected | undefined>;
}

const between = (random: Random, low: number, high: number) => low + random.below(high - low);
const pick = <T>(random: Random, list: readonly T[]): T | undefined =>
  list.length ? list[random.below(list.length)] : undefined;

/** Killed processes are started again by whoever supervises them. */
function kill(process: Supervised | undefined): Injected | undefined {
  if (!process?.pid) return undefined;
  process.signal("SIGKILL");
  return { target: process.name, forMs: 0 };
}

function stop(process: Supervised | undefined, forMs: number): Injected | undefined {
  if (!process?.pid || process.stopped) return undefined;
  const { pid } = process;
  process.signal("SIGSTOP");
  const end = () => {
    if (process.pid === pid) process.signal("SIGCONT");
  };
  return { target: process.name, forMs, end };
}

const someActor = ({ cluster, random }: Moment) => pick(random, cluster.actors);
const someNode = ({ cluster, random }: Moment) => pick(random, cluster.nodes);

/** An actor that a node holds. */
function somePlaced({ cluster, random }: Moment): Placed | undefined {
  return pick(
    random,
    cluster.nodes.flatMap(({ host, pids }) => pids.map((pid) => ({ name: `an actor on ${host.name}`, pid }))),
  );
}

interface Placed {
  name: string;
  pid: number;
}

/** Its node starts it again. */
function killPlaced(actor: Placed | undefined): Injected | undefined {
  return actor && signalled(actor.pid, "SIGKILL") ? { target: actor.name, forMs: 0 } : undefined;
}

function stopPlaced(actor: Placed | undefined, forMs: number): Injected | undefined {
  if (!actor || !signalled(actor.pid, "SIGSTOP")) return undefined;
  return { target: actor.name, forMs, end: () => void signalled(actor.pid, "SIGCONT") };
}

/** A host whose links are whole. */
const broken = new Set<Host>();
function link(state: { cut: boolean; delayMs: number }, { cluster, random }: Moment): Injected | undefined {
  const host = pick(
    random,
    cluster.hosts.slice(1).filter((each) => !broken.has(each)),
  ); // each but the broker's
  if (!host) return undefined;
  broken.add(host);
  host.setLink(state);
  const end = () => {
    broken.delete(host);
    host.setLink({ cut: false, delayMs: 0 });
  };
  return { target: host.name, forMs: between(random, 200, 4000), end };
}

/** A machine goes with everything on it: its actor, or its node with all actors, and its network. */
function wholeHost(signal: "SIGKILL" | "SIGSTOP", moment: Moment): Injected | undefined {
  const { actors, nodes } = moment.cluster;
  const machines = [
    ...actors.map((process) => ({ process, pids: [] as number[] })),
    ...nodes.map(({ process, pids }) => ({ process, pids })),
  ];
  const machine = pick(moment.random, machines);
  if (!machine?.process.pid || machine.process.stopped || !machine.process.host.signal(signal)) return undefined;
  const { process, pids } = machine;
  const { host, pid } = process;
  for (const each of pids) signalled(each, signal);
  process.signal(signal);
  const end = () => {
    if (signal === "SIGKILL") return host.start();
    host.signal("SIGCONT");
    for (const each of pids) signalled(each, "SIGCONT");
    if (process.pid === pid) process.signal("SIGCONT");
  };
  return { target: `host ${host.name}`, forMs: between(moment.random, 200, 5000), end };
}

function order(orders: Orders, { cluster, random }: Moment): Injected | undefined {
  const host = pick(random, [...cluster.actors, ...cluster.nodes])?.host;
  if (!host) return undefined;
  writeFileSync(cluster.ordersFile(host.name), JSON.stringify(orders));
  return { target: `an actor on ${host.name}`, forMs: 0 };
}

const SENDING = { timeoutMs: 2000 };
const names = subjects(RUN);

/** Bytes that are no message, under the name of a member that may be in flight, or as a task. */
async function garbage({ cluster, random, iteration }: Moment): Promise<Injected | undefined> {
  const bytes = Uint8Array.from({ length: between(random, 1, 3000) }, () => random.below(256));
  if (random.below(2)) bytes[0] = 0x10; // looks like a message at first
  const of = { iteration: iteration + random.below(3), group: random.below(8), member: random.below(4) };
  const subject = random.below(4) ? names.trajectory(of) : names.task(of);
  return (await sent(cluster, subject, bytes)) ? { target: subject, forMs: 0 } : undefined;
}

/** A trajectory once more, whole or cut short, by somebody who is no actor. */
async function replay({ cluster, random, iteration }: Moment): Promise<Injected | undefined> {
  const of = { iteration: iteration + random.below(2), group: random.below(8), member: random.below(4) };
  const subject = names.trajectory(of);
  try {
    const bus = await cluster.bus();
    const message = await bus.last(names.trajectoryStream, subject);
    if (!message) return undefined;
    const length = random.below(2) ? message.data.length : random.below(message.data.length);
    const isSent = await sent(cluster, subject, message.data.subarray(0, length));
    return isSent ? { target: subject, forMs: 0 } : undefined;
  } catch {
    return undefined; // the broker is away
  }
}

async function sent(cluster: Cluster, subject: string, bytes: Uint8Array): Promise<boolean> {
  try {
    await (await cluster.bus()).publish(subject, bytes, SENDING);
    return true;
  } catch {
    return false;
  }
}

function fillDisk({ cluster, random }: Moment): Injected | undefined {
  const file = join(cluster.runFolder, "filler");
  if (!cluster.hasSmallDisk) return undefined;
  const fill = (bytes: number) => {
    for (;;) writeFileSync(file, new Uint8Array(bytes), { flag: "a" });
  };
  for (const bytes of [1 << 20, 1 << 12]) {
    try {
      fill(bytes);
    } catch {
      // Full to that grain.
    }
  }
  return { target: "learner's disk", forMs: between(random, 300, 3000), end: () => rmSync(file, { force: true }) };
}

/** False when there is no such process any more. */
function signalled(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

const CRASH_APART = 1;

/** Kinds with how often they come, relative to each other. */
export const faults: Readonly<Record<string, Fault>> = {
  "actor killed": { weight: 14, inject: (m) => kill(someActor(m)) },
  "actor stopped": { weight: 14, inject: (m) => stop(someActor(m), between(m.random, 100, 6000)) },
  "node killed": { weight: 8, inject: (m) => kill(someNode(m)?.process) },
  "node stopped": { weight: 8, inject: (m) => stop(someNode(m)?.process, between(m.random, 100, 6000)) },
  "placed actor killed": { weight: 10, inject: (m) => killPlaced(somePlaced(m)) },
  "placed actor stopped": { weight: 8, inject: (m) => stopPlaced(somePlaced(m), between(m.random, 100, 6000)) },
  "host killed": { weight: 5, inject: (m) => wholeHost("SIGKILL", m) },
  "host stopped": { weight: 5, inject: (m) => wholeHost("SIGSTOP", m) },
  "learner killed": {
    weight: 3,
    inject: (m) => (m.iterationsSinceCrash < CRASH_APART ? undefined : kill(m.cluster.learner)),
  },
  "learner stopped": { weight: 5, inject: (m) => stop(m.cluster.learner, between(m.random, 100, 3000)) },
  "broker killed": {
    weight: 2,
    inject({ cluster, iterationsSinceCrash }) {
      if (cluster.brokerStopped || iterationsSinceCrash < CRASH_APART) return undefined;
      if (!signalled(cluster.broker.pid, "SIGKILL")) return undefined;
      return { target: "broker", forMs: 0 };
    },
  },
  "broker stopped": {
    weight: 4,
    inject({ cluster, random }) {
      if (cluster.brokerStopped) return undefined;
      const { pid } = cluster.broker;
      if (!signalled(pid, "SIGSTOP")) return undefined;
      cluster.brokerStopped = true;
      const end = () => {
        cluster.brokerStopped = false;
        signalled(pid, "SIGCONT");
      };
      return { target: "broker", forMs: between(random, 100, 2500), end };
    },
  },
  "link cut": { weight: 12, inject: (m) => link({ cut: true, delayMs: 0 }, m) },
  "link slow": { weight: 10, inject: (m) => link({ cut: false, delayMs: between(m.random, 20, 300) }, m) },
  "disk full": { weight: 3, inject: (m) => (m.iterationsSinceCrash < CRASH_APART ? undefined : fillDisk(m)) },
  "message corrupted": { weight: 10, inject: garbage },
  "message repeated": { weight: 6, inject: replay },
  "environment throws": { weight: 7, inject: (m) => order({ throws: between(m.random, 1, 6) }, m) },
  "environment hangs": { weight: 5, inject: (m) => order({ hangs: 1 }, m) },
  "environment leaks": { weight: 4, inject: (m) => order({ leakMiB: between(m.random, 50, 200) }, m) },
};

export const crashes: readonly string[] = ["learner killed", "broker killed", "disk full"];

/** A kind of fault, by weight. */
export function drawKind(random: Random): string {
  const entries = Object.entries(faults);
  let left = random.below(entries.reduce((sum, [, { weight }]) => sum + weight, 0));
  for (const [kind, { weight }] of entries) {
    left -= weight;
    if (left < 0) return kind;
  }
  throw new RangeError("weights changed while one was drawn");
}

/** Ends actors that have grown too large. Returns how many. */
export function reapLeaks({ actors, nodes }: Cluster): number {
  const isLarge = (pid: number | undefined) => (residentMiB(pid) ?? 0) > ACTOR_LIMIT_MIB;
  const large = actors.filter(({ pid }) => isLarge(pid));
  for (const actor of large) actor.signal("SIGKILL");
  const placed = nodes.flatMap(({ pids }) => pids).filter(isLarge);
  for (const pid of placed) signalled(pid, "SIGKILL");
  return large.length + placed.length;
}
