/**
 * What an actor is: a name, the module that defines it, and a function that makes its methods.
 *
 *   export const Counter = defineKind({
 *     name: "counter",
 *     module: import.meta.url,
 *     create(start: number) {
 *       let count = start;
 *       return { add: (n: number) => (count += n) };
 *     },
 *   });
 *
 *   const counter = await system.spawn(Counter, 5);
 *   await counter.add(2); // 7; counter.add("2") does not compile
 *
 * The module is loaded by the process that hosts the actor, so it must be an importable file of the nodes too. Arguments
 * and answers are plain data (proto/data.ts).
 */

import { checkActorName } from "../../proto/actor-subjects.ts";
import type { Bus } from "../../proto/bus/bus.ts";
import type { Security } from "../../proto/grpc.ts";
import type { ActorInfo } from "./entry.ts";
import type { ActorSystem } from "./system.ts";

// biome-ignore lint/suspicious/noExplicitAny: methods of every signature
type Method = (...args: any[]) => unknown;

/** Names that a handle keeps for itself, and `then`, which would make it a promise. */
type Reserved = "name" | "options" | "tell" | "ready" | "info" | "drain" | "kill" | "then";
const reserved: readonly string[] = ["name", "options", "tell", "ready", "info", "drain", "kill", "then"];

/** `[Symbol.asyncDispose]`, where there is one, is called on a drain, once the mailbox is empty. */
export type Methods = object & { [Symbol.asyncDispose]?(): PromiseLike<void> } & { [K in Reserved]?: never };

export interface Kind<Arguments, M> {
  readonly name: string;
  /** `import.meta.url` of the module that exports the kind. */
  readonly module: string;
  /** Makes one actor, in the process that hosts it; called again, with the same arguments, after a restart. */
  create(args: Arguments, context: ActorContext): M | Promise<M>;
}

export interface ActorContext {
  readonly name: string;
  /** How often it was started again. */
  readonly restarts: number;
  readonly bus: Bus;
  /** For calls to a learner, where its node holds secrets. */
  readonly security?: Security;
  /** host:port of a relay of weights that its node was told of. */
  readonly weights?: string;
  /** To call other actors, and to spawn some. */
  readonly system: ActorSystem;
  /** Printed by the node, with the actor's name. */
  log(message: string): void;
  /** Ends this actor as if it had crashed. */
  fail(error: unknown): void;
}

export interface CallOptions {
  /** Deadline; the time until the actor runs counts too. Default 30 s. */
  timeoutMs?: number;
  /** Gives up the call; the method sees it at `currentCall().signal`. */
  signal?: AbortSignal;
  /**
   * How often to call again when the actor died during the call. Default 0: a call happens at most once. Set it only
   * where happening twice does no harm.
   */
  retries?: number;
}

type Remote<F> = F extends (...args: infer A) => infer R ? (...args: A) => Promise<Awaited<R>> : never;
type Told<F> = F extends (...args: infer A) => unknown ? (...args: A) => Promise<void> : never;
type Callable<M> = { [K in keyof M as K extends string ? (M[K] extends Method ? K : never) : never]: M[K] };
type Calls<M> = { readonly [K in keyof Callable<M>]: Remote<Callable<M>[K]> };
type Tells<M> = { readonly [K in keyof Callable<M>]: Told<Callable<M>[K]> };

/** An actor as others see it: its methods, answered from afar, and these. */
export type Handle<M> = Calls<M> & {
  readonly name: string;
  /** The same actor with other deadlines, a signal or retries: `handle.options({ timeoutMs: 100 }).add(1)`. */
  options(options: CallOptions): Handle<M>;
  /** Without waiting for the answer: resolves once the mailbox has taken the call. */
  readonly tell: Tells<M>;
  /** Resolves when it runs; throws when it has failed, or is not running within the deadline. */
  ready(options?: { timeoutMs?: number; signal?: AbortSignal }): Promise<void>;
  info(): Promise<ActorInfo>;
  /** Takes no more calls, answers those in its mailbox, ends. Resolves when it has ended. */
  drain(options?: { timeoutMs?: number }): Promise<void>;
  /** Ends it at once. Resolves when it has ended. */
  kill(options?: { timeoutMs?: number }): Promise<void>;
};

/** Throws RangeError for a name that does not fit into a subject. */
export function defineKind<Arguments, M extends Methods>(kind: Kind<Arguments, M>): Kind<Arguments, M> {
  checkActorName("a kind of actor", kind.name);
  return kind;
}

/** Throws TypeError when a made actor has a method that its handle could not offer. */
export function checkMethods(kind: string, methods: unknown): Record<string, Method> {
  if (typeof methods !== "object" || methods === null) {
    throw new TypeError(
      `Kind '${kind}' must make an object with methods, found ${methods === null ? "null" : typeof methods}.`,
    );
  }
  const taken = reserved.find((name) => name in methods);
  if (taken) throw new TypeError(`Kind '${kind}' has a method '${taken}', which a handle keeps for itself: rename it.`);
  return methods as Record<string, Method>;
}
