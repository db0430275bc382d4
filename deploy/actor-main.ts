#!/usr/bin/env node
/**
 * The rollout actor alone, for Bun, Deno and Node: `deno run -A deploy/actor-main.ts --run NAME --nats nats://host:4222`. On Bun,
 * `proxima actor` is the same with help and configuration files.
 */
import process from "node:process";
import { actorSchema } from "../actors/config.ts";
import { ConfigError, resolveConfig } from "../proto/config.ts";
import { parseArguments } from "./arguments.ts";
import { playAsActor } from "./play-as-actor.ts";

if (process.argv[2] === "--version") {
  const { default: packageJson } = await import("../package.json", { with: { type: "json" } });
  console.log(packageJson.version);
  process.exit(0);
}
const stop = new AbortController();
const isSupervised = process.env.PROXIMA_SUPERVISED === "1";
process.on("SIGTERM", () => stop.abort());
process.on("SIGINT", () => {
  // Ctrl-C reaches the whole process group: whoever supervises this actor tells it when to stop.
  if (isSupervised) return;
  if (stop.signal.aborted) process.exit(130);
  stop.abort();
});
if (isSupervised) {
  // The run has lost its learner, and with it perhaps the broker: nothing that is still played could be stored.
  const orphaned = () => process.exit(1);
  process.stdin.on("end", orphaned);
  process.stdin.on("error", orphaned);
  process.stdin.resume();
}

try {
  const given = parseArguments(process.argv.slice(2), actorSchema);
  const { config } = resolveConfig(actorSchema, [{ source: "command line", values: given.settings, parse: true }]);
  await playAsActor(config, (message) => console.log(message), stop.signal);
  process.exit(0);
} catch (error) {
  if (stop.signal.aborted && (error as Error).name === "AbortError") process.exit(0);
  // The message last: a supervisor shows the last words of an actor that has died.
  if (!(error instanceof ConfigError)) console.error(error);
  console.error(error instanceof Error ? error.message : error);
  process.exit(error instanceof ConfigError ? 2 : 1);
}
