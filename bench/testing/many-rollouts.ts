/**
 * Rollout actors that share a process, each with a connection to the broker of its own, for bench/actors.ts; for bench/scale.ts as a
 * process: `many-rollouts.ts RUN NATS COUNT SLOTS PREFIX`. It ends with its standard input.
 */
import process from "node:process";
import { actorSchema } from "../../actors/config.ts";
import { runActor } from "../../actors/run.ts";
import { tensorProvider } from "../../policy/tensor/provider.ts";
import { connectNats } from "../../proto/bus/nats.ts";
import { resolveConfig } from "../../proto/config.ts";

export interface Many {
  run: string;
  nats: string;
  count: number;
  slots: number;
}

/** One promise for each actor, fulfilled when it has left. */
export function playMany({ run, nats, count, slots }: Many, prefix: string, signal: AbortSignal): Promise<void>[] {
  const play = async (name: string) => {
    const { config } = resolveConfig(actorSchema, [{ source: name, values: { run, name, slots } }]);
    const bus = await connectNats({ servers: nats, name });
    await runActor(config, { bus, provider: tensorProvider("simd"), log() {} }, signal);
    await bus.close();
  };
  return Array.from({ length: count }, (_, i) => play(`${prefix}-${i}`));
}

if (import.meta.main) {
  const [run, nats, count, slots, prefix] = process.argv.slice(2);
  const many = { run: run!, nats: nats!, count: Number(count), slots: Number(slots) };
  for (const one of playMany(many, prefix!, new AbortController().signal)) one.catch((error) => console.error(error));
  process.stdin.on("end", () => process.exit(0));
  process.stdin.resume();
}
