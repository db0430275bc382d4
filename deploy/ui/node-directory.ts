/** The nodes of the actor system on a run's broker: what they offer, what is taken of it, and which actors they hold. */
import { type ActorInfo, ActorSystem } from "../../actors/system/index.ts";
import { AbsentBucketError, type Bus, type NatsOptions, openBus } from "../../proto/bus/index.ts";
import type { WatchedRun } from "./watched-run.ts";

export interface NodeLine {
  name: string;
  host: string;
  cpus: number;
  cpusUsed: number;
  /** Bytes. */
  memory: number;
  memoryUsed: number;
  labels: Readonly<Record<string, string>>;
  draining: boolean;
  /** Since its last heartbeat was sent, by this machine's clock. */
  heardMs: number;
  actors: PlacedActor[];
}

export interface PlacedActor {
  name: string;
  kind: string;
  state: string;
  /** Why it does not run. */
  because?: string;
  restarts: number;
  mailbox?: number;
}

export interface NodesAnswer {
  nodes: NodeLine[];
  /** Actors that no node holds: they wait for one, or were given up. */
  unplaced: PlacedActor[];
  /** Why nothing is known. */
  silence?: string;
}

export interface NodeDirectoryOptions {
  /** The broker of all runs; each run's own when empty. */
  nats: string;
  access: Partial<NatsOptions>;
}

const CONNECT_MS = 2_000;
/** An answer this old is asked for again. */
const ANSWER_AGE_MS = 1_000;

interface Asked {
  bus: Promise<Bus>;
  system: Promise<ActorSystem>;
  atMs: number;
  answer: Promise<NodesAnswer>;
}

export class NodeDirectory {
  readonly #options: NodeDirectoryOptions;
  /** By the broker's address. */
  readonly #brokers = new Map<string, Asked>();

  constructor(options: NodeDirectoryOptions) {
    this.#options = options;
  }

  /** Of the broker that the run's learner uses; nothing where none is known. */
  of({ config }: WatchedRun): Promise<NodesAnswer> {
    const url = this.#options.nats || String(config.nats ?? "");
    if (url === "" || url === "memory") return Promise.resolve({ nodes: [], unplaced: [] });
    const known = this.#brokers.get(url);
    if (known && Date.now() - known.atMs < ANSWER_AGE_MS) return known.answer;
    const bus = known?.bus ?? openBus(url, { name: "proxima ui", ...this.#options.access, timeoutMs: CONNECT_MS });
    const system = known?.system ?? bus.then((open) => new ActorSystem(open));
    const answer = system.then(look).catch((error: Error) => {
      // Tried anew at the next question: a broker, or what a learner makes there, may come later.
      this.#brokers.delete(url);
      void close({ bus, system });
      return { nodes: [], unplaced: [], silence: error instanceof AbsentBucketError ? undefined : error.message };
    });
    this.#brokers.set(url, { bus, system, atMs: Date.now(), answer });
    return answer;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#brokers.values()].map(close));
    this.#brokers.clear();
  }
}

async function close({ bus, system }: Pick<Asked, "bus" | "system">): Promise<void> {
  await system.then((open) => open.close()).catch(() => {});
  await bus.then((open) => open.close()).catch(() => {});
}

async function look(system: ActorSystem): Promise<NodesAnswer> {
  const [nodes, actors] = await Promise.all([system.nodes(), system.list()]);
  const lines = nodes.map(({ name, host, cpus, cpusUsed, memory, memoryUsed, labels, draining, sentAtMs }) => ({
    ...{ name, host, cpus, cpusUsed, memory, memoryUsed, labels, draining },
    heardMs: Math.max(0, Date.now() - sentAtMs),
    actors: actors.filter(({ node }) => node === name).map(placed),
  }));
  const isHeld = ({ node }: ActorInfo) => nodes.some(({ name }) => name === node);
  return { nodes: lines, unplaced: actors.filter((actor) => !isHeld(actor)).map(placed) };
}

function placed({ name, kind, state, restarts, load }: ActorInfo): PlacedActor {
  const because = "because" in state ? state.because : undefined;
  return { name, kind, state: state.type, because, restarts, mailbox: load?.mailbox };
}
