/**
 * The seam below the autodiff: raw float32 operations on buffers, no shapes, no gradients recorded. A provider implements
 * this interface; `Tape` and `Model` do the rest. Buffers are opaque handles, calls return at once and only `read`, `readInto`
 * and `adam` may answer later, so that a GPU can sit behind it.
 *
 * Every kernel computes a row the same way whatever the number of rows, so a result never depends on the batch it came in.
 * Matrices are row-major. Gradient kernels write (or, with `accumulate`, add to) the buffers named d…; one of them given as 0
 * is not wanted.
 */

import type { FrozenMatrix } from "./frozen.ts";

/** Names a buffer, in a way only its provider understands. 0 is none. */
export type Handle = number;

/** a ∘ b, elementwise. */
export const BINARY = { add: 0, sub: 1, mul: 2, div: 3, minimum: 4, maximum: 5 } as const;
export type Binary = (typeof BINARY)[keyof typeof BINARY];

/** f(x), elementwise; affine is p·x + q and clamp is to [p, q]. 0 is the identity, as the activation of `linear`. */
export const UNARY = {
  none: 0,
  tanh: 1,
  relu: 2,
  gelu: 3,
  silu: 4,
  sigmoid: 5,
  affine: 6,
  clamp: 7,
  exp: 8,
  log: 9,
  square: 10,
} as const;
export type Unary = (typeof UNARY)[keyof typeof UNARY];

/** Bits of the `accumulate` argument of kernels with several gradients: add to the first, second, third instead of writing. */
export const FIRST = 1;
export const SECOND = 2;
export const THIRD = 4;

/** One Adam step as the kernel sees it: `correction1` is 1 − beta1^t and `correction2` is 1 − beta2^t. */
export interface AdamStep {
  learningRate: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  maxGradNorm: number;
  correction1: number;
  correction2: number;
}

/** Where buffers come from and how numbers go in and out. Lengths and offsets count elements (4 bytes). */
export interface Memory {
  /** Zeroed; lives until `free`. */
  allocate(length: number): Handle;
  free(buffer: Handle): void;
  /** A part of a buffer: shares its memory and its life. */
  region(buffer: Handle, offset: number, length: number): Handle;
  /** Not zeroed; lives until `release` of a mark taken before it. */
  scratch(length: number): Handle;
  mark(): number;
  release(mark: number): void;
  write(to: Handle, values: Float32Array): void;
  writeIndices(to: Handle, values: Int32Array | Uint32Array): void;
  /** A fresh copy of the values as they are at the time of the call. */
  read(from: Handle, length: number): Float32Array | Promise<Float32Array>;
  readInto(from: Handle, target: Float32Array): void | Promise<void>;
}

/** Query i (row queryAt + i) sees the keys in rows keyAt … keyAt + keys − queries + i. */
export interface Span {
  queryAt: number;
  queries: number;
  keyAt: number;
  keys: number;
}

/** A row of q is [heads, width], one of k and v [keyHeads, width]: each key head serves heads / keyHeads query heads in turn. */
export interface AttentionShape {
  heads: number;
  keyHeads: number;
  width: number;
  scale: number;
  /** The most keys that a query sees, itself included; 0 for all. */
  window: number;
}

/** What language models need besides. */
export interface LanguageKernels {
  /** out = x·wᵀ + bias, x [m, k], w [n, k], bias [n] or 0; each element sums its k products as four sums, l in sum l mod 4. */
  project(x: Handle, w: Handle | FrozenMatrix, bias: Handle, out: Handle, m: number, k: number, n: number): void;
  /** dx (+)= dy·w, dy [m, n], w [n, k]: the gradient of `project` with a frozen matrix. */
  frozenGradient(dy: Handle, w: FrozenMatrix, dx: Handle, m: number, k: number, n: number, accumulate: boolean): void;

