/** An actor for tests that counts, fails, dies and dawdles as it is told. */

import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { currentCall } from "../call-server.ts";
import { defineKind } from "../kind.ts";

export interface CounterArguments {
  start: number;
  /** Dies with this message while it is made. */
  stillborn?: string;
}

export const Counter = defineKind({
  name: "counter",
  module: import.meta.url,
  create({ start, stillborn }: CounterArguments, context) {
    if (stillborn) throw new Error(stillborn);
    let count = start;
    let release = () => {};
    let cancelled = 0;
    context.log(`counts from ${start}`);
    return {
      add: (n: number) => {
        count += n;
        return count;
      },
      count: () => count,
      cancelled: () => cancelled,
      echo: (value: { floats: Float32Array; words: string[] }) => value,
      nothing() {},
      throwTypeError() {
        throw new TypeError("cannot count that");
      },
      /** Resolves after `release`, unless its caller gives up. */
      async block() {
        const { signal } = currentCall();
        await new Promise<void>((resolve) => {
          release = resolve;
          signal.addEventListener("abort", () => {
            cancelled++;
            resolve();
          });
        });
        return count;
      },
      release: () => release(),
      sleep: (ms: number) => sleep(ms, count),
      /** Ends the process while this call is under way. */
      die(code: number): number {
        if (context.restarts < 100) process.exit(code);
        return code;
      },
      who: () => ({ pid: process.pid, restarts: context.restarts, runtime: runtime() }),
      large: (bytes: number) => "x".repeat(bytes),
      /** Counts with another actor. */
      addElsewhere: async (name: string, n: number): Promise<number> => {
        const other = await context.system.get(Counter, name);
        return other.add(n) as Promise<number>;
      },
      async [Symbol.asyncDispose]() {
        context.log(`ends at ${count}`);
      },
    };
  },
});

function runtime(): string {
  if ("Bun" in globalThis) return "bun";
  return "Deno" in globalThis ? "deno" : "node";
}
