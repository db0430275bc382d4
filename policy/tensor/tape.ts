import { KeyValueCache } from "./cache.ts";
import { FrozenMatrix } from "./frozen.ts";
import * as gradients from "./gradients.ts";
import { type AttentionShape, BINARY, type Binary, type Handle, type Kernels, UNARY, type Unary } from "./kernels.ts";
import { sizeOf } from "./layout.ts";
import type { Activation, AttentionOptions, Indices, Tensor, Tensors } from "./tensors.ts";

/** Adds to the gradients of a node's operands, given its own. */
export type Gradient = (kernels: Kernels, node: Node) => void;

const SCALAR: readonly number[] = [1];

/**
 * A tensor and, while recording, how it came about. Nodes are pooled: the next run reuses them in the same order, so a
 * steady loop makes no garbage. The fields after `gradient` are the operation's own; see its gradient for their meaning.
 */
export class Node implements Tensor {
  readonly tape: Tape;
  shape: readonly number[] = SCALAR;
  size = 1;
  value: Handle = 0;
  /** 0 until something has flowed into it. */
  grad: Handle = 0;
  needsGradient = false;
  gradient: Gradient | null = null;
  a: Node = this;
  b: Node = this;
  c: Node | null = null;
  op = 0;
  m = 0;
  k = 0;
  n = 0;
  p = 0;
  q = 0;
  index: IndexList | null = null;
  offsets: IndexList | null = null;
  extra: Handle = 0;
  parts: readonly Node[] = [];
  attends: AttentionShape | null = null;
  frozen: FrozenMatrix | null = null;
  body: ((a: Tensor) => Tensor) | null = null;

  constructor(tape: Tape) {
    this.tape = tape;
  }
}

class IndexList implements Indices {
  length = 0;
  handle: Handle = 0;
  values: Int32Array | Uint32Array = EMPTY;
  /** As unsigned, so that a negative index is a very large one. */
  largest = 0;
}

const EMPTY = new Int32Array(0);

const ACTIVATIONS: Record<Activation, Unary> = {
  none: UNARY.none,
  tanh: UNARY.tanh,
  relu: UNARY.relu,
  gelu: UNARY.gelu,
  silu: UNARY.silu,
  sigmoid: UNARY.sigmoid,
};

/**
 * Tensors over kernels: computes at once and, between `begin(true)` and `end`, records what `backward` needs. One run at a
 * time; all its memory goes back at `end`.
 */
export class Tape implements Tensors {
  private readonly kernels: Kernels;
  private readonly parameters = new Map<string, Node>();
  private readonly nodes: Node[] = [];
  private nodeCount = 0;
  private readonly lists: IndexList[] = [];
  private listCount = 0;
  private running = false;
  private recording = false;
  private marked = 0;

  constructor(kernels: Kernels) {
    this.kernels = kernels;
  }

  // The run.

  addParameter(name: string, shape: readonly number[], value: Handle): Node {
    const node = new Node(this);
    node.shape = shape;
    node.size = sizeOf(shape);
    node.value = value;
    node.needsGradient = true;
    this.parameters.set(name, node);
    return node;
  }

  begin(recording: boolean): void {
    if (this.running) throw new TypeError("Cannot start a run inside another run of the same model");
    this.running = true;
    this.recording = recording;
    this.marked = this.kernels.mark();
    this.nodeCount = 0;
    this.listCount = 0;
  }

  end(): void {
    this.kernels.release(this.marked);
    this.running = false;
  }

  backward(loss: Tensor): void {
    const root = this.own(loss);
    if (root.size !== 1) throw shapeError("differentiate", "a loss of one element", root);
    if (!root.needsGradient) throw new TypeError("Cannot differentiate: the loss depends on no parameter");
    const one = this.kernels.scratch(1);
    this.kernels.fill(one, 1, 1);
    if (root.grad === 0) root.grad = one;
    else this.kernels.accumulate(one, root.grad, 1); // the loss is itself a parameter
    this.backwardTo(0);
  }

