import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { configJson } from "../../policy/language/causal/checkpoint.ts";
import { type CausalConfig, causalLayout, readConfig } from "../../policy/language/causal/index.ts";
import { initialise, sizeOf } from "../../policy/tensor/index.ts";

/** The sizes in the config.json of Qwen2.5's models. */
const QWEN = {
  architectures: ["Qwen2ForCausalLM"],
  vocab_size: 151_936,
  max_position_embeddings: 32_768,
  rope_theta: 1_000_000,
  rms_norm_eps: 1e-6,
  tie_word_embeddings: true,
};

export const SHAPES: Readonly<Record<string, CausalConfig>> = {
  "0.5B": readConfig({
    ...QWEN,
    hidden_size: 896,
    intermediate_size: 4864,
    num_hidden_layers: 24,
    num_attention_heads: 14,
    num_key_value_heads: 2,
  }),
  "1.5B": readConfig({
    ...QWEN,
    hidden_size: 1536,
    intermediate_size: 8960,
    num_hidden_layers: 28,
    num_attention_heads: 12,
    num_key_value_heads: 2,
  }),
};

/** A model folder with weights in bf16 that are drawn once and repeated: as large and as slow as real ones. */
export function writeRandomModel(folder: string, config: CausalConfig): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "config.json"), JSON.stringify({ ...configJson(config), torch_dtype: "bfloat16" }));
  const layout = causalLayout(config);
  const entries: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let at = 0;
  for (const { name, shape } of layout) {
    entries[name] = { dtype: "BF16", shape, data_offsets: [at, at + 2 * sizeOf(shape)] };
    at += 2 * sizeOf(shape);
  }
  const json = JSON.stringify(entries);
  const header = new TextEncoder().encode(json.padEnd(Math.ceil(json.length / 8) * 8)); // so that the data is aligned
  const words = new Uint32Array(
    initialise([{ name: "w", shape: [1_000_003], init: { type: "normal", value: 0.02 } }], 1).buffer,
  );
  const random = new Uint8Array(Uint16Array.from(words, (word) => word >>> 16).buffer);
  const one = new Uint8Array(new Uint16Array(config.intermediate).fill(0x3f80).buffer);
  const file = openSync(join(folder, "model.safetensors"), "w");
  writeSync(file, new Uint8Array(new BigUint64Array([BigInt(header.length)]).buffer));
  writeSync(file, header);
  for (const { shape, init } of layout) {
    const source = init.type === "constant" && init.value === 1 ? one : random;
    for (let left = 2 * sizeOf(shape); left > 0; left -= source.length) {
      writeSync(file, source.subarray(0, Math.min(left, source.length)));
    }
  }
  closeSync(file);
}
