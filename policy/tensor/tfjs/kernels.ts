import {
  type AdamStep,
  type Binary,
  FIRST,
  type Handle,
  type Kernels,
  LAYER_NORM_EPSILON,
  type LanguageKernels,
  SECOND,
  THIRD,
  UNARY,
  type Unary,
} from "../kernels.ts";
import type { Elementwise } from "./elementwise.ts";
import { type Inverse, inverseOf, ownersOf, paddingOf } from "./index-lists.ts";
import { DeviceQueue, type Staged } from "./queue.ts";
import { Slot } from "./slot.ts";
import { type DeviceArray, Operations, type Tfjs } from "./tfjs.ts";

/** An array that is asked for when its command runs. */
export type Lazy = () => DeviceArray;

/** Where each output row's items end, in the form that a backend's `sumSegments` wants. */
export interface Segments {
  rows: number;
  staged: Staged;
}

/** An index list on the host, and what was worked out from it: once, however many kernels ask. */
export interface List {
  values: Int32Array | Uint32Array;
  staged?: Staged;
  owners?: Staged;
  segments?: Segments;
  padding?: { from: Staged; to: Staged; width: number } | null;
  inverse?: Inverse;
}

/**
 * The kernels on TensorFlow.js, whichever backend runs them. Its arrays never change, so a buffer is a `Slot` that holds the
 * newest array. Calls only record; see `DeviceQueue` for when they run. What the two backends do differently is abstract.
 */
export abstract class TfjsKernels implements Omit<Kernels, keyof LanguageKernels> {
  abstract readonly name: string;
  readonly isQueued = true;
  readonly queue: DeviceQueue;
  protected readonly ops: Operations;
  private readonly slots = new Map<Handle, Slot>();
  private readonly regions = new Map<Handle, Handle[]>();
  private readonly lists = new Map<Handle, List>();
  private readonly scratchSlots: Slot[] = [];
  private scratchCount = 0;
  private lastHandle = 0;

  constructor(tf: Tfjs) {
    this.ops = new Operations(tf);
    this.queue = new DeviceQueue(this.ops);
  }

  protected abstract readonly elementwise: Elementwise;
  /** How offsets are handed to `sumSegments`; called while recording. */
  protected abstract segmentsOf(offsets: ArrayLike<number>): Segments;
  /** out[i] = Σ_k (weights[k]·) x[ids[k]] for the items k of row i; without ids, x[k]. x [R, width] → [rows, width] */
  protected abstract sumSegments(
    x: DeviceArray,
    ids: DeviceArray | undefined,
    segments: Segments,
    weights: DeviceArray | undefined,
  ): DeviceArray;
  /** x·w + bias, x [m, k], w [k, n], bias [n]. */
  protected abstract linearSum(x: DeviceArray, w: DeviceArray, bias: DeviceArray): DeviceArray;
  /** One step on arrays [length]. `norm` [1] is that of the gradients; where it is not finite everything stays as it is. */
  protected abstract adamStep(
    arrays: Record<"weights" | "gradients" | "m" | "v", DeviceArray>,
    norm: DeviceArray,
    step: AdamStep,
  ): Record<"weights" | "m" | "v", DeviceArray>;

  // Memory. Handles of scratch are negative: -1, -2, … from the bottom of the stack.

  protected slot(handle: Handle): Slot {
    return handle < 0 ? this.scratchSlots[-handle - 1] : this.slots.get(handle)!;
  }

  allocate(length: number): Handle {
    this.slots.set(++this.lastHandle, new Slot(length));
    return this.lastHandle;
  }

  free(buffer: Handle): void {
    const slot = this.slots.get(buffer);
    if (slot === undefined) throw new RangeError(`Cannot free buffer ${buffer}: it is not allocated (freed twice?)`);
    for (const handle of [buffer, ...(this.regions.get(buffer) ?? [])]) this.slots.delete(handle);
    this.regions.delete(buffer);
    this.queue.push(() => slot.clear());
    this.queue.flush();
  }

  region(buffer: Handle, offset: number, length: number): Handle {
    this.slots.set(++this.lastHandle, this.slot(buffer).part(offset, length));
    this.regions.set(buffer, [...(this.regions.get(buffer) ?? []), this.lastHandle]);
    return this.lastHandle;
  }

  scratch(length: number): Handle {
    if (this.scratchCount === this.scratchSlots.length) this.scratchSlots.push(new Slot(0));
    this.scratchSlots[this.scratchCount].length = length;
    return -++this.scratchCount;
  }

