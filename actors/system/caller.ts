/** The sending end of calls: finds the actor's present life, sends, and makes sure that no call waits for a dead one. */
import { callSubject, cancelSubject } from "../../proto/actor-subjects.ts";
import type { Bus } from "../../proto/bus/bus.ts";
import { NoResponderError, RequestTimeoutError } from "../../proto/bus/errors.ts";
import { sleep } from "../../proto/bus/timers.ts";
import { encodeData } from "../../proto/data.ts";
import type { Directory } from "./directory.ts";
import { type ActorEntry, describeResources, type NodeEntry } from "./entry.ts";
import { ActorDiedError, ActorFailedError, CallTimeoutError, MailboxFullError, NoSuchActorError } from "./errors.ts";
import type { CallOptions } from "./kind.ts";
import { decodeAnswer, encodeCall, remoteError } from "./wire.ts";

export const DEFAULT_CALL_TIMEOUT_MS = 30_000;

/** A pause before an actor that could not be reached is tried again, unless the directory has news first. */
const AGAIN_MS = 50;

interface Actor {
  name: string;
  id: string;
}

interface UnderWay {
  incarnation: number;
  died: AbortController;
}

export class Caller {
  readonly #bus: Bus;
  readonly #open: () => Promise<Directory>;
  readonly #nodes: () => Promise<NodeEntry[]>;
  readonly #underWay = new Map<string, Set<UnderWay>>();
  readonly #prefix = Math.random().toString(36).slice(2, 10);
  #directory: Directory | undefined;
  #calls = 0;

  constructor(bus: Bus, open: () => Promise<Directory>, nodes: () => Promise<NodeEntry[]>) {
    this.#bus = bus;
    this.#open = open;
    this.#nodes = nodes;
  }

  async call(actor: Actor, method: string, args: unknown[], options: CallOptions, tell = false): Promise<unknown> {
    const { timeoutMs = DEFAULT_CALL_TIMEOUT_MS, signal, retries = 0 } = options;
    const deadline = performance.now() + timeoutMs;
    signal?.throwIfAborted();
    const directory = this.#directory ?? (await this.#listen());
    for (let deaths = 0; ; ) {
      const known = directory.known(actor.name)?.entry;
      const ready = known?.id === actor.id && known.state.type === "running";
      const entry = ready ? known : await this.#running(directory, actor, deadline, timeoutMs, signal);
      try {
        const answer = await this.#send(entry, method, args, deadline, timeoutMs, signal, tell);
        if (answer.type === "done") return answer.value ?? undefined;
        if (answer.type === "threw") throw remoteError(answer);
        if (answer.why === "full") throw new MailboxFullError(answer.message);
        if (answer.why === "unfit") throw new TypeError(`Cannot call ${actor.name}.${method}(): ${answer.message}`);
      } catch (error) {
        if (error instanceof ActorDiedError && deaths++ < retries) continue;
        if (!(error instanceof NoResponderError)) throw error;
      }
      // Not done, and known not to be: asking its next life keeps to "at most once".
      if (performance.now() >= deadline) throw new CallTimeoutError(await this.#explain(entry, timeoutMs));
      await this.#pause(directory, actor.name, deadline, signal);
    }
  }

  async ready(actor: Actor, { timeoutMs = DEFAULT_CALL_TIMEOUT_MS, signal }: CallOptions): Promise<void> {
    const directory = this.#directory ?? (await this.#listen());
    await this.#running(directory, actor, performance.now() + timeoutMs, timeoutMs, signal);
  }

  async #listen(): Promise<Directory> {
    const directory = await this.#open();
    if (!this.#directory) {
      this.#directory = directory;
      directory.onChange((name, found) => {
        for (const call of this.#underWay.get(name) ?? []) {
          const lives = found?.entry.incarnation === call.incarnation && found.entry.state.type === "running";
          if (!lives) call.died.abort();
        }
      });
    }
    return directory;
  }

