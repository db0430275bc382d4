import { appendFileSync } from "node:fs";
import { relative } from "node:path";
import { actorSchema } from "../../actors/config.ts";
import { runSchema } from "../../learner/config.ts";
import { memoryBus, openBus } from "../../proto/bus/index.ts";
import { type ConfigOf, defineConfig, formatConfig, type Resolved } from "../../proto/config.ts";
import { ActorProcesses } from "../actor-processes.ts";
import { actorCommand, actorRuntimes } from "../actor-runtime.ts";
import { type Broker, findBroker, startBroker } from "../broker.ts";
import { type Command, type CommandContext, exitCodes } from "../command.ts";
import { evaluateRun, renderEvaluation } from "../evaluate-run.ts";
import { trainInProcess } from "../in-process.ts";
import { invocation } from "../invocation.ts";
import type { Output } from "../output.ts";
import { resolveRunConfig } from "../run-config.ts";
import { createRunFolder, type RunFolder, resumeRunFolder, storeConfig } from "../run-folder.ts";
import { type RoleSecrets, roleSecrets } from "../secrets/role-secrets.ts";
import { type Learn, trainRun } from "../train-run.ts";

const schema = defineConfig({
  title: "dev",
  fields: {
    ...runSchema.fields,
    actors: {
      section: "actors",
      type: "integer",
      default: 2,
      min: 1,
      max: 1024,
      unit: "processes",
      about: "Rollout actors to start on this machine; more may join from elsewhere.",
    },
    actorRuntime: {
      section: "actors",
      type: "choice",
      default: "bun",
      choices: actorRuntimes,
      about: "What runs them.",
    },
    slots: { ...actorSchema.fields.slots, section: "actors" },
    offline: {
      section: "machine",
      type: "flag",
      default: false,
      about: "Fetch no nats-server: without one on the PATH or in the cache, everything runs in one process.",
    },
  },
  check: (config) => [
    ...runSchema.check!(config),
    ...(config.secrets && !config.nats
      ? [
          "secrets belong to a broker that was started with them: name it with --nats; the one that dev starts is for this machine only",
        ]
      : []),
  ],
});

type DevConfig = ConfigOf<typeof schema>;

export const command: Command = {
  usage: "proxima dev [--env ID] [--key value]…",
  about:
    "Trains on this machine: finds or starts a NATS server, runs the learner here and rollout actors beside it, evaluates the result and says where it lies.",
  schema,
  examples: ["proxima dev --env cartpole", "proxima dev --env ./my-env.ts --totalEnvSteps 1e6 --actors 4"],
  async run(context) {
    const { arguments: given, output } = context;
    const resolved = await resolveRunConfig(schema, given, "runs");
    const { config } = resolved;
    const folder = config.resume
      ? resumeRunFolder("runs", config.run)
      : createRunFolder("runs", { name: config.run, env: config.env });
    try {
      config.run = folder.name;
      storeConfig(folder, formatConfig(runSchema, resolved));
      announce(output, folder, resolved);
      return await trainAndEvaluate(config, folder, context);
    } finally {
      folder.release();
    }
  },
};

async function trainAndEvaluate(
  config: DevConfig,
  folder: RunFolder,
  { output, signal }: CommandContext,
): Promise<number> {
  const startedAt = performance.now();
  const wiring = await wire(config, folder, output, signal);
  try {
    const { counters, balance } = await trainRun({
      config,
      folder,
      bus: wiring.bus,
      security: wiring.secrets?.server,
      output,
      signal,
      learn: wiring.learn,
    });
    output.event("end", { counters, balance });
    const seconds = (performance.now() - startedAt) / 1000;
    output.say(
      `\nTrained ${counters.iteration} iterations, ${counters.envSteps.toLocaleString("en")} env steps in ${seconds.toFixed(0)} s. ` +
        `Episodes: ${balance.trained} trained, ${balance.dropped} dropped${reasons(balance.reasons)}.`,
    );
  } catch (error) {
    if (!signal.aborted) throw error;
    output.event("stopped", { run: folder.name });
    output.say(`\nStopped. What was trained is kept; go on with: ${invocation()} dev --run ${folder.name} --resume`);
    return exitCodes.interrupted;
  } finally {
    await wiring.close();
  }
  const options = { split: "eval", episodes: config.evalEpisodes, seed: config.seed, signal };
  const evaluation = await evaluateRun(config, folder, options);
  output.event("evaluation", evaluation);
  output.say(renderEvaluation(evaluation));
  output.say(whatNext(folder, 2 * Math.max(config.totalEnvSteps, evaluation.envSteps)));
  return exitCodes.ok;
}

interface Wiring {
  bus: Awaited<ReturnType<typeof openBus>>;
  learn: Learn;
  secrets?: RoleSecrets;
  close(): Promise<void>;
}

