/**
 * The gradient of each operation of `Tape`: given `node.grad`, adds to the gradients of its operands. A first contribution
 * writes, later ones add, so no buffer is cleared beforehand. `node.grad` is not read again afterwards: a gradient may hand
 * its buffer on instead of copying it.
 */
import {
  BINARY,
  type Binary,
  FIRST,
  type Handle,
  type Kernels,
  SECOND,
  type Span,
  THIRD,
  UNARY,
  type Unary,
} from "./kernels.ts";
import type { Node } from "./tape.ts";

/** The buffer for a node's gradient, made on first use; 0 when it needs none. Ask `node.grad !== 0` before: then add to it. */
function target(kernels: Kernels, node: Node): Handle {
  if (!node.needsGradient) return 0;
  if (node.grad === 0) node.grad = kernels.scratch(node.size);
  return node.grad;
}

/** The same, for kernels that only add. */
function clearedTarget(kernels: Kernels, node: Node): Handle {
  if (node.grad === 0 && node.needsGradient) kernels.fill(target(kernels, node), node.size, 0);
  return node.grad;
}

/** The whole gradient passes to x unchanged. */
function pass(kernels: Kernels, node: Node, x: Node): void {
  if (!x.needsGradient) return;
  if (x.grad === 0) x.grad = node.grad;
  else kernels.accumulate(node.grad, x.grad, x.size);
}

/** m, k, n of each of `p` products; bits of op: 1 transposes a, 2 transposes b. */
export function matmul(kernels: Kernels, node: Node): void {
  const { a, b, grad, p: batch, m, k, n } = node;
  const transposeA = (node.op & 1) !== 0;
  const transposeB = (node.op & 2) !== 0;
  const addA = a.grad !== 0;
  const da = target(kernels, a);
  if (da !== 0) {
    if (transposeA) kernels.matmul(b.value, grad, da, batch, k, n, m, transposeB, true, addA);
    else kernels.matmul(grad, b.value, da, batch, m, n, k, false, !transposeB, addA);
  }
  const addB = b.grad !== 0;
  const db = target(kernels, b);
  if (db !== 0) {
    if (transposeB) kernels.matmul(grad, a.value, db, batch, n, m, k, true, transposeA, addB);
    else kernels.matmul(a.value, grad, db, batch, k, m, n, !transposeA, false, addB);
  }
}

/** a is x [m, k], b is w [k, n], c is the bias; op is the activation. */
export function linear(kernels: Kernels, node: Node): void {
  const { a, b, c } = node;
  let accumulate = 0;
  if (a.grad !== 0) accumulate |= FIRST;
  if (b.grad !== 0) accumulate |= SECOND;
  if (c !== null && c.grad !== 0) accumulate |= THIRD;
  const dx = target(kernels, a);
  const dw = target(kernels, b);
  const dbias = c === null ? 0 : target(kernels, c);
  const { m, k, n } = node;
  const activation = node.op as Unary;
  kernels.linearGradient(a.value, b.value, node.value, node.grad, dx, dw, dbias, m, k, n, activation, accumulate);
}

/** a is x [m, k], b is w [n, k] unless w is frozen, c is the bias. */
export function project(kernels: Kernels, node: Node): void {
  const { a, b, c, grad, m, k, n, frozen } = node;
  if (c !== null) {
    const accumulate = c.grad !== 0 ? THIRD : 0;
    const dbias = target(kernels, c);
    if (dbias !== 0) kernels.linearGradient(0, 0, 0, grad, 0, 0, dbias, m, k, n, UNARY.none, accumulate);
  }
  if (frozen !== null) {
    const addX = a.grad !== 0;
    const dx = target(kernels, a);
    if (dx !== 0) kernels.frozenGradient(grad, frozen, dx, m, k, n, addX);
    return;
  }
  const addW = b.grad !== 0;
  const dw = target(kernels, b);
  if (dw !== 0) kernels.matmul(grad, a.value, dw, 1, n, m, k, true, false, addW);
  const addX = a.grad !== 0;
  const dx = target(kernels, a);
  if (dx !== 0) kernels.matmul(grad, b.value, dx, 1, m, n, k, false, false, addX);
}

/** n is the period of b. */
export function binary(kernels: Kernels, node: Node): void {
  const { a, b } = node;
  const op = node.op as Binary;
  const direct = op === BINARY.add || op === BINARY.sub; // then a's gradient is the node's own
  let accumulate = !direct && a.grad !== 0 ? FIRST : 0;
  const da = direct ? 0 : target(kernels, a);
  if (b.grad !== 0) accumulate |= SECOND;
  const db = target(kernels, b);
  if (da !== 0 || db !== 0) {
    kernels.binaryGradient(op, a.value, b.value, node.grad, da, db, node.size, node.n, accumulate);
  }
  if (direct) pass(kernels, node, a);
}

/** p and q as in the operation. */
export function unary(kernels: Kernels, node: Node): void {
  const { a } = node;
  const accumulate = a.grad !== 0;
  const dx = target(kernels, a);
  kernels.unaryGradient(node.op as Unary, a.value, node.value, node.grad, dx, node.size, node.p, node.q, accumulate);
}

/** m rows of n; p is the factor. */
export function sumRows(kernels: Kernels, node: Node): void {
  const accumulate = node.a.grad !== 0;
  kernels.spreadRows(node.grad, target(kernels, node.a), node.m, node.n, node.p, accumulate);
}

export function reshape(kernels: Kernels, node: Node): void {
  pass(kernels, node, node.a);
}

