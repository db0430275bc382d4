/** Evaluates a checkpoint of a run or a file of weights, and says so in words. */
import type { EnvironmentSource } from "../envs/environment.ts";
import { loadEnvironment } from "../envs/registry.ts";
import { CheckpointStore } from "../learner/checkpoint.ts";
import type { RunConfig } from "../learner/config.ts";
import { readWeights } from "../learner/weights-file.ts";
import type { Policy } from "../policy/policy.ts";
import { createPolicy } from "../policy/registry.ts";
import { tensorProvider } from "../policy/tensor/provider.ts";
import { type Evaluation, evaluate, type Rate, wilsonInterval } from "./evaluate.ts";
import { decimal } from "./quantities.ts";
import type { RunFolder } from "./run-folder.ts";

export interface PolicyEvaluation {
  sampled: Evaluation;
  greedy: Evaluation;
}

export interface RunEvaluation extends PolicyEvaluation {
  /** Iterations trained when the checkpoint was written. */
  iteration: number;
  envSteps: number;
}

export interface WeightsEvaluation extends PolicyEvaluation {
  /** The file. */
  weights: string;
}

interface Options {
  split: string;
  episodes: number;
  seed: number;
  signal?: AbortSignal;
}

/** The policy of a checkpoint. */
export function evaluateRun(
  config: RunConfig,
  folder: Pick<RunFolder, "checkpoints">,
  options: Options & { checkpoint?: number },
): Promise<RunEvaluation> {
  return evaluatePolicy(config, options, async (policy) => {
    const { weights, counters } = await new CheckpointStore(folder.checkpoints, policy, 1).read(options.checkpoint);
    return { weights, about: { iteration: counters.iteration, envSteps: counters.envSteps } };
  });
}

/** A file of weights, with the environment and the policy of a run's configuration. */
export function evaluateWeights(config: RunConfig, path: string, options: Options): Promise<WeightsEvaluation> {
  return evaluatePolicy(config, options, async (policy) => ({
    weights: await readWeights(path, policy),
    about: { weights: path },
  }));
}

/** The policy that a run's configuration describes, and the environment that it is for. */
export async function policyOf(config: RunConfig): Promise<{ source: EnvironmentSource; policy: Policy }> {
  const { source } = await loadEnvironment(config.env, config.envArguments);
  const { observation, action } = source.spec;
  const policy = await createPolicy({ name: config.policy, observation, action, options: config.policyOptions });
  return { source, policy };
}

async function evaluatePolicy<About>(
  config: RunConfig,
  options: Options,
  read: (policy: Policy) => Promise<{ weights: Float32Array; about: About }>,
): Promise<About & PolicyEvaluation> {
  const { source, policy } = await policyOf(config);
  const { weights, about } = await read(policy);
  const model = tensorProvider(config.provider).model(policy.layout);
  try {
    model.load(weights);
    const sampled = await evaluate(policy, model, source, { ...options, greedy: false });
    const greedy = await evaluate(policy, model, source, { ...options, greedy: true });
    return { ...about, sampled, greedy };
  } finally {
    model.dispose();
  }
}

export function renderEvaluation(evaluation: RunEvaluation | WeightsEvaluation): string {
  const { sampled, greedy } = evaluation;
  const of =
    "weights" in evaluation
      ? `of ${evaluation.weights}`
      : `after ${evaluation.iteration} iterations, ${evaluation.envSteps.toLocaleString("en")} env steps`;
  const lines = [
    `Evaluation on '${sampled.split}' ${of}`,
    `(${sampled.success ? "success with its 95 % interval; " : ""}return ± standard error):`,
    `  sampled  ${result(sampled)}`,
    `  greedy   ${result(greedy)}`,
  ];
  const types = Object.keys(sampled.byType).sort();
  if (types.length > 1) {
    const width = Math.max(...types.map((type) => type.length));
    for (const type of types) {
      lines.push(
        `    ${type.padEnd(width)}  sampled ${share(sampled.byType[type]!)}  greedy ${share(greedy.byType[type]!)}`,
      );
    }
  }
  for (const { greedy: isGreedy, noResults } of [sampled, greedy]) {
    for (const [reason, count] of Object.entries(noResults)) {
      lines.push(`  ${count} ${isGreedy ? "greedy" : "sampled"} episodes had no result and do not count: ${reason}`);
    }
  }
  return lines.join("\n");
}

function result({ success, episodes, meanReturn, returnStandardError }: Evaluation): string {
  if (episodes === 0) return "no episode had a result";
  const error = Number.isFinite(returnStandardError) ? ` ± ${decimal(returnStandardError)}` : "";
  const rest = `return ${decimal(meanReturn)}${error}, ${episodes} episodes`;
  if (!success) return rest;
  const [low, high] = wilsonInterval(success);
  return `success ${share(success)} (${(100 * low).toFixed(0)}–${(100 * high).toFixed(0)} %), ${rest}`;
}

const share = ({ successes, episodes }: Rate) => `${((100 * successes) / episodes).toFixed(1)} %`;
