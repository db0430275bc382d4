/**
 * The work of a learner, the same for both sides: a policy, its rows, and the order of the minibatches. Proxima makes it anew from
 * its name in every process; for PyTorch it is written to a folder, with each minibatch of text already cut.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { mix32, uniform01 } from "../../envs/random.ts";
import { loadEnvironment } from "../../envs/registry.ts";
import { takeLossRows } from "../../learner/losses.ts";
import { shuffle } from "../../learner/minibatches.ts";
import type { PpoRows } from "../../learner/ppo.ts";
import { predict } from "../../learner/predict.ts";
import { mlpPolicy } from "../../learner/testing/work.ts";
import type { UpdateOptions } from "../../learner/update.ts";
import type { Policy } from "../../policy/policy.ts";
import { buildPolicy, defaultPolicyFor } from "../../policy/registry.ts";
import type { RaggedColumn } from "../../policy/rows.ts";
import { initialise } from "../../policy/tensor/initialise.ts";
import { simdProvider } from "../../policy/tensor/simd/provider.ts";

export const works = ["64 × 64", "256 × 256", "512 × 512", "text"] as const;
export type WorkName = (typeof works)[number];

const SEED = 3;
const MINIBATCHES = 8;
/** Rows of a forward pass: what an actor plays side by side. */
export const FORWARD_ROWS = 16;

export interface LearnerWork {
  policy: Policy;
  weights: Float32Array;
  data: PpoRows;
  rows: Uint32Array;
  options: UpdateOptions;
  seed: number;
}

export async function learnerWork(name: WorkName): Promise<LearnerWork> {
  return name === "text"
    ? completed(await readText(MINIBATCHES * 512), MINIBATCHES)
    : networkWork(name, MINIBATCHES * 256, MINIBATCHES);
}

/** @param name two hidden layers of which size, such as "64 × 64" */
export function networkWork(name: string, count: number, minibatches: number): Promise<LearnerWork> {
  return completed(readNumbers(name, count), minibatches);
}

/** With what the first weights make of the rows. */
async function completed(
  { policy, data }: { policy: Policy; data: PpoRows },
  minibatches: number,
): Promise<LearnerWork> {
  const { count } = data.rows;
  const weights = initialise(policy.layout, 1);
  const model = simdProvider().model(policy.layout);
  model.load(weights);
  const { logProbs, values } = await predict(model, policy, data.rows, data.actions);
  model.dispose();
  data.oldLogProbs.set(logProbs!);
  if (values) data.valueTargets = values.map((value, i) => value + between(2 * count + i));
  const options: UpdateOptions = {
    epochs: 1,
    minibatch: count / minibatches,
    learningRate: 1e-3,
    adamBeta1: 0.9,
    adamBeta2: 0.999,
    adamEpsilon: 1e-8,
    maxGradNorm: 1,
    targetKl: 0,
    clipLow: 0.2,
    clipHigh: 0.2,
    dualClip: 0,
    klCoefficient: 0,
    klEstimator: "k3",
    entropyCoefficient: 0.003,
    valueCoefficient: 0.5,
    valueClip: 0,
  };
  return { policy, weights, data, rows: Uint32Array.from({ length: count }, (_, i) => i), options, seed: SEED };
}

/** −1 … 1 */
const between = (i: number) => 2 * uniform01(SEED, i) - 1;

function readNumbers(name: string, count: number): { policy: Policy; data: PpoRows } {
  const [inputs, actions] = name === "64 × 64" ? [4, 2] : [64, 16];
  const policy = mlpPolicy(inputs, name.replace(" × ", ","), { type: "discrete", n: actions });
  const builder = policy.rows();
  const encoder = policy.encoder();
  for (let row = 0; row < count; row++) {
    const observation = Float32Array.from({ length: inputs }, (_, i) => between(row * inputs + i));
    encoder.encode({ observation }, builder);
  }
  const choices = Int32Array.from({ length: count }, (_, i) => mix32(SEED, i) % actions);
  return { policy, data: { rows: builder.finish(), actions: choices, ...credit(count) } };
}

