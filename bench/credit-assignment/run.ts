/** One training run of the experiment, in this process: learner and one actor over memory, then the held-out evaluations. */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { evaluate } from "../../deploy/evaluate.ts";
import { trainInProcess } from "../../deploy/in-process.ts";
import { environment, loadEnvironment } from "../../envs/registry.ts";
import { CheckpointStore } from "../../learner/checkpoint.ts";
import { runSchema } from "../../learner/config.ts";
import { createPolicy } from "../../policy/registry.ts";
import { defaultProvider } from "../../policy/tensor/provider.ts";
import { memoryBus } from "../../proto/bus/memory.ts";
import { resolveConfig } from "../../proto/config.ts";
import type { Point } from "./statistics.ts";
import { settings, variants } from "./variants.ts";

export interface RunRequest {
  /** Name of the experiment. */
  setting: string;
  variant: string;
  seed: number;
  totalEnvSteps: number;
  /** Iterations between two evaluations. */
  evalEvery: number;
  /** Episodes of an evaluation. */
  evalEpisodes: number;
  /** Episodes of the last one. */
  finalEpisodes: number;
}

export interface RunResult extends RunRequest {
  key: string;
  /** Held-out success of the sampling policy. */
  curve: Point[];
  /** After the last iteration: drawing actions, and taking the most probable ones. */
  final: { sampled: number; greedy: number };
  /** Success of the training episodes by iteration. */
  training: Point[];
  /** Means over the iterations of what the estimator reports. */
  diagnostics: Record<string, number>;
  /** Time of the estimator / time of the learner's own work (assembling, advantages, update). */
  creditShare: number;
  cpuSeconds: number;
}

/** Everything set about a run, apart from its name. */
async function valuesOf({ setting, variant, seed, totalEnvSteps }: RunRequest): Promise<Record<string, unknown>> {
  const { env, values } = settings[setting];
  const { definition } = await environment(env);
  const { estimator, credit } = variants[variant];
  const defaults = Object.entries(definition.trainingDefaults ?? {}).filter(
    ([key]) => key !== "estimator" && !key.startsWith("credit."),
  );
  return {
    ...Object.fromEntries(defaults),
    ...values,
    totalEnvSteps,
    env,
    seed,
    estimator,
    ...Object.fromEntries(Object.entries(credit).map(([name, value]) => [`credit.${name}`, value])),
  };
}

/** Names a run by its settings; those at their default are not part of it. */
export async function keyOf(request: RunRequest): Promise<string> {
  const { evalEvery, evalEpisodes, finalEpisodes } = request;
  const values = Object.entries(await valuesOf(request)).sort(([a], [b]) => (a < b ? -1 : 1));
  const start = settings[request.setting].afterImitation ? ["after imitation"] : [];
  const text = JSON.stringify([values, ...start, evalEvery, evalEpisodes, finalEpisodes]);
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

export const runName = ({ variant, seed }: RunRequest): string => `${variant}-${seed}`.replace(".", "_");

/** @param initialWeights file to start from, where the setting starts after imitation */
export async function runOnce(request: RunRequest, initialWeights = ""): Promise<RunResult> {
  const { variant, seed, evalEvery, evalEpisodes, finalEpisodes } = request;
  const folder = mkdtempSync(join(tmpdir(), "proxima-experiment-"));
  const provider = defaultProvider();
  const bus = memoryBus();
  try {
    const { config } = resolveConfig(runSchema, [
      {
        source: variant,
        values: {
          ...(await valuesOf(request)),
          initialWeights,
          run: runName(request),
          checkpointEvery: evalEvery,
          keepCheckpoints: 1_000_000,
        },
      },
    ]);
    const training: Point[] = [];
    const diagnostics: Record<string, number[]> = {};
    let creditMs = 0;
    let workMs = 0;
    await trainInProcess(
      config,
      {
        bus,
        provider,
        actors: 1,
        checkpointsFolder: folder,
        onIteration: ({ envSteps, values, timing }) => {
          training.push({ envSteps, success: values["episode/success"] });
          for (const [name, value] of Object.entries(values)) {
            if (!name.startsWith("credit/")) continue;
            diagnostics[name] ??= [];
            diagnostics[name].push(value);
          }
          creditMs += timing.advantagesMs ?? 0;
          workMs += (timing.advantagesMs ?? 0) + (timing.assembleMs ?? 0) + (timing.updateMs ?? 0);
        },
        onNotice: () => {},
        log: () => {},
      },
      new AbortController().signal,
    );

    const { source } = await loadEnvironment(config.env, config.envArguments);
    const { observation, action } = source.spec;
    const policy = await createPolicy({ name: config.policy, observation, action, options: config.policyOptions });
    const model = provider.model(policy.layout);
    const play = async (episodes: number, greedy: boolean) => {
      const { success } = await evaluate(policy, model, source, { split: "eval", episodes, seed, greedy });
      if (!success) throw new TypeError(`Environment ${config.env} says nothing about success`);
      return success.successes / success.episodes;
    };
    const store = new CheckpointStore(folder, policy, 1_000_000);
    const curve: Point[] = [];
    for (const iteration of await store.iterations()) {
      const { weights, counters } = await store.read(iteration);
      model.load(weights);
      curve.push({ envSteps: counters.envSteps, success: await play(evalEpisodes, false) });
    }
    const final = { sampled: await play(finalEpisodes, false), greedy: await play(finalEpisodes, true) };
    curve[curve.length - 1].success = final.sampled;
    model.dispose();
    const rounded = (value: number) => Math.round(value * 1e4) / 1e4;
    const pointsOf = (points: Point[]) =>
      points.map(({ envSteps, success }) => ({ envSteps, success: rounded(success) }));
    const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    return {
      key: await keyOf(request),
      ...request,
      curve: pointsOf(curve),
      final,
      training: pointsOf(training),
      diagnostics: Object.fromEntries(
        Object.entries(diagnostics).map(([name, values]) => [name, rounded(mean(values))]),
      ),
      creditShare: rounded(creditMs / workMs),
      cpuSeconds: rounded((process.cpuUsage().user + process.cpuUsage().system) / 1e6),
    };
  } finally {
    await bus.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
