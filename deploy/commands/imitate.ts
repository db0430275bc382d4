import { existsSync, mkdirSync, rmSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import type { EnvironmentSource } from "../../envs/environment.ts";
import { environments, loadEnvironment } from "../../envs/registry.ts";
import { estimator, resolveEstimatorOptions } from "../../learner/advantage/index.ts";
import { type RunConfig, runSchema } from "../../learner/config.ts";
import { type Side, type TakeSteps, TRIAL_STEPS, tryDevice, verdict } from "../../learner/device-trial.ts";
import { gradientEngine } from "../../learner/gradient-threads.ts";
import { type ImitationEpoch, type ImitationSettings, imitate } from "../../learner/imitation.ts";
import { metricsFile } from "../../learner/metrics/metrics-file.ts";
import { combineSinks } from "../../learner/metrics/sink.ts";
import { tensorBoardFile } from "../../learner/metrics/tensorboard.ts";
import { readWeights, writeWeights } from "../../learner/weights-file.ts";
import type { Policy, PolicyDefinition, PolicySpec } from "../../policy/policy.ts";
import { createPolicy, firstWeights, policyDefinition, resolvePolicyOptions } from "../../policy/registry.ts";
import { tensorProvider } from "../../policy/tensor/provider.ts";
import type { Device } from "../../policy/tensor/tfjs/device.ts";
import { DeviceError } from "../../policy/tensor/tfjs/queue.ts";
import {
  ConfigError,
  type ConfigOf,
  defineConfig,
  formatConfig,
  type Resolved,
  resolveConfig,
} from "../../proto/config.ts";
import type { Arguments } from "../arguments.ts";
import { type Command, type CommandContext, exitCodes } from "../command.ts";
import { givenLayers } from "../config-file.ts";
import { type Demonstrations, demonstrations } from "../demonstrations.ts";
import { chooseDevice } from "../devices.ts";
import { evaluateWeights, renderEvaluation } from "../evaluate-run.ts";
import { everyFewSeconds } from "../every-few-seconds.ts";
import { invocation } from "../invocation.ts";
import { decimal, duration, percent } from "../quantities.ts";
import { openRecording, type Recording, recordedSuccesses } from "../recorded-episodes.ts";
import { resolveRunConfig } from "../run-config.ts";
import { createRunFolder, type RunFolder, runNames, storeConfig } from "../run-folder.ts";

const {
  run,
  seed,
  envArguments,
  policyOptions,
  initialWeights,
  evalEpisodes,
  provider,
  learnerThreads,
  device,
  passTokens,
} = runSchema.fields;

/** What is also a setting of the run that goes on from here. */
const shared = {
  run: { ...run, about: "Name of the run, and of its folder in runs/; the next free imitation-<env>-<n> when empty." },
  seed,
  env: {
    section: "run",
    type: "text",
    default: "",
    about: "Environment that offers demonstrations; scavenger, or that of --from, when empty.",
  },
  envArguments,
  policy: {
    section: "run",
    type: "text",
    default: "",
    about: "Network, or the path of a module that defines one; the environment's, or that of --from, when empty.",
  },
  policyOptions,
  initialWeights,
} as const;
const alsoShared = { evalEpisodes, provider, learnerThreads, device, passTokens } as const;

const schema = defineConfig({
  title: "imitate",
  fields: {
    ...shared,
    from: {
      section: "demonstrations",
      type: "text",
      default: "",
      about: "Imitate the successful episodes of run:NAME, or of a folder of kept trajectories, instead.",
    },
    tasks: {
      section: "demonstrations",
      type: "integer",
      default: 2000,
      min: 2,
      max: 1_000_000,
      about:
        "Tasks of the train split to take demonstrations of, one each (seeds where there is one task only). With --from: at most so many episodes, the newest.",
    },
    heldOut: {
      section: "demonstrations",
      type: "number",
      default: 0.1,
      above: 0,
      max: 0.9,
      about: "Share of the tasks that is not trained on, to tell when to stop.",
    },
    out: {
      section: "demonstrations",
      type: "text",
      default: "",
      about: "Write the weights to this file too; they always go to weights.safetensors in the run's folder.",
    },
    epochs: {
      section: "imitation",
      type: "integer",
      default: 20,
      min: 1,
      max: 10_000,
      about: "At most so many passes over the demonstrations.",
    },
    patience: {
      section: "imitation",
      type: "integer",
      default: 2,
      min: 1,
      max: 10_000,
      unit: "epochs",
      about: "End after so many without a smaller held-out loss; the best weights are kept.",
    },
    minibatch: {
      section: "imitation",
      type: "integer",
      default: 256,
      min: 1,
      unit: "step rows",
      about: "Rows of one gradient step.",
    },
    learningRate: { section: "imitation", type: "number", default: 1e-3, above: 0, about: "Adam's step size." },
    ...alsoShared,
  },
});

type ImitateConfig = ConfigOf<typeof schema>;

export const command: Command = {
  usage: "proxima imitate [--env ID] [--tasks N] [--from run:NAME] [--key value]…",
  about:
    "Trains a policy to act as demonstrated: by the environment, where it knows solutions of its tasks, or in the successful episodes of a run. Reinforcement learning goes on from the weights with 'proxima dev --initialWeights'.",
  schema,
  examples: ["proxima imitate --env scavenger", "proxima imitate --from run:scavenger-1 --policy.hidden 128"],
  async run(context) {
    const { arguments: given } = context;
    const { config, ...rest } = resolveConfig(schema, givenLayers(given, schema));
    const recording = config.from === "" ? undefined : await openRecording(config.from, "runs");
    let run = await resolveShared({ config, ...rest }, given, recording);
    if (runNames("runs").includes(config.run))
      throw new ConfigError([`run '${config.run}' exists already in runs/: choose another name with --run`]);
    const subject = await prepare(run.config, recording);
    if (config.out !== "") makeFolder(dirname(config.out));
    const folder = createRunFolder("runs", { name: config.run, env: `imitation-${basename(run.config.env)}` });
    try {
      run.config.run = config.run = folder.name;
      storeConfig(folder, formatConfig(runSchema, run));
      storeConfig(
        { path: folder.path, config: `${folder.path}/imitation.toml` },
        formatConfig(schema, { config, ...rest }),
      );
      const demonstrated = await collect(subject, config, run.config, recording, context);
      if (subject.definition.prepare) run = await build(subject, demonstrated, folder, run, context);
      await train(subject, demonstrated, folder, config, run.config, context);
    } finally {
      folder.release();
      if (!existsSync(folder.weights)) rmSync(folder.path, { recursive: true, force: true }); // the name stays free
    }
    return finish(folder, config, run, context);
  },
};

/** The settings of the run that would go on from here, with the environment's defaults. */
async function resolveShared(
  { config, origins }: Resolved<ImitateConfig>,
  given: Arguments,
  recording: Recording | undefined,
): Promise<Resolved<RunConfig>> {
  const settings: Record<string, string> = {};
  for (const key of Object.keys(origins)) {
    const [group, ...name] = key.split(".");
    const options = { env: config.envArguments, policy: config.policyOptions }[group!];
    if (name.length > 0) settings[key] = String(options![name.join(".")]);
    else if (Object.hasOwn({ ...shared, ...alsoShared }, key))
      settings[key] = String(config[key as keyof ImitateConfig]);
  }
  const recorded = { ...recording?.settings };
  if (recording && settings.env === undefined && recorded.env === undefined)
    throw new ConfigError([
      `${recording.folder} belongs to no run: name the environment it was recorded in with --env`,
    ]);
  if (settings.env !== undefined && recorded.env !== undefined && settings.env !== recorded.env)
    throw new ConfigError([`${recording!.name} was recorded in ${recorded.env}, not in ${settings.env}`]);
  if (settings.policy !== undefined && settings.policy !== recorded.policy)
    for (const key of Object.keys(recorded)) if (key.startsWith("policy.")) delete recorded[key];
  return resolveRunConfig(
    runSchema,
    { ...given, config: undefined, settings: { env: "scavenger", ...recorded, ...settings } },
    "runs",
  );
}

interface Subject {
  source: EnvironmentSource;
  digest: string;
  definition: PolicyDefinition;
}

/** Whatever can be refused at once is refused here. */
async function prepare(config: RunConfig, recording: Recording | undefined): Promise<Subject> {
  const { source, digest } = await loadEnvironment(config.env, config.envArguments);
  if (!recording && !source.demonstrate) {
    const known = await demonstrators();
    throw new ConfigError([
      `environment '${config.env}' offers no demonstrations (built-in ones that do: ${known.join(", ")}); imitate the successful episodes of a run with --from run:NAME instead`,
    ]);
  }
  const definition = await policyDefinition(config.policy);
  if (!definition.prepare) await start(source, config); // whether it can
  return { source, digest, definition };
}

const specOf = ({ spec: { observation, action } }: EnvironmentSource, config: RunConfig): PolicySpec => ({
  ...{ name: config.policy, observation, action, options: config.policyOptions },
});

/** The policy, and the weights that training starts from. */
async function start(source: EnvironmentSource, config: RunConfig) {
  const policy = await createPolicy(specOf(source, config)).catch((error: Error) => {
    throw new ConfigError([`policy '${config.policy}' does not fit environment '${config.env}': ${error.message}`]);
  });
  const weights = config.initialWeights
    ? await readWeights(config.initialWeights, policy)
    : firstWeights(policy, config.seed);
  return { policy, weights };
}

/** Makes what the policy builds on, where nothing was named, and writes down where it is. */
async function build(
  { source, definition }: Subject,
  { trajectories }: Demonstrations,
  folder: RunFolder,
  { config, origins }: Resolved<RunConfig>,
  { output }: CommandContext,
): Promise<Resolved<RunConfig>> {
  const spec = { ...specOf(source, config), options: resolvePolicyOptions(definition, config.policyOptions) };
  const path = join(folder.path, "model");
  const found = await definition.prepare!(spec, trajectories, path).catch((error: Error) => {
    throw new ConfigError([`cannot make what policy '${config.policy}' builds on: ${error.message}`]);
  });
  if (existsSync(path)) output.say(`Made what the policy builds on, in ${path}.`);
  const given = Object.keys(found).map((name) => [`policy.${name}`, "command line"]); // `dev` must be told too
  const run = {
    config: { ...config, policyOptions: { ...config.policyOptions, ...found } },
    origins: { ...origins, ...Object.fromEntries(given) },
  };
  storeConfig(folder, formatConfig(runSchema, run));
  return run;
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    throw new ConfigError([`cannot create ${path}, where --out should go: ${(error as Error).message}`]);
  }
}

