/**
 * Actors as those see them who call them. The actors themselves live in processes on nodes ('proxima node'); there is no
 * head: what is to run is in the directory and in work queues, and whichever node is free takes it.
 *
 *   const system = new ActorSystem(bus);
 *   const counter = await system.spawn(Counter, 5, { name: "visits", cpus: 1 });
 *   await counter.add(1);
 *   const same = await system.get(Counter, "visits");
 */
import {
  checkActorName,
  DEFAULT_LEASE_MS,
  nodesBucket,
  type SpawnQueue,
  spawnQueue,
  spawnStream,
  spawnSubjects,
} from "../../proto/actor-subjects.ts";
import type { Bus, KeyValue } from "../../proto/bus/bus.ts";
import { KeyConflictError } from "../../proto/bus/errors.ts";
import { encodeData } from "../../proto/data.ts";
import { Caller } from "./caller.ts";
import { Directory } from "./directory.ts";
import {
  type ActorEntry,
  type ActorInfo,
  checkLabels,
  decodeNodeEntry,
  type Labels,
  type NodeEntry,
  type Resources,
  type Runtime,
  resourcesText,
} from "./entry.ts";
import { NameTakenError, NoSuchActorError } from "./errors.ts";
import { makeHandle } from "./handle.ts";
import type { Handle, Kind } from "./kind.ts";
import { moduleReference } from "./module-reference.ts";
import { ENTRY_MS, spawnPull } from "./spawn-queue.ts";

export interface SpawnOptions {
  /** Unique among living actors. Default: the kind's name and a random ending. */
  name?: string;
  /** Of the node it needs. Default 1; may be 0 or a fraction. */
  cpus?: number;
  /** Bytes of the node it needs. Default 0. */
  memory?: number;
  /** Labels that its node must have. */
  labels?: Labels;
  /** Restarts in a row before it is given up; a minute of life starts the count afresh. Default 4. */
  maxRestarts?: number;
  /** Pause before a restart, doubled for each further one in a row. Default 500 ms, at most 30 s. */
  backoff?: { firstMs?: number; maxMs?: number };
  /** Calls that may wait; further ones are refused with MailboxFullError. Default 1000. */
  mailbox?: number;
  /** Calls answered side by side. Default 1. */
  concurrency?: number;
  /** Default "process"; a "thread" shares its node's process: cheaper, and it dies with it. */
  isolation?: "process" | "thread";
  /** What runs the process. Default "bun". */
  runtime?: Runtime;
  /** When an actor of this kind has the name already: a handle of that one instead of NameTakenError. */
  getIfExists?: boolean;
}

/** The most bytes of an actor's arguments: every node and caller keeps a copy. */
const MAX_ARGUMENTS_BYTES = 65_536;
/** Of all spawn requests, each of which is a few dozen bytes. */
const MAX_QUEUE_BYTES = 16 << 20;
const DEFAULT_END_MS = 60_000;
/** How often somebody who waits for an actor's end looks whether its node still lives. */
const LOOK_AGAIN_MS = 1_000;

export class ActorSystem {
  readonly #bus: Bus;
  readonly #caller: Caller;
  readonly #queues = new Map<string, Promise<SpawnQueue>>();
  #stream: Promise<void> | undefined;
  #opening: Promise<{ directory: Directory; nodes: KeyValue }> | undefined;

