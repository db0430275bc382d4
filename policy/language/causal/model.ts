/**
 * Causal language models of the Llama family (Touvron et al. 2023; Qwen team 2024, 2025) on the tensors of ../../tensor. Sequences are packed one
 * after the other without padding; parameters bear the names of Hugging Face checkpoints and have a row for each output, as there.
 */
import type { AttentionCache, ParameterSpec, Tensor, Tensors } from "../../tensor/index.ts";
import type { CausalConfig } from "./config.ts";
import { writeAngles } from "./rope.ts";

/** Sequence s is tokens[offsets[s] … offsets[s+1]). */
export interface PackedTokens {
  tokens: Int32Array;
  offsets: Uint32Array;
}

export interface CausalModel {
  readonly config: CausalConfig;
  /** What is trained. */
  readonly layout: readonly ParameterSpec[];
  /**
   * The last hidden states [N, hidden], normed. With caches, one for each sequence, `batch` holds what follows the tokens in them; count these
   * in with `advance` after the run. Throws RangeError for a token outside the vocabulary or a sequence beyond the context limit.
   */
  hidden(t: Tensors, batch: PackedTokens, caches?: readonly AttentionCache[]): Tensor;
  /** [n, hidden] → [n, vocabulary] */
  logits(t: Tensors, hidden: Tensor): Tensor;
  /**
   * Of the tokens at these positions of `batch.tokens`, each given the tokens before it in its sequence, [n] each; the entropy is that of the
   * distribution the token came from. Throws RangeError for the first token of a sequence.
   */
  tokenLogProbs(
    t: Tensors,
    batch: PackedTokens,
    positions: Uint32Array,
    options?: { temperature?: number },
  ): { logProb: Tensor; entropy: Tensor };
  /** With adapters: the same model without them, which the same run can compute too. */
  readonly base?: CausalModel;
  /** Of a cache for a sequence of this model: see `Model.cache`. */
  readonly cacheShape: { layers: number; width: number };
}

/** Where a model's weights come from: its parameters, or frozen ones with adapters on them. */
export interface Weights {
  readonly layout: readonly ParameterSpec[];
  /** A norm's gain. */
  vector(t: Tensors, name: string): Tensor;
  /** x·wᵀ (+ bias) by the name of the projection, such as model.layers.0.mlp.up_proj. */
  project(t: Tensors, x: Tensor, name: string): Tensor;
  embed(t: Tensors, tokens: Int32Array): Tensor;
  /** As `Tensors.tokenLogProbs`, with the table that makes the logits. */
  logProbs(t: Tensors, x: Tensor, targets: Int32Array): Tensor;
  logits(t: Tensors, x: Tensor): Tensor;
  /** The weights without adapters, when there are any. */
  readonly base?: Weights;
}

/** All parameters of a model, in the order of its computation. */
export function causalLayout(config: CausalConfig): ParameterSpec[] {
  const { hidden, heads, keyHeads, headWidth, intermediate, layers, bias } = config;
  const layout: ParameterSpec[] = [];
  const normal = (name: string, shape: readonly number[], scale = 0.02): void => {
    layout.push({ name, shape, init: { type: "normal", value: scale } });
  };
  const constant = (name: string, length: number, value: number): void => {
    layout.push({ name, shape: [length], init: { type: "constant", value } });
  };
  const projection = (name: string, outputs: number, inputs: number, hasBias: boolean, scale?: number): void => {
    normal(`${name}.weight`, [outputs, inputs], scale);
    if (hasBias) constant(`${name}.bias`, outputs, 0);
  };
  const residual = 0.02 / Math.sqrt(2 * layers); // of what is added to the residual stream (Radford et al. 2019)
  normal("model.embed_tokens.weight", [config.vocabulary, hidden]);
  for (let layer = 0; layer < layers; layer++) {
    const at = `model.layers.${layer}`;
    constant(`${at}.input_layernorm.weight`, hidden, 1);
    projection(`${at}.self_attn.q_proj`, heads * headWidth, hidden, bias.queryKeyValue);
    projection(`${at}.self_attn.k_proj`, keyHeads * headWidth, hidden, bias.queryKeyValue);
    projection(`${at}.self_attn.v_proj`, keyHeads * headWidth, hidden, bias.queryKeyValue);
    if (config.queryKeyNorm) {
      constant(`${at}.self_attn.q_norm.weight`, headWidth, 1);
      constant(`${at}.self_attn.k_norm.weight`, headWidth, 1);
    }
    projection(`${at}.self_attn.o_proj`, hidden, heads * headWidth, bias.output, residual);
    constant(`${at}.post_attention_layernorm.weight`, hidden, 1);
    projection(`${at}.mlp.gate_proj`, intermediate, hidden, bias.feedForward);
    projection(`${at}.mlp.up_proj`, intermediate, hidden, bias.feedForward);
    projection(`${at}.mlp.down_proj`, hidden, intermediate, bias.feedForward, residual);
  }
  constant("model.norm.weight", hidden, 1);
  if (!config.tied) normal("lm_head.weight", [config.vocabulary, hidden]);
  return layout;
}

/** The table that makes the logits. */
export function headName(config: CausalConfig): string {
  return config.tied ? "model.embed_tokens.weight" : "lm_head.weight";
}

/** All weights are parameters of the tensor model. */
export function trainedWeights(config: CausalConfig): Weights {
  const layout = causalLayout(config);
  const names = new Set(layout.map(({ name }) => name));
  const head = headName(config);
  return {
    layout,
    vector: (t, name) => t.parameter(name),
    project(t, x, name) {
      const bias = `${name}.bias`;
      return t.project(x, t.parameter(`${name}.weight`), names.has(bias) ? t.parameter(bias) : undefined);
    },
    embed: (t, tokens) => t.gather(t.parameter("model.embed_tokens.weight"), t.indices(tokens)),
    logProbs: (t, x, targets) => t.tokenLogProbs(x, t.parameter(head), t.indices(targets)),
    logits: (t, x) => t.project(x, t.parameter(head)),
  };
}

