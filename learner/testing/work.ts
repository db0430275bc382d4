/** Updates of the built-in policies on made-up turns, for tests and measurements that need work of every kind but no environment. */
import type { Turn } from "../../envs/environment.ts";
import { Random } from "../../envs/random.ts";
import { candidates } from "../../policy/candidates.ts";
import { answersOf } from "../../policy/language/answer-rows.ts";
import { mlp } from "../../policy/mlp.ts";
import { pointer } from "../../policy/pointer.ts";
import { hasTokens, type Policy } from "../../policy/policy.ts";
import { buildPolicy } from "../../policy/registry.ts";
import { initialise } from "../../policy/tensor/initialise.ts";
import type { TensorProvider } from "../../policy/tensor/tensors.ts";
import type { PpoRows } from "../ppo.ts";
import { predict } from "../predict.ts";
import type { UpdateOptions } from "../update.ts";

const text = { observation: { type: "text", maxLength: 1000 }, action: { type: "admissible" } } as const;
const box = { type: "box", low: -1, high: 1 } as const;

/** What an update is given. */
export interface Work {
  policy: Policy;
  data: PpoRows;
  rows: Uint32Array;
  options: UpdateOptions;
  seed: number;
}

/** One of each kind, small. */
export const policies: Readonly<Record<string, () => Policy>> = {
  mlp: () => mlpPolicy(8, "16,16", { type: "discrete", n: 5 }),
  "mlp with box actions, gelu and a shared critic": () =>
    mlpPolicy(8, "16,16", { ...box, shape: [3] }, { activation: "gelu", valueHead: "shared" }),
  candidates: () => buildPolicy(candidates, { name: "candidates", ...text, options: { tableBits: 8, value: true } }),
  pointer: () => buildPolicy(pointer, { name: "pointer", ...text, options: { tableBits: 8 } }),
};

export function mlpPolicy(
  inputs: number,
  hidden: string,
  action: Policy["spec"]["action"] = { type: "discrete", n: 4 },
  options: Record<string, string> = {},
): Policy {
  return buildPolicy(mlp, {
    name: "mlp",
    observation: { ...box, shape: [inputs] },
    action,
    options: { hidden, ...options },
  });
}

export const updateOptions: UpdateOptions = {
  epochs: 2,
  minibatch: 16,
  learningRate: 1e-3,
  adamBeta1: 0.9,
  adamBeta2: 0.999,
  adamEpsilon: 1e-8,
  maxGradNorm: 1,
  targetKl: 0,
  clipLow: 0.2,
  clipHigh: 0.28,
  dualClip: 3,
  klCoefficient: 0.01,
  klEstimator: "k3",
  entropyCoefficient: 0.003,
  valueCoefficient: 0.5,
  valueClip: 0.2,
};

/** What an update of `count` rows needs, with old log-probabilities near those of the initial weights. */
export async function makeWork(policy: Policy, provider: TensorProvider, count: number): Promise<Work> {
  const random = new Random(5);
  const real = (scale: number) => Math.fround(scale * (2 * random.uniform() - 1));
  const { action } = policy.spec;
  const builder = policy.rows();
  const choices: number[] = [];
  let encoder = policy.encoder();
  for (let row = 0; row < count; row++) {
    if (row % 5 === 0) encoder = policy.encoder();
    const turn = makeTurn(policy, random);
    encoder.encode(turn, builder);
    const choice = random.below(action.type === "discrete" ? action.n - 1 : (turn.admissible?.length ?? 1));
    choices.push(choice);
    if (turn.admissible) encoder.acted(choice, turn.admissible[choice]);
  }
  const rows = builder.finish();
  const actions =
    action.type === "box"
      ? Float32Array.from({ length: count * action.shape[0]! }, () => real(1))
      : Int32Array.from(choices);
  const model = provider.model(policy.layout);
  model.load(initialise(policy.layout, 1));
  const { logProbs, values } = await predict(model, policy, rows, actions);
  model.dispose();
  const items = hasTokens(policy) ? answersOf(rows).offsets : undefined;
  const length = items ? items[count]! : count;
  const near = (base: Float32Array) => base.map((x) => x + real(0.4));
  const data = {
    rows,
    ...(items && { items }),
    actions,
    advantages: Float32Array.from({ length }, () => real(2)),
    oldLogProbs: near(logProbs!),
    importance: Float32Array.from({ length }, () => Math.abs(real(2))),
    referenceLogProbs: near(logProbs!),
    ...(values && { valueTargets: near(values), oldValues: near(values) }),
  };
  return { policy, data, rows: Uint32Array.from({ length: count }, (_, i) => i), options: updateOptions, seed: 9 };
}

const PLACES = ["desk 1", "desk 2", "sink 1", "shelf 3", "drawer 1"];
const THINGS = ["mug 1", "pen 2", "plate 1", "apple 3"];

function makeTurn({ spec: { observation, action } }: Policy, random: Random): Turn {
  const pick = (words: readonly string[]) => words[random.below(words.length)]!;
  if (observation.type === "box") {
    const values = Float32Array.from({ length: observation.shape[0]! }, () => 2 * random.uniform() - 1);
    // The last action is forbidden now and then.
    const isMasked = action.type === "discrete" && random.below(3) === 0;
    return {
      observation: values,
      ...(isMasked && { actionMask: Uint8Array.from({ length: action.n }, (_, i) => (i < action.n - 1 ? 1 : 0)) }),
    };
  }
  const seen = Array.from({ length: random.below(3) }, () => `a ${pick(THINGS)}`).join(" and ");
  const admissible = ["look", ...PLACES.map((place) => `go to ${place}`)];
  for (let i = random.below(4); i > 0; i--) admissible.push(`take ${pick(THINGS)} from ${pick(PLACES)}`);
  return {
    observation: seen ? `On the ${pick(PLACES)} you see ${seen}.` : `You arrive at ${pick(PLACES)}.`,
    admissible: [...new Set(admissible)],
    instruction: "put a clean mug in the sink",
  };
}
