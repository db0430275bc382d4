import type { Caller } from "./caller.ts";
import type { ActorInfo } from "./entry.ts";
import type { CallOptions, Handle } from "./kind.ts";

export interface Controls {
  info(): Promise<ActorInfo>;
  drain(options?: { timeoutMs?: number }): Promise<void>;
  kill(options?: { timeoutMs?: number }): Promise<void>;
}

/** What a handle's methods are is known only to the actor, so they are made when they are named. */
export function makeHandle<M>(
  actor: { name: string; id: string },
  caller: Caller,
  controls: Controls,
  options: CallOptions = {},
): Handle<M> {
  const call =
    (method: string) =>
    (...args: unknown[]) =>
      caller.call(actor, method, args, options);
  const tell =
    (method: string) =>
    (...args: unknown[]) =>
      caller.call(actor, method, args, options, true);
  const own = {
    name: actor.name,
    tell: methods(tell, {}),
    options: (more: CallOptions) => makeHandle<M>(actor, caller, controls, { ...options, ...more }),
    ready: (limits: CallOptions = {}) => caller.ready(actor, limits),
    ...controls,
  };
  return methods(call, own) as Handle<M>;
}

/** An object with these properties, and a method of any other name. */
function methods<F>(make: (name: string) => F, own: Record<string, unknown>): object {
  return new Proxy(own, {
    get(made, name) {
      // A handle is no promise, though await asks whether it is.
      if (typeof name !== "string" || name === "then") return undefined;
      if (!Object.hasOwn(made, name)) made[name] = make(name);
      return made[name];
    },
  });
}