export interface CausalOptions {
  /** All weights trained by default; `adaptedWeights` of ./lora.ts trains adapters. */
  weights?: Weights;
  /**
   * Keeps of each layer only what goes in while gradients are recorded, and computes the rest again when it is needed: a third more time for an
   * update, and a fraction of the memory. By default so with adapters, whose base is large.
   */
  recompute?: boolean;
}

export function causal(config: CausalConfig, options: CausalOptions = {}): CausalModel {
  const { weights = trainedWeights(config) } = options;
  const { recompute = weights.base !== undefined } = options;
  const { heads, keyHeads, headWidth, layers, rmsEpsilon } = config;

  function block(t: Tensors, x: Tensor, layer: number, run: Run): Tensor {
    const at = `model.layers.${layer}`;
    const norm = (name: string, of: Tensor): Tensor => t.rmsNorm(of, weights.vector(t, `${name}.weight`), rmsEpsilon);
    const normed = norm(`${at}.input_layernorm`, x);
    const attend = `${at}.self_attn`;
    /** Queries or keys, turned to their positions. */
    const placed = (name: "q" | "k", count: number): Tensor => {
      let y = weights.project(t, normed, `${attend}.${name}_proj`);
      if (config.queryKeyNorm) {
        const rows = y.shape[0];
        y = norm(`${attend}.${name}_norm`, t.reshape(y, [rows * count, headWidth]));
        y = t.reshape(y, [rows, count * headWidth]);
      }
      return t.rotate(y, run.angles);
    };
    const q = placed("q", heads);
    const k = placed("k", keyHeads);
    const v = weights.project(t, normed, `${attend}.v_proj`);
    const window = config.windows[layer];
    const seen = t.attention(q, k, v, run.offsets, { heads, keyHeads, window, caches: run.caches, layer });
    const after = t.add(x, weights.project(t, seen, `${attend}.o_proj`));
    const wide = norm(`${at}.post_attention_layernorm`, after);
    const gate = t.activate(weights.project(t, wide, `${at}.mlp.gate_proj`), "silu");
    const gated = t.mul(gate, weights.project(t, wide, `${at}.mlp.up_proj`));
    return t.add(after, weights.project(t, gated, `${at}.mlp.down_proj`));
  }

  function hidden(t: Tensors, batch: PackedTokens, caches?: readonly AttentionCache[]): Tensor {
    check(batch);
    const { tokens, offsets } = batch;
    const angles = new Float32Array(tokens.length * headWidth);
    for (let s = 0; s + 1 < offsets.length; s++) {
      const first = caches === undefined ? 0 : caches[s].length;
      const count = offsets[s + 1] - offsets[s];
      if (first + count > config.contextLimit) {
        throw new RangeError(
          `Cannot compute a sequence of ${first + count} tokens: the model's context limit is ${config.contextLimit}`,
        );
      }
      writeAngles(config, first, count, angles, offsets[s]);
    }
    const run: Run = { angles: t.input(angles, [tokens.length, headWidth]), offsets: t.indices(offsets), caches };
    let x = weights.embed(t, tokens);
    for (let layer = 0; layer < layers; layer++) x = t.section(x, (y) => block(t, y, layer, run), recompute);
    return t.rmsNorm(x, weights.vector(t, "model.norm.weight"), rmsEpsilon);
  }

  function check({ tokens, offsets }: PackedTokens): void {
    const wrong = tokens.findIndex((token) => token < 0 || token >= config.vocabulary);
    if (wrong >= 0) {
      throw new RangeError(
        `Cannot compute token ${tokens[wrong]} at ${wrong}: the vocabulary has ${config.vocabulary} (does the tokenizer belong to this model?)`,
      );
    }
    if (offsets.length < 1 || offsets[0] !== 0 || offsets[offsets.length - 1] !== tokens.length) {
      throw new RangeError(
        `Cannot compute packed sequences: expected offsets from 0 to ${tokens.length}, found ${offsets[0]} to ${offsets[offsets.length - 1]}`,
      );
    }
  }

  return {
    config,
    layout: weights.layout,
    base: weights.base && causal(config, { weights: weights.base, recompute }),
    cacheShape: { layers, width: keyHeads * headWidth },
    hidden,
    logits: (t, x) => weights.logits(t, x),
    tokenLogProbs(t, batch, positions, { temperature = 1 } = {}) {
      const starts = new Set(batch.offsets);
      const first = positions.findIndex((position) => starts.has(position) || position >= batch.tokens.length);
      if (first >= 0) {
        throw new RangeError(
          `Cannot take the log-probability of the token at ${positions[first]}: it needs a token before it in its sequence`,
        );
      }
      const targets = Int32Array.from(positions, (position) => batch.tokens[position]);
      const before = t.gather(hidden(t, batch), t.indices(positions.map((position) => position - 1)));
      const both = weights.logProbs(t, temperature === 1 ? before : t.affine(before, 1 / temperature), targets);
      const n = positions.length;
      return { logProb: t.reshape(t.columns(both, 0, 1), [n]), entropy: t.reshape(t.columns(both, 1, 2), [n]) };
    },
  };
}

interface Run {
  angles: Tensor;
  offsets: ReturnType<Tensors["indices"]>;
  caches: readonly AttentionCache[] | undefined;
}