  /** Through the newest nodes down to this one. */
  private backwardTo(first: number): void {
    for (let i = this.nodeCount - 1; i >= first; i--) {
      const node = this.nodes[i];
      if (node.gradient !== null && node.grad !== 0) node.gradient(this.kernels, node);
    }
  }

  /** The node behind a tensor. Throws TypeError when it belongs to another model. */
  own(tensor: Tensor): Node {
    if (tensor instanceof Node && tensor.tape === this) return tensor;
    throw new TypeError("Cannot use a tensor of another model: expected one made by this run");
  }

  private list(indices: Indices): IndexList {
    if (indices instanceof IndexList) return indices;
    throw new TypeError("Cannot index with this object: expected what `indices` returned");
  }

  private next(): Node {
    if (!this.running)
      throw new TypeError("Cannot compute outside of a run: tensors live inside evaluate or differentiate");
    if (this.nodeCount === this.nodes.length) this.nodes.push(new Node(this));
    return this.nodes[this.nodeCount++];
  }

  /** A node with fresh memory; it records `gradient` when one of its operands needs it. */
  private result(shape: readonly number[], size: number, gradient: Gradient, a: Node, b: Node = a): Node {
    const node = this.next();
    node.shape = shape;
    node.size = size;
    node.value = this.kernels.scratch(size);
    node.grad = 0;
    node.a = a;
    node.b = b;
    node.needsGradient = this.recording && (a.needsGradient || b.needsGradient);
    node.gradient = node.needsGradient ? gradient : null;
    return node;
  }

  /** The third operand of a result. */
  private alsoNeeds(node: Node, c: Node | null, gradient: Gradient): void {
    node.c = c;
    if (!c?.needsGradient || !this.recording) return;
    node.needsGradient = true;
    node.gradient = gradient;
  }

  /** [m, n], or the array that this place of the run had last time when it says the same. */
  private matrix(m: number, n: number): readonly number[] {
    const before = this.nodeCount < this.nodes.length ? this.nodes[this.nodeCount].shape : SCALAR;
    return before.length === 2 && before[0] === m && before[1] === n ? before : [m, n];
  }

  private vector(n: number): readonly number[] {
    const before = this.nodeCount < this.nodes.length ? this.nodes[this.nodeCount].shape : SCALAR;
    return before.length === 1 && before[0] === n ? before : [n];
  }

  // What goes in.

  parameter(name: string): Tensor {
    const node = this.parameters.get(name);
    if (node) return node;
    throw new RangeError(`Unknown parameter "${name}": the layout has ${[...this.parameters.keys()].join(", ")}`);
  }

  input(values: Float32Array, shape: readonly number[]): Tensor {
    const size = sizeOf(shape);
    if (size !== values.length) {
      throw new RangeError(`Cannot input ${values.length} values as [${shape.join(", ")}]: it needs ${size}`);
    }
    const node = this.next();
    node.shape = shape;
    node.size = size;
    node.value = this.kernels.scratch(size);
    node.grad = 0;
    node.needsGradient = false;
    node.gradient = null;
    this.kernels.write(node.value, values);
    return node;
  }

  indices(values: Int32Array | Uint32Array): Indices {
    if (this.listCount === this.lists.length) this.lists.push(new IndexList());
    const list = this.lists[this.listCount++];
    list.length = values.length;
    list.values = values;
    list.handle = this.kernels.scratch(values.length);
    this.kernels.writeIndices(list.handle, values);
    let largest = 0;
    for (let i = 0; i < values.length; i++) {
      const value = values[i] >>> 0;
      if (value > largest) largest = value;
    }
    list.largest = largest;
    return list;
  }

  // Products.

