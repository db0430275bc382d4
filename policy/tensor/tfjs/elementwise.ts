/** Elementwise operations and their slopes on a device; b broadcasts over the rows of a. */
import { BINARY, type Binary, UNARY, type Unary } from "../kernels.ts";
import type { DeviceArray, Operations } from "./tfjs.ts";

export interface Elementwise {
  binary(op: Binary, a: DeviceArray, b: DeviceArray): DeviceArray;
  /** Of the first operand. Ties of minimum and maximum go to it. */
  slopeOfFirst(op: Binary, a: DeviceArray, b: DeviceArray, dy: DeviceArray): DeviceArray;
  /** Of the second, for each element of the first: the caller sums over those that share an element of b. */
  slopeOfSecond(op: Binary, a: DeviceArray, b: DeviceArray, dy: DeviceArray): DeviceArray;
  unary(op: Unary, x: DeviceArray, p: number, q: number): DeviceArray;
  /** @param x what went in, @param y what came out: each asked for only where the slope needs it */
  slopeOfUnary(
    op: Unary,
    x: () => DeviceArray,
    y: () => DeviceArray,
    dy: DeviceArray,
    p: number,
    q: number,
  ): DeviceArray;
}

/** Composed of the device's kernels. */
export function composed(ops: Operations): Elementwise {
  return {
    binary: (op, a, b) => ops.run(NAMES[op], { a, b }),
    slopeOfFirst: (op, a, b, dy) => slopeOfFirst(ops, op, a, b, dy),
    slopeOfSecond: (op, a, b, dy) => slopeOfSecond(ops, op, a, b, dy),
    unary: (op, x, p, q) => unary(ops, op, x, p, q),
    slopeOfUnary: (op, x, y, dy, p, q) => slopeOfUnary(ops, op, x, y, dy, p, q),
  };
}

const GELU = Math.sqrt(2 / Math.PI);
const GELU_CUBIC = 0.044715;

const NAMES = {
  [BINARY.add]: "Add",
  [BINARY.sub]: "Sub",
  [BINARY.mul]: "Multiply",
  [BINARY.div]: "RealDiv",
  [BINARY.minimum]: "Minimum",
  [BINARY.maximum]: "Maximum",
} as const;

function slopeOfFirst(ops: Operations, op: Binary, a: DeviceArray, b: DeviceArray, dy: DeviceArray): DeviceArray {
  switch (op) {
    case BINARY.add:
    case BINARY.sub:
      return dy;
    case BINARY.mul:
      return ops.mul(dy, b);
    case BINARY.div:
      return ops.div(dy, b);
    case BINARY.minimum:
      return ops.mul(dy, ops.holds("LessEqual", a, b));
    case BINARY.maximum:
      return ops.mul(dy, ops.holds("GreaterEqual", a, b));
  }
}

function slopeOfSecond(ops: Operations, op: Binary, a: DeviceArray, b: DeviceArray, dy: DeviceArray): DeviceArray {
  switch (op) {
    case BINARY.add:
      return dy;
    case BINARY.sub:
      return ops.mul(dy, -1);
    case BINARY.mul:
      return ops.mul(dy, a);
    case BINARY.div:
      return ops.mul(ops.mul(ops.div(dy, b), ops.div(a, b)), -1);
    case BINARY.minimum:
      return ops.mul(dy, ops.holds("Greater", a, b));
    case BINARY.maximum:
      return ops.mul(dy, ops.holds("Less", a, b));
  }
}

function unary(ops: Operations, op: Unary, x: DeviceArray, p: number, q: number): DeviceArray {
  switch (op) {
    case UNARY.none:
      return x;
    case UNARY.tanh:
      return ops.tanh(x);
    case UNARY.relu:
      return ops.run("Relu", { x });
    case UNARY.gelu:
      return ops.mul(ops.mul(x, 0.5), ops.add(ops.tanh(geluArgument(ops, x)), 1));
    case UNARY.silu:
      return ops.mul(x, ops.sigmoid(x));
    case UNARY.sigmoid:
      return ops.sigmoid(x);
    case UNARY.affine: {
      const product = p === 1 ? x : ops.mul(x, p);
      return q === 0 ? product : ops.add(product, q);
    }
    case UNARY.clamp:
      return ops.run("ClipByValue", { x }, { clipValueMin: p, clipValueMax: q });
    case UNARY.exp:
      return ops.exp(x);
    case UNARY.log:
      return ops.run("Log", { x });
    case UNARY.square:
      return ops.square(x);
  }
}

function slopeOfUnary(
  ops: Operations,
  op: Unary,
  x: () => DeviceArray,
  y: () => DeviceArray,
  dy: DeviceArray,
  p: number,
  q: number,
): DeviceArray {
  switch (op) {
    case UNARY.none:
      return dy;
    case UNARY.tanh:
      return ops.mul(dy, ops.sub(1, ops.square(y())));
    case UNARY.relu:
      return ops.mul(dy, ops.holds("Greater", y(), 0));
    case UNARY.gelu:
      return ops.mul(dy, geluSlope(ops, x()));
    case UNARY.silu: {
      const s = ops.sigmoid(x());
      return ops.mul(dy, ops.mul(s, ops.add(ops.mul(x(), ops.sub(1, s)), 1)));
    }
    case UNARY.sigmoid:
      return ops.mul(dy, ops.mul(y(), ops.sub(1, y())));
    case UNARY.affine:
      return p === 1 ? dy : ops.mul(dy, p);
    case UNARY.clamp:
      return ops.mul(ops.mul(dy, ops.holds("GreaterEqual", x(), p)), ops.holds("LessEqual", x(), q));
    case UNARY.exp:
      return ops.mul(dy, y());
    case UNARY.log:
      return ops.div(dy, x());
    case UNARY.square:
      return ops.mul(ops.mul(dy, x()), 2);
  }
}

function geluArgument(ops: Operations, x: DeviceArray): DeviceArray {
  return ops.mul(ops.mul(x, ops.add(ops.mul(ops.square(x), GELU_CUBIC), 1)), GELU);
}

function geluSlope(ops: Operations, x: DeviceArray): DeviceArray {
  const t = ops.tanh(geluArgument(ops, x));
  const inner = ops.mul(ops.add(ops.mul(ops.square(x), 3 * GELU_CUBIC), 1), GELU);
  const bent = ops.mul(ops.mul(ops.mul(x, 0.5), ops.sub(1, ops.square(t))), inner);
  return ops.add(ops.mul(ops.add(t, 1), 0.5), bent);
}
