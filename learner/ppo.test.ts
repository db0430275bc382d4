import { describe, expect, test } from "bun:test";
import { Random } from "../envs/random.ts";
import { mlp } from "../policy/mlp.ts";
import { buildPolicy } from "../policy/registry.ts";
import { initialise } from "../policy/tensor/initialise.ts";
import { defaultProvider } from "../policy/tensor/provider.ts";
import { threadedGradients } from "./gradient-threads.ts";
import { type GradientReading, inlineGradients } from "./gradients.ts";
import { type PpoOptions, type PpoRows, ppoLoss } from "./ppo.ts";
import { predict } from "./predict.ts";
import { update } from "./update.ts";

const B = 37;
const policy = buildPolicy(mlp, {
  name: "mlp",
  observation: { type: "box", shape: [3], low: -1, high: 1 },
  action: { type: "discrete", n: 4 },
  options: { hidden: "8" },
});
const plain: PpoOptions = {
  clipLow: 0.2,
  clipHigh: 0.28,
  dualClip: 0,
  klCoefficient: 0,
  klEstimator: "k3",
  entropyCoefficient: 0,
  valueCoefficient: 0,
  valueClip: 0,
};

function model() {
  const made = defaultProvider().model(policy.layout);
  made.load(initialise(policy.layout, 3).map((w) => 3 * w)); // far enough from uniform to matter
  return made;
}

/** Rows whose ratios lie on both sides of the clip range and whose advantages have both signs. */
async function randomRows(): Promise<PpoRows & { logProbs: Float32Array; values: Float32Array }> {
  const random = new Random(11);
  const real = (scale: number) => Math.fround(scale * (2 * random.uniform() - 1));
  const builder = policy.rows();
  const encoder = policy.encoder();
  for (let i = 0; i < B; i++) encoder.encode({ observation: Float32Array.of(real(1), real(1), real(1)) }, builder);
  const rows = builder.finish();
  const actions = Int32Array.from({ length: B }, () => random.below(4));
  const { logProbs, values } = await predict(model(), policy, rows, actions);
  const near = (base: Float32Array, scale: number) => base.map((x) => x + real(scale));
  return {
    rows,
    actions,
    advantages: Float32Array.from({ length: B }, () => real(2)),
    oldLogProbs: near(logProbs!, 1.5),
    importance: Float32Array.from({ length: B }, () => Math.abs(real(2))),
    referenceLogProbs: near(logProbs!, 0.7),
    valueTargets: near(values!, 2),
    oldValues: near(values!, 0.5),
    logProbs: logProbs!,
    values: values!,
  };
}

async function loss(rows: PpoRows, options: Partial<PpoOptions>): Promise<number> {
  const read = await model().differentiate((t) => ppoLoss(policy, t, rows, B, { ...plain, ...options }));
  return read.loss[0]!;
}

const only = <K extends keyof PpoRows>(rows: PpoRows, ...keys: K[]): PpoRows => {
  const { rows: r, actions, advantages, oldLogProbs } = rows;
  return { rows: r, actions, advantages, oldLogProbs, ...Object.fromEntries(keys.map((k) => [k, rows[k]])) } as PpoRows;
};
const mean = (f: (i: number) => number) => Array.from({ length: B }, (_, i) => f(i)).reduce((a, b) => a + b, 0) / B;
const clamp = (x: number, low: number, high: number) => Math.min(Math.max(x, low), high);

