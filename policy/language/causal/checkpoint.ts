/**
 * Model folders of Hugging Face: `config.json`, `model.safetensors` (or shards with an index) and `generation_config.json`. Weights are looked at
 * where they lie, not copied. `tokenizer.ts` reads the rest.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { toFloat32 } from "../../tensor/floats.ts";
import { encodeSafetensors, type ParameterSpec, parameterCount, sizeOf } from "../../tensor/index.ts";
import { type ElementType, SafetensorsError, safetensorsHeader } from "../../tensor/safetensors.ts";
import { type CausalConfig, CheckpointError, readConfig } from "./config.ts";
import { type LargeFile, openLarge } from "./files.ts";
import { causalLayout } from "./model.ts";

export interface StoredTensor {
  shape: readonly number[];
  dtype: ElementType;
  /** Little-endian; a view of the mapped file, where the runtime maps files. */
  bytes(): Uint8Array;
}

export interface Checkpoint {
  folder: string;
  config: CausalConfig;
  /** All that `causalLayout(config)` names. */
  tensors: ReadonlyMap<string, StoredTensor>;
  /** What the folder recommends for sampling; the tokens that end an answer. */
  generation: { stopTokens: number[]; temperature?: number; topP?: number };
  /** SHA-256 of configuration and weights, however they are sharded: the identity of a base. Reads all of them the first time. */
  hash(): string;
}

/** Throws CheckpointError, which says what is missing or wrong, before any weight is read. */
export function readCheckpoint(folder: string, open: (path: string) => LargeFile = openLarge): Checkpoint {
  const json = readJson(folder, "config.json");
  if (json === undefined) throw new CheckpointError(`Cannot read a model from ${folder}: it has no config.json`);
  const config = readConfig(json);
  const layout = causalLayout(config);
  const stored = readTensors(folder, open);
  const missing = layout.filter(({ name }) => !stored.has(name));
  if (missing.length > 0) {
    const names = missing.slice(0, 3).map(({ name }) => name);
    throw new CheckpointError(
      `Cannot read the weights in ${folder}: ${missing.length} of ${layout.length} tensors are missing, such as ${names.join(", ")}`,
    );
  }
  const tensors = new Map<string, StoredTensor>();
  for (const { name, shape } of layout) {
    const tensor = stored.get(name)!;
    if (tensor.shape.join() !== shape.join()) {
      throw new CheckpointError(
        `Cannot read the weights in ${folder}: config.json makes ${name} [${shape.join(", ")}], the file has [${tensor.shape.join(", ")}]`,
      );
    }
    tensors.set(name, tensor);
  }
  let hash: string | undefined;
  return {
    folder,
    config,
    tensors,
    generation: readGeneration(folder, json),
    hash: () => {
      hash ??= hashOf(config, tensors);
      return hash;
    },
  };
}

function readTensors(folder: string, open: (path: string) => LargeFile): Map<string, StoredTensor> {
  const single = "model.safetensors";
  const index = readJson(folder, `${single}.index.json`);
  if (index === undefined && !existsSync(join(folder, single))) {
    throw new CheckpointError(
      `Cannot read a model from ${folder}: expected ${single} or ${single}.index.json (weights in pickled .bin files are not read: they can hold code)`,
    );
  }
  const files = index === undefined ? [single] : [...new Set(Object.values(weightMap(folder, index)))];
  const stored = new Map<string, StoredTensor>();
  for (const file of files) {
    const path = join(folder, file);
    if (!existsSync(path)) {
      throw new CheckpointError(
        `Cannot read the weights in ${folder}: the shard ${file} is missing, one of ${files.length} that the index names`,
      );
    }
    try {
      const bytes = open(path);
      const { entries, dataAt } = safetensorsHeader(bytes.slice, bytes.size, {
        maxHeaderBytes: 1 << 24,
        maxTensors: 65_536,
      });
      for (const { name, shape, dtype, begin, end } of entries) {
        stored.set(name, { shape, dtype, bytes: () => bytes.slice(dataAt + begin, dataAt + end) });
      }
    } catch (cause) {
      if (!(cause instanceof SafetensorsError)) throw cause;
      throw new CheckpointError(`${cause.message} (${path})`, { cause });
    }
  }
  return stored;
}

function weightMap(folder: string, index: Record<string, unknown>): Record<string, string> {
  const map = index.weight_map;
  const isMap = typeof map === "object" && map !== null && !Array.isArray(map);
  const files = isMap ? Object.values(map) : [];
  // A plain name: the index may not lead out of the folder.
  if (
    isMap &&
    files.length > 0 &&
    files.every((file) => typeof file === "string" && /^[\w.-]+$/.test(file) && file[0] !== ".")
  ) {
    return map as Record<string, string>;
  }
  throw new CheckpointError(
    `Cannot read the index of shards in ${folder}: expected weight_map to name a file of the folder for each tensor`,
  );
}

