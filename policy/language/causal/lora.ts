/**
 * Low-rank adapters (Hu et al. 2022) on a frozen model: each chosen projection x·Wᵀ gains scale·(x·Aᵀ)·Bᵀ, and only A and B are trained,
 * published and stored. Their names and files are those of Hugging Face's PEFT, so that other servers can load them.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { toFloat32 } from "../../tensor/floats.ts";
import { FrozenMatrix, quantise, toBfloat16 } from "../../tensor/frozen.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  type ParameterSpec,
  SafetensorsError,
  sizeOf,
  type Tensor,
  type Tensors,
  weightsFromSafetensors,
} from "../../tensor/index.ts";
import { type Checkpoint, readJson, weightsOf } from "./checkpoint.ts";
import { type CausalConfig, CheckpointError } from "./config.ts";
import { causalLayout, headName, type Weights } from "./model.ts";

export const PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] as const;
export type Projection = (typeof PROJECTIONS)[number];

export interface LoraOptions {
  rank: number;
  /** The adapters' share is scaled by alpha / rank. Twice the rank by default. */
  alpha?: number;
  /** All by default. */
  targets?: readonly Projection[];
}

/** stored: as the folder has it, mapped; bf16, int8: made in memory when it is stored otherwise. */
export const BASE_FORMATS = ["stored", "bf16", "int8"] as const;
export type BaseFormat = (typeof BASE_FORMATS)[number];

/** A model's weights that are not trained. */
export interface FrozenBase {
  config: CausalConfig;
  /** Of the numbers that are computed with: another base, or another format of it, is another identity. Reads all weights the first time. */
  identity(): string;
  matrix(name: string): FrozenMatrix;
  vector(name: string): Float32Array;
}

/** The weights of a folder, where they lie or in another format. */
export function frozenBase(checkpoint: Checkpoint, format: BaseFormat = "stored"): FrozenBase {
  const matrices = new Map<string, FrozenMatrix>();
  const vectors = new Map<string, Float32Array>();
  for (const [name, { shape, dtype, bytes }] of checkpoint.tensors) {
    if (shape.length === 1) {
      const vector = new Float32Array(shape[0]);
      toFloat32(bytes(), dtype, vector);
      vectors.set(name, vector);
    } else {
      const stored = new FrozenMatrix(shape, dtype, bytes());
      const isAsWanted = format === "stored" || (format === "bf16" && dtype === "BF16");
      matrices.set(name, isAsWanted ? stored : format === "bf16" ? toBfloat16(stored) : quantise(stored));
    }
  }
  return {
    config: checkpoint.config,
    identity: () => (format === "stored" ? checkpoint.hash() : `${checkpoint.hash()}-${format}`),
    matrix: (name) => matrices.get(name)!,
    vector: (name) => vectors.get(name)!,
  };
}

/** The adapters of each layer's targets, A then B. A starts small at random and B at 0, so that training starts from the base. */
export function loraLayout(config: CausalConfig, options: LoraOptions): ParameterSpec[] {
  const { rank, targets = PROJECTIONS } = options;
  if (!Number.isSafeInteger(rank) || rank < 1) {
    throw new RangeError(`Cannot make adapters: expected a rank of at least 1, found ${rank}`);
  }
  const unknown = targets.find((target) => !PROJECTIONS.includes(target));
  if (unknown !== undefined || targets.length === 0) {
    throw new RangeError(
      `Cannot make adapters for ${unknown === undefined ? "no projection" : `"${unknown}"`}: choose among ${PROJECTIONS.join(", ")}`,
    );
  }
  return causalLayout(config).flatMap(({ name, shape: [outputs, inputs] }) => {
    const target = targetOf(name);
    if (target === undefined || !targets.includes(target)) return [];
    const { a, b } = factorNames(name.slice(0, -".weight".length));
    return [
      { name: a, shape: [rank, inputs], init: { type: "uniform", value: 1 / Math.sqrt(inputs) } },
      { name: b, shape: [outputs, rank], init: { type: "constant", value: 0 } },
    ] as ParameterSpec[];
  });
}

function targetOf(parameter: string): Projection | undefined {
  return PROJECTIONS.find((projection) => parameter.endsWith(`.${projection}.weight`));
}

function factorNames(projection: string): { a: string; b: string } {
  return { a: `base_model.model.${projection}.lora_A.weight`, b: `base_model.model.${projection}.lora_B.weight` };
}

function scaleOf({ rank, alpha = 2 * rank }: LoraOptions): number {
  return alpha / rank;
}

/** For `causal`: a frozen base, and adapters that are trained. Its `base` computes without them. */
export function adaptedWeights(frozen: FrozenBase, options: LoraOptions): Weights {
  const layout = loraLayout(frozen.config, options);
  const trained = new Set(layout.map(({ name }) => name));
  const scale = scaleOf(options);
  const base = frozenWeights(frozen, layout);
  return {
    ...base,
    base,
    project(t, x, name) {
      const y = base.project(t, x, name);
      const { a, b } = factorNames(name);
      if (!trained.has(a)) return y;
      return t.add(y, t.project(t.affine(t.project(x, t.parameter(a)), scale), t.parameter(b)));
    },
  };
}

