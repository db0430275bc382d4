import type { FrozenMatrix } from "../frozen.ts";
import { Heap } from "../heap.ts";
import {
  type AdamStep,
  ATTENTION_BLOCK,
  type AttentionShape,
  type Binary,
  type Handle,
  type Kernels,
  MOMENT_FLOOR,
  type Span,
  type Unary,
  VOCABULARY_PART,
} from "../kernels.ts";
import { KERNELS_WASM } from "./kernels.wasm.ts";

const PAGE_BYTES = 65536;
const MAX_PAGES = 65536;

type Numeric = (...values: number[]) => void;

/** What `assembly/index.ts` exports. Buffers are element indices, flags 0 or 1. */
interface Exports {
  memory: WebAssembly.Memory;
  heapBase(): number;
  sumOfSquares(x: Handle, length: number): number;
  fill: Numeric;
  accumulate: Numeric;
  matmul: Numeric;
  linear: Numeric;
  linearGradient: Numeric;
  binary: Numeric;
  binaryGradient: Numeric;
  unary: Numeric;
  unaryGradient: Numeric;
  sumRows: Numeric;
  spreadRows: Numeric;
  copyColumns: Numeric;
  gather: Numeric;
  scatterAdd: Numeric;
  bagSum: Numeric;
  bagScatterAdd: Numeric;
  expand: Numeric;
  segmentSum: Numeric;
  segmentLogSoftmax: Numeric;
  segmentLogSoftmaxGradient: Numeric;
  softmax: Numeric;
  softmaxGradient: Numeric;
  layerNorm: Numeric;
  layerNormGradient: Numeric;
  adam: Numeric;
  project: Numeric;
  rmsNorm: Numeric;
  rmsNormGradient: Numeric;
  rotate: Numeric;
  attention: Numeric;
  attentionGradient: Numeric;
  vocabularySums: Numeric;
  vocabularyResult: Numeric;
  vocabularyGradient: Numeric;
  unpack: Numeric;
  projectPanel: Numeric;
  panelGradient: Numeric;
}

/** As `unpack` numbers them. */
const FORMATS = { BF16: 0, F16: 1, I8: 2 } as const;
/** Bytes of a frozen matrix as float32 that are multiplied at a time: they stay in the second cache. */
const PANEL_BYTES = 262_144;
/** Rows of one that are multiplied by for a gradient: enough for sums to stay in registers for long. */
const GRADIENT_ROWS = 128;
/** Rows of x whose logits are made at a time. */
const VOCABULARY_ROWS = 128;

let compiled: WebAssembly.Module | undefined;

function compile(): WebAssembly.Module {
  compiled ??= new WebAssembly.Module(Uint8Array.from(atob(KERNELS_WASM), (c) => c.charCodeAt(0)));
  return compiled;
}

/** Whether this runtime can compile the kernels: false where WebAssembly or its SIMD is missing. */
export function simdRunsHere(): boolean {
  try {
    compile();
    return true;
  } catch {
    return false;
  }
}

/** The kernels in WebAssembly SIMD (`assembly/`): four float32 at a time, no fused multiply-add, no relaxed operations. */
export class SimdKernels extends Heap implements Kernels {
  readonly name = "simd";
  private readonly wasm: Exports;

  constructor() {
    super();
    this.wasm = new WebAssembly.Instance(compile()).exports as unknown as Exports;
    this.refresh();
    this.start(Math.ceil(this.wasm.heapBase() / 4));
  }

  private refresh(): void {
    const { buffer } = this.wasm.memory;
    this.f32 = new Float32Array(buffer);
    this.i32 = new Int32Array(buffer);
  }

  protected override grow(elements: number): void {
    const { memory } = this.wasm;
    const pages = memory.buffer.byteLength / PAGE_BYTES;
    const wanted = Math.ceil((elements * 4) / PAGE_BYTES);
    try {
      memory.grow(wanted - pages);
    } catch (cause) {
      throw new RangeError(
        `Cannot grow tensor memory from ${pages} to ${wanted} pages of 64 KiB (the most is ${MAX_PAGES}): use smaller batches or dispose of models`,
        { cause },
      );
    }
    this.refresh();
  }

  fill(out: Handle, length: number, value: number): void {
    this.wasm.fill(out, length, value);
  }

  accumulate(x: Handle, out: Handle, length: number): void {
    this.wasm.accumulate(x, out, length);
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
    this.wasm.matmul(a, b, out, batch, m, k, n, transposeA ? 1 : 0, transposeB ? 1 : 0, accumulate ? 1 : 0);
  }

