import { describe, expect, test } from "bun:test";
import { LANGUAGE_OPERATIONS, runFrozen } from "./conformance-language.ts";
import { initialise } from "./initialise.ts";
import type { Activation, AdamOptions, Model, ParameterSpec, Tensor, TensorProvider, Tensors } from "./tensors.ts";

/**
 * What every provider must pass: each operation against literal loops in float64, each gradient against central differences of
 * those loops, twenty training steps against a network written out by hand, and rows that do not depend on their batch.
 * Call it in a test file: `conformance(simdProvider())`.
 */
export function conformance(provider: TensorProvider, tolerances: Partial<Tolerances> = {}): void {
  const { value, gradient, training, row } = { ...TOLERANCES, ...tolerances };

  describe(`${provider.name}: operations`, () => {
    for (const example of OPERATIONS) {
      test(`${example.name} equals literal loops, its gradient central differences`, async () => {
        const found = await runOperation(provider, example);
        const expected = example.reference(...found.inputs.map((x) => Array.from(x)));
        expectClose(found.value, expected, value);
        const differences = centralDifferences(example, found.inputs);
        expectClose(
          differences.map(({ at }) => found.gradient[at]),
          differences.map(({ slope }) => slope),
          gradient,
        );
      });
    }
  });

  test(`${provider.name}: a frozen matrix is multiplied by like a parameter with its numbers`, async () => {
    const [frozen, parameter] = [await runFrozen(provider, true), await runFrozen(provider, false)];
    expectClose(frozen.value, parameter.value, value);
    expectClose(frozen.gradient, parameter.gradient, gradient);
  });

  describe(`${provider.name}: rows`, () => {
    for (const { name, layout, rowOf } of ROW_NETWORKS) {
      test(`${name} computes a row to ${row === 0 ? "the same bits" : `within ${row}`} in any batch and place`, async () => {
        const model = provider.model(layout);
        model.load(initialise(layout, 5));
        const rows = 70;
        const alone: Float32Array[] = [];
        const all = uniform(rows * ROW_WIDTH, 6);
        for (let i = 0; i < rows; i++) alone.push(await evaluateRows(model, rowOf, all, i, i + 1));
        for (const [from, to] of [
          [0, 2],
          [1, 4],
          [3, 8],
          [5, 21],
          [0, 64],
          [1, 70],
        ]) {
          const together = await evaluateRows(model, rowOf, all, from, to);
          const width = together.length / (to - from);
          for (let i = from; i < to; i++) {
            const found = together.slice((i - from) * width, (i - from + 1) * width);
            if (row === 0) expect(bits(found)).toEqual(bits(alone[i]));
            else expectClose(found, Array.from(alone[i]), row);
          }
        }
        model.dispose();
      });
    }
  });

  describe(`${provider.name}: training`, () => {
    test("twenty Adam steps of a network equal the network written out by hand", async () => {
      const model = provider.model(MLP);
      const weights = initialise(MLP, 7);
      const literal = new LiteralNetwork(weights);
      model.load(weights);
      for (let step = 0; step < 20; step++) {
        const x = uniform(MLP_ROWS * 4, 100 + step);
        const y = uniform(MLP_ROWS * 2, 200 + step);
        const outputs = await model.differentiate((t) => ({ loss: mlpLoss(t, x, y) }));
        const norm = await model.adam(ADAM);
        const expected = literal.step(x, y, ADAM);
        expectClose(outputs.loss, [expected.loss], value);
        expectClose([norm], [expected.norm], gradient);
      }
      expectClose(await model.weights(), literal.weights, training);
      const { m, v, steps } = await model.optimiser();
      expect(steps).toBe(20);
      expectClose(m, literal.m, training);
      expectClose(v, literal.v, training);
      model.dispose();
    });

    test("gradients add up over calls and are cleared by a step", async () => {
      const model = provider.model(MLP);
      model.load(initialise(MLP, 7));
      const x = uniform(MLP_ROWS * 4, 1);
      const y = uniform(MLP_ROWS * 2, 2);
      await model.differentiate((t) => ({ loss: mlpLoss(t, x, y) }));
      const once = await model.gradients();
      await model.differentiate((t) => ({ loss: mlpLoss(t, x, y) }));
      expectClose(
        await model.gradients(),
        Array.from(once, (g) => 2 * g),
        gradient,
      );
      await model.adam(ADAM);
      expect((await model.gradients()).every((g) => g === 0)).toBe(true);
      model.dispose();
    });

    test("a gradient that is not finite takes no step and says so", async () => {
      const model = provider.model(MLP);
      const weights = initialise(MLP, 7);
      model.load(weights);
      model.setGradients(new Float32Array(model.parameterCount).fill(Number.NaN));
      expect(await model.adam(ADAM)).toBeNaN();
      expect(Array.from(await model.weights())).toEqual(Array.from(weights));
      expect((await model.optimiser()).steps).toBe(0);
      expect((await model.gradients()).every((g) => g === 0)).toBe(true);
      model.dispose();
    });

    test("a checkpoint of weights and optimiser continues to the same bits", async () => {
      const step = async (model: Model, seed: number): Promise<void> => {
        await model.differentiate((t) => ({
          loss: mlpLoss(t, uniform(MLP_ROWS * 4, seed), uniform(MLP_ROWS * 2, seed)),
        }));
        await model.adam(ADAM);
      };
      const first = provider.model(MLP);
      first.load(initialise(MLP, 7));
      for (let i = 0; i < 3; i++) await step(first, i);
      const second = provider.model(MLP);
      second.load(await first.weights());
      second.loadOptimiser(await first.optimiser());
      for (let i = 3; i < 6; i++) {
        await step(first, i);
        await step(second, i);
      }
      expect(bits(await second.weights())).toEqual(bits(await first.weights()));
      first.dispose();
      second.dispose();
    });
  });
}

