import type { FrozenMatrix } from "../frozen.ts";
import { Heap } from "../heap.ts";
import {
  type AdamStep,
  type AttentionShape,
  BINARY,
  type Binary,
  FIRST,
  type Handle,
  type Kernels,
  LAYER_NORM_EPSILON,
  MOMENT_FLOOR,
  SECOND,
  type Span,
  THIRD,
  UNARY,
  type Unary,
} from "../kernels.ts";
import { attention, attentionGradient } from "./attention.ts";
import { exp, gelu, geluSlope, larger, log, sigmoid, silu, siluSlope, smaller, tanh } from "./float32.ts";
import { dotOf, maxOf, partial, partial2, sumOf, total, total2 } from "./sums.ts";
import { tokenLogProbs, tokenLogProbsGradient } from "./vocabulary.ts";

const { fround, sqrt, min, max } = Math;

/**
 * The kernels in plain TypeScript: the fallback where WebAssembly SIMD is missing and what the SIMD kernels are checked
 * against. Every product and sum is rounded to float32 in the same order as there, so both give the same bits. A store to a
 * Float32Array rounds, so the last operation before a store needs no fround. Sums along contiguous elements keep four
 * partial sums, element i in sum i mod 4, as a SIMD register does.
 */
export class TypeScriptKernels extends Heap implements Kernels {
  readonly name = "typescript";

  constructor() {
    super();
    this.grow(1 << 16);
    this.start(0);
  }

  protected override grow(elements: number): void {
    const next = new Float32Array(elements);
    next.set(this.f32);
    this.f32 = next;
    this.i32 = new Int32Array(next.buffer);
  }

  fill(out: Handle, length: number, value: number): void {
    this.f32.fill(value, out, out + length);
  }