  linear(x: Handle, w: Handle, bias: Handle, out: Handle, m: number, k: number, n: number, activation: Unary): void {
    this.wasm.linear(x, w, bias, out, m, k, n, activation);
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
    this.wasm.linearGradient(x, w, y, dy, dx, dw, dbias, m, k, n, activation, accumulate);
  }

  project(x: Handle, w: Handle | FrozenMatrix, bias: Handle, out: Handle, m: number, k: number, n: number): void {
    if (typeof w === "number") {
      this.wasm.project(x, w, bias, out, m, k, n);
      return;
    }
    this.panels(w, panelRows(k), (panel, from, count) => {
      this.wasm.projectPanel(x, panel, bias === 0 ? 0 : bias + from, out + from, m, k, count, n);
    });
  }

  frozenGradient(dy: Handle, w: FrozenMatrix, dx: Handle, m: number, k: number, n: number, accumulate: boolean): void {
    this.panels(w, GRADIENT_ROWS, (panel, from, count) => {
      this.wasm.panelGradient(dy + from, panel, dx, m, k, count, n, accumulate || from > 0 ? 1 : 0);
    });
  }

  /** Its rows as float32 in scratch, so many at a time. */
  private panels(w: FrozenMatrix, rows: number, visit: (panel: Handle, from: number, count: number) => void): void {
    const { format, width } = w;
    const mark = this.mark();
    const panel = this.scratch(rows * width);
    const raw = format === "F32" ? panel : this.scratch(rows * width);
    const scales = this.scratch(rows);
    for (let from = 0; from < w.rows; from += rows) {
      const count = Math.min(rows, w.rows - from);
      const bytes = w.part(from, from + count);
      new Uint8Array(this.f32.buffer, raw * 4, bytes.length).set(bytes);
      if (w.scales) this.write(scales, w.scales.subarray(from, from + count));
      if (format !== "F32") this.wasm.unpack(FORMATS[format], raw, scales, panel, count, width);
      visit(panel, from, count);
    }
    this.release(mark);
  }

  binary(op: Binary, a: Handle, b: Handle, out: Handle, length: number, period: number): void {
    this.wasm.binary(op, a, b, out, length, period);
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
    this.wasm.binaryGradient(op, a, b, dy, da, db, length, period, accumulate);
  }

  unary(op: Unary, x: Handle, out: Handle, length: number, p: number, q: number): void {
    this.wasm.unary(op, x, out, length, p, q);
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
    this.wasm.unaryGradient(op, x, y, dy, dx, length, p, q, accumulate ? 1 : 0);
  }

  sumRows(x: Handle, out: Handle, rows: number, width: number, factor: number): void {
    this.wasm.sumRows(x, out, rows, width, factor);
  }

  spreadRows(x: Handle, out: Handle, rows: number, width: number, factor: number, accumulate: boolean): void {
    this.wasm.spreadRows(x, out, rows, width, factor, accumulate ? 1 : 0);
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
    this.wasm.copyColumns(x, xWidth, xFrom, out, outWidth, outFrom, rows, width, accumulate ? 1 : 0);
  }

  gather(table: Handle, index: Handle, out: Handle, count: number, width: number): void {
    this.wasm.gather(table, index, out, count, width);
  }

  scatterAdd(x: Handle, index: Handle, table: Handle, count: number, width: number): void {
    this.wasm.scatterAdd(x, index, table, count, width);
  }

  bagSum(table: Handle, ids: Handle, offsets: Handle, weights: Handle, out: Handle, bags: number, width: number): void {
    this.wasm.bagSum(table, ids, offsets, weights, out, bags, width);
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
    this.wasm.bagScatterAdd(x, ids, offsets, weights, table, bags, width);
  }

  expand(x: Handle, offsets: Handle, out: Handle, rows: number, width: number, accumulate: boolean): void {
    this.wasm.expand(x, offsets, out, rows, width, accumulate ? 1 : 0);
  }

  segmentSum(x: Handle, offsets: Handle, out: Handle, rows: number, width: number, accumulate: boolean): void {
    this.wasm.segmentSum(x, offsets, out, rows, width, accumulate ? 1 : 0);
  }

  segmentLogSoftmax(x: Handle, offsets: Handle, out: Handle, rows: number): void {
    this.wasm.segmentLogSoftmax(x, offsets, out, rows);
  }

  segmentLogSoftmaxGradient(
    y: Handle,
    offsets: Handle,
    dy: Handle,
    dx: Handle,
    rows: number,
    accumulate: boolean,
  ): void {
    this.wasm.segmentLogSoftmaxGradient(y, offsets, dy, dx, rows, accumulate ? 1 : 0);
  }

