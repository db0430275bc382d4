/**
 * The elementwise operations as WGSL expressions, each one dispatch where composing it of TensorFlow.js's kernels takes up to
 * eleven. `x`, `y`, `dy`, `a` and `b` are the elements; p and q the operation's constants. exp and tanh are kept away from where some
 * drivers overflow.
 */
import { BINARY, type Binary, UNARY, type Unary } from "../kernels.ts";

const GELU = "0.7978845608028654";
const CUBIC = "0.044715";
const tanh = (x: string) => `tanh(clamp(${x}, -15.0, 15.0))`;
const sigmoid = (x: string) => `(1.0 / (1.0 + exp(clamp(-(${x}), -80.0, 80.0))))`;
const geluTanh = tanh(`${GELU} * x * (1.0 + ${CUBIC} * x * x)`);

export const UNARY_VALUES: Readonly<Record<Unary, string>> = {
  [UNARY.none]: "x",
  [UNARY.tanh]: tanh("x"),
  [UNARY.relu]: "max(x, 0.0)",
  [UNARY.gelu]: `0.5 * x * (1.0 + ${geluTanh})`,
  [UNARY.silu]: `x * ${sigmoid("x")}`,
  [UNARY.sigmoid]: sigmoid("x"),
  [UNARY.affine]: "x * p + q",
  [UNARY.clamp]: "clamp(x, p, q)",
  [UNARY.exp]: "exp(x)",
  [UNARY.log]: "log(x)",
  [UNARY.square]: "x * x",
};

/** What the slope is told from: what went in, or what came out. */
export const UNARY_SLOPES: Readonly<Record<Unary, { from: "x" | "y"; slope: string }>> = {
  [UNARY.none]: { from: "y", slope: "dy" },
  [UNARY.tanh]: { from: "y", slope: "dy * (1.0 - y * y)" },
  [UNARY.relu]: { from: "y", slope: "select(0.0, dy, y > 0.0)" },
  [UNARY.gelu]: {
    from: "x",
    slope: `dy * (0.5 * (1.0 + ${geluTanh}) + 0.5 * x * (1.0 - ${geluTanh} * ${geluTanh}) * ${GELU} * (1.0 + 3.0 * ${CUBIC} * x * x))`,
  },
  [UNARY.silu]: { from: "x", slope: `dy * ${sigmoid("x")} * (1.0 + x * (1.0 - ${sigmoid("x")}))` },
  [UNARY.sigmoid]: { from: "y", slope: "dy * y * (1.0 - y)" },
  [UNARY.affine]: { from: "y", slope: "dy * p" },
  [UNARY.clamp]: { from: "x", slope: "select(0.0, dy, x >= p && x <= q)" },
  [UNARY.exp]: { from: "y", slope: "dy * y" },
  [UNARY.log]: { from: "x", slope: "dy / x" },
  [UNARY.square]: { from: "x", slope: "2.0 * dy * x" },
};

export const BINARY_VALUES: Readonly<Record<Binary, string>> = {
  [BINARY.add]: "a + b",
  [BINARY.sub]: "a - b",
  [BINARY.mul]: "a * b",
  [BINARY.div]: "a / b",
  [BINARY.minimum]: "min(a, b)",
  [BINARY.maximum]: "max(a, b)",
};

export const FIRST_SLOPES: Readonly<Record<Binary, string>> = {
  [BINARY.add]: "dy",
  [BINARY.sub]: "dy",
  [BINARY.mul]: "dy * b",
  [BINARY.div]: "dy / b",
  [BINARY.minimum]: "select(0.0, dy, a <= b)",
  [BINARY.maximum]: "select(0.0, dy, a >= b)",
};

export const SECOND_SLOPES: Readonly<Record<Binary, string>> = {
  [BINARY.add]: "dy",
  [BINARY.sub]: "-dy",
  [BINARY.mul]: "dy * a",
  [BINARY.div]: "-(dy / b) * (a / b)",
  [BINARY.minimum]: "select(dy, 0.0, a <= b)",
  [BINARY.maximum]: "select(dy, 0.0, a >= b)",
};