  matmul(a: Tensor, b: Tensor, options?: { transposeA?: boolean; transposeB?: boolean }): Tensor {
    const x = this.own(a);
    const y = this.own(b);
    const transposeA = options?.transposeA === true;
    const transposeB = options?.transposeB === true;
    const rankA = x.shape.length;
    const rankB = y.shape.length;
    if (rankA < 2 || rankB < 2) throw shapesError("matmul", "at least two dimensions each", x, y);
    const rowsA = x.shape[rankA - 2];
    const columnsA = x.shape[rankA - 1];
    let m = transposeA ? columnsA : rowsA;
    const k = transposeA ? rowsA : columnsA;
    const n = y.shape[transposeB ? rankB - 2 : rankB - 1];
    if (k !== y.shape[transposeB ? rankB - 1 : rankB - 2]) {
      throw shapesError("matmul", "equal inner dimensions", x, y);
    }
    let batch = 1;
    let shape: readonly number[];
    if (rankA === 2 && rankB === 2) {
      shape = this.matrix(m, n);
    } else if (rankB === 2 && !transposeA) {
      shape = [...x.shape.slice(0, -1), n]; // one matrix for the whole batch: the batch is more rows
      m = sizeOf(x.shape.slice(0, -1));
    } else {
      if (rankA !== rankB) throw shapesError("matmul", "the same leading dimensions", x, y);
      for (let i = 0; i < rankA - 2; i++) {
        if (x.shape[i] !== y.shape[i]) throw shapesError("matmul", "the same leading dimensions", x, y);
        batch *= x.shape[i];
      }
      shape = [...x.shape.slice(0, -2), m, n];
    }
    const node = this.result(shape, batch * m * n, gradients.matmul, x, y);
    node.p = batch;
    node.m = m;
    node.k = k;
    node.n = n;
    node.op = (transposeA ? 1 : 0) | (transposeB ? 2 : 0);
    this.kernels.matmul(x.value, y.value, node.value, batch, m, k, n, transposeA, transposeB, false);
    return node;
  }

  linear(x: Tensor, w: Tensor, b?: Tensor, activation: Activation = "none"): Tensor {
    const a = this.own(x);
    const weight = this.own(w);
    const bias = b === undefined ? null : this.own(b);
    if (a.shape.length < 2 || weight.shape.length !== 2) throw shapesError("linear", "[B, I] and [I, O]", a, weight);
    const k = weight.shape[0];
    const n = weight.shape[1];
    if (a.shape[a.shape.length - 1] !== k) throw shapesError("linear", "x [B, I] and w [I, O]", a, weight);
    if (bias !== null && (bias.size !== n || bias.shape.length !== 1)) {
      throw shapesError("linear", "w [I, O] and b [O]", weight, bias);
    }
    const m = a.shape.length === 2 ? a.shape[0] : sizeOf(a.shape.slice(0, -1));
    const code = ACTIVATIONS[activation];
    if (code === undefined) throw new TypeError(`Unknown activation "${activation}"`);
    const shape = a.shape.length === 2 ? this.matrix(m, n) : [...a.shape.slice(0, -1), n];
    const node = this.result(shape, m * n, gradients.linear, a, weight);
    this.alsoNeeds(node, bias, gradients.linear);
    node.m = m;
    node.k = k;
    node.n = n;
    // The slope of gelu and silu is told from what went in, which a fused result no longer has.
    const apart = node.needsGradient && (code === UNARY.gelu || code === UNARY.silu);
    node.op = apart ? UNARY.none : code;
    this.kernels.linear(a.value, weight.value, bias === null ? 0 : bias.value, node.value, m, k, n, node.op as Unary);
    return apart ? this.unary(code, node, 0, 0) : node;
  }

  project(x: Tensor, w: Tensor | FrozenMatrix, b?: Tensor): Tensor {
    const a = this.own(x);
    const weight = w instanceof FrozenMatrix ? null : this.own(w);
    const bias = b === undefined ? null : this.own(b);
    const [n, k] = this.checkRows("project", a, w, weight);
    if (bias !== null && (bias.size !== n || bias.shape.length !== 1)) throw shapeError("project", `b [${n}]`, bias);
    const m = a.shape[0];
    const node = this.result(this.matrix(m, n), m * n, gradients.project, a, weight ?? a);
    this.alsoNeeds(node, bias, gradients.project);
    node.frozen = w instanceof FrozenMatrix ? w : null;
    node.m = m;
    node.k = k;
    node.n = n;
    this.kernels.project(a.value, node.frozen ?? node.b.value, bias === null ? 0 : bias.value, node.value, m, k, n);
    return node;
  }

