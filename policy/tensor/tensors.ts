/**
 * The surface on which networks and losses are written: a small reverse-mode autodiff. A policy calls these operations in
 * its `forward`, the learner adds a loss and calls `backward`; on an actor the same calls record nothing. Everything is
 * float32, row-major. A tensor lives until its `Model` run ends (arena memory): keep numbers by reading them.
 * B = rows, N = candidates or items, D = features; `offsets` are ragged: item range of row i is offsets[i] … offsets[i+1].
 */

import type { FrozenMatrix } from "./frozen.ts";

export interface Tensor {
  readonly shape: readonly number[];
  readonly size: number;
}

/** Integers for indexing, uploaded once. */
export interface Indices {
  readonly length: number;
}

/** Keys and values of one sequence, kept between runs of a model. Lives until `dispose`. */
export interface AttentionCache {
  /** Rows that are kept. */
  readonly length: number;
  /** Makes room for this many rows in all. Not within a run. */
  reserve(rows: number): void;
  /** Counts in the rows that a run has appended in each layer. */
  advance(rows: number): void;
  /** Forgets all rows from this one on. */
  truncate(rows: number): void;
  dispose(): void;
}

export interface AttentionOptions {
  heads: number;
  /** Divides heads: so many query heads in turn share a key head. */
  keyHeads: number;
  /** Of the scores; 1/√D by default. */
  scale?: number;
  /** The most rows that a query sees, its own included; all by default. */
  window?: number;
  caches?: readonly AttentionCache[];
  /** Of the caches. */
  layer?: number;
}

export type Activation = "none" | "tanh" | "relu" | "gelu" | "silu" | "sigmoid";

export interface Tensors {
  /** A parameter of the layout by name. */
  parameter(name: string): Tensor;
  /** Copies values in; no gradient flows to it. */
  input(values: Float32Array, shape: readonly number[]): Tensor;
  indices(values: Int32Array | Uint32Array): Indices;

  /** [M, K] × [K, N] → [M, N]; `transpose` applies to the last two dimensions; leading dimensions are a batch. */
  matmul(a: Tensor, b: Tensor, options?: { transposeA?: boolean; transposeB?: boolean }): Tensor;
  /** activation(x·w + b), fused: x [B, I], w [I, O], b [O]. */
  linear(x: Tensor, w: Tensor, b?: Tensor, activation?: Activation): Tensor;

  /** x·wᵀ + b: x [B, I], w [O, I], b [O]. Weights with a row for each output, as checkpoints of language models have them. */
  project(x: Tensor, w: Tensor | FrozenMatrix, b?: Tensor): Tensor;

  /** Elementwise on equal shapes; the second operand may also be a row [D] or a scalar [1]. */
  add(a: Tensor, b: Tensor): Tensor;
  sub(a: Tensor, b: Tensor): Tensor;
  mul(a: Tensor, b: Tensor): Tensor;
  div(a: Tensor, b: Tensor): Tensor;
  minimum(a: Tensor, b: Tensor): Tensor;
  maximum(a: Tensor, b: Tensor): Tensor;
  /** a·factor + offset, by constants. */
  affine(a: Tensor, factor: number, offset?: number): Tensor;
  clamp(a: Tensor, low: number, high: number): Tensor;
  exp(a: Tensor): Tensor;
  log(a: Tensor): Tensor;
  square(a: Tensor): Tensor;
  activate(a: Tensor, activation: Activation): Tensor;

  /** All elements → [1]. */
  sum(a: Tensor): Tensor;
  mean(a: Tensor): Tensor;
  /** [B, D] → [B] */
  sumRows(a: Tensor): Tensor;

  reshape(a: Tensor, shape: readonly number[]): Tensor;
  /** Columns from … to of [B, D]. */
  columns(a: Tensor, from: number, to: number): Tensor;
  /** Side by side: [B, D1], [B, D2], … → [B, ΣD]. */
  concat(parts: readonly Tensor[]): Tensor;

  /** Rows of a table [V, D] (or elements of [V]) by index → [n, D] (or [n]). */
  gather(table: Tensor, index: Indices): Tensor;
  /** Bag i = Σ (weights[k]·) table[ids[k]] over k in offsets[i] … offsets[i+1] → [bags, D]. */
  embeddingBag(table: Tensor, ids: Indices, offsets: Indices, weights?: Float32Array): Tensor;
  /** Row i of [B, D] repeated for each of its items → [N, D]. */
  expand(a: Tensor, offsets: Indices): Tensor;
  /** Sum of the items of each row: [N, D] → [B, D], or [N] → [B]. */
  segmentSum(a: Tensor, offsets: Indices): Tensor;
  /** Log-softmax within each row's items: [N] → [N]. */
  segmentLogSoftmax(a: Tensor, offsets: Indices): Tensor;
  /** Over the last dimension. */
  softmax(a: Tensor): Tensor;
  layerNorm(a: Tensor, gain: Tensor, bias: Tensor): Tensor;

