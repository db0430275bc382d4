/**
 * What a causal language model of the Llama family computes: read from the `config.json` of a Hugging Face folder, or made with
 * `smallConfig` for one trained from nothing.
 */

export const ARCHITECTURES = ["LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

/** How positions become angles: `default`, or stretched beyond the context that the model was first trained on. */
export type RopeScaling =
  | { type: "default" }
  | { type: "linear" | "dynamic"; factor: number }
  | {
      type: "yarn";
      factor: number;
      originalContext: number;
      betaFast: number;
      betaSlow: number;
      /** Multiplies cosines and sines. */
      attentionFactor: number;
      truncate: boolean;
    }
  | {
      type: "llama3";
      factor: number;
      originalContext: number;
      lowFrequencyFactor: number;
      highFrequencyFactor: number;
    };

export interface CausalConfig {
  architecture: Architecture;
  /** Words of the embedding table; some may belong to no token. */
  vocabulary: number;
  hidden: number;
  layers: number;
  heads: number;
  /** Divides heads. */
  keyHeads: number;
  /** Of a head; even. */
  headWidth: number;
  intermediate: number;
  rmsEpsilon: number;
  ropeTheta: number;
  ropeScaling: RopeScaling;
  /** The logits come from the embedding table itself. */
  tied: boolean;
  bias: { queryKeyValue: boolean; output: boolean; feedForward: boolean };
  /** Queries and keys pass an RMS norm per head (Qwen3). */
  queryKeyNorm: boolean;
  /** Of each layer: the most tokens that a token sees, itself included; 0 for all. */
  windows: readonly number[];
  /** The most positions that the model was trained (or stretched) for: longer sequences are refused. */
  contextLimit: number;
  /** Positions before any stretching; `dynamic` scaling starts beyond them. */
  trainedContext: number;
}

/** A model folder that is refused; the message says what was expected and what was found. */
export class CheckpointError extends Error {
  override name = "CheckpointError";
}

export interface SmallConfig {
  vocabulary: number;
  hidden: number;
  layers: number;
  heads: number;
  /** 1 by default: what generation reads most of is the cache of keys and values. */
  keyHeads?: number;
  /** 8/3 of hidden, rounded up to a multiple of 16, by default. */
  intermediate?: number;
  contextLimit: number;
}

/** A Qwen2 with tied embeddings, for small models trained from nothing. Throws RangeError when heads do not divide it. */
export function smallConfig(small: SmallConfig): CausalConfig {
  const { vocabulary, hidden, layers, heads, keyHeads = 1, contextLimit } = small;
  const intermediate = small.intermediate ?? Math.ceil((hidden * 8) / 3 / 16) * 16;
  const config: CausalConfig = {
    architecture: "Qwen2ForCausalLM",
    vocabulary,
    hidden,
    layers,
    heads,
    keyHeads,
    headWidth: hidden / heads,
    intermediate,
    rmsEpsilon: 1e-6,
    ropeTheta: 10_000,
    ropeScaling: { type: "default" },
    tied: true,
    bias: { queryKeyValue: true, output: false, feedForward: false },
    queryKeyNorm: false,
    windows: new Array<number>(layers).fill(0),
    contextLimit,
    trainedContext: contextLimit,
  };
  checkSizes(config, RangeError);
  return config;
}

type Json = Readonly<Record<string, unknown>>;

/** The configuration in a `config.json`. Throws CheckpointError when the model is none of ours or a value makes no sense. */
export function readConfig(json: unknown): CausalConfig {
  if (!isRecord(json)) throw new CheckpointError("Cannot read config.json: expected an object");
  const architecture = architectureOf(json);
  const qwen = architecture !== "LlamaForCausalLM";
  const activation = json.hidden_act ?? "silu";
  if (activation !== "silu") {
    throw new CheckpointError(
      `Cannot read config.json: expected hidden_act "silu", found ${JSON.stringify(activation)}`,
    );
  }
  const hidden = count(json, "hidden_size");
  const heads = count(json, "num_attention_heads");
  const layers = count(json, "num_hidden_layers", undefined, 1, 4096);
  const context = count(json, "max_position_embeddings", qwen ? 32_768 : 2048);
  const { ropeTheta, ropeScaling, contextLimit } = readRope(json, context);
  const attentionBias = json.attention_bias === true;
  const config: CausalConfig = {
    architecture,
    vocabulary: count(json, "vocab_size"),
    hidden,
    layers,
    heads,
    keyHeads: count(json, "num_key_value_heads", heads),
    headWidth: count(json, "head_dim", architecture === "Qwen3ForCausalLM" ? 128 : hidden / heads),
    intermediate: count(json, "intermediate_size"),
    rmsEpsilon: positive(json, "rms_norm_eps", 1e-6),
    ropeTheta,
    ropeScaling,
    tied: json.tie_word_embeddings === true,
    bias: {
      queryKeyValue: architecture === "Qwen2ForCausalLM" || attentionBias,
      output: architecture !== "Qwen2ForCausalLM" && attentionBias,
      feedForward: architecture === "LlamaForCausalLM" && json.mlp_bias === true,
    },
    queryKeyNorm: architecture === "Qwen3ForCausalLM",
    windows: qwen ? readWindows(json, layers) : new Array<number>(layers).fill(0),
    contextLimit,
    trainedContext: context,
  };
  checkSizes(config, CheckpointError);
  return config;
}

function architectureOf(json: Json): Architecture {
  const byType: Record<string, Architecture> = {
    llama: "LlamaForCausalLM",
    qwen2: "Qwen2ForCausalLM",
    qwen3: "Qwen3ForCausalLM",
  };
  const named: unknown = Array.isArray(json.architectures) ? json.architectures[0] : undefined;
  const found =
    named ?? (typeof json.model_type === "string" ? (byType[json.model_type] ?? json.model_type) : undefined);
  const known = ARCHITECTURES.find((architecture) => architecture === found);
  if (known) return known;
  throw new CheckpointError(
    `Cannot read a model of the architecture ${JSON.stringify(found ?? "none named")}: those supported are ${ARCHITECTURES.join(", ")}`,
  );
}

function readRope(json: Json, context: number): Pick<CausalConfig, "ropeTheta" | "ropeScaling" | "contextLimit"> {
  const parameters = json.rope_parameters ?? json.rope_scaling ?? {};
  if (!isRecord(parameters))
    throw new CheckpointError("Cannot read config.json: expected rope_scaling to be an object");
  const partial = parameters.partial_rotary_factor ?? json.partial_rotary_factor ?? 1;
  if (partial !== 1) {
    throw new CheckpointError(
      `Cannot read config.json: expected partial_rotary_factor 1, found ${JSON.stringify(partial)}`,
    );
  }
  const ropeTheta = positive({ rope_theta: parameters.rope_theta ?? json.rope_theta }, "rope_theta", 10_000);
  const type: unknown = parameters.rope_type ?? parameters.type ?? "default";
  if (type === "default") return { ropeTheta, ropeScaling: { type }, contextLimit: context };
  const originalContext = count(parameters, "original_max_position_embeddings", context);
  const factor = positive(parameters, "factor", type === "yarn" ? context / originalContext : undefined);
  const contextLimit = Math.max(context, Math.floor(factor * originalContext));
  switch (type) {
    case "linear":
    case "dynamic":
      return { ropeTheta, ropeScaling: { type, factor }, contextLimit };
    case "yarn": {
      const ropeScaling: RopeScaling = {
        type,
        factor,
        originalContext,
        betaFast: positive(parameters, "beta_fast", 32),
        betaSlow: positive(parameters, "beta_slow", 1),
        attentionFactor: positive(parameters, "attention_factor", yarnAttentionFactor(parameters, factor)),
        truncate: parameters.truncate !== false,
      };
      return { ropeTheta, ropeScaling, contextLimit };
    }
    case "llama3": {
      const lowFrequencyFactor = positive(parameters, "low_freq_factor");
      const highFrequencyFactor = positive(parameters, "high_freq_factor");
      const ropeScaling: RopeScaling = { type, factor, originalContext, lowFrequencyFactor, highFrequencyFactor };
      return { ropeTheta, ropeScaling, contextLimit };
    }
  }
  throw new CheckpointError(
    `Cannot read config.json: the RoPE scaling ${JSON.stringify(type)} is not supported, these are: default, linear, dynamic, yarn, llama3`,
  );
}

/** Peng et al. 2023, eq. 22. */
function yarnAttentionFactor(parameters: Json, factor: number): number {
  const { mscale, mscale_all_dim: all } = parameters;
  const grown = (scale: number): number => (factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1);
  return typeof mscale === "number" && typeof all === "number" && mscale && all ? grown(mscale) / grown(all) : grown(1);
}

function readWindows(json: Json, layers: number): number[] {
  const none = new Array<number>(layers).fill(0);
  if (json.use_sliding_window !== true) return none;
  const window = count(json, "sliding_window", 4096);
  if (Array.isArray(json.layer_types)) {
    return none.map((_, layer) => ((json.layer_types as unknown[])[layer] === "sliding_attention" ? window : 0));
  }
  const full = count(json, "max_window_layers", 28, 0);
  return none.map((_, layer) => (layer < full ? 0 : window));
}

function checkSizes(config: CausalConfig, Refusal: new (message: string) => Error): void {
  const { heads, keyHeads, headWidth } = config;
  if (!Number.isInteger(heads / keyHeads)) {
    throw new Refusal(
      `Cannot use ${heads} attention heads with ${keyHeads} key heads: expected the second to divide the first`,
    );
  }
  if (!Number.isInteger(headWidth / 2)) {
    throw new Refusal(`Cannot use attention heads of width ${headWidth}: expected an even number`);
  }
}

function isRecord(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function count(json: Json, key: string, standard?: number, least = 1, most = 2 ** 24): number {
  const value = json[key] ?? standard;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= least && value <= most) return value;
  throw new CheckpointError(
    `Cannot read config.json: expected ${key} to be an integer from ${least} to ${most}, found ${JSON.stringify(value ?? null)}`,
  );
}

function positive(json: Json, key: string, standard?: number): number {
  const value = json[key] ?? standard;
  if (typeof value === "number" && value > 0 && Number.isFinite(value)) return value;
  throw new CheckpointError(
    `Cannot read config.json: expected ${key} to be a positive number, found ${JSON.stringify(value ?? null)}`,
  );
}