  /** x [B, I] and w [O, I], which may be frozen → [O, I] */
  private checkRows(name: string, x: Node, w: Tensor | FrozenMatrix, weight: Node | null): readonly number[] {
    const shape = w instanceof FrozenMatrix ? [w.rows, w.width] : weight!.shape;
    if (x.shape.length === 2 && shape.length === 2 && x.shape[1] === shape[1]) return shape;
    throw shapeError(name, `x [B, I] for w [${shape.join(", ")}], which is [O, I]`, x);
  }

  // Elementwise.

  private binary(op: Binary, name: string, a: Tensor, b: Tensor): Tensor {
    const x = this.own(a);
    const y = this.own(b);
    const period = y.size;
    if (x.shape !== y.shape && !sameShape(x.shape, y.shape)) {
      if (y.shape.length !== 1 || (period !== 1 && period !== x.shape[x.shape.length - 1])) {
        throw shapesError(name, "equal shapes, or a row [D] or a scalar [1] second", x, y);
      }
    }
    const node = this.result(x.shape, x.size, gradients.binary, x, y);
    node.op = op;
    node.n = period;
    this.kernels.binary(op, x.value, y.value, node.value, x.size, period);
    return node;
  }

  add(a: Tensor, b: Tensor): Tensor {
    return this.binary(BINARY.add, "add", a, b);
  }
  sub(a: Tensor, b: Tensor): Tensor {
    return this.binary(BINARY.sub, "sub", a, b);
  }
  mul(a: Tensor, b: Tensor): Tensor {
    return this.binary(BINARY.mul, "mul", a, b);
  }
  div(a: Tensor, b: Tensor): Tensor {
    return this.binary(BINARY.div, "div", a, b);
  }
  minimum(a: Tensor, b: Tensor): Tensor {
    return this.binary(BINARY.minimum, "minimum", a, b);
  }
  maximum(a: Tensor, b: Tensor): Tensor {
    return this.binary(BINARY.maximum, "maximum", a, b);
  }

  private unary(op: Unary, a: Tensor, p: number, q: number): Tensor {
    const x = this.own(a);
    const node = this.result(x.shape, x.size, gradients.unary, x);
    node.op = op;
    node.p = p;
    node.q = q;
    this.kernels.unary(op, x.value, node.value, x.size, p, q);
    return node;
  }

  affine(a: Tensor, factor: number, offset = 0): Tensor {
    return this.unary(UNARY.affine, a, factor, offset);
  }
  clamp(a: Tensor, low: number, high: number): Tensor {
    return this.unary(UNARY.clamp, a, low, high);
  }
  exp(a: Tensor): Tensor {
    return this.unary(UNARY.exp, a, 0, 0);
  }
  log(a: Tensor): Tensor {
    return this.unary(UNARY.log, a, 0, 0);
  }
  square(a: Tensor): Tensor {
    return this.unary(UNARY.square, a, 0, 0);
  }
  activate(a: Tensor, activation: Activation): Tensor {
    const code = ACTIVATIONS[activation];
    if (code === undefined) throw new TypeError(`Unknown activation "${activation}"`);
    return code === UNARY.none ? this.own(a) : this.unary(code, a, 0, 0);
  }

  // Sums.

  private sumOfRows(x: Node, shape: readonly number[], rows: number, width: number, factor: number): Tensor {
    const node = this.result(shape, rows, gradients.sumRows, x);
    node.m = rows;
    node.n = width;
    node.p = factor;
    this.kernels.sumRows(x.value, node.value, rows, width, factor);
    return node;
  }

  sum(a: Tensor): Tensor {
    const x = this.own(a);
    return this.sumOfRows(x, SCALAR, 1, x.size, 1);
  }

