import { describe, expect, test } from "bun:test";
import { initialise } from "../policy/tensor/initialise.ts";
import { simdProvider } from "../policy/tensor/simd/provider.ts";
import type { Model } from "../policy/tensor/tensors.ts";
import { fromBf16, toBf16 } from "../proto/weights.ts";
import { inlineGradients } from "./gradients.ts";
import { predict } from "./predict.ts";
import { makeWork, policies } from "./testing/work.ts";
import { update } from "./update.ts";

const host = simdProvider();

/** A policy that has been trained until it prefers some actions, on 256 rows. */
async function trained(kind: string) {
  const work = await makeWork(policies[kind]!(), host, 256);
  const model = host.model(work.policy.layout);
  model.load(initialise(work.policy.layout, 1));
  const engine = inlineGradients(work.policy, model, 1);
  const options = { ...work.options, epochs: 10, learningRate: 5e-3, klCoefficient: 0, entropyCoefficient: 0 };
  await update(model, engine, work.data, work.rows, options, 1);
  return { work, model };
}

describe("what actors hold after a broadcast as bf16", () => {
  for (const kind of Object.keys(policies)) {
    test(`${kind}: log-probabilities differ from those of the learner's weights, by thousandths`, async () => {
      const { work, model } = await trained(kind);
      const logProbs = async (of: Model) =>
        (await predict(of, work.policy, work.data.rows, work.data.actions)).logProbs!;
      const exact = await logProbs(model);
      model.load(fromBf16(toBf16(await model.weights())));
      const rounded = await logProbs(model);
      const differences = exact.map((l, i) => Math.abs(rounded[i]! - l));
      const mean = differences.reduce((a, b) => a + b, 0) / differences.length;
      const largest = Math.max(...differences);
      expect(mean).toBeGreaterThan(0);
      expect(mean).toBeLessThan(0.003);
      expect(largest).toBeLessThan(0.03);
    });
  }
});