/** Turns of ALFWorld under random actions. */
async function readText(count: number): Promise<{ policy: Policy; data: PpoRows }> {
  const { source } = await loadEnvironment("alfworld");
  const definition = defaultPolicyFor(source.spec);
  const { observation, action } = source.spec;
  const policy = buildPolicy(definition, { name: definition.name, observation, action, options: {} });
  const builder = policy.rows();
  const choices: number[] = [];
  const environment = source.create();
  const tasks = source.tasks("train");
  for (let episode = 0; choices.length < count; episode++) {
    const encoder = policy.encoder();
    let turn = await environment.reset({ task: tasks.at(mix32(SEED, episode >> 3) % tasks.size), seed: episode });
    for (let ended = false; !ended && choices.length < count; ) {
      const choice = mix32(SEED, choices.length) % turn.admissible!.length;
      encoder.encode(turn, builder);
      encoder.acted(choice, turn.admissible![choice]);
      choices.push(choice);
      const next = await environment.step(turn.admissible![choice]!);
      ended = next.terminated || next.truncated;
      turn = next;
    }
  }
  await environment.close();
  return { policy, data: { rows: builder.finish(), actions: Int32Array.from(choices), ...credit(count) } };
}

const credit = (count: number) => ({
  advantages: Float32Array.from({ length: count }, (_, i) => between(count + i)),
  oldLogProbs: new Float32Array(count),
});

/** Arrays as one file and a list of what lies where; minibatches in the order in which `update` takes them. */
export function writeWork(folder: string, { policy, weights, data, rows, options, seed }: LearnerWork): void {
  const arrays: { name: string; type: string; offset: number; length: number }[] = [];
  const parts: Uint8Array[] = [];
  let offset = 0;
  const put = (name: string, values: Float32Array | Int32Array | Uint32Array) => {
    arrays.push({ name, type: values instanceof Float32Array ? "float32" : "int32", offset, length: values.length });
    parts.push(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    offset += values.byteLength;
  };
  let from = 0;
  for (const { name, shape } of policy.layout) {
    const length = shape.reduce((product, size) => product * size, 1);
    put(`weights/${name}`, weights.subarray(from, from + length));
    from += length;
  }
  putRows("all", takeLossRows(data, rows), put);
  putRows("forward", takeLossRows(data, rows.subarray(0, FORWARD_ROWS)), put);
  const order = rows.slice();
  for (let epoch = 0, n = 0; epoch < options.epochs; epoch++) {
    shuffle(order, mix32(seed, epoch));
    put(`order/${epoch}`, order.slice());
    if (data.rows.columns.observation) continue;
    for (let at = 0; at < order.length; at += options.minibatch, n++)
      putRows(`minibatch/${n}`, takeLossRows(data, order.slice(at, at + options.minibatch)), put);
  }
  const shapes = Object.fromEntries(policy.layout.map(({ name, shape }) => [name, shape]));
  writeFileSync(join(folder, "work.json"), JSON.stringify({ arrays, shapes, options }));
  writeFileSync(join(folder, "work.bin"), Buffer.concat(parts));
}

function putRows(
  name: string,
  { rows, ...columns }: PpoRows,
  put: (name: string, values: Float32Array | Int32Array | Uint32Array) => void,
): void {
  for (const [column, values] of Object.entries(columns)) put(`${name}/${column}`, values as Float32Array);
  for (const [column, { type, ...lists }] of Object.entries(rows.columns)) {
    for (const [part, values] of Object.entries(lists)) {
      const isUsed = typeof values === "object" && !(column === "forbidden" && !(lists as RaggedColumn).values.length);
      if (isUsed) put(`${name}/${column}/${part}`, values);
    }
  }
}
