/** The rollout actor as an actor of the system: spawned by a learner onto whatever nodes there are. `proxima actor` is the same without one. */
import { tensorProvider } from "../policy/tensor/provider.ts";
import { resolveConfig } from "../proto/config.ts";
import { type ActorConfig, actorSchema } from "./config.ts";
import { runActor } from "./run.ts";
import { defineKind } from "./system/kind.ts";

export const Rollout = defineKind({
  name: "rollout",
  module: import.meta.url,
  /** Takes what differs from the defaults; its name and its broker are those of the actor. */
  create(settings: Partial<Omit<ActorConfig, "name" | "nats" | "natsCredentials" | "secrets">>, context) {
    const { name, bus, security, weights = "" } = context;
    const values = { weights, ...settings, name };
    const { config } = resolveConfig(actorSchema, [{ source: `arguments of actor ${name}`, values }]);
    const stop = new AbortController();
    let says = "joins the run";
    const log = (message: string) => {
      says = message;
      context.log(message);
    };
    const playing = runActor(config, { bus, provider: tensorProvider(config.provider), security, log }, stop.signal);
    playing.catch((error) => {
      if (!stop.signal.aborted) context.fail(error);
    });
    return {
      /** What it last said of itself. */
      status: () => ({ run: config.run, says }),
      async [Symbol.asyncDispose]() {
        stop.abort();
        await Promise.allSettled([playing]);
      },
    };
  },
});
