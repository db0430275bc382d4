/** An actor from its configuration. Runs unchanged on Bun, Deno and Node. */
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import process from "node:process";
import type { ActorConfig } from "../actors/config.ts";
import { runActor } from "../actors/run.ts";
import { tensorProvider } from "../policy/tensor/provider.ts";
import { openBus } from "../proto/bus/index.ts";
import { roleSecrets } from "./secrets/role-secrets.ts";

/** Beyond the episodes' own time, for storing the last of them and closing connections to a broker that may be gone. */
const closingMs = 5_000;

/** Plays until the signal aborts, then drains. Rejects when that takes longer than `drainTimeoutMs` and a little. */
export async function playAsActor(
  config: ActorConfig,
  log: (message: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const name = config.name || actorName();
  const credentials = config.natsCredentials === "" ? undefined : await readFile(config.natsCredentials, "utf8");
  const secrets = roleSecrets(config.secrets, "node");
  const limitMs = config.drainTimeoutMs + closingMs;
  const late = new Promise<never>((_, reject) => {
    const expired = new Error(
      `Actor ${name} could not finish in order within ${limitMs} ms; others play what it held.`,
    );
    signal.addEventListener("abort", () => setTimeout(reject, limitMs, expired), { once: true });
  });
  const play = async () => {
    const bus = await openBus(config.nats, {
      name: `proxima actor ${name}`,
      credentials,
      ...secrets?.bus,
      timeoutMs: config.joinTimeoutMs,
      signal,
    });
    try {
      const provider = tensorProvider(config.provider);
      await runActor({ ...config, name }, { bus, provider, security: secrets?.client, log }, signal);
    } finally {
      await bus.close();
    }
  };
  await Promise.race([play(), late]);
}

/** Unique among the actors of a run, and a word that a NATS subject can hold. */
function actorName(): string {
  return `${hostname()
    .replace(/[^A-Za-z0-9_-]+/g, "-")
    .slice(0, 48)}-${process.pid}`;
}