/** |found − expected| ≤ tolerance · max(1, the largest |expected|). */
export interface Tolerances {
  value: number;
  gradient: number;
  training: number;
  /** Between a row alone and in a batch; 0: the same bits, which everything on the CPU of ours gives and a GPU does not. */
  row: number;
}

const TOLERANCES: Tolerances = { value: 2e-6, gradient: 5e-6, training: 2e-5, row: 0 };

function expectClose(found: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  expect(found.length).toBe(expected.length);
  let scale = 1;
  for (let i = 0; i < expected.length; i++) scale = Math.max(scale, Math.abs(expected[i]));
  for (let i = 0; i < expected.length; i++) {
    if (!(Math.abs(found[i] - expected[i]) <= tolerance * scale)) {
      throw new Error(`element ${i}: expected ${expected[i]} within ${tolerance * scale}, found ${found[i]}`);
    }
  }
}

/** For comparisons that tell 0 from -0. */
export function bits(values: Float32Array): Int32Array {
  return new Int32Array(values.buffer, values.byteOffset, values.length);
}

/** Deterministic numbers in [-1, 1). */
export function uniform(count: number, seed: number): Float32Array {
  return initialise([{ name: "numbers", shape: [count], init: { type: "uniform", value: 1 } }], seed);
}

// Operations.

export interface OperationExample {
  name: string;
  /** Shapes of the operands; all get a gradient. */
  shapes: readonly (readonly number[])[];
  /** Operands are in [-1, 1), moved by this: positive for logarithms and divisors. */
  shift?: number;
  compute: (t: Tensors, ...inputs: Tensor[]) => Tensor;
  reference: (...inputs: number[][]) => number[];
}

export interface OperationRun {
  inputs: Float32Array[];
  value: Float32Array;
  /** Of Σ value·slopes for fixed slopes, by all operands one after the other. */
  gradient: Float32Array;
}