/** Ids of the built-in environments that offer demonstrations and can be loaded here. */
async function demonstrators(): Promise<string[]> {
  const loaded = await Promise.all(
    (await environments()).map(({ id }) =>
      loadEnvironment(id).then(
        ({ source }) => (source.demonstrate ? [id] : []),
        () => [],
      ),
    ),
  );
  return loaded.flat();
}

async function collect(
  { source, digest }: Subject,
  config: ImitateConfig,
  run: RunConfig,
  recording: Recording | undefined,
  { output, signal }: CommandContext,
): Promise<Demonstrations> {
  const startedAt = performance.now();
  const onProgress = everyFewSeconds((done: number, of: number) => {
    output.event("progress", { demonstrations: done, of });
    output.say(`  ${done} of ${of} demonstrations`);
  });
  const { run: name, tasks, seed } = config;
  const found = recording
    ? await recordedSuccesses(recording, run.env, tasks, signal)
    : await demonstrations(source, digest, { run: name, tasks, seed, signal, onProgress });
  const { trajectories, refused } = found;
  const steps = trajectories.reduce((n, { steps }) => n + steps!.count, 0);
  output.event("demonstrations", { demonstrations: trajectories.length, steps, refused });
  const reasons = Object.entries(refused).map(([reason, count]) => `${count} not: ${reason}`);
  if (trajectories.length === 0)
    throw new ConfigError([
      recording
        ? `${recording.name} holds no successful episode in its ${recording.iterations.length} kept iterations: there is nothing to imitate`
        : `no demonstration of ${run.env} succeeds, so there is nothing to imitate (${reasons.join("; ")}): try 'proxima env check ${run.env}'`,
    ]);
  output.say(
    `${trajectories.length.toLocaleString("en")} demonstrations ${recording ? `from ${recording.name}` : `of ${run.env}`}, ` +
      `${steps.toLocaleString("en")} steps, in ${duration(performance.now() - startedAt)}${reasons.length ? ` (${reasons.join("; ")})` : ""}.`,
  );
  return found;
}

