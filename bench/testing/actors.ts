/** Kinds of actors for benchmarks. */

import process from "node:process";
import { actorSchema } from "../../actors/config.ts";
import { runActor } from "../../actors/run.ts";
import { defineKind } from "../../actors/system/kind.ts";
import { tensorProvider } from "../../policy/tensor/provider.ts";
import { connectNats } from "../../proto/bus/nats.ts";
import { resolveConfig } from "../../proto/config.ts";

/** Answers with what it is given. */
export const Echo = defineKind({
  name: "echo",
  module: import.meta.url,
  create: (_: null) => ({ echo: (value: number) => value }),
});

/** Many rollout actors in one process, each with a connection to the broker of its own. */
export const Rollouts = defineKind({
  name: "rollouts",
  module: import.meta.url,
  create({ run, nats, count, slots }: { run: string; nats: string; count: number; slots: number }, context) {
    const stop = new AbortController();
    const play = async (name: string) => {
      const { config } = resolveConfig(actorSchema, [{ source: name, values: { run, name, slots } }]);
      const bus = await connectNats({ servers: nats, name });
      await runActor(config, { bus, provider: tensorProvider("simd"), log() {} }, stop.signal);
      await bus.close();
    };
    const playing = Array.from({ length: count }, (_, i) => play(`${context.name}-${i}`));
    for (const one of playing) one.catch((error) => !stop.signal.aborted && context.fail(error));
    return {
      pid: () => process.pid,
      async [Symbol.asyncDispose]() {
        stop.abort();
        await Promise.allSettled(playing);
      },
    };
  },
});