  /** out = x·scale·gain with the row's scale = 1/√(mean x² + epsilon), which statistics [rows] receives. */
  rmsNorm(x: Handle, gain: Handle, out: Handle, statistics: Handle, rows: number, width: number, epsilon: number): void;
  rmsNormGradient(
    x: Handle,
    gain: Handle,
    statistics: Handle,
    dy: Handle,
    dx: Handle,
    dgain: Handle,
    rows: number,
    width: number,
    accumulate: number,
  ): void;
  /**
   * out (+)= x [rows, heads, width], element c of a head's first half and of its second turned as one point by an angle of the row: angles
   * [rows, width] holds the cosines, then the sines. `inverse` turns back.
   */
  rotate(
    x: Handle,
    angles: Handle,
    out: Handle,
    rows: number,
    heads: number,
    width: number,
    inverse: boolean,
    accumulate: boolean,
  ): void;
  /** Causal attention of one sequence; log Σ exp of each score row goes to statistics [rows of q, heads]. */
  attention(q: Handle, k: Handle, v: Handle, out: Handle, statistics: Handle, span: Span, shape: AttentionShape): void;
  /** Adds to dq, dk and dv. */
  attentionGradient(
    q: Handle,
    k: Handle,
    v: Handle,
    out: Handle,
    statistics: Handle,
    dout: Handle,
    dq: Handle,
    dk: Handle,
    dv: Handle,
    span: Span,
    shape: AttentionShape,
  ): void;
  /**
   * out [rows, 2] = log-probability of the target and entropy of softmax(x·tableᵀ), x [rows, width], table [vocabulary, width], by
   * VOCABULARY_PART words at a time. statistics [rows, 4] is the provider's own.
   */
  tokenLogProbs(
    x: Handle,
    table: Handle | FrozenMatrix,
    targets: Handle,
    out: Handle,
    statistics: Handle,
    rows: number,
    width: number,
    vocabulary: number,
  ): void;
  /** Adds to dx and dtable, from y = out and dy [rows, 2]. */
  tokenLogProbsGradient(
    x: Handle,
    table: Handle | FrozenMatrix,
    targets: Handle,
    y: Handle,
    statistics: Handle,
    dy: Handle,
    dx: Handle,
    dtable: Handle,
    rows: number,
    width: number,
    vocabulary: number,
  ): void;
}

export interface Kernels extends Memory, LanguageKernels {
  readonly name: string;
  /** Calls only record what is to be done, in order; `read`, `readInto` and `adam` answer once it was done. */
  readonly isQueued?: boolean;

  fill(out: Handle, length: number, value: number): void;
  /** out += x */
  accumulate(x: Handle, out: Handle, length: number): void;

  /** out[b] (+)= op(a[b])·op(b[b]) with op(a) [m, k] and op(b) [k, n]; each element sums over k in order. */
  matmul(
    a: Handle,
    b: Handle,
    out: Handle,
    batch: number,
    m: number,
    k: number,
    n: number,
    transposeA: boolean,
    transposeB: boolean,
    accumulate: boolean,
  ): void;
  /** out = f(x·w + bias), x [m, k], w [k, n], bias [n] or 0. */
  linear(x: Handle, w: Handle, bias: Handle, out: Handle, m: number, k: number, n: number, activation: Unary): void;
  /** From y = f(x·w + bias) and dy to dx, dw, dbias, for f that are told by their result (none, tanh, relu, sigmoid). Consumes dy. */
  linearGradient(
    x: Handle,
    w: Handle,
    y: Handle,
    dy: Handle,
    dx: Handle,
    dw: Handle,
    dbias: Handle,
    m: number,
    k: number,
    n: number,
    activation: Unary,
    accumulate: number,
  ): void;

  /** out[i] = a[i] ∘ b[i mod period]; period is length, a row's width or 1. */
  binary(op: Binary, a: Handle, b: Handle, out: Handle, length: number, period: number): void;
  /** Ties of minimum and maximum go to a. */
  binaryGradient(
    op: Binary,
    a: Handle,
    b: Handle,
    dy: Handle,
    da: Handle,
    db: Handle,
    length: number,
    period: number,
    accumulate: number,
  ): void;
  unary(op: Unary, x: Handle, out: Handle, length: number, p: number, q: number): void;
  unaryGradient(
    op: Unary,
    x: Handle,
    y: Handle,
    dy: Handle,
    dx: Handle,
    length: number,
    p: number,
    q: number,
    accumulate: boolean,
  ): void;