/** The broker and the actors around the learner: processes over NATS, or everything in this one over memory. */
async function wire(config: DevConfig, folder: RunFolder, output: Output, signal: AbortSignal): Promise<Wiring> {
  const say = (message: string) => {
    output.say(message);
    output.event("notice", { message });
  };
  if (config.nats === "memory") return inOneProcess(config, folder);
  const found = await findBroker({ url: config.nats || undefined, offline: config.offline, progress: say });
  if (!found) {
    say("No NATS server could be found or fetched: learner and actors share this process instead, on one core.");
    return inOneProcess(config, folder);
  }
  say(`Broker: ${found.description}`);
  let broker: Broker | undefined;
  if (found.type === "program") broker = await startBroker({ program: found.path, storeDir: `${folder.path}/broker` });
  const url = found.type === "url" ? found.url : broker!.url;
  const secrets = found.type === "url" ? roleSecrets(config.secrets, "learner") : undefined;
  let actors: ActorProcesses | undefined;
  try {
    const credentials = config.natsCredentials === "" ? undefined : await Bun.file(config.natsCredentials).text();
    const name = `proxima learner ${folder.name}`;
    const bus = await openBus(url, { name, credentials, ...secrets?.bus, replicas: config.natsReplicas, signal });
    const { file, args } = await actorCommand(config.actorRuntime);
    const learn: Learn = async (run, deps, until) => {
      const lost = new AbortController();
      try {
        return await learnUntil(run, deps, AbortSignal.any([until, lost.signal]), () => {
          actors = new ActorProcesses({
            count: config.actors,
            command: (index) => ({ file, args: [...args, ...actorArguments(config, url, index)] }),
            logs: folder.logs,
            onStart: (name, pid) => output.event("actor", { name, pid }),
            onNotice: deps.onNotice,
            onAllLost: (reason) => lost.abort(reason),
            drainTimeoutMs: actorSchema.fields.drainTimeoutMs.default,
          });
        });
      } finally {
        await actors?.close();
      }
    };
    return {
      bus,
      learn,
      secrets,
      close: async () => {
        await bus.close();
        await broker?.stop();
      },
    };
  } catch (error) {
    await broker?.stop();
    throw error;
  }
}

/** The learner in this process; `start` is called when actors can join. */
const learnUntil = async (
  config: Parameters<Learn>[0],
  deps: Parameters<Learn>[1],
  signal: AbortSignal,
  start: () => void,
) => {
  const { runLearner } = await import("../../learner/run.ts");
  const onReady: typeof deps.onReady = async (info) => {
    await deps.onReady?.(info);
    start();
  };
  return runLearner(config, { ...deps, onReady }, signal);
};

function inOneProcess(config: DevConfig, folder: RunFolder): Wiring {
  const bus = memoryBus();
  const log = (message: string) =>
    appendFileSync(`${folder.logs}/actors.log`, `${new Date().toISOString()} ${message}\n`);
  return {
    bus,
    learn: (run, deps, until) =>
      trainInProcess(
        run,
        { ...deps, actors: config.actors, actorSettings: { slots: config.slots, provider: config.provider }, log },
        until,
      ),
    close: () => bus.close(),
  };
}

function actorArguments(config: DevConfig, url: string, index: number): string[] {
  const settings = {
    run: config.run,
    name: `actor-${index}`,
    nats: url,
    natsCredentials: config.natsCredentials,
    secrets: config.secrets,
    slots: config.slots,
    provider: config.provider,
  };
  return Object.entries(settings).flatMap(([key, value]) => (value === "" ? [] : [`--${key}`, String(value)]));
}

function announce(output: Output, folder: RunFolder, { config, origins }: Resolved<DevConfig>): void {
  output.event("config", { config, origins });
  output.say(`Run ${folder.name}. Settings (all of them in ${folder.config}):`);
  const changed = Object.keys(origins).filter((key) => key !== "run" && key !== "resume");
  const width = Math.max(0, ...changed.map((key) => key.length));
  for (const key of changed) output.say(`  ${key.padEnd(width)}  ${settingOf(config, key)}  (${origins[key]})`);
}

function settingOf(config: Readonly<Record<string, unknown>>, key: string): unknown {
  const [prefix, ...rest] = key.split(".");
  if (rest.length === 0) return config[key];
  const group = Object.entries(schema.fields).find(
    ([, field]) => field.type === "options" && field.prefix === prefix,
  )![0];
  return (config[group] as Record<string, unknown>)[rest.join(".")];
}

function reasons(byReason: Readonly<Record<string, number>>): string {
  const entries = Object.entries(byReason);
  return entries.length === 0 ? "" : ` (${entries.map(([reason, count]) => `${count} ${reason}`).join(", ")})`;
}

function whatNext(folder: RunFolder, longer: number): string {
  const path = relative(process.cwd(), folder.path);
  return [
    "",
    `The run lies in ${path}/. Further:`,
    `  ${invocation()} eval --run ${folder.name} --episodes 1000`,
    `  ${invocation()} dev --run ${folder.name} --resume --totalEnvSteps ${longer}`,
    `  ${invocation()} ui --run ${folder.name}`,
    `  tensorboard --logdir ${path}`,
  ].join("\n");
}