  constructor(bus: Bus) {
    this.#bus = bus;
    this.#caller = new Caller(
      bus,
      () => this.#open().then(({ directory }) => directory),
      () => this.nodes(),
    );
  }

  /**
   * Registers an actor and asks for a node to run it; calls wait until one does. With `count`, that many actors `NAME-0`,
   * `NAME-1`, … with the same arguments.
   * @throws NameTakenError · TypeError for arguments that are not plain data · RangeError for options out of range
   */
  spawn<A, M extends object>(
    kind: Kind<A, M>,
    args: A,
    options: SpawnOptions & { count: number },
  ): Promise<Handle<M>[]>;
  spawn<A, M extends object>(kind: Kind<A, M>, args: A, options?: SpawnOptions): Promise<Handle<M>>;
  async spawn<A, M extends object>(
    kind: Kind<A, M>,
    args: A,
    { count, ...options }: SpawnOptions & { count?: number } = {},
  ): Promise<Handle<M> | Handle<M>[]> {
    const name = options.name ?? `${kind.name}-${Math.random().toString(36).slice(2, 8)}`;
    if (count === undefined) return this.#spawn(kind, args, name, options);
    if (!Number.isSafeInteger(count) || count < 1)
      throw new RangeError(`count must be a whole number >= 1, found ${count}.`);
    return Promise.all(Array.from({ length: count }, (_, i) => this.#spawn(kind, args, `${name}-${i}`, options)));
  }

  /** Throws NoSuchActorError, or TypeError when the actor of that name is of another kind. */
  async get<A, M extends object>(kind: Kind<A, M>, name: string): Promise<Handle<M>> {
    const { directory } = await this.#open();
    const found = await directory.read(checkActorName("an actor", name));
    if (!found) throw new NoSuchActorError(`There is no actor '${name}': it was never spawned, or has ended.`);
    if (found.entry.kind !== kind.name) {
      throw new TypeError(`Actor '${name}' is of kind '${found.entry.kind}', not '${kind.name}'.`);
    }
    return this.#handle(found.entry);
  }

  /** Every actor that lives, waits for a node, or has failed. */
  async list(): Promise<ActorInfo[]> {
    const { directory } = await this.#open();
    const [entries, nodes] = await Promise.all([directory.list(), this.nodes()]);
    return entries.map((entry) => infoOf(entry, nodes)).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The nodes that have been heard of lately. */
  async nodes(): Promise<NodeEntry[]> {
    const { nodes } = await this.#open();
    const entries = await Promise.all((await nodes.keys()).map((key) => nodes.get(key)));
    const read = entries.flatMap((entry) => {
      try {
        return entry ? [decodeNodeEntry(entry.value)] : [];
      } catch {
        return []; // of another release
      }
    });
    return read.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Tells of actors that are given up, from now on. Returns how to stop it. */
  async onFailure(listener: (actor: string, because: string) => void): Promise<() => void> {
    const { directory } = await this.#open();
    return directory.onChange((name, found) => {
      if (found?.entry.state.type === "failed") listener(name, found.entry.state.because);
    });
  }

  /** Takes no more calls, answers those in its mailbox, ends. Resolves when it has ended; it need not exist. */
  drain(name: string, options: { timeoutMs?: number } = {}): Promise<void> {
    return this.#end(name, "drained", options);
  }

  /** Ends it at once, or forgets a failed one. Resolves when it has ended; it need not exist. */
  kill(name: string, options: { timeoutMs?: number } = {}): Promise<void> {
    return this.#end(name, "killed", options);
  }

  /** Makes what nodes meet in, where roles decide who may: else whoever comes first does. */
  async open(): Promise<void> {
    await this.#open();
    await this.#openStream();
  }

  /** The actors live on. */
  async close(): Promise<void> {
    await (await this.#opening)?.directory.close();
  }

  #open() {
    this.#opening ??= (async () => ({
      directory: await Directory.open(this.#bus),
      nodes: await this.#bus.keyValue(nodesBucket, { ttlMs: DEFAULT_LEASE_MS, keep: true }),
    }))();
    return this.#opening;
  }

  async #spawn<A, M extends object>(
    kind: Kind<A, M>,
    args: A,
    name: string,
    options: SpawnOptions,
  ): Promise<Handle<M>> {
    const entry = newEntry(kind as Kind<unknown, object>, args, name, options);
    const { directory } = await this.#open();
    const queue = await this.#queue(entry.resources);
    const taken = await this.#register(directory, queue, entry);
    if (!taken) return this.#handle(entry);
    if (options.getIfExists && taken.kind === kind.name) return this.#handle(taken);
    throw new NameTakenError(
      `There is already an actor '${name}', of kind '${taken.kind}', ${taken.state.type}. Take another name, kill that one, or spawn with getIfExists.`,
    );
  }

  #openStream(): Promise<void> {
    this.#stream ??= this.#bus.stream({
      name: spawnStream,
      subjects: [spawnSubjects],
      maxBytes: MAX_QUEUE_BYTES,
      dedupWindowMs: 60_000,
      retention: "workqueue",
    });
    this.#stream.catch(() => {
      this.#stream = undefined;
    });
    return this.#stream;
  }

  /** The queue of a resource class, there from now on. */
  #queue(resources: Resources): Promise<SpawnQueue> {
    const queue = spawnQueue(resourcesText(resources));
    const open = async () => {
      await this.#openStream();
      await (await this.#bus.puller(spawnPull(queue, { keep: true }))).close();
      return queue;
    };
    const opened = this.#queues.get(queue.durable) ?? open();
    this.#queues.set(queue.durable, opened);
    opened.catch(() => this.#queues.delete(queue.durable));
    return opened;
  }

  /**
   * Asks for a node and then writes the entry, so that no entry is ever left without its request, whenever this process dies:
   * nodes drop a request whose entry does not come. Returns the entry of a living actor that has the name.
   */
  async #register(directory: Directory, queue: SpawnQueue, entry: ActorEntry): Promise<ActorEntry | undefined> {
    for (;;) {
      const found = await directory.read(entry.name);
      if (found && found.entry.state.type !== "failed") return found.entry;
      await this.#request(queue, entry);
      const asked = performance.now();
      try {
        await directory.put(entry, found?.revision ?? 0);
        // This process was held up for so long that the request may have been dropped.
        if (performance.now() - asked > ENTRY_MS / 2) await this.#request(queue, entry);
        return undefined;
      } catch (error) {
        if (!(error instanceof KeyConflictError)) throw error;
      }
    }
  }

  /** A second request for the same spawn does no harm. */
  async #request(queue: SpawnQueue, { name, id }: ActorEntry): Promise<void> {
    await this.#bus.publish(queue.subject, encodeData({ name, id }, "a spawn request"), { timeoutMs: 30_000 });
  }

  /** Writes what is wanted into the directory, where the actor's node sees it; what no living node holds ends here. */
  async #end(name: string, wanted: "drained" | "killed", { timeoutMs = DEFAULT_END_MS }: { timeoutMs?: number }) {
    const { directory } = await this.#open();
    const over = AbortSignal.timeout(timeoutMs);
    let id: string | undefined;
    for (let found = await directory.read(checkActorName("an actor", name)); found; found = directory.known(name)) {
      id ??= found.entry.id;
      if (found.entry.id !== id) return;
      if (over.aborted)
        throw new Error(`Actor '${name}' is to be ${wanted}, but has not ended within ${timeoutMs} ms.`);
      const { holder } = found.entry;
      const held = holder && (await this.nodes()).some(({ boot }) => boot === holder.boot);
      await directory.update(name, (entry) => {
        if (entry.id !== id || entry.holder?.boot !== holder?.boot) return undefined;
        if (!held || entry.state.type === "failed") return "delete";
        return entry.wanted === "killed" || entry.wanted === wanted ? undefined : { ...entry, wanted };
      });
      if (directory.known(name)?.entry.id !== id) return;
      await directory.changed(name, AbortSignal.any([over, AbortSignal.timeout(LOOK_AGAIN_MS)]));
    }
  }

  #handle<M>({ name, id }: Pick<ActorEntry, "name" | "id">): Handle<M> {
    return makeHandle<M>({ name, id }, this.#caller, {
      info: async () => {
        const { directory } = await this.#open();
        const found = await directory.read(name);
        if (found?.entry.id !== id) throw new NoSuchActorError(`Actor '${name}' has ended.`);
        return infoOf(found.entry, await this.nodes());
      },
      drain: (options) => this.drain(name, options),
      kill: (options) => this.kill(name, options),
    });
  }
}