export async function runOperation(provider: TensorProvider, example: OperationExample): Promise<OperationRun> {
  const layout: ParameterSpec[] = example.shapes.map((shape, i) => ({
    name: `operand${i}`,
    shape,
    init: { type: "uniform", value: 1 },
  }));
  const model = provider.model(layout);
  const weights = initialise(layout, 3).map((x) => x + (example.shift ?? 0));
  model.load(weights);
  const { value } = await model.differentiate((t) => {
    const result = example.compute(t, ...layout.map(({ name }) => t.parameter(name)));
    return { loss: t.sum(t.mul(result, t.input(slopes(result.size), result.shape))), value: result };
  });
  const gradient = await model.gradients();
  model.dispose();
  let offset = 0;
  const inputs = example.shapes.map((shape) => {
    const size = shape.reduce((a, b) => a * b, 1);
    offset += size;
    return weights.slice(offset - size, offset);
  });
  return { inputs, value, gradient };
}

function slopes(count: number): Float32Array {
  return uniform(count, 11);
}

const MAX_DIFFERENCES = 60; // per operand

/** The gradient of Σ value·slopes at some of the elements: index in all operands, and slope. */
function centralDifferences(
  example: OperationExample,
  inputs: readonly Float32Array[],
): { at: number; slope: number }[] {
  const h = 1e-5;
  const points = inputs.map((x) => Array.from(x));
  const weights = slopes(example.reference(...points).length);
  const loss = (): number => example.reference(...points).reduce((total, value, i) => total + value * weights[i], 0);
  const differences: { at: number; slope: number }[] = [];
  let offset = 0;
  for (const point of points) {
    for (let i = 0; i < point.length; i += Math.ceil(point.length / MAX_DIFFERENCES)) {
      const x = point[i];
      point[i] = x + h;
      const above = loss();
      point[i] = x - h;
      differences.push({ at: offset + i, slope: (above - loss()) / (2 * h) });
      point[i] = x;
    }
    offset += point.length;
  }
  return differences;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

const ACTIVATIONS: Record<Activation, (x: number) => number> = {
  none: (x) => x,
  tanh: Math.tanh,
  relu: (x) => Math.max(x, 0),
  gelu: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  silu: (x) => x * sigmoid(x),
  sigmoid,
};

function product(
  a: number[],
  b: number[],
  m: number,
  k: number,
  n: number,
  transposeA = false,
  transposeB = false,
): number[] {
  const c: number[] = [];
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let l = 0; l < k; l++) sum += a[transposeA ? l * m + i : i * k + l] * b[transposeB ? j * k + l : l * n + j];
      c.push(sum);
    }
  }
  return c;
}

function rowsOf(x: number[], width: number): number[][] {
  return Array.from({ length: x.length / width }, (_, r) => x.slice(r * width, (r + 1) * width));
}

const sum = (x: number[]): number => x.reduce((a, b) => a + b, 0);

function softmaxOf(row: number[]): number[] {
  const top = Math.max(...row);
  const total = sum(row.map((x) => Math.exp(x - top)));
  return row.map((x) => Math.exp(x - top) / total);
}

/** Item k of a ragged list → its row. */
function rowOfItem(offsets: Uint32Array): number[] {
  const rows: number[] = [];
  for (let i = 0; i + 1 < offsets.length; i++) for (let k = offsets[i]; k < offsets[i + 1]; k++) rows.push(i);
  return rows;
}

const OFFSETS = Uint32Array.of(0, 3, 3, 4, 11, 13); // with an empty row
const IDS = Int32Array.of(0, 5, 2, 2, 7, 7, 7, 1, 0, 3, 6, 4, 5);
const BAG_WEIGHTS = uniform(13, 12);

type Pairwise = "add" | "sub" | "mul" | "div" | "minimum" | "maximum";

const PAIRWISE: Record<Pairwise, (a: number, b: number) => number> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  minimum: Math.min,
  maximum: Math.max,
};

function elementwise(
  name: string,
  compute: (t: Tensors, x: Tensor) => Tensor,
  f: (x: number) => number,
  shift = 0,
): OperationExample {
  return { name, shapes: [[5, 7]], shift, compute, reference: (x) => x.map(f) };
}