  mean(a: Tensor): Tensor {
    const x = this.own(a);
    if (x.size === 0) throw shapeError("mean", "at least one element", x);
    return this.sumOfRows(x, SCALAR, 1, x.size, 1 / x.size);
  }

  sumRows(a: Tensor): Tensor {
    const x = this.own(a);
    if (x.shape.length !== 2) throw shapeError("sumRows", "[B, D]", x);
    return this.sumOfRows(x, this.vector(x.shape[0]), x.shape[0], x.shape[1], 1);
  }

  // Shapes.

  /** The same memory under another shape. */
  private view(x: Node, shape: readonly number[], gradient: Gradient | null): Node {
    const node = this.next();
    node.shape = shape;
    node.size = x.size;
    node.value = x.value;
    node.grad = 0;
    node.a = x;
    node.needsGradient = this.recording && gradient !== null && x.needsGradient;
    node.gradient = node.needsGradient ? gradient : null;
    return node;
  }

  reshape(a: Tensor, shape: readonly number[]): Tensor {
    const x = this.own(a);
    if (sizeOf(shape) !== x.size) throw shapeError("reshape", `the size of [${shape.join(", ")}]`, x);
    return this.view(x, shape, gradients.reshape);
  }

  section(a: Tensor, body: (a: Tensor) => Tensor, recompute: boolean): Tensor {
    const x = this.own(a);
    const { recording } = this;
    if (recording && !recompute) return body(x);
    const node = this.result(x.shape, x.size, gradients.section, x);
    node.body = body;
    if (recording) {
      node.needsGradient = true; // body has parameters
      node.gradient = gradients.section;
    }
    this.recording = false;
    this.apart(() => {
      const y = this.own(body(x));
      if (y.size !== x.size) throw shapesError("compute a section", "the shape of what goes in to come out", x, y);
      this.kernels.unary(UNARY.none, y.value, node.value, x.size, 0, 0);
    });
    this.recording = recording;
    return node;
  }

  /** The gradient of a section: its body again, recorded this time. `target` is where that of what went in goes, or 0. */
  sectionGradient(node: Node, target: Handle): void {
    const { a } = node;
    this.apart((first) => {
      const x = this.view(a, a.shape, null);
      x.needsGradient = a.needsGradient;
      this.own(node.body!(x)).grad = node.grad;
      this.backwardTo(first);
      if (target !== 0 && x.grad !== 0) this.kernels.accumulate(x.grad, target, a.size);
    });
  }

  /** Gives back all memory and nodes that are taken meanwhile. */
  private apart(run: (firstNode: number) => void): void {
    const mark = this.kernels.mark();
    const { nodeCount, listCount } = this;
    run(nodeCount);
    this.nodeCount = nodeCount;
    this.listCount = listCount;
    this.kernels.release(mark);
  }

  detach(a: Tensor): Tensor {
    const x = this.own(a);
    return this.view(x, x.shape, null);
  }

  columns(a: Tensor, from: number, to: number): Tensor {
    const x = this.own(a);
    const width = x.shape[1];
    if (x.shape.length !== 2 || !(from >= 0 && from < to && to <= width)) {
      throw shapeError("columns", `[B, D] with columns ${from} to ${to}`, x);
    }
    const rows = x.shape[0];
    const node = this.result(this.matrix(rows, to - from), rows * (to - from), gradients.columns, x);
    node.m = rows;
    node.k = from;
    node.n = to - from;
    this.kernels.copyColumns(x.value, width, from, node.value, node.n, 0, rows, node.n, false);
    return node;
  }

