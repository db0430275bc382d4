import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { FrozenMatrix, toBfloat16 } from "../../tensor/frozen.ts";
import { initialise, sizeOf } from "../../tensor/index.ts";
import { simdProvider } from "../../tensor/simd/provider.ts";
import type { TensorProvider } from "../../tensor/tensors.ts";
import { deviceForTests } from "../../tensor/tfjs/testing/devices.ts";
import { smallConfig } from "./config.ts";
import { adaptedWeights, type FrozenBase } from "./lora.ts";
import { causal, causalLayout } from "./model.ts";

setDefaultTimeout(600_000); // a software adapter compiles each shader for a quarter of a second

const CONFIG = {
  ...smallConfig({ vocabulary: 40, hidden: 16, layers: 2, heads: 4, keyHeads: 2, contextLimit: 64 }),
  windows: [0, 5],
};
const ONE_LAYER = { ...CONFIG, layers: 1 };
const BATCH = {
  tokens: Int32Array.from({ length: 30 }, (_, i) => (i * i * 7 + 3) % 40),
  offsets: Uint32Array.of(0, 12, 30),
};
const SEQUENCE = { tokens: BATCH.tokens.slice(0, 12), offsets: Uint32Array.of(0, 12) };
const POSITIONS = Uint32Array.of(1, 5, 11, 13, 20, 29);

async function gradients(provider: TensorProvider): Promise<Float32Array> {
  const lm = causal(CONFIG, { recompute: true });
  const model = provider.model(lm.layout);
  model.load(initialise(lm.layout, 1));
  await model.differentiate((t) => {
    const { logProb, entropy } = lm.tokenLogProbs(t, BATCH, POSITIONS);
    return { loss: t.add(t.mean(logProb), t.mean(entropy)) };
  });
  const found = await model.gradients();
  model.dispose();
  return found;
}

/** Adapters on a base in bf16: few of them and one sequence, since an emulated GPU takes seconds a step. @returns the losses of twenty steps, and the weights after them */
async function train(provider: TensorProvider): Promise<{ losses: number[]; weights: Float32Array }> {
  const lm = causal(ONE_LAYER, {
    weights: adaptedWeights(base(), { rank: 4, targets: ["q_proj", "down_proj"] }),
    recompute: false,
  });
  const model = provider.model(lm.layout);
  model.load(initialise(lm.layout, 2));
  const losses: number[] = [];
  for (let step = 0; step < 20; step++) {
    const { loss } = await model.differentiate((t) => {
      const { logProb, entropy } = lm.tokenLogProbs(t, SEQUENCE, Uint32Array.of(1, 5, 11));
      return { loss: t.add(t.affine(t.mean(logProb), -1), t.affine(t.mean(entropy), -0.01)) };
    });
    await model.adam({ learningRate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 });
    losses.push(loss[0]!);
  }
  const weights = await model.weights();
  model.dispose();
  return { losses, weights };
}

function base(): FrozenBase {
  const weights = initialise(causalLayout(ONE_LAYER), 1);
  const matrices = new Map<string, FrozenMatrix>();
  const vectors = new Map<string, Float32Array>();
  let at = 0;
  for (const { name, shape } of causalLayout(ONE_LAYER)) {
    const values = weights.slice(at, at + sizeOf(shape));
    at += values.length;
    if (shape.length === 1) vectors.set(name, values);
    else matrices.set(name, toBfloat16(new FrozenMatrix(shape, "F32", new Uint8Array(values.buffer))));
  }
  return {
    config: ONE_LAYER,
    identity: () => "random",
    matrix: (name) => matrices.get(name)!,
    vector: (name) => vectors.get(name)!,
  };
}

const norm = (values: Float32Array) => Math.hypot(...values);

for (const name of ["tensorflow", "webgpu"] as const) {
  describe(`device ${name}`, async () => {
    const device = await deviceForTests(name);
    test.skipIf(!device)("gives a language model the gradients that simd gives it", async () => {
      const [found, expected] = [await gradients(device!), await gradients(simdProvider())];
      const largest = Math.max(...expected.map(Math.abs));
      const worst = Math.max(...found.map((g, i) => Math.abs(g - expected[i])));
      expect(worst).toBeLessThan(1e-5 * largest);
    });

    test.skipIf(!device)("trains adapters on a base in bf16 for twenty steps as simd does", async () => {
      const [found, expected] = [await train(device!), await train(simdProvider())];
      const worst = Math.max(...found.losses.map((loss, i) => Math.abs(loss - expected.losses[i]!)));
      expect(expected.losses[19]).toBeLessThan(expected.losses[0]! - 0.1);
      expect(worst).toBeLessThan(1e-5);
      const off = norm(found.weights.map((weight, i) => weight - expected.weights[i]!));
      expect(off).toBeLessThan(1e-4 * norm(expected.weights));
    });
  });
}