  mark(): number {
    if (this.scratchCount === 0) this.queue.boundary();
    return this.scratchCount;
  }

  release(mark: number): void {
    const to = this.scratchCount;
    for (let i = mark; i < to; i++) this.lists.delete(-i - 1);
    this.scratchCount = mark;
    this.queue.push(() => {
      for (let i = mark; i < to; i++) this.scratchSlots[i].clear();
    });
  }

  write(to: Handle, values: Float32Array): void {
    const slot = this.slot(to);
    if (values.length === 0) return;
    const staged = this.queue.stage(values);
    this.queue.push(() => slot.set(this.queue.staged(staged), this.ops));
  }

  writeIndices(to: Handle, values: Int32Array | Uint32Array): void {
    this.lists.set(to, { values });
  }

  read(from: Handle, length: number): Promise<Float32Array> {
    if (length === 0) return Promise.resolve(new Float32Array(0));
    return this.queue.read(length, this.arg(from, [length]));
  }

  async readInto(from: Handle, target: Float32Array): Promise<void> {
    target.set(await this.read(from, target.length));
  }

  // Recording.

  /** What the buffer holds when the command runs, in this shape. */
  protected arg(handle: Handle, shape: readonly number[]): Lazy {
    const slot = this.slot(handle);
    return () => {
      const array = slot.get(this.ops);
      return array === null ? this.ops.fill(shape, 0) : this.ops.reshape(array, shape);
    };
  }

  /** out (+)= what `compute` gives. */
  protected emit(out: Handle, accumulate: boolean, compute: Lazy): void {
    const slot = this.slot(out);
    if (slot.length === 0) return;
    this.queue.push(() => {
      const array = compute();
      const before = accumulate ? slot.get(this.ops) : null;
      slot.set(before === null ? array : this.ops.add(this.ops.reshape(before, array.shape), array), this.ops);
    });
  }

  /** The sum of nothing. */
  protected emitZeros(out: Handle, accumulate: boolean): void {
    const slot = this.slot(out);
    if (!accumulate) this.queue.push(() => slot.set(null, this.ops));
  }

  protected list(handle: Handle): List {
    return this.lists.get(handle)!;
  }

  protected indices(list: List): Lazy {
    list.staged ??= this.queue.stageIntegers(list.values);
    return this.lazily(list.staged);
  }

  private owners(offsets: List): Lazy {
    offsets.owners ??= this.queue.stageIntegers(ownersOf(offsets.values));
    return this.lazily(offsets.owners);
  }

  protected lazily(staged: Staged): Lazy {
    return () => this.queue.staged(staged);
  }

  fill(out: Handle, length: number, value: number): void {
    if (value === 0) this.emitZeros(out, false);
    else this.emit(out, false, () => this.ops.fill([length], value));
  }

  accumulate(x: Handle, out: Handle, length: number): void {
    this.emit(out, true, this.arg(x, [length]));
  }