function frozenWeights(frozen: FrozenBase, layout: readonly ParameterSpec[]): Weights {
  const { config } = frozen;
  const embedding = frozen.matrix("model.embed_tokens.weight");
  const table = frozen.matrix(headName(config));
  const vector = (t: Tensors, name: string): Tensor => {
    const values = frozen.vector(name);
    return t.input(values, [values.length]);
  };
  return {
    layout,
    vector,
    project(t, x, name) {
      const bias = `${name}.bias`;
      const hasBias = frozen.vector(bias) !== undefined;
      return t.project(x, frozen.matrix(`${name}.weight`), hasBias ? vector(t, bias) : undefined);
    },
    embed(t, tokens) {
      const { width } = embedding;
      const rows = new Float32Array(tokens.length * width);
      tokens.forEach((token, i) => {
        embedding.copyTo(rows.subarray(i * width, (i + 1) * width), token, token + 1);
      });
      return t.input(rows, [tokens.length, width]);
    },
    logProbs: (t, x, targets) => t.tokenLogProbs(x, table, t.indices(targets)),
    logits: (t, x) => t.project(x, table),
  };
}

/**
 * All weights of the model with the adapters worked in, in the order of `causalLayout`: what `writeCheckpoint` and a model without adapters
 * take. With `sign` −1, `weights` are merged ones and the adapters are taken out again.
 */
export function mergeAdapters(
  checkpoint: Checkpoint,
  options: LoraOptions,
  adapters: Float32Array,
  weights = weightsOf(checkpoint),
  sign: 1 | -1 = 1,
): Float32Array {
  const { config } = checkpoint;
  const factors = new Map<string, Float32Array>();
  let at = 0;
  for (const { name, shape } of loraLayout(config, options)) {
    factors.set(name, adapters.subarray(at, at + sizeOf(shape)));
    at += sizeOf(shape);
  }
  if (at !== adapters.length) {
    throw new RangeError(`Cannot merge adapters of ${adapters.length} numbers: these options make ${at}`);
  }
  const merged = weights.slice();
  const scale = sign * scaleOf(options);
  let from = 0;
  for (const { name, shape } of causalLayout(config)) {
    const { a, b } = factorNames(name.replace(/\.weight$/, ""));
    const [first, second] = [factors.get(a), factors.get(b)];
    if (first && second) addProduct(merged.subarray(from, from + sizeOf(shape)), second, first, shape, scale);
    from += sizeOf(shape);
  }
  return merged;
}

/** w [outputs, inputs] += scale·b·a, summed in float64. */
function addProduct(
  w: Float32Array,
  b: Float32Array,
  a: Float32Array,
  [outputs, inputs]: readonly number[],
  scale: number,
): void {
  const rank = b.length / outputs;
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < inputs; i++) {
      let sum = 0;
      for (let r = 0; r < rank; r++) sum += b[o * rank + r] * a[r * inputs + i];
      w[o * inputs + i] += scale * sum;
    }
  }
}

/** A folder that PEFT, vLLM and SGLang load. @param base what they shall put it on: a folder or a name */
export function writeAdapters(
  folder: string,
  config: CausalConfig,
  options: LoraOptions,
  adapters: Float32Array,
  base: string,
): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, "adapter_model.safetensors"),
    encodeSafetensors(loraLayout(config, options), adapters, { format: "pt" }),
  );
  const { rank, alpha = 2 * rank, targets = PROJECTIONS } = options;
  const json = {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: base,
    r: rank,
    lora_alpha: alpha,
    lora_dropout: 0,
    target_modules: targets,
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
  };
  writeFileSync(join(folder, "adapter_config.json"), `${JSON.stringify(json, null, 2)}\n`);
}

/** What `writeAdapters` or PEFT wrote. Throws CheckpointError for adapters of another kind or another model. */
export function readAdapters(folder: string, config: CausalConfig): { options: LoraOptions; adapters: Float32Array } {
  const refuse = (why: string, cause?: unknown): never => {
    throw new CheckpointError(`Cannot read adapters from ${folder}: ${why}`, { cause });
  };
  const json = readJson(folder, "adapter_config.json");
  if (json === undefined) return refuse("it has no adapter_config.json");
  const { peft_type: type, r: rank, lora_alpha: alpha, target_modules: targets } = json;
  if (type !== "LORA") refuse(`expected peft_type "LORA", found ${JSON.stringify(type ?? null)}`);
  for (const flag of ["use_dora", "use_rslora", "fan_in_fan_out"]) {
    if (json[flag] === true) refuse(`${flag} is not supported`);
  }
  if (!Array.isArray(targets) || typeof rank !== "number" || typeof alpha !== "number") {
    return refuse("expected r and lora_alpha as numbers and target_modules as a list");
  }
  const options: LoraOptions = { rank, alpha, targets: PROJECTIONS.filter((each) => targets.includes(each)) };
  const others = targets.filter((each) => !(PROJECTIONS as readonly unknown[]).includes(each));
  if (others.length > 0) refuse(`expected target_modules among ${PROJECTIONS.join(", ")}, found ${others.join(", ")}`);
  try {
    const file = decodeSafetensors(readFileSync(join(folder, "adapter_model.safetensors")));
    return { options, adapters: weightsFromSafetensors(loraLayout(config, options), file) };
  } catch (cause) {
    if (cause instanceof SafetensorsError || cause instanceof RangeError) return refuse(cause.message, cause);
    throw cause;
  }
}