  /** x / √(mean x² + epsilon) · gain over the last dimension, gain [D] (Zhang & Sennrich 2019). */
  rmsNorm(a: Tensor, gain: Tensor, epsilon: number): Tensor;
  /**
   * Rotary positions (Su et al. 2021): a [N, heads · D], angles [N, D] the cosines of a row's D/2 angles, then their sines. Element c of a
   * head's first half and of its second turn together.
   */
  rotate(a: Tensor, angles: Tensor): Tensor;
  /**
   * Causal attention within each sequence, with no padding: q [N, heads · D], k and v [N, keyHeads · D], sequence s the rows
   * offsets[s] … offsets[s+1]. With caches (forward only) its k and v are appended to caches[s], and its queries see all that is in there.
   */
  attention(q: Tensor, k: Tensor, v: Tensor, offsets: Indices, options: AttentionOptions): Tensor;
  /**
   * Log-probability of each row's target, and entropy, of softmax(x·tableᵀ): x [N, D], table [V, D] → [N, 2]. The logits lie in memory for a few
   * hundred words and rows at a time only.
   */
  tokenLogProbs(x: Tensor, table: Tensor | FrozenMatrix, targets: Indices): Tensor;

  /**
   * A part of a computation, from a to a tensor of the same shape, whose memory is given back when it is done. While gradients are recorded that
   * is so only with `recompute`: then `body` runs again for the gradient. It may use parameters, inputs and what it is given, no other tensors.
   */
  section(a: Tensor, body: (a: Tensor) => Tensor, recompute: boolean): Tensor;

  /** Stops gradients. */
  detach(a: Tensor): Tensor;
}

/** Name → shape and initial distribution, in the order of the one contiguous buffer. */
export interface ParameterSpec {
  name: string;
  shape: readonly number[];
  /** orthogonal: gain; uniform and normal: scale (half-width, standard deviation); constant: value. */
  init: { type: "orthogonal" | "uniform" | "normal" | "constant"; value: number };
}

export interface AdamOptions {
  learningRate: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  /** Global-norm clip applied before the step; Infinity for none. */
  maxGradNorm: number;
}

/**
 * The parameters of one network on one provider: weights, gradients and Adam's moments, each one contiguous buffer in the
 * order of its layout. That weights buffer is what is hashed, broadcast and checkpointed.
 */
export interface Model {
  readonly layout: readonly ParameterSpec[];
  readonly parameterCount: number;
  /**
   * On a device: calls take effect in order although their promises resolve later. Whoever waits for many of them at once, not for
   * each, lets them travel together.
   */
  readonly isQueued: boolean;
  /** Replaces the weights by one copy; they may lie in a buffer shared between threads. Throws RangeError when the length differs from parameterCount. */
  load(weights: Float32Array): void;
  /** A copy of the weights; `weightsInto` copies them straight into a buffer, which may be shared between threads. */
  weights(): Float32Array | Promise<Float32Array>;
  weightsInto(target: Float32Array): void | Promise<void>;
  /** Forward only. Returns the values of the tensors that `body` returns, by name; each is a fresh copy. */
  evaluate<K extends string>(
    body: (t: Tensors) => Record<K, Tensor>,
  ): Record<K, Float32Array> | Promise<Record<K, Float32Array>>;
  /** Forward and backward of `loss` (shape [1]); adds to the gradient buffer. Returns the values of everything returned. */
  differentiate<K extends string>(
    body: (t: Tensors) => { loss: Tensor } & Record<K, Tensor>,
  ): Record<K | "loss", Float32Array> | Promise<Record<K | "loss", Float32Array>>;
  /** An empty cache for sequences whose keys have this width. Of this model's memory. */
  cache(layers: number, width: number): AttentionCache;
  zeroGradients(): void;
  /** A copy of the gradient buffer; and its replacement (data-parallel workers sum elsewhere). */
  gradients(): Float32Array | Promise<Float32Array>;
  gradientsInto(target: Float32Array): void | Promise<void>;
  setGradients(gradients: Float32Array): void;
  /**
   * Clips by global norm, takes one Adam step, clears the gradients. Returns the norm before clipping; when that is not finite no
   * step was taken.
   */
  adam(options: AdamOptions): number | Promise<number>;
  /** Adam's first and second moment and step count, for checkpoints. */
  optimiser():
    | { m: Float32Array; v: Float32Array; steps: number }
    | Promise<{ m: Float32Array; v: Float32Array; steps: number }>;
  loadOptimiser(state: { m: Float32Array; v: Float32Array; steps: number }): void;
  dispose(): void;
}

/** How a provider of kernels is had: `simd` (default), plain `typescript`, or a device (`tfjs/device.ts`). */
export interface TensorProvider {
  readonly name: string;
  model(layout: readonly ParameterSpec[]): Model;
}