  accumulate(x: Handle, out: Handle, length: number): void {
    const f = this.f32;
    for (let i = 0; i < length; i++) f[out + i] += f[x + i];
  }

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
  ): void {
    const f = this.f32;
    for (let i = 0; i < batch; i++) {
      const c = out + i * m * n;
      if (!accumulate) f.fill(0, c, c + m * n);
      multiply(f, a + i * m * k, b + i * k * n, c, m, k, n, transposeA, transposeB);
    }
  }

  linear(x: Handle, w: Handle, bias: Handle, out: Handle, m: number, k: number, n: number, activation: Unary): void {
    const f = this.f32;
    if (bias === 0) f.fill(0, out, out + m * n);
    else for (let i = 0; i < m; i++) f.copyWithin(out + i * n, bias, bias + n);
    multiply(f, x, w, out, m, k, n, false, false);
    if (activation !== UNARY.none) this.unary(activation, out, out, m * n, 0, 0);
  }

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
  ): void {
    if (activation !== UNARY.none) this.unaryGradient(activation, y, y, dy, dy, m * n, 0, 0, false);
    if (dbias !== 0) {
      if (!(accumulate & THIRD)) this.fill(dbias, n, 0);
      addColumns(this.f32, dy, dbias, m, n);
    }
    if (dw !== 0) this.matmul(x, dy, dw, 1, k, m, n, true, false, (accumulate & SECOND) !== 0);
    if (dx !== 0) this.matmul(dy, w, dx, 1, m, n, k, false, true, (accumulate & FIRST) !== 0);
  }

  project(x: Handle, w: Handle | FrozenMatrix, bias: Handle, out: Handle, m: number, k: number, n: number): void {
    this.within(w, (matrix) => {
      const f = this.f32;
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          const y = dotOf(f, x + i * k, matrix + j * k, k);
          f[out + i * n + j] = bias === 0 ? y : y + f[bias + j];
        }
      }
    });
  }

  frozenGradient(dy: Handle, w: FrozenMatrix, dx: Handle, m: number, k: number, n: number, accumulate: boolean): void {
    this.within(w, (matrix) => this.matmul(dy, matrix, dx, 1, m, n, k, false, false, accumulate));
  }

  /** A matrix in memory, for a frozen one only as long as this takes. */
  private within(w: Handle | FrozenMatrix, use: (matrix: Handle) => void): void {
    if (typeof w === "number") {
      use(w);
      return;
    }
    const mark = this.mark();
    const matrix = this.scratch(w.rows * w.width);
    w.copyTo(this.f32.subarray(matrix, matrix + w.rows * w.width), 0, w.rows);
    use(matrix);
    this.release(mark);
  }

  binary(op: Binary, a: Handle, b: Handle, out: Handle, length: number, period: number): void {
    const f = this.f32;
    for (let row = 0; row < length; row += period) {
      for (let j = 0; j < period; j++) {
        const i = row + j;
        const p = f[a + i];
        const q = f[b + j];
        f[out + i] = combine(op, p, q);
      }
    }
  }

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
  ): void {
    const f = this.f32;
    if (da !== 0) {
      const keep = (accumulate & FIRST) !== 0;
      for (let row = 0; row < length; row += period) {
        for (let j = 0; j < period; j++) {
          const i = row + j;
          const g = slopeA(op, f[a + i], f[b + j], f[dy + i]);
          f[da + i] = keep ? f[da + i] + g : g;
        }
      }
    }
    if (db !== 0) {
      const keep = (accumulate & SECOND) !== 0;
      if (period === 1 && length > 1) {
        partial.fill(0);
        const q = f[b];
        for (let i = 0; i < length; i++) partial[i & 3] += slopeB(op, f[a + i], q, f[dy + i]);
        const g = total();
        f[db] = keep ? f[db] + g : g;
      } else {
        if (!keep) this.fill(db, period, 0);
        for (let row = 0; row < length; row += period) {
          for (let j = 0; j < period; j++) f[db + j] += slopeB(op, f[a + row + j], f[b + j], f[dy + row + j]);
        }
      }
    }
  }

  unary(op: Unary, x: Handle, out: Handle, length: number, p: number, q: number): void {
    const f = this.f32;
    const pf = fround(p);
    const qf = fround(q);
    switch (op) {
      case UNARY.none:
        f.copyWithin(out, x, x + length);
        return;
      case UNARY.tanh:
        for (let i = 0; i < length; i++) f[out + i] = tanh(f[x + i]);
        return;
      case UNARY.relu:
        for (let i = 0; i < length; i++) f[out + i] = larger(f[x + i], 0);
        return;
      case UNARY.gelu:
        for (let i = 0; i < length; i++) f[out + i] = gelu(f[x + i]);
        return;
      case UNARY.silu:
        for (let i = 0; i < length; i++) f[out + i] = silu(f[x + i]);
        return;
      case UNARY.sigmoid:
        for (let i = 0; i < length; i++) f[out + i] = sigmoid(f[x + i]);
        return;
      case UNARY.affine:
        for (let i = 0; i < length; i++) f[out + i] = fround(f[x + i] * pf) + qf;
        return;
      case UNARY.clamp:
        for (let i = 0; i < length; i++) f[out + i] = smaller(larger(f[x + i], pf), qf);
        return;
      case UNARY.exp:
        for (let i = 0; i < length; i++) f[out + i] = exp(f[x + i]);
        return;
      case UNARY.log:
        for (let i = 0; i < length; i++) f[out + i] = log(f[x + i]);
        return;
      case UNARY.square:
        for (let i = 0; i < length; i++) f[out + i] = f[x + i] * f[x + i];
        return;
    }
  }

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
  ): void {
    const f = this.f32;
    const pf = fround(p);
    const qf = fround(q);
    for (let i = 0; i < length; i++) {
      const g = slope(op, f[x + i], f[y + i], f[dy + i], pf, qf);
      f[dx + i] = accumulate ? f[dx + i] + g : g;
    }
  }

  sumRows(x: Handle, out: Handle, rows: number, width: number, factor: number): void {
    const f = this.f32;
    const scale = fround(factor);
    for (let r = 0; r < rows; r++) f[out + r] = sumOf(f, x + r * width, width) * scale;
  }

  spreadRows(x: Handle, out: Handle, rows: number, width: number, factor: number, accumulate: boolean): void {
    const f = this.f32;
    const scale = fround(factor);
    for (let r = 0; r < rows; r++) {
      const value = fround(f[x + r] * scale);
      const row = out + r * width;
      if (accumulate) for (let c = 0; c < width; c++) f[row + c] += value;
      else f.fill(value, row, row + width);
    }
  }

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
  ): void {
    const f = this.f32;
    for (let r = 0; r < rows; r++) {
      const from = x + r * xWidth + xFrom;
      const to = out + r * outWidth + outFrom;
      if (accumulate) for (let c = 0; c < width; c++) f[to + c] += f[from + c];
      else f.copyWithin(to, from, from + width);
    }
  }

  gather(table: Handle, index: Handle, out: Handle, count: number, width: number): void {
    const f = this.f32;
    for (let i = 0; i < count; i++) {
      const row = table + this.i32[index + i] * width;
      f.copyWithin(out + i * width, row, row + width);
    }
  }

  scatterAdd(x: Handle, index: Handle, table: Handle, count: number, width: number): void {
    const f = this.f32;
    for (let i = 0; i < count; i++) {
      const row = table + this.i32[index + i] * width;
      for (let c = 0; c < width; c++) f[row + c] += f[x + i * width + c];
    }
  }

  bagSum(table: Handle, ids: Handle, offsets: Handle, weights: Handle, out: Handle, bags: number, width: number): void {
    const f = this.f32;
    const u = this.i32;
    for (let i = 0; i < bags; i++) {
      const bag = out + i * width;
      f.fill(0, bag, bag + width);
      for (let k = u[offsets + i]; k < u[offsets + i + 1]; k++) {
        const row = table + u[ids + k] * width;
        const weight = weights === 0 ? 1 : f[weights + k];
        for (let c = 0; c < width; c++) f[bag + c] += fround(weight * f[row + c]);
      }
    }
  }

  bagScatterAdd(
    x: Handle,
    ids: Handle,
    offsets: Handle,
    weights: Handle,
    table: Handle,
    bags: number,
    width: number,
  ): void {
    const f = this.f32;
    const u = this.i32;
    for (let i = 0; i < bags; i++) {
      for (let k = u[offsets + i]; k < u[offsets + i + 1]; k++) {
        const row = table + u[ids + k] * width;
        const weight = weights === 0 ? 1 : f[weights + k];
        for (let c = 0; c < width; c++) f[row + c] += fround(weight * f[x + i * width + c]);
      }
    }
  }

  expand(x: Handle, offsets: Handle, out: Handle, rows: number, width: number, accumulate: boolean): void {
    const f = this.f32;
    const u = this.i32;
    for (let i = 0; i < rows; i++) {
      const row = x + i * width;
      for (let k = u[offsets + i]; k < u[offsets + i + 1]; k++) {
        const to = out + k * width;
        if (accumulate) for (let c = 0; c < width; c++) f[to + c] += f[row + c];
        else f.copyWithin(to, row, row + width);
      }
    }
  }

  segmentSum(x: Handle, offsets: Handle, out: Handle, rows: number, width: number, accumulate: boolean): void {
    const f = this.f32;
    const u = this.i32;
    if (!accumulate) this.fill(out, rows * width, 0);
    for (let i = 0; i < rows; i++) {
      for (let k = u[offsets + i]; k < u[offsets + i + 1]; k++) {
        for (let c = 0; c < width; c++) f[out + i * width + c] += f[x + k * width + c];
      }
    }
  }

  segmentLogSoftmax(x: Handle, offsets: Handle, out: Handle, rows: number): void {
    const f = this.f32;
    const u = this.i32;
    for (let i = 0; i < rows; i++) {
      const from = u[offsets + i];
      const length = u[offsets + i + 1] - from;
      if (length === 0) continue;
      const top = maxOf(f, x + from, length);
      partial.fill(0);
      for (let k = 0; k < length; k++) partial[k & 3] += exp(fround(f[x + from + k] - top));
      const logTotal = log(total());
      for (let k = 0; k < length; k++) f[out + from + k] = fround(f[x + from + k] - top) - logTotal;
    }
  }

  segmentLogSoftmaxGradient(
    y: Handle,
    offsets: Handle,
    dy: Handle,
    dx: Handle,
    rows: number,
    accumulate: boolean,
  ): void {
    const f = this.f32;
    const u = this.i32;
    for (let i = 0; i < rows; i++) {
      const from = u[offsets + i];
      const length = u[offsets + i + 1] - from;
      const sum = sumOf(f, dy + from, length);
      for (let k = from; k < from + length; k++) {
        const g = fround(f[dy + k] - fround(exp(f[y + k]) * sum));
        f[dx + k] = accumulate ? f[dx + k] + g : g;
      }
    }
  }

  softmax(x: Handle, out: Handle, rows: number, width: number): void {
    const f = this.f32;
    for (let r = 0; r < rows; r++) {
      const from = x + r * width;
      const to = out + r * width;
      const top = maxOf(f, from, width);
      for (let c = 0; c < width; c++) f[to + c] = exp(fround(f[from + c] - top));
      const scale = fround(1 / sumOf(f, to, width));
      for (let c = 0; c < width; c++) f[to + c] *= scale;
    }
  }

  softmaxGradient(y: Handle, dy: Handle, dx: Handle, rows: number, width: number, accumulate: boolean): void {
    const f = this.f32;
    for (let r = 0; r < rows; r++) {
      const row = r * width;
      const dot = dotOf(f, y + row, dy + row, width);
      for (let i = row; i < row + width; i++) {
        const g = fround(f[y + i] * fround(f[dy + i] - dot));
        f[dx + i] = accumulate ? f[dx + i] + g : g;
      }
    }
  }

  layerNorm(x: Handle, gain: Handle, bias: Handle, out: Handle, statistics: Handle, rows: number, width: number): void {
    const f = this.f32;
    const share = fround(1 / width);
    for (let r = 0; r < rows; r++) {
      const row = x + r * width;
      const mean = fround(sumOf(f, row, width) * share);
      partial.fill(0);
      for (let c = 0; c < width; c++) {
        const d = fround(f[row + c] - mean);
        partial[c & 3] += fround(d * d);
      }
      const variance = fround(total() * share);
      const scale = fround(1 / fround(sqrt(fround(variance + fround(LAYER_NORM_EPSILON)))));
      for (let c = 0; c < width; c++) {
        const normal = fround(fround(f[row + c] - mean) * scale);
        f[out + r * width + c] = fround(normal * f[gain + c]) + f[bias + c];
      }
      f[statistics + 2 * r] = mean;
      f[statistics + 2 * r + 1] = scale;
    }
  }

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
  ): void {
    const f = this.f32;
    const share = fround(1 / width);
    const keep = (accumulate & FIRST) !== 0;
    if (dgain !== 0 && !(accumulate & SECOND)) this.fill(dgain, width, 0);
    if (dbias !== 0 && !(accumulate & THIRD)) this.fill(dbias, width, 0);
    for (let r = 0; r < rows; r++) {
      const row = r * width;
      const mean = f[statistics + 2 * r];
      const scale = f[statistics + 2 * r + 1];
      if (dgain !== 0) {
        for (let c = 0; c < width; c++) {
          const normal = fround(fround(f[x + row + c] - mean) * scale);
          f[dgain + c] += fround(f[dy + row + c] * normal);
        }
      }
      if (dbias !== 0) for (let c = 0; c < width; c++) f[dbias + c] += f[dy + row + c];
      if (dx === 0) continue;
      partial.fill(0);
      partial2.fill(0);
      for (let c = 0; c < width; c++) {
        const g = fround(f[dy + row + c] * f[gain + c]);
        const normal = fround(fround(f[x + row + c] - mean) * scale);
        partial[c & 3] += g;
        partial2[c & 3] += fround(g * normal);
      }
      const meanG = fround(total() * share);
      const meanGNormal = fround(total2() * share);
      for (let c = 0; c < width; c++) {
        const g = fround(f[dy + row + c] * f[gain + c]);
        const normal = fround(fround(f[x + row + c] - mean) * scale);
        const d = fround(fround(fround(g - meanG) - fround(normal * meanGNormal)) * scale);
        f[dx + row + c] = keep ? f[dx + row + c] + d : d;
      }
    }
  }

  rmsNorm(
    x: Handle,
    gain: Handle,
    out: Handle,
    statistics: Handle,
    rows: number,
    width: number,
    epsilon: number,
  ): void {
    const f = this.f32;
    const share = fround(1 / width);
    for (let r = 0; r < rows; r++) {
      const row = r * width;
      const meanSquare = fround(dotOf(f, x + row, x + row, width) * share);
      const scale = fround(1 / fround(sqrt(fround(meanSquare + fround(epsilon)))));
      for (let c = 0; c < width; c++) f[out + row + c] = fround(f[x + row + c] * scale) * f[gain + c];
      f[statistics + r] = scale;
    }
  }

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
  ): void {
    const f = this.f32;
    const share = fround(1 / width);
    const keep = (accumulate & FIRST) !== 0;
    if (dgain !== 0 && !(accumulate & SECOND)) this.fill(dgain, width, 0);
    for (let r = 0; r < rows; r++) {
      const row = r * width;
      const scale = f[statistics + r];
      partial.fill(0);
      for (let c = 0; c < width; c++) {
        const normal = fround(f[x + row + c] * scale);
        if (dgain !== 0) f[dgain + c] += fround(f[dy + row + c] * normal);
        partial[c & 3] += fround(fround(f[dy + row + c] * f[gain + c]) * normal);
      }
      if (dx === 0) continue;
      const mean = fround(total() * share);
      for (let c = 0; c < width; c++) {
        const g = fround(f[dy + row + c] * f[gain + c]);
        const normal = fround(f[x + row + c] * scale);
        const d = fround(fround(g - fround(normal * mean)) * scale);
        f[dx + row + c] = keep ? f[dx + row + c] + d : d;
      }
    }
  }

  rotate(
    x: Handle,
    angles: Handle,
    out: Handle,
    rows: number,
    heads: number,
    width: number,
    inverse: boolean,
    accumulate: boolean,
  ): void {
    const f = this.f32;
    const half = width / 2;
    for (let r = 0; r < rows; r++) {
      for (let h = 0; h < heads; h++) {
        const head = (r * heads + h) * width;
        for (let c = 0; c < half; c++) {
          const cosine = f[angles + r * width + c];
          const sine = inverse ? -f[angles + r * width + half + c] : f[angles + r * width + half + c];
          const first = f[x + head + c];
          const second = f[x + head + half + c];
          const y = fround(fround(first * cosine) - fround(second * sine));
          const z = fround(fround(second * cosine) + fround(first * sine));
          f[out + head + c] = accumulate ? f[out + head + c] + y : y;
          f[out + head + half + c] = accumulate ? f[out + head + half + c] + z : z;
        }
      }
    }
  }

  attention(q: Handle, k: Handle, v: Handle, out: Handle, statistics: Handle, span: Span, shape: AttentionShape): void {
    attention(this.f32, q, k, v, out, statistics, span, shape);
  }

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
  ): void {
    attentionGradient(this.f32, q, k, v, out, statistics, dout, dq, dk, dv, span, shape);
  }

  tokenLogProbs(
    x: Handle,
    table: Handle | FrozenMatrix,
    targets: Handle,
    out: Handle,
    statistics: Handle,
    rows: number,
    width: number,
    vocabulary: number,
  ): void {
    this.within(table, (words) => {
      tokenLogProbs(this.f32, this.i32, x, words, targets, out, statistics, rows, width, vocabulary);
    });
  }

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
  ): void {
    this.within(table, (words) => {
      const { f32, i32 } = this;
      tokenLogProbsGradient(f32, i32, x, words, targets, y, statistics, dy, dx, dtable, rows, width, vocabulary);
    });
  }

  adam(weights: Handle, gradients: Handle, m: Handle, v: Handle, length: number, step: AdamStep): number {
    const f = this.f32;
    const norm = sqrt(sumOfSquares(f, gradients, length));
    if (!Number.isFinite(norm)) {
      this.fill(gradients, length, 0);
      return norm;
    }
    const clip = fround(min(1, step.maxGradNorm / (norm + 1e-6)));
    const beta1 = fround(step.beta1);
    const beta2 = fround(step.beta2);
    const rest1 = fround(1 - step.beta1);
    const rest2 = fround(1 - step.beta2);
    const rate = fround(step.learningRate / step.correction1);
    const unbias2 = fround(1 / step.correction2);
    const epsilon = fround(step.epsilon);
    const floor = fround(MOMENT_FLOOR);
    for (let i = 0; i < length; i++) {
      let g = f[gradients + i];
      let mi = f[m + i];
      let vi = f[v + i];
      f[gradients + i] = 0;
      if (g === 0 && mi === 0 && vi === 0) continue;
      g = fround(g * clip);
      mi = fround(fround(mi * beta1) + fround(g * rest1));
      vi = fround(fround(vi * beta2) + fround(fround(g * g) * rest2));
      if (Math.abs(mi) < floor) mi = 0;
      if (vi < floor) vi = 0;
      f[m + i] = mi;
      f[v + i] = vi;
      f[weights + i] -= fround(fround(rate * mi) / fround(fround(sqrt(fround(vi * unbias2))) + epsilon));
    }
    return norm;
  }
}

