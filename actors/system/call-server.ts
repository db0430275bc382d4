/** The receiving end of calls: takes them into the mailbox, runs them, answers. */
import { AsyncLocalStorage } from "node:async_hooks";
import { sleep } from "../../proto/bus/timers.ts";
import { decodeData } from "../../proto/data.ts";
import type { ActorEntry } from "./entry.ts";
import { checkMethods } from "./kind.ts";
import { type Job, Mailbox } from "./mailbox.ts";
import { type Answer, type Call, decodeCall, encodeAnswer, threw } from "./wire.ts";

// On Node an actor's module is a bundle of its own: its copy of this file must see the calls of the host's copy.
const shared = globalThis as { [CALLS]?: AsyncLocalStorage<{ signal: AbortSignal }> };
const CALLS = Symbol.for("proxima.calls");
shared[CALLS] ??= new AsyncLocalStorage();
const calls = shared[CALLS];

/**
 * The call that a method is answering: its signal aborts when the caller has given up or the deadline has passed. Outside
 * of calls it never aborts.
 */
export function currentCall(): { readonly signal: AbortSignal } {
  return calls.getStore() ?? { signal: new AbortController().signal };
}

/** How long an actor whose lease seems over waits for news of it. */
const NEWS_MS = 50;

interface Pending extends Job {
  stop: AbortController;
}

export class CallServer {
  readonly #entry: ActorEntry;
  readonly #methods: Record<string, (...args: unknown[]) => unknown>;
  readonly #mailbox: Mailbox;
  readonly #log: (message: string) => void;
  readonly #pending = new Map<string, Pending>();
  #draining = false;
  /** Until when this actor knows that nobody has taken its place, ms since 1970. */
  leaseUntilMs = 0;

  constructor(entry: ActorEntry, made: unknown, log: (message: string) => void) {
    this.#entry = entry;
    this.#methods = checkMethods(entry.kind, made);
    this.#mailbox = new Mailbox(entry.mailbox, entry.concurrency);
    this.#log = log;
  }

  get load() {
    return { mailbox: this.#mailbox.waiting, calls: this.#mailbox.done };
  }

  /** Takes no more calls; resolves when those in the mailbox are answered. */
  drain(): Promise<void> {
    this.#draining = true;
    return this.#mailbox.empty();
  }

  /** One request on the actor's subject. */
  async answer(bytes: Uint8Array): Promise<Uint8Array> {
    let call: Call;
    try {
      call = decodeCall(bytes);
    } catch (error) {
      return encodeAnswer(this.#entry.name, { type: "refused", why: "unfit", message: (error as Error).message });
    }
    return encodeAnswer(`${this.#entry.name}.${call.method}()`, this.#refusal(call) ?? (await this.#take(call)));
  }

  /** One request on the subject for cancelling. */
  cancel(bytes: Uint8Array): Uint8Array {
    const id = decodeData(bytes, "a cancellation", 1_000);
    this.#pending.get(String(id))?.stop.abort(new Error("The caller has cancelled the call."));
    return new Uint8Array(0);
  }

  get #hasLease(): boolean {
    return Date.now() <= this.leaseUntilMs;
  }

  get #lost(): Answer {
    const message = `Actor '${this.#entry.name}' has lost its node, and may have been replaced.`;
    return { type: "refused", why: "away", message };
  }

  #refusal({ method }: Call): Answer | undefined {
    const { name, kind } = this.#entry;
    if (this.#draining) return { type: "refused", why: "away", message: `Actor '${name}' is ending.` };
    if (!this.#hasLease) return this.#lost;
    if (method in Object.prototype || typeof this.#methods[method] !== "function") {
      const names = methodNames(this.#methods).join(", ");
      const message = `Actor '${name}' of kind '${kind}' has no method '${method.slice(0, 60)}'; it has: ${names || "none"}.`;
      return { type: "refused", why: "unfit", message };
    }
    return undefined;
  }

  #take(call: Call): Promise<Answer> {
    return new Promise((resolve) => {
      const stop = new AbortController();
      const expired = () => stop.abort(new Error(`The deadline of the call has passed (${call.timeoutMs} ms).`));
      const timer = setTimeout(expired, call.timeoutMs);
      const deadline = performance.now() + call.timeoutMs;
      const pending: Pending = {
        stop,
        run: async () => {
          if (performance.now() > deadline) return expired(); // its timer is late
          stop.signal.removeEventListener("abort", dropped);
          finish(await this.#run(call, stop.signal));
        },
      };
      const finish = (answer: Answer) => {
        clearTimeout(timer);
        this.#pending.delete(call.id);
        resolve(answer);
      };
      const dropped = () => {
        this.#mailbox.remove(pending);
        finish({ type: "refused", why: "unfit", message: stop.signal.reason.message });
      };
      stop.signal.addEventListener("abort", dropped);
      this.#pending.set(call.id, pending);
      if (this.#mailbox.offer(pending)) {
        if (call.tell) resolve({ type: "done", value: null });
        return;
      }
      const { name, mailbox } = this.#entry;
      const message = `The mailbox of actor '${name}' is full: ${this.#mailbox.waiting} calls wait, and it holds ${mailbox}. Call less often, or spawn it with a larger mailbox.`;
      finish({ type: "refused", why: "full", message });
    });
  }

  async #run(call: Call, signal: AbortSignal): Promise<Answer> {
    // After a method that has computed for long, news of the lease may be there and not yet read.
    if (!this.#hasLease) await sleep(NEWS_MS);
    if (!this.#hasLease) {
      if (call.tell) this.#log(`${call.method}() was not run: this actor has lost its node`);
      return this.#lost;
    }
    try {
      const value = await calls.run({ signal }, () => this.#methods[call.method]!(...call.arguments));
      return { type: "done", value };
    } catch (error) {
      if (call.tell) this.#log(`${call.method}(), which nobody waits for, threw: ${(error as Error)?.stack ?? error}`);
      return threw(error);
    }
  }
}

/** Own methods and those of its class. */
function methodNames(methods: object): string[] {
  const names = new Set<string>();
  for (let at = methods; at && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const name of Object.getOwnPropertyNames(at)) {
      if (name !== "constructor" && typeof (methods as Record<string, unknown>)[name] === "function") names.add(name);
    }
  }
  return [...names].slice(0, 50);
}
