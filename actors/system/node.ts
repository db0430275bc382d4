/**
 * A node: offers what a machine has, takes actors from the queues that fit, and keeps them running. There is no head; nodes
 * agree through the directory.
 *
 * **Who holds an actor.** Its entry names the holder, changed only by compare-and-set. The request that led to it stays
 * unacknowledged in its queue while the actor lives, extended with every heartbeat: when its node dies, the broker delivers
 * it to another, which takes the actor over once the dead node's heartbeat has expired too.
 * **Nodes that come back.** An actor serves only while its lease lasts, which its node renews when the broker has confirmed
 * a heartbeat. A node that was away for longer first asks the directory which actors are still its own; it ends the others.
 */
import { ACTOR_NAME, nodesBucket, spawnQueue } from "../../proto/actor-subjects.ts";
import type { Bus, Delivery, KeyValue, Puller } from "../../proto/bus/bus.ts";
import { KeyConflictError } from "../../proto/bus/errors.ts";
import { sleep } from "../../proto/bus/timers.ts";
import { decodeData } from "../../proto/data.ts";
import { Directory, type Found } from "./directory.ts";
import {
  type ActorEntry,
  decodeNodeEntry,
  encodeEntry,
  type Labels,
  type NodeEntry,
  type Resources,
  type Runtime,
  resourcesText,
} from "./entry.ts";
import { deathsAfter, type Ending, gaveUp, HostedActor, type HostedDependencies } from "./hosted-actor.ts";
import { lookAgainMs, spawnPull } from "./spawn-queue.ts";

export interface NodeOptions {
  /** Unique among living nodes. */
  name: string;
  host: string;
  pid: number;
  cpus: number;
  /** Bytes. */
  memory: number;
  labels: Labels;
  runtimes: readonly Runtime[];
  /** A node not heard of for this long is dead. All nodes of a broker must agree on it. */
  leaseMs: number;
  /** How long actors may take to finish when this node is asked to stop. */
  graceMs: number;
  /** Actors being started at a time. */
  maxStarting: number;
}

export interface NodeDependencies extends Pick<HostedDependencies, "access" | "modules" | "vessel" | "onEvent"> {
  bus: Bus;
}

/** What a person or a program may want to know of a node's life. */
export type NodeEvent =
  | { type: "started"; actor: string; kind: string; incarnation: number; pid?: number }
  | { type: "running"; actor: string; incarnation: number }
  | { type: "died"; actor: string; because: string; deathsInARow: number; maxRestarts: number; pauseMs: number }
  | { type: "failed"; actor: string; because: string }
  | { type: "ended"; actor: string; how: Ending | "done" }
  | { type: "line"; actor: string; line: string }
  | { type: "notice"; message: string };

/** How long one look into a queue may wait: long, because an abort ends it. */
const PULL_MS = 30_000;

export class ActorNode {
  readonly #bus: Bus;
  readonly #deps: NodeDependencies;
  readonly #options: NodeOptions;
  readonly #boot = crypto.randomUUID();
  readonly #actors = new Map<string, HostedActor>();
  readonly #lives = new Set<Promise<void>>();
  readonly #queues = new Map<string, Promise<void>>();
  readonly #waiting = new Set<() => void>();
  #nodes!: KeyValue;
  #directory!: Directory;
  #cpusUsed = 0;
  #memoryUsed = 0;
  #leaseUntilMs = 0;
  #beating = false;
  #draining = false;

  constructor(options: NodeOptions, deps: NodeDependencies) {
    this.#options = options;
    this.#deps = deps;
    this.#bus = deps.bus;
  }