/** Also used to compare providers with each other. */
export const OPERATIONS: readonly OperationExample[] = [
  ...LANGUAGE_OPERATIONS,
  ...[
    [1, 5, 3],
    [4, 8, 8],
    [9, 6, 13],
    [40, 35, 37], // large enough for packed tiles
  ].flatMap(([m, k, n]) =>
    [0, 1, 2, 3].map((flags): OperationExample => {
      const transposeA = (flags & 1) !== 0;
      const transposeB = (flags & 2) !== 0;
      return {
        name: `matmul ${m}×${k}×${n}${transposeA ? " transposeA" : ""}${transposeB ? " transposeB" : ""}`,
        shapes: [transposeA ? [k, m] : [m, k], transposeB ? [n, k] : [k, n]],
        compute: (t, a, b) => t.matmul(a, b, { transposeA, transposeB }),
        reference: (a, b) => product(a, b, m, k, n, transposeA, transposeB),
      };
    }),
  ),
  {
    name: "matmul of a batch",
    shapes: [
      [2, 3, 4, 5],
      [2, 3, 6, 5],
    ],
    compute: (t, a, b) => t.matmul(a, b, { transposeB: true }),
    reference: (a, b) =>
      Array.from({ length: 6 }, (_, i) =>
        product(a.slice(i * 20, i * 20 + 20), b.slice(i * 30, i * 30 + 30), 4, 5, 6, false, true),
      ).flat(),
  },
  {
    name: "matmul of a batch with one matrix",
    shapes: [
      [2, 3, 5],
      [5, 4],
    ],
    compute: (t, a, b) => t.matmul(a, b),
    reference: (a, b) => product(a, b, 6, 5, 4),
  },
  ...(Object.keys(ACTIVATIONS) as Activation[]).flatMap((activation): OperationExample[] => [
    {
      name: `linear with ${activation}`,
      shapes: [[6, 5], [5, 9], [9]],
      compute: (t, x, w, b) => t.linear(x, w, b, activation),
      reference: (x, w, b) => product(x, w, 6, 5, 9).map((y, i) => ACTIVATIONS[activation](y + b[i % 9])),
    },
    elementwise(`activate ${activation}`, (t, x) => t.activate(x, activation), ACTIVATIONS[activation]),
  ]),
  {
    name: "linear without bias on three dimensions",
    shapes: [
      [2, 3, 5],
      [5, 2],
    ],
    compute: (t, x, w) => t.linear(x, w),
    reference: (x, w) => product(x, w, 6, 5, 2),
  },
  ...(Object.keys(PAIRWISE) as Pairwise[]).flatMap((name): OperationExample[] =>
    [
      { kind: "equal shapes", shape: [5, 7] },
      { kind: "a row", shape: [7] },
      { kind: "a scalar", shape: [1] },
    ].map(({ kind, shape }) => ({
      name: `${name} with ${kind}`,
      shapes: [[5, 7], shape],
      shift: name === "div" ? 2.5 : 0,
      compute: (t, a, b) => t[name](a, b),
      reference: (a, b) => a.map((x, i) => PAIRWISE[name](x, b[i % b.length])),
    })),
  ),
  elementwise(
    "affine",
    (t, x) => t.affine(x, -1.5, 0.25),
    (x) => -1.5 * x + 0.25,
  ),
  elementwise(
    "clamp",
    (t, x) => t.clamp(x, -0.3, 0.4),
    (x) => Math.min(Math.max(x, Math.fround(-0.3)), Math.fround(0.4)),
  ),
  elementwise(
    "exp",
    (t, x) => t.exp(t.affine(x, 3)),
    (x) => Math.exp(3 * x),
  ),
  elementwise("log", (t, x) => t.log(x), Math.log, 1.5),
  elementwise(
    "square",
    (t, x) => t.square(x),
    (x) => x * x,
  ),
  elementwise(
    "one operand used three times",
    (t, x) => t.add(t.mul(x, x), x),
    (x) => x * x + x,
  ),
  { name: "sum", shapes: [[5, 7]], compute: (t, x) => t.sum(x), reference: (x) => [sum(x)] },
  { name: "mean", shapes: [[5, 7]], compute: (t, x) => t.mean(x), reference: (x) => [sum(x) / 35] },
  { name: "sumRows", shapes: [[5, 7]], compute: (t, x) => t.sumRows(x), reference: (x) => rowsOf(x, 7).map(sum) },
  {
    name: "reshape",
    shapes: [[5, 7], [5]],
    compute: (t, x, b) => t.add(t.reshape(x, [7, 5]), b),
    reference: (x, b) => x.map((v, i) => v + b[i % 5]),
  },
  {
    name: "columns",
    shapes: [[5, 7]],
    compute: (t, x) => t.mul(t.columns(x, 1, 4), t.columns(x, 3, 6)),
    reference: (x) => rowsOf(x, 7).flatMap((row) => [1, 2, 3].map((c) => row[c] * row[c + 2])),
  },
  {
    name: "concat",
    shapes: [
      [5, 7],
      [5, 1],
      [5, 4],
    ],
    compute: (t, a, b, c) => t.concat([a, b, c, a]),
    reference: (a, b, c) =>
      [0, 1, 2, 3, 4].flatMap((r) => [...rowsOf(a, 7)[r], b[r], ...rowsOf(c, 4)[r], ...rowsOf(a, 7)[r]]),
  },
  {
    name: "gather of rows",
    shapes: [[8, 5]],
    compute: (t, table) => t.gather(table, t.indices(IDS)),
    reference: (table) => Array.from(IDS).flatMap((id) => rowsOf(table, 5)[id]),
  },
  {
    name: "gather of elements",
    shapes: [[8]],
    compute: (t, table) => t.gather(table, t.indices(IDS)),
    reference: (table) => Array.from(IDS).map((id) => table[id]),
  },
  ...[5, 16, 35].flatMap((width) =>
    [undefined, BAG_WEIGHTS].map(
      (weights): OperationExample => ({
        name: `embeddingBag of ${width} columns${weights ? " with weights" : ""}`,
        shapes: [[8, width]],
        compute: (t, table) => t.embeddingBag(table, t.indices(IDS), t.indices(OFFSETS), weights),
        reference: (table) => {
          const out = new Array<number>(5 * width).fill(0);
          rowOfItem(OFFSETS).forEach((row, k) => {
            for (let c = 0; c < width; c++) out[row * width + c] += (weights?.[k] ?? 1) * table[IDS[k] * width + c];
          });
          return out;
        },
      }),
    ),
  ),
  ...[[5, 3], [5]].map((shape): OperationExample => {
    const width = shape[1] ?? 1;
    return {
      name: `expand of ${shape.length === 1 ? "elements" : "rows"}`,
      shapes: [shape],
      compute: (t, x) => t.expand(x, t.indices(OFFSETS)),
      reference: (x) => rowOfItem(OFFSETS).flatMap((row) => x.slice(row * width, (row + 1) * width)),
    };
  }),
  ...[[13, 3], [13]].map((shape): OperationExample => {
    const width = shape[1] ?? 1;
    return {
      name: `segmentSum of ${shape.length === 1 ? "elements" : "rows"}`,
      shapes: [shape],
      compute: (t, x) => t.segmentSum(x, t.indices(OFFSETS)),
      reference: (x) => {
        const out = new Array<number>(5 * width).fill(0);
        rowOfItem(OFFSETS).forEach((row, k) => {
          for (let c = 0; c < width; c++) out[row * width + c] += x[k * width + c];
        });
        return out;
      },
    };
  }),
  {
    name: "segmentLogSoftmax",
    shapes: [[13]],
    compute: (t, x) => t.segmentLogSoftmax(t.affine(x, 4), t.indices(OFFSETS)),
    reference: (x) =>
      Array.from(OFFSETS.slice(1)).flatMap((end, i) =>
        softmaxOf(x.slice(OFFSETS[i], end).map((v) => 4 * v)).map(Math.log),
      ),
  },
  {
    name: "softmax",
    shapes: [[3, 2, 7]],
    compute: (t, x) => t.softmax(t.affine(x, 4)),
    reference: (x) => rowsOf(x, 7).flatMap((row) => softmaxOf(row.map((v) => 4 * v))),
  },
  {
    name: "layerNorm",
    shapes: [[5, 7], [7], [7]],
    compute: (t, x, gain, bias) => t.layerNorm(x, gain, bias),
    reference: (x, gain, bias) =>
      rowsOf(x, 7).flatMap((row) => {
        const mean = sum(row) / 7;
        const variance = sum(row.map((v) => (v - mean) ** 2)) / 7;
        return row.map((v, c) => ((v - mean) / Math.sqrt(variance + 1e-5)) * gain[c] + bias[c]);
      }),
  },
  {
    name: "attention of matrices",
    shapes: [
      [2, 6, 4],
      [2, 6, 4],
      [2, 6, 4],
    ],
    compute: (t, q, k, v) => t.matmul(t.softmax(t.affine(t.matmul(q, k, { transposeB: true }), 0.5)), v),
    reference: (q, k, v) =>
      [0, 24].flatMap((at) => {
        const scores = product(q.slice(at, at + 24), k.slice(at, at + 24), 6, 4, 6, false, true);
        const weights = rowsOf(scores, 6).flatMap((row) => softmaxOf(row.map((s) => s / 2)));
        return product(weights, v.slice(at, at + 24), 6, 6, 4);
      }),
  },
];

