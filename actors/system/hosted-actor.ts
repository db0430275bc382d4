/** One actor on its node: starts it, starts it again when it dies, and ends it when that is wanted. */
import type { Delivery } from "../../proto/bus/bus.ts";
import { sleep } from "../../proto/bus/timers.ts";
import type { Directory } from "./directory.ts";
import type { ActorEntry, ActorLoad, ActorState } from "./entry.ts";
import type { BusAccess, FromActor } from "./host.ts";
import { modulePath } from "./module-reference.ts";
import type { NodeEvent } from "./node.ts";
import type { Vessel, VesselEvents } from "./vessel.ts";

export interface HostedDependencies {
  directory: Directory;
  access: BusAccess;
  /** Folders besides this package whose modules may be loaded. */
  modules: readonly string[];
  /** Starts what the actor is to live in. `module` is the file of its kind. */
  vessel(entry: ActorEntry, module: string, events: VesselEvents): Promise<{ vessel: Vessel; module: string }>;
  leaseUntilMs(): number;
  onEvent(event: NodeEvent): void;
}

/** After a life of this long, an actor's deaths are counted afresh. */
export const HEALTHY_MS = 60_000;
/** An actor that is not made within this long is ended, like one that dies. */
const START_MS = 300_000;
const MAX_REASON = 2_000;
const LAST_LINES = 5;

/** Why it is to end: by request, because its node leaves, or because another node has it now. */
export type Ending = "drained" | "killed" | "moved" | "replaced";

export class HostedActor {
  /** As this node last wrote it. */
  entry: ActorEntry;
  readonly #deps: HostedDependencies;
  #delivery: Delivery;
  #vessel: Vessel | undefined;
  #ending: Ending | undefined;
  readonly #stopped = new AbortController();
  #lastLines: string[] = [];
  #told = { mailbox: 0, calls: 0 };
  #lastSignMs = Date.now();

  /** @param entry claimed by this node */
  constructor(entry: ActorEntry, delivery: Delivery, deps: HostedDependencies) {
    this.entry = entry;
    this.#delivery = delivery;
    this.#deps = deps;
  }

  get load(): ActorLoad {
    return { ...this.#told, silentMs: Date.now() - this.#lastSignMs, pid: this.#vessel?.pid };
  }

  get isStarting(): boolean {
    return this.entry.state.type === "starting" || this.entry.state.type === "pending";
  }

  /** Its request came again: from now on this delivery stands for it. */
  adopt(delivery: Delivery): void {
    this.#delivery = delivery;
  }

  /** Keeps its request from going to another node. */
  working(): void {
    this.#delivery.working();
  }

  lease(untilMs: number): void {
    this.#vessel?.send({ type: "lease", untilMs });
  }

  /** Asks it to end, or insists. */
  end(how: Ending): void {
    if (this.#ending === "killed" || this.#ending === "replaced") return;
    this.#ending = how;
    this.#stopped.abort();
    if (how === "drained" || how === "moved") this.#vessel?.send({ type: "drain" });
    else this.#vessel?.kill();
  }

  /** The time for an orderly end is over. */
  insist(): void {
    this.#vessel?.kill();
  }

  /** Its life on this node, to the end. */
  async run(): Promise<void> {
    try {
      await this.#live();
      await this.#settle();
    } catch (error) {
      // The broker is away, or this release has a bug: others will find the request.
      this.#vessel?.kill();
      this.#deps.onEvent({
        type: "notice",
        message: `lost hold of actor ${this.entry.name}: ${(error as Error).message}`,
      });
    }
  }