  /**
   * Offers capacity until the signal aborts; then lets its actors finish within the grace period and hands them on.
   * @param onReady called once the node is known to others
   */
  async run(signal: AbortSignal, onReady: () => void = () => {}): Promise<void> {
    const { leaseMs, graceMs, name } = this.#options;
    this.#nodes = await this.#bus.keyValue(nodesBucket, { ttlMs: leaseMs });
    await this.#register(signal);
    this.#directory = await Directory.open(this.#bus);
    const beating = setInterval(() => void this.#beat(), leaseMs / 4);
    try {
      this.#directory.onChange((actor, found) => this.#heard(actor, found, signal));
      for (const entry of await this.#directory.list()) this.#offer(entry.resources, signal);
      onReady();
      while (!signal.aborted) await this.#changed(signal);
      this.#draining = true;
      void this.#beat();
      for (const actor of this.#actors.values()) actor.end("moved");
      const insist = setTimeout(() => {
        for (const actor of this.#actors.values()) actor.insist();
      }, graceMs);
      await Promise.all(this.#queues.values());
      await Promise.all(this.#lives);
      clearTimeout(insist);
    } finally {
      clearInterval(beating);
      for (const actor of this.#actors.values()) actor.insist();
      await this.#nodes.delete(name).catch(() => {}); // else it expires
      await this.#directory.close();
    }
  }

  /** A node of this name that has just died still counts as alive for a moment. */
  async #register(signal: AbortSignal): Promise<void> {
    const { name, leaseMs } = this.#options;
    const deadline = Date.now() + 1.5 * leaseMs;
    for (;;) {
      signal.throwIfAborted();
      const sentAtMs = Date.now();
      try {
        await this.#nodes.put(name, encodeEntry(this.#entry()), { revision: 0 });
        this.#leaseUntilMs = sentAtMs + leaseMs;
        return;
      } catch (error) {
        if (!(error instanceof KeyConflictError)) throw error;
        if (Date.now() > deadline) {
          throw new Error(`Cannot join as node '${name}': another node of that name is alive. Choose another --name.`);
        }
        await sleep(leaseMs / 8, signal);
      }
    }
  }

  #entry(): NodeEntry {
    const { name, host, pid, cpus, memory, labels, runtimes } = this.#options;
    const actors = Object.fromEntries([...this.#actors].map(([actor, { load }]) => [actor, load]));
    return {
      name,
      boot: this.#boot,
      host,
      pid,
      cpus,
      cpusUsed: Math.round(this.#cpusUsed * 1e6) / 1e6,
      memory,
      memoryUsed: this.#memoryUsed,
      labels,
      runtimes: [...runtimes],
      draining: this.#draining,
      sentAtMs: Date.now(),
      actors,
    };
  }

  /** Says that this node lives, and once the broker has confirmed it, tells the actors. */
  async #beat(): Promise<void> {
    if (this.#beating) return;
    this.#beating = true;
    try {
      const sentAtMs = Date.now();
      const wasAway = sentAtMs > this.#leaseUntilMs;
      if (!wasAway) for (const actor of this.#actors.values()) actor.working();
      await this.#nodes.put(this.#options.name, encodeEntry(this.#entry()));
      if (wasAway) await this.#reclaim();
      this.#leaseUntilMs = sentAtMs + this.#options.leaseMs;
      for (const actor of this.#actors.values()) actor.lease(this.#leaseUntilMs);
    } catch (error) {
      this.#deps.onEvent({
        type: "notice",
        message: `cannot tell the broker that this node lives: ${(error as Error).message}`,
      });
    } finally {
      this.#beating = false;
    }
  }

  /** Others may have taken its actors for dead. Writing an entry again makes a takeover that is under way fail. */
  async #reclaim(): Promise<void> {
    const checks = [...this.#actors.values()].map(async (actor) => {
      const { name, id } = actor.entry;
      const isMine = (entry: ActorEntry) => entry.id === id && entry.holder?.boot === this.#boot;
      const found = await this.#directory.update(name, (entry) => (isMine(entry) ? { ...entry } : undefined));
      if (!found || !isMine(found.entry)) actor.end("replaced");
    });
    await Promise.all(checks);
    this.#deps.onEvent({
      type: "notice",
      message: "was away for longer than its lease; actors that others have taken over end here",
    });
  }

  /** News of an actor: one of ours that is wanted to end, or one that may need a place. */
  #heard(name: string, found: Found | undefined, signal: AbortSignal): void {
    const actor = this.#actors.get(name);
    if (actor && found?.entry.id === actor.entry.id) {
      const { holder, wanted } = found.entry;
      if (holder && holder.boot !== this.#boot) actor.end("replaced");
      else if (wanted !== "running") actor.end(wanted);
    } else if (actor) actor.end("replaced");
    else if (found) this.#offer(found.entry.resources, signal);
  }

  /** Begins to serve a queue, if this node could ever run what waits there. */
  #offer(resources: Resources, signal: AbortSignal): void {
    const { cpus, memory, labels, runtimes } = this.#options;
    const suits =
      resources.cpus <= cpus &&
      resources.memory <= memory &&
      runtimes.includes(resources.runtime) &&
      Object.entries(resources.labels).every(([key, value]) => labels[key] === value);
    const text = resourcesText(resources);
    if (!suits || this.#queues.has(text) || signal.aborted) return;
    const serving = this.#serve(text, resources, signal).catch(async (error) => {
      if (signal.aborted) return;
      this.#deps.onEvent({ type: "notice", message: `cannot take actors: ${error.message}` });
      await sleep(1_000, signal).catch(() => {});
      this.#queues.delete(text);
      this.#offer(resources, signal);
    });
    this.#queues.set(text, serving);
  }

  async #serve(text: string, resources: Resources, signal: AbortSignal): Promise<void> {
    const pull = spawnPull(spawnQueue(text), { ackWaitMs: this.#options.leaseMs });
    let puller: Puller | undefined;
    while (!signal.aborted) {
      if (!this.#hasRoom(resources)) {
        await this.#changed(signal);
        continue;
      }
      puller ??= await this.#bus.puller(pull);
      for (const delivery of await puller.next(1, PULL_MS, signal)) {
        if (signal.aborted || !this.#hasRoom(resources)) delivery.nak();
        else await this.#take(delivery, resources);
      }
    }
    await puller?.close();
  }

  #hasRoom({ cpus, memory }: Resources): boolean {
    let starting = 0;
    for (const actor of this.#actors.values()) if (actor.isStarting) starting++;
    return (
      this.#cpusUsed + cpus <= this.#options.cpus + 1e-9 &&
      this.#memoryUsed + memory <= this.#options.memory &&
      starting < this.#options.maxStarting
    );
  }

  /** Takes an actor, or leaves it to whom it belongs. */
  async #take(delivery: Delivery, resources: Resources): Promise<void> {
    this.#cpusUsed += resources.cpus;
    this.#memoryUsed += resources.memory;
    const free = () => {
      this.#cpusUsed -= resources.cpus;
      this.#memoryUsed -= resources.memory;
      this.#wake();
    };
    let entry: ActorEntry | undefined;
    try {
      entry = await this.#claim(delivery);
    } catch (error) {
      delivery.nak(1_000);
      if (!(error instanceof KeyConflictError)) {
        this.#deps.onEvent({ type: "notice", message: `could not take an actor: ${(error as Error).message}` });
      }
    }
    if (!entry) return free();
    const { name } = entry;
    const actor = new HostedActor(entry, delivery, {
      ...this.#deps,
      directory: this.#directory,
      leaseUntilMs: () => this.#leaseUntilMs,
      onEvent: (event) => {
        this.#deps.onEvent(event);
        this.#wake();
      },
    });
    this.#actors.set(name, actor);
    if (this.#draining) actor.end("moved");
    const life = actor.run().finally(() => {
      this.#actors.delete(name);
      this.#lives.delete(life);
      free();
    });
    this.#lives.add(life);
  }

  /** Returns the entry of an actor that is this node's from now on; otherwise the delivery has been dealt with. */
  async #claim(delivery: Delivery): Promise<ActorEntry | undefined> {
    let request: { name?: unknown; id?: unknown };
    try {
      request = decodeData(delivery.data, "a spawn request", 1_000) as typeof request;
    } catch {
      request = {};
    }
    const name = typeof request?.name === "string" && ACTOR_NAME.test(request.name) ? request.name : undefined;
    const found = name === undefined ? undefined : await this.#directory.read(name);
    const isFree = !found || (found.entry.state.type === "failed" && found.entry.id !== request.id);
    if (name !== undefined && isFree) {
      const againMs = lookAgainMs(delivery.deliveries); // whoever spawns it enters it a moment later
      if (againMs !== undefined) {
        delivery.nak(againMs);
        return undefined;
      }
      const message = `drops the request for actor ${name}: whoever spawned it died before entering it, or has taken it back`;
      this.#deps.onEvent({ type: "notice", message });
    }
    if (!found || found.entry.id !== request.id || found.entry.state.type === "failed") {
      await delivery.ack(); // nobody waits for it any more
      return undefined;
    }
    const { entry, revision } = found;
    const own = this.#actors.get(entry.name);
    if (own?.entry.id === entry.id) {
      own.adopt(delivery);
      return undefined;
    }
    if (entry.holder && entry.holder.boot !== this.#boot && (await this.#isAlive(entry.holder))) {
      delivery.nak(Math.min(this.#options.leaseMs, 100 * 2 ** delivery.deliveries));
      return undefined;
    }
    if (entry.wanted !== "running") {
      await this.#directory.update(entry.name, (now) => (now.id === entry.id ? "delete" : undefined));
      await delivery.ack();
      return undefined;
    }
    const claimed = this.#claimed(entry);
    await this.#directory.put(claimed, revision);
    if (claimed.state.type !== "failed") return claimed;
    this.#deps.onEvent({ type: "failed", actor: entry.name, because: claimed.state.because });
    await delivery.ack();
    return undefined;
  }

  /** An actor whose holder is dead has died with it; that counts, or an actor that takes its nodes along would go on for ever. */
  #claimed(entry: ActorEntry): ActorEntry {
    const holder = { node: this.#options.name, boot: this.#boot };
    if (!entry.holder) return { ...entry, holder, state: { type: "pending" } };
    const deathsInARow = deathsAfter(entry);
    const because = `ended with its node ${entry.holder.node}`;
    if (deathsInARow > entry.maxRestarts) {
      const state = { type: "failed" as const, because: gaveUp(because, deathsInARow) };
      return { ...entry, holder, deathsInARow, state };
    }
    return { ...entry, holder, deathsInARow, restarts: entry.restarts + 1, state: { type: "pending", because } };
  }

  async #isAlive({ node, boot }: { node: string; boot: string }): Promise<boolean> {
    const found = await this.#nodes.get(node);
    try {
      return found !== undefined && decodeNodeEntry(found.value).boot === boot;
    } catch {
      return false;
    }
  }

  /** Room has been made, or an actor has got further. */
  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  #changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const done = () => {
        this.#waiting.delete(done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      this.#waiting.add(done);
      signal.addEventListener("abort", done);
    });
  }
}