describe("ppoLoss() equals the formula written out in float64:", () => {
  const surrogate = (d: Awaited<ReturnType<typeof randomRows>>, i: number) => {
    const ratio = Math.exp(d.logProbs[i]! - d.oldLogProbs[i]!);
    const a = d.advantages[i]!;
    return Math.min(ratio * a, clamp(ratio, 0.8, 1.28) * a);
  };

  test("the clipped surrogate, clip-higher included", async () => {
    const d = await randomRows();
    expect(await loss(only(d), {})).toBeCloseTo(-mean((i) => surrogate(d, i)), 5);
  });

  test("dual clip bounds the loss of bad actions from below", async () => {
    const d = await randomRows();
    const a = (i: number) => d.advantages[i]!;
    const expected = -mean((i) => (a(i) < 0 ? Math.max(surrogate(d, i), 1.5 * a(i)) : surrogate(d, i)));
    expect(await loss(only(d), { dualClip: 1.5 })).toBeCloseTo(expected, 5);
    expect(expected).not.toBeCloseTo(-mean((i) => surrogate(d, i)), 3);
  });

  test("importance weights of the decoupled objective", async () => {
    const d = await randomRows();
    expect(await loss(only(d, "importance"), {})).toBeCloseTo(-mean((i) => d.importance![i]! * surrogate(d, i)), 5);
  });

  for (const klEstimator of ["k1", "k2", "k3"] as const) {
    test(`KL to the reference policy by ${klEstimator}`, async () => {
      const d = await randomRows();
      const kl = (i: number) => {
        const k1 = d.logProbs[i]! - d.referenceLogProbs![i]!;
        return { k1, k2: 0.5 * k1 * k1, k3: Math.exp(-k1) - 1 + k1 }[klEstimator];
      };
      const expected = -mean((i) => surrogate(d, i)) + 0.3 * mean(kl);
      expect(await loss(only(d, "referenceLogProbs"), { klCoefficient: 0.3, klEstimator })).toBeCloseTo(expected, 5);
    });
  }

  test("the entropy bonus", async () => {
    const d = await randomRows();
    const entropies = new Float64Array(B);
    for (let action = 0; action < 4; action++) {
      const { logProbs } = await predict(model(), policy, d.rows, new Int32Array(B).fill(action));
      for (let i = 0; i < B; i++) entropies[i]! -= Math.exp(logProbs![i]!) * logProbs![i]!;
    }
    const expected = -mean((i) => surrogate(d, i)) - 0.1 * mean((i) => entropies[i]!);
    expect(await loss(only(d), { entropyCoefficient: 0.1 })).toBeCloseTo(expected, 5);
  });

  test("the critic's loss, with and without clipping", async () => {
    const d = await randomRows();
    const error = (i: number) => (d.values[i]! - d.valueTargets![i]!) ** 2;
    const clipped = (i: number) => {
      const near = d.oldValues![i]! + clamp(d.values[i]! - d.oldValues![i]!, -0.1, 0.1);
      return Math.max(error(i), (near - d.valueTargets![i]!) ** 2);
    };
    const base = -mean((i) => surrogate(d, i));
    const rows = only(d, "valueTargets", "oldValues");
    expect(await loss(rows, { valueCoefficient: 0.5 })).toBeCloseTo(base + 0.25 * mean(error), 5);
    expect(await loss(rows, { valueCoefficient: 0.5, valueClip: 0.1 })).toBeCloseTo(base + 0.25 * mean(clipped), 5);
  });
});

describe("the gradient of a minibatch", () => {
  const options = { ...plain, klCoefficient: 0.1, entropyCoefficient: 0.01, valueCoefficient: 0.5 };
  const index = Uint32Array.from({ length: 29 }, (_, i) => (i * 5) % B);

  test("is the same bits whether one thread computes its shards or three", async () => {
    const data = await randomRows();
    const [inline, threaded] = [model(), model()];
    const engines = [inlineGradients(policy, inline, 3), threadedGradients(policy, threaded, 3, "simd")];
    const readings: GradientReading[][] = [];
    for (const engine of engines) {
      const read: GradientReading[] = [];
      for (let updates = 0; updates < 2; updates++) {
        await engine.load(data, options);
        for (let step = 0; step < 3; step++) read.push(await engine.gradient(index));
        engine.unload();
      }
      readings.push(read);
    }
    expect(readings[1]).toEqual(readings[0]!);
    expect(await threaded.gradients()).toEqual(await inline.gradients());
    for (const engine of engines) await engine.close();
  });

  test("in shards is the gradient of the whole, beyond rounding", async () => {
    const data = await randomRows();
    const gradients = [];
    for (const shards of [1, 4]) {
      const m = model();
      const engine = inlineGradients(policy, m, shards);
      await engine.load(data, options);
      await engine.gradient(index);
      gradients.push(await m.gradients());
    }
    for (let i = 0; i < gradients[0]!.length; i++) expect(gradients[1]![i]).toBeCloseTo(gradients[0]![i]!, 5);
  });

  test("is clipped to maxGradNorm, and not at all where that is 0", async () => {
    const data = await randomRows();
    const adam = { adamBeta1: 0.9, adamBeta2: 0.999, adamEpsilon: 1, learningRate: 0.1, epochs: 1, minibatch: B };
    const rows = Uint32Array.from({ length: B }, (_, i) => i);
    const after = async (maxGradNorm: number) => {
      const m = model();
      await update(m, inlineGradients(policy, m, 1), data, rows, { ...options, ...adam, maxGradNorm, targetKl: 0 }, 1);
      return m.weights();
    };
    const free = await after(1e9);
    expect(await after(0)).toEqual(free);
    expect(await after(1e-6)).not.toEqual(free);
  });

  test("that is not finite ends the update with an error that names the learning rate", async () => {
    const data = await randomRows();
    data.advantages[3] = Number.NaN;
    const m = model();
    const adam = {
      adamBeta1: 0.9,
      adamBeta2: 0.999,
      adamEpsilon: 1e-8,
      maxGradNorm: 1,
      learningRate: 0.5,
      epochs: 1,
      minibatch: 16,
      targetKl: 0,
    };
    const rows = Uint32Array.from({ length: B }, (_, i) => i);
    const updating = update(m, inlineGradients(policy, m, 1), data, rows, { ...options, ...adam }, 1);
    await expect(updating).rejects.toThrow("Try a smaller learningRate (now 0.5)");
  });
});