  /** Life after life, until it ends for good. */
  async #live(): Promise<void> {
    let pauseMs = this.#pauseMs();
    while (!this.#ending) {
      await sleep(pauseMs, this.#stopped.signal).catch(() => {});
      if (this.#ending) return;
      const { incarnation } = this.entry;
      if (!(await this.#write({ incarnation: incarnation + 1, startedAtMs: Date.now(), state: { type: "starting" } })))
        return;
      const death = await this.#liveOnce();
      if (this.#ending || death === undefined) return;
      if (!(await this.#died(death))) return;
      pauseMs = this.#pauseMs();
    }
  }

  /** Returns how it died, with its last words; undefined when it ended in order. */
  async #liveOnce(): Promise<string | undefined> {
    const { directory: _, access, modules, vessel: open, leaseUntilMs, onEvent } = this.#deps;
    const { name, kind, incarnation } = this.entry;
    this.#lastLines = [];
    this.#told = { mailbox: 0, calls: 0 };
    let failure: string | undefined;
    let stopWaiting = () => {};
    let module: string;
    try {
      const path = modulePath(this.entry.module, modules);
      const onLine = (line: string) => this.#line(line);
      const onMessage = (message: FromActor) => {
        this.#lastSignMs = Date.now();
        if (message.type === "running") {
          stopWaiting();
          void this.#runs(incarnation);
        } else if (message.type === "load") this.#told = { mailbox: message.mailbox, calls: message.calls };
        else if (message.type === "log") this.#line(message.message);
        else if (message.type === "failed") failure = message.stack || message.message;
      };
      ({ vessel: this.#vessel, module } = await open(this.entry, path, { onMessage, onLine }));
    } catch (error) {
      return `cannot be started: ${(error as Error).message}`;
    }
    onEvent({ type: "started", actor: name, kind, incarnation, pid: this.#vessel.pid });
    this.#vessel.send({ type: "lease", untilMs: leaseUntilMs() });
    this.#vessel.send({ type: "host", entry: this.entry, module, bus: access });
    if (this.#ending === "drained" || this.#ending === "moved") this.#vessel.send({ type: "drain" });
    else if (this.#ending) this.#vessel.kill();
    const tooLate = setTimeout(() => {
      failure = `did not start within ${START_MS / 1_000} s`;
      this.#vessel?.kill();
    }, START_MS);
    stopWaiting = () => clearTimeout(tooLate);
    const { how, isOrderly } = await this.#vessel.ended;
    stopWaiting();
    this.#vessel = undefined;
    if (isOrderly) return undefined;
    const words = failure ? [failure] : this.#lastLines;
    return [how, ...words].join("\n  ").slice(0, MAX_REASON);
  }

  /** It can be called from now on. */
  async #runs(incarnation: number): Promise<void> {
    const { onEvent } = this.#deps;
    const { name } = this.entry;
    try {
      const isStarting = (entry: ActorEntry) => entry.incarnation === incarnation && entry.state.type === "starting";
      if (!(await this.#write({ state: { type: "running" } }, isStarting))) return; // it has died meanwhile
      onEvent({ type: "running", actor: name, incarnation });
    } catch (error) {
      onEvent({ type: "notice", message: `cannot announce actor ${name}: ${(error as Error).message}` });
      this.#vessel?.kill(); // it is started again, and announced then
    }
  }

  /** False when that was once too often. */
  async #died(because: string): Promise<boolean> {
    const { name, maxRestarts, restarts } = this.entry;
    const deathsInARow = deathsAfter(this.entry);
    if (deathsInARow > maxRestarts) {
      const reason = gaveUp(because, deathsInARow);
      await this.#write({ deathsInARow, state: { type: "failed", because: reason } });
      this.#deps.onEvent({ type: "failed", actor: name, because: reason });
      return false;
    }
    this.entry = { ...this.entry, deathsInARow };
    const pauseMs = this.#pauseMs();
    this.#deps.onEvent({ type: "died", actor: name, because, deathsInARow, maxRestarts, pauseMs });
    const state: ActorState = { type: "restarting", because, atMs: Date.now() + pauseMs };
    return this.#write({ deathsInARow, restarts: restarts + 1, state });
  }

  /** What becomes of its entry and its request. */
  async #settle(): Promise<void> {
    const { name, state } = this.entry;
    const { directory, onEvent } = this.#deps;
    const how = this.#ending ?? "done";
    if (how === "replaced") {
      onEvent({ type: "ended", actor: name, how: "replaced" });
    } else if (how === "moved") {
      if (await this.#write({ holder: undefined, state: { type: "pending", because: "its node left" } }))
        this.#delivery.nak();
      onEvent({ type: "ended", actor: name, how: "moved" });
    } else if (state.type === "failed") {
      await this.#delivery.ack();
    } else {
      await directory.update(name, (entry) => (this.#isMine(entry) ? "delete" : undefined));
      await this.#delivery.ack();
      onEvent({ type: "ended", actor: name, how });
    }
  }

  #pauseMs(): number {
    const { deathsInARow, backoff } = this.entry;
    return deathsInARow === 0 ? 0 : Math.min(backoff.maxMs, backoff.firstMs * 2 ** (deathsInARow - 1));
  }

  /** False when it does not fit any more, and when the actor is no longer this node's: then it ends. */
  async #write(change: Partial<ActorEntry>, fits = (_: ActorEntry) => true): Promise<boolean> {
    let isMine = false;
    let isWritten = false;
    const found = await this.#deps.directory.update(this.entry.name, (entry) => {
      isMine = this.#isMine(entry);
      isWritten = isMine && fits(entry);
      return isWritten ? { ...entry, ...change } : undefined;
    });
    if (!found || !isMine) this.end("replaced");
    else if (isWritten) this.entry = found.entry;
    return isWritten;
  }

  #isMine({ id, holder }: ActorEntry): boolean {
    return id === this.entry.id && holder?.boot === this.entry.holder?.boot;
  }

  #line(line: string): void {
    this.#lastLines = [...this.#lastLines.slice(1 - LAST_LINES), line];
    this.#deps.onEvent({ type: "line", actor: this.entry.name, line });
  }
}

/** Deaths in a row, with the one that has just happened. */
export function deathsAfter({ startedAtMs = 0, deathsInARow }: ActorEntry): number {
  return Date.now() - startedAtMs > HEALTHY_MS ? 1 : deathsInARow + 1;
}

export const gaveUp = (because: string, deaths: number) =>
  deaths === 1 ? `it ${because}` : `it ${because}\n  That was its death number ${deaths} in a row.`;
