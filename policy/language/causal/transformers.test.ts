/** Against Hugging Face's `transformers` on PyTorch: the same numbers from the same folders. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pythonWith } from "../../../proto/testing/python.ts";
import { decodeSafetensors, initialise, type Tensor, type Tensors } from "../../tensor/index.ts";
import { simdProvider } from "../../tensor/simd/provider.ts";
import { configJson, readCheckpoint, weightsOf } from "./checkpoint.ts";
import { readConfig } from "./config.ts";
import { Generator } from "./generate.ts";
import { adaptedWeights, frozenBase, type LoraOptions, loraLayout, writeAdapters } from "./lora.ts";
import { causal } from "./model.ts";

setDefaultTimeout(60_000); // for machines that do much else at the same time

const SMALL = {
  vocab_size: 61,
  hidden_size: 24,
  intermediate_size: 40,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 64,
};

interface Case {
  name: string;
  architecture: string;
  config: Record<string, unknown>;
  dtype?: string;
  max_shard_size?: string;
}

const CASES: readonly Case[] = [
  {
    name: "llama with as many key heads as heads",
    architecture: "LlamaForCausalLM",
    config: { ...SMALL, num_key_value_heads: 4 },
  },
  {
    name: "llama 3 with biases and tied embeddings, in shards",
    architecture: "LlamaForCausalLM",
    config: {
      ...SMALL,
      tie_word_embeddings: true,
      attention_bias: true,
      mlp_bias: true,
      rope_parameters: {
        rope_type: "llama3",
        rope_theta: 500,
        factor: 8,
        low_freq_factor: 1,
        high_freq_factor: 4,
        original_max_position_embeddings: 32,
      },
    },
    max_shard_size: "10KB",
  },
  {
    name: "llama with linear scaling, in bfloat16",
    architecture: "LlamaForCausalLM",
    config: { ...SMALL, rope_parameters: { rope_type: "linear", rope_theta: 10_000, factor: 4 } },
    dtype: "bfloat16",
  },
  {
    name: "llama with dynamic scaling beyond its context",
    architecture: "LlamaForCausalLM",
    config: {
      ...SMALL,
      max_position_embeddings: 16,
      rope_parameters: { rope_type: "dynamic", rope_theta: 10_000, factor: 4 },
    },
  },
  {
    name: "qwen2 with tied embeddings, in float16",
    architecture: "Qwen2ForCausalLM",
    config: { ...SMALL, tie_word_embeddings: true },
    dtype: "float16",
  },
  {
    name: "qwen2 with YaRN and a sliding window from its second layer on",
    architecture: "Qwen2ForCausalLM",
    config: {
      ...SMALL,
      use_sliding_window: true,
      sliding_window: 5,
      max_window_layers: 1,
      rope_parameters: {
        rope_type: "yarn",
        rope_theta: 1000,
        factor: 4,
        original_max_position_embeddings: 16,
        beta_fast: 4,
      },
    },
  },
  {
    name: "qwen3 with heads of another width",
    architecture: "Qwen3ForCausalLM",
    config: { ...SMALL, head_dim: 10, tie_word_embeddings: true },
  },
  {
    name: "qwen3 with biases, YaRN and windows",
    architecture: "Qwen3ForCausalLM",
    config: {
      ...SMALL,
      head_dim: 8,
      attention_bias: true,
      use_sliding_window: true,
      sliding_window: 6,
      max_window_layers: 2,
      rope_parameters: {
        rope_type: "yarn",
        rope_theta: 1000,
        factor: 2,
        original_max_position_embeddings: 32,
        attention_factor: 1.2,
        truncate: false,
      },
    },
  },
];

/** Of lengths 40, 9 and 2. */
const SEQUENCES = [40, 9, 2].map((length, s) =>
  Array.from({ length }, (_, i) => (i * i * 7 + i * 11 + s * 17 + 3) % 61),
);

const tokens = Int32Array.from(SEQUENCES.flat());
const offsets = Uint32Array.of(0, 40, 49, 51);
const positions = Uint32Array.from([...tokens.keys()].filter((position) => ![...offsets].includes(position)));

