import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { initialise } from "../../tensor/index.ts";
import { simdProvider } from "../../tensor/simd/provider.ts";
import type { TensorProvider } from "../../tensor/tensors.ts";
import { deviceForTests } from "../../tensor/tfjs/testing/devices.ts";
import { smallConfig } from "./config.ts";
import { causal } from "./model.ts";

setDefaultTimeout(600_000); // a software adapter compiles each shader for a quarter of a second

const CONFIG = {
  ...smallConfig({ vocabulary: 40, hidden: 16, layers: 2, heads: 4, keyHeads: 2, contextLimit: 64 }),
  windows: [0, 5],
};
const BATCH = {
  tokens: Int32Array.from({ length: 30 }, (_, i) => (i * i * 7 + 3) % 40),
  offsets: Uint32Array.of(0, 12, 30),
};
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

for (const name of ["tensorflow", "webgpu"] as const) {
  describe(`device ${name}`, async () => {
    const device = await deviceForTests(name);
    test.skipIf(!device)("gives a language model the gradients that simd gives it", async () => {
      const [found, expected] = [await gradients(device!), await gradients(simdProvider())];
      const largest = Math.max(...expected.map(Math.abs));
      const worst = Math.max(...found.map((g, i) => Math.abs(g - expected[i])));
      expect(worst).toBeLessThan(1e-5 * largest);
    });
  });
}