async function train(
  { source }: Subject,
  { trajectories }: Demonstrations,
  folder: RunFolder,
  config: ImitateConfig,
  run: RunConfig,
  { output, signal }: CommandContext,
): Promise<void> {
  const { policy, weights } = await start(source, run);
  const tensors = tensorProvider(run.provider);
  const model = tensors.model(policy.layout);
  const engine = gradientEngine(policy, model, run.learnerThreads, tensors.name);
  const device = await chooseDevice(run.device, output.say.bind(output));
  const there = device && placeOn(device, policy);
  const sinks = combineSinks([metricsFile(folder.metrics, { resumeAfter: -1 }), tensorBoardFile(folder.events)]);
  try {
    model.load(weights);
    let startedAt = performance.now();
    const onEpoch = (epoch: ImitationEpoch) => {
      const epochMs = performance.now() - startedAt;
      startedAt = performance.now();
      const { epoch: number, steps, ...values } = epoch;
      const named = Object.entries(values).map(([name, value]) => [`imitation/${name}`, value]);
      sinks.write(number, steps, { ...Object.fromEntries(named), "time/epochMs": epochMs });
      output.event("epoch", epoch);
      output.say(renderEpoch(epoch, epochMs));
    };
    const settings = settingsOf(config, run);
    const here = { model, engine };
    const learn = (choose?: (take: TakeSteps) => Promise<Side>) =>
      imitate(policy, here, trajectories, settings, { signal, onEpoch, choose });
    const choose = async (take: TakeSteps) => {
      const trial = await tryDevice(here, there!, take, TRIAL_STEPS);
      const { moves, notice } = verdict(trial, device!, tensors.name, run.device === "auto");
      output.say(notice);
      return moves ? there! : here;
    };
    const { best, trained, heldOut } = await learn(there && choose).catch((error) => {
      if (!(error instanceof DeviceError) || run.device !== "auto") throw error;
      output.say(`${error.message}. Begins again with ${tensors.name}.`);
      model.load(weights);
      return learn();
    });
    if (best.epoch === 0) {
      signal.throwIfAborted(); // nothing has been learnt yet
      output.say("No epoch was better than the start: try more --tasks, or another --learningRate.");
    }
    const metadata = { imitation: JSON.stringify({ env: run.env, policy: run.policy, ...best, trained, heldOut }) };
    for (const path of [folder.weights, ...(config.out === "" ? [] : [config.out])])
      await writeWeights(path, policy, await model.weights(), metadata);
    output.event("imitated", { run: folder.name, weights: folder.weights, best, trained, heldOut });
    output.say(
      `Kept the weights of epoch ${best.epoch}, trained on ${trained} demonstrations and best at the ${heldOut} held out.\n`,
    );
  } finally {
    await engine.close();
    model.dispose();
    await there?.engine.close();
    there?.model.dispose();
    device?.close();
    sinks.flush();
    sinks.close();
  }
}

