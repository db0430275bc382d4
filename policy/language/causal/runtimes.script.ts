/**
 * Trains a tokenizer and a small model in a folder, then adapters on it, and generates: prints what came of it. `runtimes.test.ts` runs it on Bun,
 * Deno and Node, which must agree to the bit.
 */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { initialise, type Model } from "../../tensor/index.ts";
import { simdProvider } from "../../tensor/simd/provider.ts";
import { typescriptProvider } from "../../tensor/typescript/provider.ts";
import {
  adaptedWeights,
  type CausalModel,
  causal,
  frozenBase,
  Generator,
  readCheckpoint,
  readTokenizer,
  smallConfig,
  trainTokenizer,
  weightsOf,
  writeCheckpoint,
  writeTokenizer,
} from "./index.ts";

const TEXTS = Array.from({ length: 60 }, (_, i) => `You see a mug ${i % 7} on the shelf ${i % 5}. Take mug ${i % 7}!`);
const ADAM = { learningRate: 3e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 };

const folder = mkdtempSync(join(tmpdir(), "proxima-runtimes-"));
writeTokenizer(folder, trainTokenizer(TEXTS, 300));
const config = smallConfig({ vocabulary: 300, hidden: 32, layers: 2, heads: 4, keyHeads: 2, contextLimit: 128 });
writeCheckpoint(folder, config, initialise(causal(config).layout, 1), [2]);
const checkpoint = readCheckpoint(folder);
const tokenizer = readTokenizer(folder);

async function train(model: Model, lm: CausalModel): Promise<string> {
  for (let step = 0; step < 10; step++) {
    const sequences = TEXTS.slice(step * 6, step * 6 + 6).map((text) => [...tokenizer.encode(text), 2]);
    const offsets = Uint32Array.of(0, ...sequences.map((tokens) => tokens.length));
    for (let i = 1; i < offsets.length; i++) offsets[i] += offsets[i - 1];
    const tokens = Int32Array.from(sequences.flat());
    const positions = Uint32Array.from([...tokens.keys()].filter((i) => !offsets.includes(i)));
    await model.differentiate((t) => {
      const { logProb, entropy } = lm.tokenLogProbs(t, { tokens, offsets }, positions);
      return { loss: t.sub(t.affine(t.mean(logProb), -1), t.affine(t.mean(entropy), 0.01)) };
    });
    await model.adam(ADAM);
  }
  const generator = new Generator(model, lm, tokenizer.decode);
  const answers = await generator.generate(
    ["You see", "Take mug"].map((text, k) => ({
      session: generator.session(),
      tokens: tokenizer.encode(text),
      uniform: (i) => ((i + 1) * 0.6180339887 + k * 0.37) % 1,
    })),
    { maxTokens: 20, temperature: 0.9, topP: 0.95, stopTokens: [2] },
  );
  const hash = createHash("sha256").update(new Uint8Array((await model.weights()).buffer));
  for (const { tokens, logProbs } of answers) {
    hash.update(new Uint8Array(tokens.buffer)).update(new Uint8Array(logProbs.buffer));
  }
  return hash.update(answers.map(({ text }) => text).join("\n")).digest("hex");
}

const results: Record<string, string> = { base: checkpoint.hash() };
for (const provider of [simdProvider(), typescriptProvider()]) {
  const whole = causal(config);
  const model = provider.model(whole.layout);
  model.load(weightsOf(checkpoint));
  results[`${provider.name}, whole`] = await train(model, whole);
  const weights = adaptedWeights(frozenBase(checkpoint, "int8"), { rank: 4 });
  const adapted = causal(config, { weights, recompute: true });
  const adapters = provider.model(adapted.layout);
  adapters.load(initialise(adapted.layout, 2));
  results[`${provider.name}, adapters`] = await train(adapters, adapted);
}
rmSync(folder, { recursive: true });
console.log(JSON.stringify(results));
