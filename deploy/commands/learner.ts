import { readFile } from "node:fs/promises";
import { actorSchema } from "../../actors/config.ts";
import { ActorSystem } from "../../actors/system/index.ts";
import { runSchema } from "../../learner/config.ts";
import { type Bus, openBus } from "../../proto/bus/index.ts";
import { ConfigError, type ConfigOf, defineConfig, formatConfig } from "../../proto/config.ts";
import { actorRuntimes } from "../actor-runtime.ts";
import { type Command, exitCodes } from "../command.ts";
import { invocation } from "../invocation.ts";
import { resolveRunConfig } from "../run-config.ts";
import { createRunFolder, resumeRunFolder, storeConfig } from "../run-folder.ts";
import { roleSecrets } from "../secrets/role-secrets.ts";
import { learnWithActors } from "../spawned-actors.ts";
import { trainRun } from "../train-run.ts";
import { labelsField, parseLabels } from "./node.ts";

const schema = defineConfig({
  title: "learner",
  fields: {
    ...runSchema.fields,
    actors: {
      section: "actors",
      type: "integer",
      default: 0,
      min: 0,
      max: 10_000,
      about: "Rollout actors to spawn onto whatever nodes there are ('proxima node'); 0: they are started by hand.",
    },
    actorCpus: {
      section: "actors",
      type: "number",
      default: 1,
      min: 0,
      unit: "cpus",
      about: "What each of them takes of its node.",
    },
    actorMemory: {
      section: "actors",
      type: "number",
      default: 0,
      min: 0,
      unit: "bytes",
      about: "The same for memory.",
    },
    actorLabels: { ...labelsField, section: "actors", about: "Labels that their nodes must have." },
    actorRuntime: {
      section: "actors",
      type: "choice",
      default: "bun",
      choices: actorRuntimes,
      about: "What runs them.",
    },
    slots: { ...actorSchema.fields.slots, section: "actors" },
  },
  check: (config) => runSchema.check!(config),
});

export const command: Command = {
  usage: "proxima learner --nats URL [--run NAME] [--env ID] [--actors N] [--key value]…",
  about:
    "Trains one run: asks for groups of episodes over NATS, computes advantages and PPO updates, and serves the new weights. Actors join with 'proxima actor', or are spawned onto nodes with --actors.",
  schema,
  examples: [
    "proxima learner --nats nats://127.0.0.1:4222 --env alfworld --run alfworld-3",
    "proxima learner --nats nats://127.0.0.1:4222 --env alfworld --actors 64",
  ],
  async run({ arguments: given, output, signal }) {
    const resolved = await resolveRunConfig(schema, given, "runs");
    const { config } = resolved;
    if (config.nats === "" || config.nats === "memory") {
      throw new ConfigError([
        "a learner's actors are other processes, so it needs a NATS server: --nats nats://host:4222 ('proxima dev' finds or starts one)",
      ]);
    }
    const secrets = roleSecrets(config.secrets, "learner");
    const folder = config.resume
      ? resumeRunFolder("runs", config.run)
      : createRunFolder("runs", { name: config.run, env: config.env });
    try {
      config.run = folder.name;
      const text = formatConfig(runSchema, resolved);
      storeConfig(folder, text);
      output.say(text);
      output.event("config", { config, origins: resolved.origins });
      output.say(`Actors join with: proxima actor --run ${folder.name} --nats ${config.nats}`);
      const credentials = config.natsCredentials === "" ? undefined : await readFile(config.natsCredentials, "utf8");
      const name = `proxima learner ${folder.name}`;
      const bus = await openBus(config.nats, {
        name,
        credentials,
        ...secrets?.bus,
        replicas: config.natsReplicas,
        signal,
      });
      try {
        if (secrets) await openActorSystem(bus);
        const { counters, balance } = await trainRun({
          config,
          folder,
          bus,
          security: secrets?.server,
          output,
          signal,
          learn: config.actors === 0 ? undefined : withActors(config),
        });
        output.event("end", { counters, balance });
        output.say(
          `Trained ${counters.iteration} iterations on ${counters.envSteps} env steps; the run lies in ${folder.path}/.`,
        );
      } catch (error) {
        if (!signal.aborted) throw error;
        output.event("stopped", { run: folder.name });
        output.say(`Stopped. Go on with: proxima learner --nats ${config.nats} --run ${folder.name} --resume`);
      } finally {
        await bus.close();
      }
      return exitCodes.ok;
    } finally {
      folder.release();
    }
  },
};

/** Nodes and viewers may not make what they need, so it is there from here on, with or without --actors. */
async function openActorSystem(bus: Bus): Promise<void> {
  const system = new ActorSystem(bus);
  await system.open();
  await system.close();
}

function withActors(config: ConfigOf<typeof schema>) {
  return learnWithActors({
    actors: config.actors,
    slots: config.slots,
    provider: config.provider,
    cpus: config.actorCpus,
    memory: config.actorMemory,
    labels: parseLabels(config.actorLabels),
    runtime: config.actorRuntime,
    nodeCommand: `${invocation()} node --nats ${config.nats}${config.secrets && ` --secrets ${config.secrets}`}`,
  });
}