  concat(parts: readonly Tensor[]): Tensor {
    const nodes = parts.map((part) => this.own(part));
    if (nodes.length === 0) throw new RangeError("Cannot concat nothing: expected at least one part");
    const rows = nodes[0].shape[0];
    let width = 0;
    let needsGradient = false;
    for (const x of nodes) {
      if (x.shape.length !== 2 || x.shape[0] !== rows) throw shapeError("concat", `[${rows}, D]`, x);
      width += x.shape[1];
      needsGradient ||= x.needsGradient;
    }
    const node = this.result(this.matrix(rows, width), rows * width, gradients.concat, nodes[0]);
    node.needsGradient = this.recording && needsGradient;
    node.gradient = node.needsGradient ? gradients.concat : null;
    node.parts = nodes;
    let at = 0;
    for (const x of nodes) {
      const d = x.shape[1];
      this.kernels.copyColumns(x.value, d, 0, node.value, width, at, rows, d, false);
      at += d;
    }
    return node;
  }

  // By index.

  private checkIndex(name: string, index: IndexList, table: Node): void {
    if (index.length > 0 && index.largest >= table.shape[0]) {
      const at = index.values.findIndex((value) => value >>> 0 >= table.shape[0]);
      throw new RangeError(
        `Cannot ${name} a table of ${table.shape[0]} rows: index ${at} is ${index.values[at]}, expected 0 … ${table.shape[0] - 1}`,
      );
    }
  }

  /** Checks that offsets cut `items` into consecutive rows, and returns how many. */
  private checkOffsets(name: string, offsets: IndexList, items: number): number {
    const { values } = offsets;
    const rows = values.length - 1;
    let ordered = rows >= 0 && values[0] === 0 && values[rows] === items;
    for (let i = 0; i < rows && ordered; i++) ordered = values[i] <= values[i + 1];
    if (ordered) return rows;
    throw new RangeError(
      `Cannot ${name} with these offsets: expected to ascend from 0 to ${items}, found ${values.length} from ${values[0]} to ${values[rows]}`,
    );
  }

  gather(table: Tensor, index: Indices): Tensor {
    const x = this.own(table);
    const ids = this.list(index);
    if (x.shape.length > 2) throw shapeError("gather", "a table [V, D] or [V]", x);
    this.checkIndex("gather from", ids, x);
    const width = x.shape.length === 2 ? x.shape[1] : 1;
    const count = ids.length;
    const shape = x.shape.length === 2 ? this.matrix(count, width) : this.vector(count);
    const node = this.result(shape, count * width, gradients.gather, x);
    node.index = ids;
    node.n = width;
    this.kernels.gather(x.value, ids.handle, node.value, count, width);
    return node;
  }

  embeddingBag(table: Tensor, ids: Indices, offsets: Indices, weights?: Float32Array): Tensor {
    const x = this.own(table);
    const index = this.list(ids);
    const ends = this.list(offsets);
    if (x.shape.length !== 2) throw shapeError("embeddingBag", "a table [V, D]", x);
    this.checkIndex("embed from", index, x);
    const bags = this.checkOffsets("embed", ends, index.length);
    if (weights !== undefined && weights.length !== index.length) {
      throw new RangeError(`Cannot weight ${index.length} ids with ${weights.length} weights: expected one each`);
    }
    const width = x.shape[1];
    const node = this.result(this.matrix(bags, width), bags * width, gradients.embeddingBag, x);
    node.index = index;
    node.offsets = ends;
    node.m = bags;
    node.n = width;
    node.extra = 0;
    if (weights !== undefined) {
      node.extra = this.kernels.scratch(weights.length);
      this.kernels.write(node.extra, weights);
    }
    this.kernels.bagSum(x.value, index.handle, ends.handle, node.extra, node.value, bags, width);
    return node;
  }

  expand(a: Tensor, offsets: Indices): Tensor {
    const x = this.own(a);
    const ends = this.list(offsets);
    const items = ends.length > 0 ? ends.values[ends.length - 1] : 0;
    const rows = this.checkOffsets("expand", ends, items);
    if (x.shape.length > 2 || x.shape[0] !== rows) throw shapeError("expand", `[${rows}, D] or [${rows}]`, x);
    const width = x.shape.length === 2 ? x.shape[1] : 1;
    const shape = x.shape.length === 2 ? this.matrix(items, width) : this.vector(items);
    const node = this.result(shape, items * width, gradients.expand, x);
    node.offsets = ends;
    node.m = rows;
    node.n = width;
    this.kernels.expand(x.value, ends.handle, node.value, rows, width, false);
    return node;
  }