function newEntry(kind: Kind<unknown, object>, args: unknown, name: string, options: SpawnOptions): ActorEntry {
  checkActorName("an actor", name);
  const amount = (what: string, value: number, min: number, whole: boolean) => {
    if (!(value >= min) || (whole && !Number.isSafeInteger(value))) {
      throw new RangeError(
        `${what} of actor '${name}' must be a ${whole ? "whole " : ""}number >= ${min}, found ${value}.`,
      );
    }
    return value;
  };
  const resources: Resources = {
    cpus: amount("cpus", options.cpus ?? 1, 0, false),
    memory: amount("memory", options.memory ?? 0, 0, false),
    labels: checkLabels(options.labels ?? {}),
    runtime: options.runtime ?? "bun",
  };
  const bytes = encodeData(args, `the arguments of ${name}`, MAX_ARGUMENTS_BYTES);
  return {
    name,
    kind: kind.name,
    module: moduleReference(kind.module),
    arguments: btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")),
    resources,
    isolation: options.isolation ?? "process",
    maxRestarts: amount("maxRestarts", options.maxRestarts ?? 4, 0, true),
    backoff: {
      firstMs: amount("backoff.firstMs", options.backoff?.firstMs ?? 500, 0, false),
      maxMs: amount("backoff.maxMs", options.backoff?.maxMs ?? 30_000, 0, false),
    },
    mailbox: amount("mailbox", options.mailbox ?? 1_000, 1, true),
    concurrency: amount("concurrency", options.concurrency ?? 1, 1, true),
    id: crypto.randomUUID(),
    spawnedAtMs: Date.now(),
    state: { type: "pending" },
    wanted: "running",
    incarnation: 0,
    restarts: 0,
    deathsInARow: 0,
  };
}

function infoOf({ arguments: _, holder, ...entry }: ActorEntry, nodes: readonly NodeEntry[]): ActorInfo {
  const node = nodes.find(({ name, boot }) => name === holder?.node && boot === holder.boot);
  return { ...entry, node: holder?.node, load: node?.actors[entry.name] };
}