// Rows.

const ROW_WIDTH = 12;

interface RowNetwork {
  name: string;
  layout: readonly ParameterSpec[];
  rowOf: (t: Tensors, x: Tensor) => Tensor;
}

function spec(name: string, ...shape: number[]): ParameterSpec {
  return { name, shape, init: { type: "normal", value: 0.4 } };
}

const ROW_NETWORKS: readonly RowNetwork[] = [
  {
    name: "an MLP of 64 units",
    layout: [spec("w1", 12, 64), spec("b1", 64), spec("w2", 64, 64), spec("b2", 64), spec("w3", 64, 3), spec("b3", 3)],
    rowOf: (t, x) => {
      const h = t.linear(x, t.parameter("w1"), t.parameter("b1"), "tanh");
      return t.linear(t.linear(h, t.parameter("w2"), t.parameter("b2"), "gelu"), t.parameter("w3"), t.parameter("b3"));
    },
  },
  {
    name: "a wide MLP",
    layout: [spec("w1", 12, 600), spec("w2", 600, 61), spec("g", 61), spec("b", 61), spec("w3", 5, 61)],
    rowOf: (t, x) => {
      const h = t.linear(t.linear(x, t.parameter("w1"), undefined, "relu"), t.parameter("w2"), undefined, "silu");
      const normal = t.layerNorm(h, t.parameter("g"), t.parameter("b"));
      return t.softmax(t.matmul(normal, t.parameter("w3"), { transposeB: true }));
    },
  },
  {
    name: "a scorer of candidates",
    layout: [spec("table", 50, 24), spec("w", 24, 1)],
    rowOf: (t, x) => {
      // Three candidates per row, four features each, picked and weighted by nothing but the row's position-free content.
      const rows = x.shape[0];
      const offsets = t.indices(Uint32Array.from({ length: rows + 1 }, (_, i) => 3 * i));
      const lists = t.indices(Uint32Array.from({ length: 3 * rows + 1 }, (_, i) => 4 * i));
      const ids = t.indices(Int32Array.from({ length: 12 * rows }, (_, i) => ((i % 12) * 7) % 50));
      const bags = t.mul(t.embeddingBag(t.parameter("table"), ids, lists), t.expand(t.concat([x, x]), offsets));
      const scores = t.reshape(t.linear(t.activate(bags, "sigmoid"), t.parameter("w")), [3 * rows]);
      return t.segmentLogSoftmax(scores, offsets);
    },
  },
];