  segmentSum(a: Tensor, offsets: Indices): Tensor {
    const x = this.own(a);
    const ends = this.list(offsets);
    if (x.shape.length > 2) throw shapeError("segmentSum", "[N, D] or [N]", x);
    const rows = this.checkOffsets("segmentSum", ends, x.shape[0]);
    const width = x.shape.length === 2 ? x.shape[1] : 1;
    const shape = x.shape.length === 2 ? this.matrix(rows, width) : this.vector(rows);
    const node = this.result(shape, rows * width, gradients.segmentSum, x);
    node.offsets = ends;
    node.m = rows;
    node.n = width;
    this.kernels.segmentSum(x.value, ends.handle, node.value, rows, width, false);
    return node;
  }

  segmentLogSoftmax(a: Tensor, offsets: Indices): Tensor {
    const x = this.own(a);
    const ends = this.list(offsets);
    if (x.shape.length !== 1) throw shapeError("segmentLogSoftmax", "[N]", x);
    const rows = this.checkOffsets("segmentLogSoftmax", ends, x.size);
    const node = this.result(x.shape, x.size, gradients.segmentLogSoftmax, x);
    node.offsets = ends;
    node.m = rows;
    this.kernels.segmentLogSoftmax(x.value, ends.handle, node.value, rows);
    return node;
  }

  softmax(a: Tensor): Tensor {
    const x = this.own(a);
    const width = x.shape[x.shape.length - 1];
    const node = this.result(x.shape, x.size, gradients.softmax, x);
    node.m = width === 0 ? 0 : x.size / width;
    node.n = width;
    this.kernels.softmax(x.value, node.value, node.m, width);
    return node;
  }

  layerNorm(a: Tensor, gain: Tensor, bias: Tensor): Tensor {
    const x = this.own(a);
    const g = this.own(gain);
    const b = this.own(bias);
    const width = x.shape[x.shape.length - 1];
    for (const row of [g, b]) {
      if (row.shape.length !== 1 || row.size !== width) throw shapesError("layerNorm", "[…, D] and rows [D]", x, row);
    }
    const node = this.result(x.shape, x.size, gradients.layerNorm, x, g);
    this.alsoNeeds(node, b, gradients.layerNorm);
    node.m = width === 0 ? 0 : x.size / width;
    node.n = width;
    node.extra = this.kernels.scratch(2 * node.m);
    this.kernels.layerNorm(x.value, g.value, b.value, node.value, node.extra, node.m, width);
    return node;
  }

  // Of language models.

  rmsNorm(a: Tensor, gain: Tensor, epsilon: number): Tensor {
    const x = this.own(a);
    const g = this.own(gain);
    const width = g.size;
    if (g.shape.length !== 1 || x.shape[x.shape.length - 1] !== width) {
      throw shapesError("rmsNorm", "[…, D] and a row [D]", x, g);
    }
    const node = this.result(x.shape, x.size, gradients.rmsNorm, x, g);
    node.m = width === 0 ? 0 : x.size / width;
    node.n = width;
    node.extra = this.kernels.scratch(node.m);
    this.kernels.rmsNorm(x.value, g.value, node.value, node.extra, node.m, width, epsilon);
    return node;
  }

  rotate(a: Tensor, angles: Tensor): Tensor {
    const x = this.own(a);
    const turns = this.own(angles);
    const [rows, width] = turns.shape;
    if (
      x.shape.length !== 2 ||
      turns.shape.length !== 2 ||
      width % 2 !== 0 ||
      x.shape[0] !== rows ||
      x.shape[1] % width !== 0
    ) {
      throw shapesError("rotate", "[N, heads · D] and angles [N, D] for an even D", x, turns);
    }
    const node = this.result(x.shape, x.size, gradients.rotate, x);
    node.b = turns;
    node.m = rows;
    node.k = x.shape[1] / width;
    node.n = width;
    this.kernels.rotate(x.value, turns.value, node.value, rows, node.k, width, false, false);
    return node;
  }