function placeOn(device: Device, policy: Policy): Side {
  const model = device.model(policy.layout);
  return { model, engine: gradientEngine(policy, model, 1, device.name) };
}

function settingsOf(config: ImitateConfig, run: RunConfig): ImitationSettings {
  const { epochs, patience, heldOut, minibatch, learningRate, seed } = config;
  const { adamBeta1, adamBeta2, adamEpsilon, maxGradNorm, valueCoefficient, passTokens } = run;
  const credit: { gamma?: number } = resolveEstimatorOptions(estimator(run.estimator), run.creditOptions);
  return {
    ...{ epochs, patience, heldOut, minibatch, learningRate, seed },
    ...{ adamBeta1, adamBeta2, adamEpsilon, maxGradNorm, valueCoefficient, passTokens, gamma: credit.gamma ?? 1 },
  };
}

async function finish(
  folder: RunFolder,
  config: ImitateConfig,
  run: Resolved<RunConfig>,
  { output, signal }: CommandContext,
): Promise<number> {
  const next = `${invocation()} dev ${goingOn(run, folder.weights)}`;
  if (signal.aborted) {
    output.event("stopped", { run: folder.name });
    output.say(`Stopped. Go on by reinforcement with:\n  ${next}`);
    return exitCodes.interrupted;
  }
  const options = { split: "eval", episodes: config.evalEpisodes, seed: config.seed, signal };
  const evaluation = await evaluateWeights(run.config, relative(process.cwd(), folder.weights), options);
  output.event("evaluation", evaluation);
  output.say(renderEvaluation(evaluation));
  output.say(`\nGo on by reinforcement with:\n  ${next}`);
  return exitCodes.ok;
}

/** Steps as large as fresh weights need would undo much of the imitation: see docs/imitation.md. */
const GENTLE_LEARNING_RATE = 3e-4;

/** What `dev` must be told to build the same policy for the same environment, and to go on gently. */
function goingOn({ config, origins }: Resolved<RunConfig>, weights: string): string {
  const settings: [string, unknown][] = [["env", config.env]];
  for (const [name, value] of Object.entries(config.envArguments)) settings.push([`env.${name}`, value]);
  if (origins.policy === "command line") settings.push(["policy", config.policy]);
  for (const [name, value] of Object.entries(config.policyOptions))
    if (origins[`policy.${name}`] === "command line") settings.push([`policy.${name}`, value]);
  settings.push(["initialWeights", weights], ["learningRate", Math.min(config.learningRate, GENTLE_LEARNING_RATE)]);
  return settings.map(([key, value]) => `--${key} ${quoted(String(value))}`).join(" ");
}

const quoted = (text: string) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

function renderEpoch(
  { epoch, loss, heldOutLoss, heldOutAccuracy, heldOutValueLoss }: ImitationEpoch,
  ms: number,
): string {
  const parts = [
    ...(loss === undefined ? [] : [`loss ${decimal(loss)}`]),
    `held out: loss ${decimal(heldOutLoss)}`,
    ...(heldOutAccuracy === undefined ? [] : [`${percent(heldOutAccuracy)} as demonstrated`]),
    ...(heldOutValueLoss === undefined ? [] : [`value loss ${decimal(heldOutValueLoss)}`]),
  ];
  return `  epoch ${epoch}  ${parts.join(", ")}  (${epoch === 0 ? "before training" : duration(ms)})`;
}