let turned = new Float32Array(0);

/** c += op(a)·op(b), one multiplication and one addition per element and step of k, k ascending. */
function multiply(
  f: Float32Array,
  a: number,
  b: number,
  c: number,
  m: number,
  k: number,
  n: number,
  transposeA: boolean,
  transposeB: boolean,
): void {
  if (!transposeB) {
    multiplyRows(f, a, f, b, c, m, k, n, transposeA);
    return;
  }
  if (turned.length < k * n) turned = new Float32Array(k * n);
  for (let j = 0; j < n; j++) for (let l = 0; l < k; l++) turned[l * n + j] = f[b + j * k + l];
  multiplyRows(f, a, turned, 0, c, m, k, n, transposeA);
}

/** c += op(a)·g, four steps of k for one pass over a row of c. */
function multiplyRows(
  f: Float32Array,
  a: number,
  g: Float32Array,
  b: number,
  c: number,
  m: number,
  k: number,
  n: number,
  transposeA: boolean,
): void {
  const step = transposeA ? m : 1;
  for (let i = 0; i < m; i++) {
    const row = c + i * n;
    let at = transposeA ? a + i : a + i * k;
    let l = 0;
    for (; l + 4 <= k; l += 4) {
      const x0 = f[at];
      const x1 = f[at + step];
      const x2 = f[at + 2 * step];
      const x3 = f[at + 3 * step];
      at += 4 * step;
      const b0 = b + l * n;
      const b1 = b0 + n;
      const b2 = b1 + n;
      const b3 = b2 + n;
      for (let j = 0; j < n; j++) {
        let sum = fround(f[row + j] + fround(x0 * g[b0 + j]));
        sum = fround(sum + fround(x1 * g[b1 + j]));
        sum = fround(sum + fround(x2 * g[b2 + j]));
        f[row + j] = sum + fround(x3 * g[b3 + j]);
      }
    }
    for (; l < k; l++) {
      const x = f[at];
      at += step;
      for (let j = 0; j < n; j++) f[row + j] += fround(x * g[b + l * n + j]);
    }
  }
}