function readGeneration(folder: string, config: Record<string, unknown>): Checkpoint["generation"] {
  const json = readJson(folder, "generation_config.json") ?? {};
  const ends = json.eos_token_id ?? config.eos_token_id ?? [];
  const stopTokens = (Array.isArray(ends) ? ends : [ends]).filter((id): id is number => Number.isSafeInteger(id));
  const number = (value: unknown): number | undefined => (typeof value === "number" ? value : undefined);
  return { stopTokens, temperature: number(json.temperature), topP: number(json.top_p) };
}

/** An object in a file of the folder; undefined when there is none. Throws CheckpointError when it is no object. */
export function readJson(folder: string, name: string): Record<string, unknown> | undefined {
  const path = join(folder, name);
  if (!existsSync(path)) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new CheckpointError(`Cannot read ${path}: it is not JSON`, { cause });
  }
  if (typeof json === "object" && json !== null && !Array.isArray(json)) return json as Record<string, unknown>;
  throw new CheckpointError(`Cannot read ${path}: expected an object`);
}

function hashOf(config: CausalConfig, tensors: Checkpoint["tensors"]): string {
  const hash = createHash("sha256").update(JSON.stringify(config));
  for (const [name, { dtype, shape, bytes }] of tensors) {
    hash.update(JSON.stringify([name, dtype, shape]));
    const all = bytes();
    for (let at = 0; at < all.length; at += 1 << 28) hash.update(all.subarray(at, at + (1 << 28)));
  }
  return hash.digest("hex");
}

/** All weights as one buffer in the order of `causalLayout`, for a model whose weights are all trained. */
export function weightsOf({ config, tensors }: Checkpoint): Float32Array {
  const layout = causalLayout(config);
  const weights = new Float32Array(parameterCount(layout));
  let at = 0;
  for (const { name, shape } of layout) {
    const { dtype, bytes } = tensors.get(name)!;
    toFloat32(bytes(), dtype, weights.subarray(at, at + sizeOf(shape)));
    at += sizeOf(shape);
  }
  return weights;
}

/** Writes a model as a folder that `readCheckpoint` and Hugging Face's libraries read, but for its tokenizer. float32. */
export function writeCheckpoint(
  folder: string,
  config: CausalConfig,
  weights: Float32Array,
  stopTokens: readonly number[] = [],
): void {
  mkdirSync(folder, { recursive: true });
  const layout: ParameterSpec[] = causalLayout(config);
  writeFileSync(join(folder, "model.safetensors"), encodeSafetensors(layout, weights, { format: "pt" }));
  const json = { ...configJson(config), eos_token_id: stopTokens.length === 1 ? stopTokens[0] : stopTokens };
  writeFileSync(join(folder, "config.json"), `${JSON.stringify(json, null, 2)}\n`);
}

/** The `config.json` of a configuration. */
export function configJson(config: CausalConfig): Record<string, unknown> {
  const { ropeScaling: rope, windows } = config;
  const windowed = windows.some((window) => window > 0);
  return {
    architectures: [config.architecture],
    model_type: config.architecture.slice(0, -"ForCausalLM".length).toLowerCase(),
    vocab_size: config.vocabulary,
    hidden_size: config.hidden,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.keyHeads,
    head_dim: config.headWidth,
    intermediate_size: config.intermediate,
    hidden_act: "silu",
    rms_norm_eps: config.rmsEpsilon,
    rope_theta: config.ropeTheta,
    rope_scaling: ropeJson(rope),
    tie_word_embeddings: config.tied,
    attention_bias: config.bias.output,
    mlp_bias: config.bias.feedForward,
    use_sliding_window: windowed,
    sliding_window: windowed ? Math.max(...windows) : null,
    layer_types: windows.map((window) => (window > 0 ? "sliding_attention" : "full_attention")),
    max_position_embeddings: config.trainedContext,
    torch_dtype: "float32",
  };
}

function ropeJson(rope: CausalConfig["ropeScaling"]): Record<string, unknown> | null {
  switch (rope.type) {
    case "default":
      return null;
    case "linear":
    case "dynamic":
      return { rope_type: rope.type, factor: rope.factor };
    case "yarn":
      return {
        rope_type: rope.type,
        factor: rope.factor,
        original_max_position_embeddings: rope.originalContext,
        beta_fast: rope.betaFast,
        beta_slow: rope.betaSlow,
        attention_factor: rope.attentionFactor,
        truncate: rope.truncate,
      };
    case "llama3":
      return {
        rope_type: rope.type,
        factor: rope.factor,
        original_max_position_embeddings: rope.originalContext,
        low_freq_factor: rope.lowFrequencyFactor,
        high_freq_factor: rope.highFrequencyFactor,
      };
  }
}
