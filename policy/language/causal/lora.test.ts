import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bits } from "../../tensor/conformance.ts";
import { initialise, type Model } from "../../tensor/index.ts";
import { simdProvider } from "../../tensor/simd/provider.ts";
import { readCheckpoint, writeCheckpoint } from "./checkpoint.ts";
import { smallConfig } from "./config.ts";
import { Generator } from "./generate.ts";
import {
  adaptedWeights,
  type BaseFormat,
  frozenBase,
  type LoraOptions,
  loraLayout,
  mergeAdapters,
  readAdapters,
  writeAdapters,
} from "./lora.ts";
import { type CausalModel, causal, causalLayout } from "./model.ts";

const root = mkdtempSync(join(tmpdir(), "proxima-lora-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const provider = simdProvider();
const CONFIG = smallConfig({ vocabulary: 30, hidden: 16, layers: 2, heads: 4, keyHeads: 2, contextLimit: 64 });
const WEIGHTS = initialise(causalLayout(CONFIG), 1).map((x) => (Math.abs(x) < 0.5 ? 8 * x : x));
writeCheckpoint(root, CONFIG, WEIGHTS);
const checkpoint = readCheckpoint(root);
const LORA: LoraOptions = { rank: 3, alpha: 12, targets: ["q_proj", "v_proj", "down_proj"] };

const BATCH = {
  tokens: Int32Array.from({ length: 24 }, (_, i) => (i * i * 3 + i) % 30),
  offsets: Uint32Array.of(0, 15, 24),
};
const POSITIONS = Uint32Array.from([...BATCH.tokens.keys()].filter((i) => i !== 0 && i !== 15));

/** Adapters that do something. */
function trainedAdapters(options = LORA): Float32Array {
  return initialise(
    loraLayout(CONFIG, options).map((spec) => ({ ...spec, init: { type: "normal", value: 0.1 } })),
    5,
  );
}

function adapted(options = LORA, format: BaseFormat = "stored"): { model: Model; lm: CausalModel } {
  const lm = causal(CONFIG, { weights: adaptedWeights(frozenBase(checkpoint, format), options) });
  return { lm, model: provider.model(lm.layout) };
}

const logProbs = (model: Model, lm: CausalModel) =>
  model.evaluate((t) => ({ ...lm.tokenLogProbs(t, BATCH, POSITIONS) }));

function largest(a: Float32Array, b: Float32Array): number {
  return Math.max(...a.map((x, i) => Math.abs(x - b[i])));
}

/** The whole model trained, with these weights. */
async function whole(weights: Float32Array) {
  const lm = causal(CONFIG);
  const model = provider.model(lm.layout);
  model.load(weights);
  const outputs = await logProbs(model, lm);
  model.dispose();
  return outputs;
}

test("fresh adapters, and adapters that are off, change no bit of the base", async () => {
  const { model, lm } = adapted();
  const base = await whole(WEIGHTS);
  model.load(initialise(lm.layout, 1));
  expect(bits((await logProbs(model, lm)).logProb)).toEqual(bits(base.logProb));
  model.load(trainedAdapters());
  expect(bits((await logProbs(model, lm.base!)).logProb)).toEqual(bits(base.logProb));
  expect(largest((await logProbs(model, lm)).logProb, base.logProb)).toBeGreaterThan(0.1);
  model.dispose();
});

test("merged weights compute what base and adapters do, and come back when adapters are taken out", async () => {
  const { model, lm } = adapted();
  const adapters = trainedAdapters();
  model.load(adapters);
  const merged = mergeAdapters(checkpoint, LORA, adapters);
  const [apart, together] = [await logProbs(model, lm), await whole(merged)];
  expect(largest(apart.logProb, together.logProb)).toBeLessThan(1e-4);
  expect(largest(apart.entropy, together.entropy)).toBeLessThan(1e-4);
  expect(largest(mergeAdapters(checkpoint, LORA, adapters, merged, -1), WEIGHTS)).toBeLessThan(1e-5);
  expect(() => mergeAdapters(checkpoint, { rank: 2 }, adapters)).toThrow("Cannot merge adapters of");
  model.dispose();
});

test("the gradient of an adapter is that of the merged weight, by the chain rule", async () => {
  const { model, lm } = adapted();
  const adapters = trainedAdapters();
  model.load(adapters);
  await model.differentiate((t) => ({ loss: t.mean(lm.tokenLogProbs(t, BATCH, POSITIONS).logProb) }));
  const found = await model.gradients();

  const full = causal(CONFIG);
  const merged = provider.model(full.layout);
  merged.load(mergeAdapters(checkpoint, LORA, adapters));
  await merged.differentiate((t) => ({ loss: t.mean(full.tokenLogProbs(t, BATCH, POSITIONS).logProb) }));
  const slopes = await merged.gradients();
  const regions = (layout: CausalModel["layout"]) => {
    let at = 0;
    return new Map(
      layout.map(({ name, shape }) => {
        at += shape.reduce((a, b) => a * b, 1);
        return [name, { at: at - shape.reduce((a, b) => a * b, 1), shape }] as const;
      }),
    );
  };
  const [factors, all] = [regions(lm.layout), regions(full.layout)];
  for (const name of ["model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"]) {
    const [outputs, inputs] = all.get(`${name}.weight`)!.shape;
    const w = all.get(`${name}.weight`)!.at;
    const a = factors.get(`base_model.model.${name}.lora_A.weight`)!.at;
    const b = factors.get(`base_model.model.${name}.lora_B.weight`)!.at;
    for (let r = 0; r < 3; r++) {
      for (let i = 0; i < inputs; i++) {
        let expected = 0;
        for (let o = 0; o < outputs; o++) expected += 4 * adapters[b + o * 3 + r] * slopes[w + o * inputs + i];
        expect(found[a + r * inputs + i]).toBeCloseTo(expected, 5);
      }
      for (let o = 0; o < outputs; o++) {
        let expected = 0;
        for (let i = 0; i < inputs; i++) expected += 4 * adapters[a + r * inputs + i] * slopes[w + o * inputs + i];
        expect(found[b + o * 3 + r]).toBeCloseTo(expected, 5);
      }
    }
  }
  model.dispose();
  merged.dispose();
});

test("a base in bf16 or int8 is near the stored one, and another identity", async () => {
  const base = await whole(WEIGHTS);
  const identities = new Set<string>();
  for (const [format, tolerance] of [
    ["stored", 0],
    ["bf16", 0.1],
    ["int8", 0.2],
  ] as const) {
    const { model, lm } = adapted(LORA, format);
    model.load(initialise(lm.layout, 1));
    expect(largest((await logProbs(model, lm)).logProb, base.logProb)).toBeLessThanOrEqual(tolerance);
    identities.add(frozenBase(checkpoint, format).identity());
    model.dispose();
  }
  expect(identities.size).toBe(3);
});

test("generation with adapters records what the packed forward pass gives", async () => {
  const { model, lm } = adapted({ rank: 2 });
  model.load(trainedAdapters({ rank: 2 }));
  const generator = new Generator(model, lm, () => "");
  const prompt = [1, 2, 3, 4];
  const [answer] = await generator.generate(
    [{ session: generator.session(), tokens: prompt, uniform: (i) => (i * 0.618) % 1 }],
    { maxTokens: 20 },
  );
  const tokens = Int32Array.of(...prompt, ...answer.tokens);
  const positions = Uint32Array.from({ length: 20 }, (_, i) => 4 + i);
  const { logProb } = await model.evaluate((t) =>
    lm.tokenLogProbs(t, { tokens, offsets: Uint32Array.of(0, 24) }, positions),
  );
  expect(largest(answer.logProbs, logProb)).toBeLessThan(2e-6);
  model.dispose();
});

test("adapters that were written are read again, for their own model only", () => {
  const folder = join(root, "adapters");
  writeAdapters(folder, CONFIG, LORA, trainedAdapters(), root);
  expect(readAdapters(folder, CONFIG)).toEqual({ options: LORA, adapters: trainedAdapters() });
  expect(() => readAdapters(folder, { ...CONFIG, layers: 3, windows: [0, 0, 0] })).toThrow(
    `Cannot read adapters from ${folder}: Cannot read safetensors: expected 18 tensors, found 12`,
  );
  expect(() => readAdapters(root, CONFIG)).toThrow("it has no adapter_config.json");
  const json = JSON.parse(readFileSync(join(folder, "adapter_config.json"), "utf8"));
  const file = join(folder, "adapter_config.json");
  writeFileSync(file, JSON.stringify({ ...json, peft_type: "IA3" }));
  expect(() => readAdapters(folder, CONFIG)).toThrow('expected peft_type "LORA", found "IA3"');
  writeFileSync(file, JSON.stringify({ ...json, target_modules: ["q_proj", "lm_head"] }));
  expect(() => readAdapters(folder, CONFIG)).toThrow("found lm_head");
  writeFileSync(file, JSON.stringify({ ...json, use_dora: true }));
  expect(() => readAdapters(folder, CONFIG)).toThrow("use_dora is not supported");
});

test("adapters of no rank or for no projection are refused", () => {
  expect(() => loraLayout(CONFIG, { rank: 0 })).toThrow("expected a rank of at least 1, found 0");
  expect(() => loraLayout(CONFIG, { rank: 4, targets: [] })).toThrow("Cannot make adapters for no projection");
  expect(() => loraLayout(CONFIG, { rank: 4, targets: ["c_attn" as "q_proj"] })).toThrow(
    '"c_attn": choose among q_proj',
  );
});