  attention(q: Tensor, k: Tensor, v: Tensor, offsets: Indices, options: AttentionOptions): Tensor {
    const [a, b, c] = [this.own(q), this.own(k), this.own(v)];
    const { heads, keyHeads, window = 0, caches, layer = 0 } = options;
    const width = a.shape[1] / heads;
    if (a.shape.length !== 2 || !Number.isInteger(width) || !Number.isInteger(heads / keyHeads)) {
      throw shapeError("attend", `queries [N, ${heads} heads · D] and a number of heads that ${keyHeads} divides`, a);
    }
    for (const x of [b, c]) {
      if (!sameShape(x.shape, [a.shape[0], keyHeads * width])) {
        throw shapeError("attend", `keys and values [${a.shape[0]}, ${keyHeads} · ${width}]`, x);
      }
    }
    const ends = this.list(offsets);
    const sequences = this.checkOffsets("attend", ends, a.shape[0]);
    const node = this.result(a.shape, a.size, gradients.attention, a, b);
    this.alsoNeeds(node, c, gradients.attention);
    node.offsets = ends;
    node.extra = this.kernels.scratch(a.shape[0] * heads);
    node.attends = { heads, keyHeads, width, window, scale: options.scale ?? 1 / Math.sqrt(width) };
    if (caches === undefined) {
      for (const span of gradients.spansOf(ends.values)) {
        this.kernels.attention(a.value, b.value, c.value, node.value, node.extra, span, node.attends);
      }
      return node;
    }
    if (node.needsGradient) throw new TypeError("Cannot attend to a cache while gradients are recorded");
    if (caches.length !== sequences) {
      throw new RangeError(
        `Cannot attend: expected one cache for each of ${sequences} sequences, found ${caches.length}`,
      );
    }
    for (const { queryAt, queries, sequence } of gradients.spansOf(ends.values)) {
      const cache = caches[sequence];
      if (!(cache instanceof KeyValueCache)) throw new TypeError("Cannot attend: expected caches that a model made");
      cache.write(layer, b.value, c.value, queryAt, b.shape[0], queries);
      const { keys, values } = cache.layer(layer);
      const span = { queryAt, queries, keyAt: 0, keys: cache.length + queries };
      this.kernels.attention(a.value, keys, values, node.value, node.extra, span, node.attends);
    }
    return node;
  }

  tokenLogProbs(x: Tensor, table: Tensor | FrozenMatrix, targets: Indices): Tensor {
    const a = this.own(x);
    const words = table instanceof FrozenMatrix ? null : this.own(table);
    const index = this.list(targets);
    const [n, k] = this.checkRows("take token log-probabilities", a, table, words);
    const rows = a.shape[0];
    if (index.length !== rows || (rows > 0 && index.largest >= n)) {
      throw new RangeError(
        `Cannot take token log-probabilities: expected a target below ${n} for each of ${rows} rows, found ${index.length} up to ${index.largest}`,
      );
    }
    const node = this.result(this.matrix(rows, 2), 2 * rows, gradients.tokenLogProbs, a, words ?? a);
    node.frozen = table instanceof FrozenMatrix ? table : null;
    node.index = index;
    node.m = rows;
    node.k = k;
    node.n = n;
    node.extra = this.kernels.scratch(4 * rows);
    const { value, extra } = node;
    this.kernels.tokenLogProbs(a.value, node.frozen ?? node.b.value, index.handle, value, extra, rows, k, n);
    return node;
  }
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function shapeError(operation: string, expected: string, x: Node): RangeError {
  return new RangeError(`Cannot ${operation}: expected ${expected}, found [${x.shape.join(", ")}]`);
}

function shapesError(operation: string, expected: string, x: Node, y: Node): RangeError {
  return new RangeError(
    `Cannot ${operation}: expected ${expected}, found [${x.shape.join(", ")}] and [${y.shape.join(", ")}]`,
  );
}