function addColumns(f: Float32Array, x: number, out: number, rows: number, width: number): void {
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < width; c++) f[out + c] += f[x + r * width + c];
  }
}

/** In float64, so that a norm over millions of gradients is exact enough to clip by. */
function sumOfSquares(f: Float32Array, from: number, length: number): number {
  const sums = [0, 0, 0, 0];
  for (let i = 0; i < length; i++) sums[i & 3] += f[from + i] * f[from + i];
  return sums[0] + sums[2] + (sums[1] + sums[3]);
}

function combine(op: Binary, p: number, q: number): number {
  switch (op) {
    case BINARY.add:
      return p + q;
    case BINARY.sub:
      return p - q;
    case BINARY.mul:
      return p * q;
    case BINARY.div:
      return p / q;
    case BINARY.minimum:
      return min(p, q);
    case BINARY.maximum:
      return max(p, q);
  }
}

function slopeA(op: Binary, p: number, q: number, dy: number): number {
  switch (op) {
    case BINARY.add:
    case BINARY.sub:
      return dy;
    case BINARY.mul:
      return fround(dy * q);
    case BINARY.div:
      return fround(dy / q);
    case BINARY.minimum:
      return p <= q ? dy : 0;
    case BINARY.maximum:
      return p >= q ? dy : 0;
  }
}