  /** Waits until the actor runs. */
  async #running(
    directory: Directory,
    actor: Actor,
    deadline: number,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<ActorEntry> {
    const over = AbortSignal.timeout(Math.max(1, Math.ceil(deadline - performance.now())));
    const until = signal ? AbortSignal.any([signal, over]) : over;
    let found = await directory.read(actor.name);
    for (;;) {
      const entry = found?.entry;
      if (entry?.id !== actor.id) throw new NoSuchActorError(`Actor '${actor.name}' has ended.`);
      if (entry.state.type === "running") return entry;
      if (entry.state.type === "failed") {
        throw new ActorFailedError(`Actor '${actor.name}' was given up: ${entry.state.because}`);
      }
      signal?.throwIfAborted();
      if (until.aborted) throw new CallTimeoutError(await this.#explain(entry, timeoutMs));
      await directory.changed(actor.name, until);
      found = directory.known(actor.name);
    }
  }

  async #send(
    { name, incarnation }: ActorEntry,
    method: string,
    args: unknown[],
    deadline: number,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    tell: boolean,
  ) {
    const leftMs = Math.max(1, deadline - performance.now());
    const id = `${this.#prefix}-${++this.#calls}`;
    const bytes = encodeCall(name, { id, method, arguments: args, timeoutMs: leftMs, tell });
    const call = { incarnation, died: new AbortController() };
    const giveUp = () => call.died.abort(); // one signal for both reasons to stop waiting
    signal?.addEventListener("abort", giveUp, { once: true });
    const others = this.#underWay.get(name) ?? new Set();
    this.#underWay.set(name, others);
    others.add(call);
    try {
      const options = { timeoutMs: leftMs, signal: call.died.signal };
      return decodeAnswer(
        await this.#bus.request(callSubject(name, incarnation), bytes, options),
        `${name}.${method}()`,
      );
    } catch (error) {
      if (signal?.aborted) {
        const order = encodeData(id, "a cancellation");
        void this.#bus.request(cancelSubject(name, incarnation), order, { timeoutMs: 5_000 }).catch(() => {});
        throw signal.reason;
      }
      if (call.died.signal.aborted) {
        throw new ActorDiedError(
          `Actor '${name}' ended while ${method}() was under way; it may or may not have been done. If doing it twice does no harm, call with retries.`,
        );
      }
      if (error instanceof RequestTimeoutError) {
        throw new CallTimeoutError(
          `No answer of ${name}.${method}() within ${timeoutMs} ms. The actor lives; the method is slow or stuck, or many calls wait before this one. It may still be done.`,
          { cause: error },
        );
      }
      throw error;
    } finally {
      signal?.removeEventListener("abort", giveUp);
      others.delete(call);
      if (others.size === 0) this.#underWay.delete(name);
    }
  }

  /** Until there is news of the actor, or a moment has passed, or the deadline. */
  async #pause(directory: Directory, name: string, deadline: number, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    const leftMs = Math.max(1, Math.min(AGAIN_MS, deadline - performance.now()));
    const stop = new AbortController();
    await Promise.race([sleep(leftMs), directory.changed(name, stop.signal)]);
    stop.abort();
    await directory.read(name);
  }

  /** Why an actor does not run yet. */
  async #explain(entry: ActorEntry, timeoutMs: number): Promise<string> {
    const { name, state, resources } = entry;
    if (state.type === "running") {
      return `Actor '${name}' on node ${entry.holder?.node ?? "?"} could not be reached within ${timeoutMs} ms, so the call was not done. Its node may be frozen or cut off.`;
    }
    const start = `Actor '${name}' did not run within ${timeoutMs} ms, so the call was not sent`;
    if (state.type !== "pending") {
      const because = state.type === "restarting" ? `: ${state.because}` : "";
      return `${start}; it is ${state.type} on node ${entry.holder?.node ?? "?"}${because}.`;
    }
    const nodes = await this.#nodes();
    const offers = nodes.map((node) => {
      const labels = Object.entries(node.labels).map(([key, value]) => `, ${key}=${value}`);
      return `${node.name} (${node.cpusUsed} of ${node.cpus} cpus taken${labels.join("")})`;
    });
    const there =
      offers.length === 0
        ? "there is no node: start one with 'proxima node'"
        : `there are ${offers.slice(0, 10).join(", ")}`;
    return `${start}; it waits for a node with ${describeResources(resources)}, and ${there}.`;
  }
}
