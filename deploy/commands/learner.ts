import { readFile } from "node:fs/promises";
import { runSchema } from "../../learner/config.ts";
import { openBus } from "../../proto/bus/index.ts";
import { ConfigError, formatConfig } from "../../proto/config.ts";
import { type Command, exitCodes } from "../command.ts";
import { resolveRunConfig } from "../run-config.ts";
import { createRunFolder, resumeRunFolder, storeConfig } from "../run-folder.ts";
import { roleSecrets } from "../secrets/role-secrets.ts";
import { trainRun } from "../train-run.ts";

export const command: Command = {
  usage: "proxima learner --nats URL [--run NAME] [--env ID] [--key value]…",
  about:
    "Trains one run: asks for groups of episodes over NATS, computes advantages and PPO updates, and serves the new weights. Actors join with 'proxima actor'.",
  schema: runSchema,
  examples: ["proxima learner --nats nats://127.0.0.1:4222 --env alfworld --run alfworld-3"],
  async run({ arguments: given, output, signal }) {
    const resolved = await resolveRunConfig(runSchema, given, "runs");
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
        const { counters, balance } = await trainRun({
          config,
          folder,
          bus,
          security: secrets?.server,
          output,
          signal,
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