  // Products.

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
    if (k === 0) {
      this.emitZeros(out, accumulate);
      return;
    }
    const x = this.arg(a, transposeA ? [batch, k, m] : [batch, m, k]);
    const y = this.arg(b, transposeB ? [batch, n, k] : [batch, k, n]);
    this.emit(out, accumulate, () => this.ops.run("BatchMatMul", { a: x(), b: y() }, { transposeA, transposeB }));
  }

  linear(x: Handle, w: Handle, bias: Handle, out: Handle, m: number, k: number, n: number, activation: Unary): void {
    const input = this.arg(x, [m, k]);
    const weight = this.arg(w, [k, n]);
    const row = bias === 0 ? undefined : this.arg(bias, [n]);
    this.emit(out, false, () => {
      const sum = row
        ? this.linearSum(input(), weight(), row())
        : this.ops.run("BatchMatMul", { a: input(), b: weight() }, { transposeA: false, transposeB: false });
      return this.elementwise.unary(activation, sum, 0, 0);
    });
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
      const slope = this.arg(dy, [m, n]);
      if (m === 0) this.emitZeros(dbias, (accumulate & THIRD) !== 0);
      else this.emit(dbias, (accumulate & THIRD) !== 0, () => this.ops.sum(slope(), 0));
    }
    if (dw !== 0) this.matmul(x, dy, dw, 1, k, m, n, true, false, (accumulate & SECOND) !== 0);
    if (dx !== 0) this.matmul(dy, w, dx, 1, m, n, k, false, true, (accumulate & FIRST) !== 0);
  }

  // Elementwise.

  binary(op: Binary, a: Handle, b: Handle, out: Handle, length: number, period: number): void {
    const shape = periodic(length, period);
    const x = this.arg(a, shape);
    const y = this.arg(b, [period]);
    this.emit(out, false, () => this.elementwise.binary(op, x(), y()));
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
    if (length === 0) {
      if (db !== 0) this.emitZeros(db, (accumulate & SECOND) !== 0);
      return;
    }
    const shape = periodic(length, period);
    const x = this.arg(a, shape);
    const y = this.arg(b, [period]);
    const slope = this.arg(dy, shape);
    if (da !== 0) {
      this.emit(da, (accumulate & FIRST) !== 0, () => this.elementwise.slopeOfFirst(op, x(), y(), slope()));
    }
    if (db !== 0) {
      this.emit(db, (accumulate & SECOND) !== 0, () => {
        const each = this.elementwise.slopeOfSecond(op, x(), y(), slope());
        return period === length ? each : this.ops.sum(each, 0);
      });
    }
  }

  unary(op: Unary, x: Handle, out: Handle, length: number, p: number, q: number): void {
    const input = this.arg(x, [length]);
    this.emit(out, false, () => this.elementwise.unary(op, input(), p, q));
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
    const input = this.arg(x, [length]);
    const output = this.arg(y, [length]);
    const slope = this.arg(dy, [length]);
    this.emit(dx, accumulate, () => this.elementwise.slopeOfUnary(op, input, output, slope(), p, q));
  }

  // Sums and shapes.

  sumRows(x: Handle, out: Handle, rows: number, width: number, factor: number): void {
    if (width === 0) {
      this.emitZeros(out, false);
      return;
    }
    const input = this.arg(x, [rows, width]);
    this.emit(out, false, () => scaled(this.ops, this.ops.sum(input(), 1), factor));
  }

  spreadRows(x: Handle, out: Handle, rows: number, width: number, factor: number, accumulate: boolean): void {
    const input = this.arg(x, [rows, 1]);
    this.emit(out, accumulate, () =>
      this.ops.run("Tile", { x: scaled(this.ops, input(), factor) }, { reps: [1, width] }),
    );
  }

  /** Columns that are not copied to stay as they are: those that nothing was written to are zero. */
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
    const input = this.arg(x, [rows, xWidth]);
    const whole = width === outWidth;
    this.emit(out, accumulate || !whole, () => {
      const columns = width === xWidth ? input() : this.ops.slice(input(), [0, xFrom], [rows, width]);
      if (whole) return columns;
      const after = outWidth - outFrom - width;
      const paddings = [
        [0, 0],
        [outFrom, after],
      ];
      return this.ops.run("PadV2", { x: columns }, { paddings, constantValue: 0 });
    });
  }

  // By index.

  gather(table: Handle, index: Handle, out: Handle, count: number, width: number): void {
    if (count === 0) return;
    const rows = this.slot(table).length / Math.max(1, width);
    const x = this.arg(table, [rows, width]);
    const ids = this.indices(this.list(index));
    this.emit(out, false, () => this.ops.gather(x(), ids()));
  }

  scatterAdd(x: Handle, index: Handle, table: Handle, count: number, width: number): void {
    const list = this.list(index);
    list.inverse ??= inverseOf(list.values);
    this.addToRows(this.arg(x, [count, width]), list.inverse, undefined, undefined, table, width);
  }

  bagSum(
    table: Handle,
    ids: Handle,
    offsets: Handle,
    weights: Handle,
    out: Handle,
    _bags: number,
    width: number,
  ): void {
    const list = this.list(ids);
    if (list.values.length === 0) {
      this.emitZeros(out, false);
      return;
    }
    const x = this.arg(table, [this.slot(table).length / width, width]);
    const index = this.indices(list);
    const segments = this.segments(this.list(offsets));
    const factors = weights === 0 ? undefined : this.arg(weights, [list.values.length]);
    this.emit(out, false, () => this.sumSegments(x(), index(), segments, factors?.()));
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
    const list = this.list(ids);
    list.inverse ??= inverseOf(list.values);
    const bagOf = ownersOf(this.list(offsets).values);
    const factors = weights === 0 ? undefined : this.arg(weights, [list.values.length]);
    this.addToRows(this.arg(x, [bags, width]), list.inverse, (item) => bagOf[item], factors, table, width);
  }

  /** table[target] += Σ (weight·) x[row of item], over the items of each target. An item's row is the item itself by default. */
  private addToRows(
    x: Lazy,
    { targets, offsets, items }: Inverse,
    rowOf: ((item: number) => number) | undefined,
    weights: Lazy | undefined,
    table: Handle,
    width: number,
  ): void {
    if (items.length === 0) return;
    const rows = this.slot(table).length / width;
    const sources = this.lazily(this.queue.stageIntegers(rowOf ? items.map(rowOf) : items));
    const order = weights && this.lazily(this.queue.stageIntegers(items));
    const at = this.lazily(this.queue.stageIntegers(targets));
    const segments = this.segmentsOf(offsets);
    this.emit(table, true, () => {
      const factors = weights && this.ops.gather(weights(), order!());
      const updates = this.sumSegments(x(), sources(), segments, factors);
      const indices = this.ops.reshape(at(), [targets.length, 1]);
      return this.ops.run("ScatterNd", { indices, updates }, { shape: [rows, width] });
    });
  }

  private segments(offsets: List): Segments {
    offsets.segments ??= this.segmentsOf(offsets.values);
    return offsets.segments;
  }

  expand(x: Handle, offsets: Handle, out: Handle, rows: number, width: number, accumulate: boolean): void {
    if (this.slot(out).length === 0) return;
    const input = this.arg(x, [rows, width]);
    const owners = this.owners(this.list(offsets));
    this.emit(out, accumulate, () => this.ops.gather(input(), owners()));
  }

  segmentSum(x: Handle, offsets: Handle, out: Handle, rows: number, width: number, accumulate: boolean): void {
    const list = this.list(offsets);
    const items = list.values[rows];
    if (items === 0) {
      this.emitZeros(out, accumulate);
      return;
    }
    const input = this.arg(x, [items, width]);
    const segments = this.segments(list);
    this.emit(out, accumulate, () => this.sumSegments(input(), undefined, segments, undefined));
  }

  segmentLogSoftmax(x: Handle, offsets: Handle, out: Handle, rows: number): void {
    const list = this.list(offsets);
    const items = list.values[rows];
    if (items === 0) return;
    const input = this.arg(x, [items]);
    const padding = this.padding(list);
    this.emit(out, false, () => {
      if (padding === undefined) return logSoftmax(this.ops, this.ops.reshape(input(), [rows, items / rows]));
      const padded = this.ops.gather(
        this.ops.concat([input(), this.ops.constant(LEAST)], 0),
        this.queue.staged(padding.from),
      );
      const result = logSoftmax(this.ops, this.ops.reshape(padded, [rows, padding.width]));
      return this.ops.gather(this.ops.reshape(result, [rows * padding.width]), this.queue.staged(padding.to));
    });
  }

  private padding(offsets: List): { width: number; from: Staged; to: Staged } | undefined {
    if (offsets.padding === undefined) {
      const padding = paddingOf(offsets.values);
      offsets.padding = padding
        ? {
            width: padding.width,
            from: this.queue.stageIntegers(padding.from),
            to: this.queue.stageIntegers(padding.to),
          }
        : null;
    }
    return offsets.padding ?? undefined;
  }

  segmentLogSoftmaxGradient(
    y: Handle,
    offsets: Handle,
    dy: Handle,
    dx: Handle,
    rows: number,
    accumulate: boolean,
  ): void {
    const list = this.list(offsets);
    const items = list.values[rows];
    if (items === 0) return;
    const output = this.arg(y, [items, 1]);
    const slope = this.arg(dy, [items, 1]);
    const segments = this.segments(list);
    const owners = this.owners(list);
    this.emit(dx, accumulate, () => {
      const { ops } = this;
      const sums = ops.gather(this.sumSegments(slope(), undefined, segments, undefined), owners());
      return ops.sub(slope(), ops.mul(ops.exp(output()), sums));
    });
  }

  softmax(x: Handle, out: Handle, rows: number, width: number): void {
    const input = this.arg(x, [rows, width]);
    this.emit(out, false, () => this.ops.run("Softmax", { logits: input() }, { dim: 1 }));
  }

  softmaxGradient(y: Handle, dy: Handle, dx: Handle, rows: number, width: number, accumulate: boolean): void {
    const output = this.arg(y, [rows, width]);
    const slope = this.arg(dy, [rows, width]);
    this.emit(dx, accumulate, () => {
      const { ops } = this;
      return ops.mul(output(), ops.sub(slope(), ops.sum(ops.mul(output(), slope()), 1, true)));
    });
  }

  layerNorm(x: Handle, gain: Handle, bias: Handle, out: Handle, statistics: Handle, rows: number, width: number): void {
    const input = this.arg(x, [rows, width]);
    this.emit(statistics, false, () => {
      const { ops } = this;
      const mean = ops.mul(ops.sum(input(), 1, true), 1 / width);
      const variance = ops.mul(ops.sum(ops.square(ops.sub(input(), mean)), 1, true), 1 / width);
      return ops.concat([mean, ops.div(1, ops.sqrt(ops.add(variance, LAYER_NORM_EPSILON)))], 1);
    });
    const normal = this.normalised(input, statistics, rows);
    const factor = this.arg(gain, [width]);
    const offset = this.arg(bias, [width]);
    this.emit(out, false, () => this.ops.add(this.ops.mul(normal(), factor()), offset()));
  }

  /** (x − mean) · scale, by the statistics of `layerNorm`. */
  private normalised(x: Lazy, statistics: Handle, rows: number): Lazy {
    const pairs = this.arg(statistics, [rows, 2]);
    return () => {
      const mean = this.ops.slice(pairs(), [0, 0], [rows, 1]);
      return this.ops.mul(this.ops.sub(x(), mean), this.ops.slice(pairs(), [0, 1], [rows, 1]));
    };
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
    if (rows === 0) {
      if (dgain !== 0) this.emitZeros(dgain, (accumulate & SECOND) !== 0);
      if (dbias !== 0) this.emitZeros(dbias, (accumulate & THIRD) !== 0);
      return;
    }
    const normal = this.normalised(this.arg(x, [rows, width]), statistics, rows);
    const slope = this.arg(dy, [rows, width]);
    const factor = this.arg(gain, [width]);
    const scale = this.arg(statistics, [rows, 2]);
    const { ops } = this;
    if (dgain !== 0) this.emit(dgain, (accumulate & SECOND) !== 0, () => ops.sum(ops.mul(slope(), normal()), 0));
    if (dbias !== 0) this.emit(dbias, (accumulate & THIRD) !== 0, () => ops.sum(slope(), 0));
    if (dx === 0) return;
    this.emit(dx, (accumulate & FIRST) !== 0, () => {
      const unit = normal();
      const g = ops.mul(slope(), factor());
      const meanOf = (values: DeviceArray) => ops.mul(ops.sum(values, 1, true), 1 / width);
      const centred = ops.sub(ops.sub(g, meanOf(g)), ops.mul(unit, meanOf(ops.mul(g, unit))));
      return ops.mul(centred, ops.slice(scale(), [0, 1], [rows, 1]));
    });
  }

  async adam(
    weights: Handle,
    gradients: Handle,
    m: Handle,
    v: Handle,
    length: number,
    step: AdamStep,
  ): Promise<number> {
    const slots = [weights, m, v, gradients].map((handle) => this.slot(handle));
    const [w, first, second, g] = [weights, m, v, gradients].map((handle) => this.arg(handle, [length]));
    const norm = new Slot(1);
    this.queue.push(() => {
      const slope = g();
      const size = this.ops.sqrt(this.ops.reshape(this.ops.sum(this.ops.square(slope), 0), [1]));
      norm.set(size, this.ops);
      const stepped = this.adamStep({ weights: w(), gradients: slope, m: first(), v: second() }, size, step);
      slots[0].set(stepped.weights, this.ops);
      slots[1].set(stepped.m, this.ops);
      slots[2].set(stepped.v, this.ops);
      slots[3].set(null, this.ops);
    });
    const reading = this.queue.read(1, () => norm.get(this.ops)!);
    this.queue.push(() => norm.clear());
    return (await reading)[0];
  }
}

/** Below any logit: exp of it is 0. */
const LEAST = -3e38;

function periodic(length: number, period: number): readonly number[] {
  return period === length ? [length] : [length / period, period];
}

function scaled(ops: Operations, x: DeviceArray, factor: number): DeviceArray {
  return factor === 1 ? x : ops.mul(x, factor);
}

/** Over each row of [rows, width]. */
function logSoftmax(ops: Operations, x: DeviceArray): DeviceArray {
  const shifted = ops.sub(x, ops.run("Max", { x }, { reductionIndices: [1], keepDims: true }));
  return ops.sub(shifted, ops.run("Log", { x: ops.sum(ops.exp(shifted), 1, true) }));
}