function slopeB(op: Binary, p: number, q: number, dy: number): number {
  switch (op) {
    case BINARY.add:
      return dy;
    case BINARY.sub:
      return -dy;
    case BINARY.mul:
      return fround(dy * p);
    case BINARY.div:
      return -fround(fround(dy / q) * fround(p / q));
    case BINARY.minimum:
      return p <= q ? 0 : dy;
    case BINARY.maximum:
      return p >= q ? 0 : dy;
  }
}

function slope(op: Unary, x: number, y: number, dy: number, p: number, q: number): number {
  switch (op) {
    case UNARY.none:
      return dy;
    case UNARY.tanh:
      return fround(dy * fround(1 - fround(y * y)));
    case UNARY.relu:
      return y > 0 ? dy : 0;
    case UNARY.gelu:
      return fround(dy * geluSlope(x));
    case UNARY.silu:
      return fround(dy * siluSlope(x));
    case UNARY.sigmoid:
      return fround(dy * fround(y * fround(1 - y)));
    case UNARY.affine:
      return fround(dy * p);
    case UNARY.clamp:
      return x >= p && x <= q ? dy : 0;
    case UNARY.exp:
      return fround(dy * y);
    case UNARY.log:
      return fround(dy / x);
    case UNARY.square:
      return fround(dy * fround(x + x));
  }
}