const python = pythonWith("transformers", "comparing language models with transformers");
const folder = mkdtempSync(join(tmpdir(), "proxima-causal-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The case that PEFT puts adapters on which were written here. */
const ADAPTED = CASES[5];
const LORA: LoraOptions = { rank: 3, alpha: 5, targets: ["k_proj", "o_proj", "gate_proj"] };

function adapters(): Float32Array {
  const layout = loraLayout(readConfig({ architectures: [ADAPTED.architecture], ...ADAPTED.config }), LORA);
  return initialise(
    layout.map((spec) => ({ ...spec, init: { type: "normal", value: 0.3 } })),
    1,
  );
}

function makeCases(): string {
  const config = readConfig({ architectures: [ADAPTED.architecture], ...ADAPTED.config });
  writeAdapters(join(folder, `${ADAPTED.name} adapters`), config, LORA, adapters(), ADAPTED.name);
  const script = join(import.meta.dirname, "testing", "oracle.py");
  const { status, stderr } = spawnSync(python!, [script, folder], {
    input: JSON.stringify(CASES.map((each) => ({ ...each, sequences: SEQUENCES }))),
    encoding: "utf8",
  });
  return status === 0 ? "" : stderr;
}

const failure = python ? makeCases() : "";

/** The largest difference. */
function distance(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(found.length).toBe(expected.length);
  let most = 0;
  for (let i = 0; i < expected.length; i++) most = Math.max(most, Math.abs(found[i] - expected[i]));
  return most;
}

/** The loss of the script. */
function ppoLoss(t: Tensors, logProb: Tensor, entropy: Tensor, behaviour: Float32Array): Tensor {
  const n = behaviour.length;
  const indices = Array.from({ length: n }, (_, i) => i);
  const advantage = t.input(Float32Array.from(indices, Math.sin), [n]);
  const old = t.input(
    Float32Array.from(indices, (i) => behaviour[i] + 0.3 * Math.cos(3 * i)),
    [n],
  );
  const ratio = t.exp(t.sub(logProb, old));
  const surrogate = t.minimum(t.mul(ratio, advantage), t.mul(t.clamp(ratio, 0.8, 1.2), advantage));
  return t.sub(t.affine(t.mean(surrogate), -1), t.affine(t.mean(entropy), 0.01));
}

describe.skipIf(!python)("like transformers", () => {
  test("makes the cases", () => {
    expect(failure).toBe("");
  });

  test("adapters written here give the logits that PEFT computes with them", async () => {
    const checkpoint = readCheckpoint(join(folder, ADAPTED.name));
    const lm = causal(checkpoint.config, { weights: adaptedWeights(frozenBase(checkpoint), LORA) });
    const model = simdProvider().model(lm.layout);
    model.load(adapters());
    const batch = { tokens: Int32Array.from(SEQUENCES[0]), offsets: Uint32Array.of(0, 40) };
    const { logits } = await model.evaluate((t) => ({ logits: lm.logits(t, lm.hidden(t, batch)) }));
    const { tensors } = decodeSafetensors(readFileSync(join(folder, `${ADAPTED.name}.safetensors`)));
    expect(distance(logits, tensors.get("adapted")!.values)).toBeLessThan(1e-4);
    expect(distance(logits, tensors.get("logits.0")!.values)).toBeGreaterThan(0.1);
  });

  for (const { name } of CASES) {
    describe(name, () => {
      const load = () => {
        const checkpoint = readCheckpoint(join(folder, name));
        const lm = causal(checkpoint.config);
        const model = simdProvider().model(lm.layout);
        model.load(weightsOf(checkpoint));
        const { tensors } = decodeSafetensors(readFileSync(join(folder, `${name}.safetensors`)));
        return { lm, model, expected: (key: string) => tensors.get(key)!.values };
      };

      test("logits within 1e-4", async () => {
        const { lm, model, expected } = load();
        const { logits } = await model.evaluate((t) => ({ logits: lm.logits(t, lm.hidden(t, { tokens, offsets })) }));
        for (let s = 0; s < 3; s++) {
          const found = logits.subarray(offsets[s] * 61, offsets[s + 1] * 61);
          expect(distance(found, expected(`logits.${s}`))).toBeLessThan(1e-4);
        }
      });

      test("gradients of the PPO loss within 1e-3 of each parameter's", async () => {
        const { lm, model, expected } = load();
        const { logProb, entropy } = await model.differentiate((t) => {
          const found = lm.tokenLogProbs(t, { tokens, offsets }, positions);
          return { loss: ppoLoss(t, found.logProb, found.entropy, expected("logProb")), ...found };
        });
        expect(distance(logProb, expected("logProb"))).toBeLessThan(1e-4);
        expect(distance(entropy, expected("entropy"))).toBeLessThan(1e-4);
        const gradients = await model.gradients();
        let at = 0;
        for (const { name: parameter, shape } of lm.layout) {
          const size = shape.reduce((a, b) => a * b, 1);
          const wanted = expected(`gradient.${parameter}`);
          const norm = Math.hypot(...wanted);
          const error = Math.hypot(...wanted.map((g, i) => g - gradients[at + i]));
          expect({ parameter, error: error <= 1e-3 * norm + 1e-7 }).toEqual({ parameter, error: true });
          at += size;
        }
      });

      test("greedy answers token by token", async () => {
        const { lm, model, expected } = load();
        const generator = new Generator(model, lm, () => "");
        const [answer] = await generator.generate(
          [{ session: generator.session(), tokens: SEQUENCES[0].slice(0, 7), uniform: () => 0 }],
          { maxTokens: 24, temperature: 0 },
        );
        expect([...answer.tokens]).toEqual([...expected("greedy")]);
      });

      test("a configuration written again is the same", () => {
        const { config } = readCheckpoint(join(folder, name));
        expect(readConfig(configJson(config))).toEqual(config);
      });
    });
  }
});
