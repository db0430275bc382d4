/**
 * Rollout actors that share a process, each with a connection to the broker of its own, for bench/scale.ts: `many-rollouts.ts RUN NATS
 * COUNT SLOTS PREFIX`. It ends with its standard input.
 */
import process from "node:process";
import { actorSchema } from "../../actors/config.ts";
import { runActor } from "../../actors/run.ts";
import { tensorProvider } from "../../policy/tensor/provider.ts";
import { connectNats } from "../../proto/bus/nats.ts";
import { resolveConfig } from "../../proto/config.ts";

const [run, nats, count, slots, prefix] = process.argv.slice(2);

async function play(name: string): Promise<void> {
  const { config } = resolveConfig(actorSchema, [{ source: name, values: { run, name, slots: Number(slots) } }]);
  const bus = await connectNats({ servers: nats, name });
  await runActor(config, { bus, provider: tensorProvider("simd"), log() {} }, new AbortController().signal);
  await bus.close();
}

for (let i = 0; i < Number(count); i++) play(`${prefix}-${i}`).catch((error) => console.error(error));
process.stdin.on("end", () => process.exit(0));
process.stdin.resume();