async function evaluateRows(
  model: Model,
  rowOf: RowNetwork["rowOf"],
  all: Float32Array,
  from: number,
  to: number,
): Promise<Float32Array> {
  const x = all.slice(from * ROW_WIDTH, to * ROW_WIDTH);
  return (await model.evaluate((t) => ({ y: rowOf(t, t.input(x, [to - from, ROW_WIDTH])) }))).y;
}

// Training.

const MLP: readonly ParameterSpec[] = [
  { name: "w1", shape: [4, 16], init: { type: "orthogonal", value: 1.4 } },
  { name: "b1", shape: [16], init: { type: "constant", value: 0 } },
  { name: "w2", shape: [16, 2], init: { type: "orthogonal", value: 1 } },
  { name: "b2", shape: [2], init: { type: "constant", value: 0.1 } },
];
const MLP_ROWS = 8;
const ADAM: AdamOptions = { learningRate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-5, maxGradNorm: 0.5 };

/** Mean squared error of a tanh network. */
function mlpLoss(t: Tensors, x: Float32Array, y: Float32Array): Tensor {
  const h = t.linear(t.input(x, [MLP_ROWS, 4]), t.parameter("w1"), t.parameter("b1"), "tanh");
  const out = t.linear(h, t.parameter("w2"), t.parameter("b2"));
  return t.mean(t.square(t.sub(out, t.input(y, [MLP_ROWS, 2]))));
}