  /** out[r] = factor · Σ_c x[r, c] */
  sumRows(x: Handle, out: Handle, rows: number, width: number, factor: number): void;
  /** out[r, c] (+)= factor · x[r]: the other way round. */
  spreadRows(x: Handle, out: Handle, rows: number, width: number, factor: number, accumulate: boolean): void;
  /** out[r, outFrom + c] (+)= x[r, xFrom + c] for `width` columns of matrices that are xWidth and outWidth wide. */
  copyColumns(
    x: Handle,
    xWidth: number,
    xFrom: number,
    out: Handle,
    outWidth: number,
    outFrom: number,
    rows: number,
    width: number,
    accumulate: boolean,
  ): void;

  /** out[i] = table[index[i]], rows of `width`. */
  gather(table: Handle, index: Handle, out: Handle, count: number, width: number): void;
  /** table[index[i]] += x[i] */
  scatterAdd(x: Handle, index: Handle, table: Handle, count: number, width: number): void;
  /** out[i] = Σ_k weights[k]·table[ids[k]], k in offsets[i] … offsets[i+1]; weights may be 0 (all one). */
  bagSum(table: Handle, ids: Handle, offsets: Handle, weights: Handle, out: Handle, bags: number, width: number): void;
  /** table[ids[k]] += weights[k]·x[i] */
  bagScatterAdd(
    x: Handle,
    ids: Handle,
    offsets: Handle,
    weights: Handle,
    table: Handle,
    bags: number,
    width: number,
  ): void;
  /** out[k] (+)= x[i] for k in offsets[i] … offsets[i+1], rows of `width`. */
  expand(x: Handle, offsets: Handle, out: Handle, rows: number, width: number, accumulate: boolean): void;
  /** out[i] (+)= Σ_k x[k]: the other way round. */
  segmentSum(x: Handle, offsets: Handle, out: Handle, rows: number, width: number, accumulate: boolean): void;
  segmentLogSoftmax(x: Handle, offsets: Handle, out: Handle, rows: number): void;
  segmentLogSoftmaxGradient(
    y: Handle,
    offsets: Handle,
    dy: Handle,
    dx: Handle,
    rows: number,
    accumulate: boolean,
  ): void;
  softmax(x: Handle, out: Handle, rows: number, width: number): void;
  softmaxGradient(y: Handle, dy: Handle, dx: Handle, rows: number, width: number, accumulate: boolean): void;
  /** statistics [rows, 2] receives mean and 1/√(variance + 1e-5), for the gradient. */
  layerNorm(x: Handle, gain: Handle, bias: Handle, out: Handle, statistics: Handle, rows: number, width: number): void;
  layerNormGradient(
    x: Handle,
    gain: Handle,
    statistics: Handle,
    dy: Handle,
    dx: Handle,
    dgain: Handle,
    dbias: Handle,
    rows: number,
    width: number,
    accumulate: number,
  ): void;

  /**
   * Clips by global norm, steps, clears the gradients; returns the norm before clipping. A norm that is not finite leaves
   * weights and moments as they were. Moments below MOMENT_FLOOR become 0.
   */
  adam(
    weights: Handle,
    gradients: Handle,
    m: Handle,
    v: Handle,
    length: number,
    step: AdamStep,
  ): number | Promise<number>;
}

/**
 * Rows of an embedding table that are no longer touched have moments that decay for ever; once denormal they would make every
 * later step many times slower. Below this size a moment changes no float32 weight, so it becomes 0.
 */
export const MOMENT_FLOOR = 1e-30;
export const LAYER_NORM_EPSILON = 1e-5;
/** Words of a vocabulary whose logits are made at a time: always the same, so that a row's sums are too. Few enough to stay in the second cache. */
export const VOCABULARY_PART = 128;
/** Queries whose scores are made at a time. */
export const ATTENTION_BLOCK = 32;
