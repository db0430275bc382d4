/** Kinds of actors for benchmarks. */

import process from "node:process";
import { defineKind } from "../../actors/system/kind.ts";
import { type Many, playMany } from "./many-rollouts.ts";

/** Answers with what it is given. */
export const Echo = defineKind({
  name: "echo",
  module: import.meta.url,
  create: (_: null) => ({ echo: (value: number) => value }),
});

/** Many rollout actors in one process. */
export const Rollouts = defineKind({
  name: "rollouts",
  module: import.meta.url,
  create(many: Many, context) {
    const stop = new AbortController();
    const playing = playMany(many, context.name, stop.signal);
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