/** `mlpLoss`, its gradient and Adam (Kingma & Ba 2015, algorithm 1) in float64, one number at a time. */
class LiteralNetwork {
  readonly weights: number[];
  readonly m: number[];
  readonly v: number[];
  private steps = 0;

  constructor(weights: Float32Array) {
    this.weights = Array.from(weights);
    this.m = this.weights.map(() => 0);
    this.v = this.weights.map(() => 0);
  }

  step(x: Float32Array, y: Float32Array, options: AdamOptions): { loss: number; norm: number } {
    const w = this.weights;
    const [b1, w2, b2] = [64, 80, 112];
    const g = w.map(() => 0);
    let loss = 0;
    for (let r = 0; r < MLP_ROWS; r++) {
      const h: number[] = [];
      for (let j = 0; j < 16; j++) {
        let z = w[b1 + j];
        for (let i = 0; i < 4; i++) z += x[r * 4 + i] * w[i * 16 + j];
        h.push(Math.tanh(z));
      }
      const dh = h.map(() => 0);
      for (let o = 0; o < 2; o++) {
        let out = w[b2 + o];
        for (let j = 0; j < 16; j++) out += h[j] * w[w2 + j * 2 + o];
        const error = out - y[r * 2 + o];
        const count = MLP_ROWS * 2;
        loss += error ** 2 / count;
        const dout = (2 * error) / count;
        g[b2 + o] += dout;
        for (let j = 0; j < 16; j++) {
          g[w2 + j * 2 + o] += dout * h[j];
          dh[j] += dout * w[w2 + j * 2 + o];
        }
      }
      for (let j = 0; j < 16; j++) {
        const dz = dh[j] * (1 - h[j] ** 2);
        g[b1 + j] += dz;
        for (let i = 0; i < 4; i++) g[i * 16 + j] += dz * x[r * 4 + i];
      }
    }
    const norm = Math.sqrt(g.reduce((total, value) => total + value ** 2, 0));
    const clip = Math.min(1, options.maxGradNorm / (norm + 1e-6));
    this.steps++;
    for (let i = 0; i < w.length; i++) {
      const slope = g[i] * clip;
      this.m[i] = options.beta1 * this.m[i] + (1 - options.beta1) * slope;
      this.v[i] = options.beta2 * this.v[i] + (1 - options.beta2) * slope ** 2;
      const mHat = this.m[i] / (1 - options.beta1 ** this.steps);
      const vHat = this.v[i] / (1 - options.beta2 ** this.steps);
      w[i] -= (options.learningRate * mHat) / (Math.sqrt(vHat) + options.epsilon);
    }
    return { loss, norm };
  }
}