export function section(kernels: Kernels, node: Node): void {
  node.tape.sectionGradient(node, clearedTarget(kernels, node.a));
}

/** m rows, n columns from k on. */
export function columns(kernels: Kernels, node: Node): void {
  const { a, m, k, n } = node;
  kernels.copyColumns(node.grad, n, 0, clearedTarget(kernels, a), a.shape[1], k, m, n, true);
}

export function concat(kernels: Kernels, node: Node): void {
  const [rows, width] = node.shape;
  let at = 0;
  for (const part of node.parts) {
    const d = part.shape[1];
    const accumulate = part.grad !== 0;
    const dx = target(kernels, part);
    if (dx !== 0) kernels.copyColumns(node.grad, width, at, dx, d, 0, rows, d, accumulate);
    at += d;
  }
}

/** n is the width of a table row. */
export function gather(kernels: Kernels, node: Node): void {
  const index = node.index!;
  kernels.scatterAdd(node.grad, index.handle, clearedTarget(kernels, node.a), index.length, node.n);
}

/** m bags, rows of n; extra holds the weights. */
export function embeddingBag(kernels: Kernels, node: Node): void {
  const table = clearedTarget(kernels, node.a);
  kernels.bagScatterAdd(node.grad, node.index!.handle, node.offsets!.handle, node.extra, table, node.m, node.n);
}

/** m rows of n. */
export function expand(kernels: Kernels, node: Node): void {
  const accumulate = node.a.grad !== 0;
  kernels.segmentSum(node.grad, node.offsets!.handle, target(kernels, node.a), node.m, node.n, accumulate);
}

/** m rows of n. */
export function segmentSum(kernels: Kernels, node: Node): void {
  const accumulate = node.a.grad !== 0;
  kernels.expand(node.grad, node.offsets!.handle, target(kernels, node.a), node.m, node.n, accumulate);
}

/** m rows. */
export function segmentLogSoftmax(kernels: Kernels, node: Node): void {
  const accumulate = node.a.grad !== 0;
  const dx = target(kernels, node.a);
  kernels.segmentLogSoftmaxGradient(node.value, node.offsets!.handle, node.grad, dx, node.m, accumulate);
}

/** m rows of n. */
export function softmax(kernels: Kernels, node: Node): void {
  const accumulate = node.a.grad !== 0;
  kernels.softmaxGradient(node.value, node.grad, target(kernels, node.a), node.m, node.n, accumulate);
}

/** a is x, m rows of n; b is the gain, c the bias; extra holds mean and scale of each row. */
export function layerNorm(kernels: Kernels, node: Node): void {
  const { a, b } = node;
  const c = node.c!;
  let accumulate = 0;
  if (a.grad !== 0) accumulate |= FIRST;
  if (b.grad !== 0) accumulate |= SECOND;
  if (c.grad !== 0) accumulate |= THIRD;
  const dx = target(kernels, a);
  const dgain = target(kernels, b);
  const dbias = target(kernels, c);
  kernels.layerNormGradient(a.value, b.value, node.extra, node.grad, dx, dgain, dbias, node.m, node.n, accumulate);
}

/** a is x, m rows of n; b is the gain; extra holds the scale of each row. */
export function rmsNorm(kernels: Kernels, node: Node): void {
  const { a, b } = node;
  let accumulate = 0;
  if (a.grad !== 0) accumulate |= FIRST;
  if (b.grad !== 0) accumulate |= SECOND;
  const dx = target(kernels, a);
  const dgain = target(kernels, b);
  kernels.rmsNormGradient(a.value, b.value, node.extra, node.grad, dx, dgain, node.m, node.n, accumulate);
}

/** a is x [m, k heads, n]; b the angles. */
export function rotate(kernels: Kernels, node: Node): void {
  const { a, b, m, k, n } = node;
  const accumulate = a.grad !== 0;
  kernels.rotate(node.grad, b.value, target(kernels, a), m, k, n, true, accumulate);
}

/** a is q, b is k, c is v; extra holds the statistics. */
export function attention(kernels: Kernels, node: Node): void {
  const { a, b, c, attends } = node;
  const dq = clearedTarget(kernels, a);
  const dk = clearedTarget(kernels, b);
  const dv = clearedTarget(kernels, c!);
  for (const span of spansOf(node.offsets!.values)) {
    const { value, extra, grad } = node;
    kernels.attentionGradient(a.value, b.value, c!.value, value, extra, grad, dq, dk, dv, span, attends!);
  }
}

/** Each sequence of packed rows sees itself. */
export function* spansOf(offsets: ArrayLike<number>): Generator<Span & { sequence: number }> {
  for (let sequence = 0; sequence + 1 < offsets.length; sequence++) {
    const at = offsets[sequence];
    const rows = offsets[sequence + 1] - at;
    if (rows > 0) yield { sequence, queryAt: at, queries: rows, keyAt: at, keys: rows };
  }
}

/** a is x [m, k], b the table [n, k] unless it is frozen, index the targets; extra holds the statistics. */
export function tokenLogProbs(kernels: Kernels, node: Node): void {
  const { a, b, index, value, extra, grad, m, k, n, frozen } = node;
  const dx = clearedTarget(kernels, a);
  const dtable = frozen === null ? clearedTarget(kernels, b) : 0;
  kernels.tokenLogProbsGradient(a.value, frozen ?? b.value, index!.handle, value, extra, grad, dx, dtable, m, k, n);
}