  softmax(x: Handle, out: Handle, rows: number, width: number): void {
    this.wasm.softmax(x, out, rows, width);
  }

  softmaxGradient(y: Handle, dy: Handle, dx: Handle, rows: number, width: number, accumulate: boolean): void {
    this.wasm.softmaxGradient(y, dy, dx, rows, width, accumulate ? 1 : 0);
  }

  layerNorm(x: Handle, gain: Handle, bias: Handle, out: Handle, statistics: Handle, rows: number, width: number): void {
    this.wasm.layerNorm(x, gain, bias, out, statistics, rows, width);
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
    this.wasm.layerNormGradient(x, gain, statistics, dy, dx, dgain, dbias, rows, width, accumulate);
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
    this.wasm.rmsNorm(x, gain, out, statistics, rows, width, epsilon);
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
    this.wasm.rmsNormGradient(x, gain, statistics, dy, dx, dgain, rows, width, accumulate);
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
    this.wasm.rotate(x, angles, out, rows, heads, width, inverse ? 1 : 0, accumulate ? 1 : 0);
  }

  /** Runs with scratch of its own. */
  private within(length: number, run: (workspace: Handle) => void): void {
    const mark = this.mark();
    run(this.scratch(length));
    this.release(mark);
  }

  attention(q: Handle, k: Handle, v: Handle, out: Handle, statistics: Handle, span: Span, shape: AttentionShape): void {
    const { queryAt, queries, keyAt, keys } = span;
    const { heads, keyHeads, width, window, scale } = shape;
    this.within(ATTENTION_BLOCK * (keys + 3), (workspace) => {
      // biome-ignore format: in the order of the kernel
      this.wasm.attention(
        q, k, v, out, statistics, workspace, queryAt, queries, keyAt, keys, heads, keyHeads, width, window, scale,
      );
    });
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
    const { queryAt, queries, keyAt, keys } = span;
    const { heads, keyHeads, width, window, scale } = shape;
    this.within(2 * ATTENTION_BLOCK * (keys + 3), (workspace) => {
      // biome-ignore format: in the order of the kernel
      this.wasm.attentionGradient(
        q, k, v, out, statistics, dout, dq, dk, dv, workspace,
        queryAt, queries, keyAt, keys, heads, keyHeads, width, window, scale,
      );
    });
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
    this.parts(table, width, vocabulary, (part, workspace, from, count) => {
      this.wasm.vocabularySums(x, part, targets, statistics, workspace, rows, width, from, count);
    });
    this.wasm.vocabularyResult(statistics, out, rows);
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
    this.parts(table, width, vocabulary, (part, workspace, from, count) => {
      const dpart = dtable === 0 ? 0 : dtable + from * width;
      // biome-ignore format: in the order of the kernel
      this.wasm.vocabularyGradient(
        x, part, targets, statistics, y, dy, dx, dpart, workspace, rows, width, from, count,
      );
    });
  }

  /** VOCABULARY_PART rows of a table at a time, and a workspace for the logits of VOCABULARY_ROWS. */
  private parts(
    table: Handle | FrozenMatrix,
    width: number,
    vocabulary: number,
    visit: (part: Handle, workspace: Handle, from: number, count: number) => void,
  ): void {
    this.within(VOCABULARY_ROWS * VOCABULARY_PART, (workspace) => {
      if (typeof table !== "number") {
        this.panels(table, VOCABULARY_PART, (panel, from, count) => visit(panel, workspace, from, count));
        return;
      }
      for (let from = 0; from < vocabulary; from += VOCABULARY_PART) {
        visit(table + from * width, workspace, from, Math.min(VOCABULARY_PART, vocabulary - from));
      }
    });
  }

  adam(weights: Handle, gradients: Handle, m: Handle, v: Handle, length: number, step: AdamStep): number {
    const norm = Math.sqrt(this.wasm.sumOfSquares(gradients, length));
    if (!Number.isFinite(norm)) {
      this.wasm.fill(gradients, length, 0);
      return norm;
    }
    this.wasm.adam(
      weights,
      gradients,
      m,
      v,
      length,
      Math.min(1, step.maxGradNorm / (norm + 1e-6)),
      step.beta1,
      1 - step.beta1,
      step.beta2,
      1 - step.beta2,
      step.learningRate / step.correction1,
      1 / step.correction2,
      step.epsilon,
      MOMENT_FLOOR,
    );
    return norm;
  }
}

function panelRows(width: number): number {
  return Math.max(4, Math.floor(PANEL_BYTES / (4 * width)) & -4);
}
