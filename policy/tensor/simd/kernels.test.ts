import { describe, expect, test } from "bun:test";
import { bits, uniform } from "../conformance.ts";
import { UNARY } from "../kernels.ts";
import { TypeScriptKernels } from "../typescript/kernels.ts";
import { SimdKernels } from "./kernels.ts";

type AnyKernels = SimdKernels | TypeScriptKernels;

const simd = new SimdKernels();
const typescript = new TypeScriptKernels();

/** Runs the same on both and expects the same bits. */
function expectSameBits(run: (kernels: AnyKernels) => Float32Array): void {
  expect(bits(run(simd))).toEqual(bits(run(typescript)));
}

function withScratch(
  kernels: AnyKernels,
  arrays: Float32Array[],
  run: (...handles: number[]) => Float32Array,
): Float32Array {
  const mark = kernels.mark();
  const handles = arrays.map((values) => {
    const handle = kernels.scratch(values.length);
    kernels.write(handle, values);
    return handle;
  });
  const result = run(...handles);
  kernels.release(mark);
  return result;
}

describe("simd and typescript agree to the bit", () => {
  // Below and above every limit of the tiles (4, 8, 32), of packing (32 rows, 32768 elements) and of the blocks (128, 512).
  const sizes = [
    [1, 1, 1],
    [1, 64, 45],
    [3, 5, 7],
    [7, 70, 40],
    [31, 200, 170],
    [33, 200, 170],
    [131, 515, 66],
    [260, 3, 10],
  ];
  for (const [m, k, n] of sizes) {
    test(`matmul ${m}×${k}×${n}, in every combination of transposes`, () => {
      const a = uniform(m * k, 1);
      const b = uniform(k * n, 2);
      const c = uniform(m * n, 3);
      for (let flags = 0; flags < 8; flags++) {
        expectSameBits((kernels) =>
          withScratch(kernels, [a, b, c], (x, y, z) => {
            kernels.matmul(x, y, z, 1, m, k, n, (flags & 1) !== 0, (flags & 2) !== 0, (flags & 4) !== 0);
            return kernels.read(z, m * n);
          }),
        );
      }
    });
  }

  test("projections of rows of any length", () => {
    for (const k of [1, 4, 6, 8, 11, 12, 15, 24]) {
      expectSameBits((kernels) =>
        withScratch(kernels, [uniform(5 * k, 1), uniform(6 * k, 2), new Float32Array(30)], (x, w, out) => {
          kernels.project(x, w, 0, out, 5, k, 6);
          return kernels.read(out, 30);
        }),
      );
    }
  });

  test("log-probabilities of a vocabulary and their gradients, of more rows and words than are computed at a time", () => {
    const [rows, width, words] = [150, 21, 300];
    const zeros = [2 * rows, 4 * rows, rows * width, words * width].map((length) => new Float32Array(length));
    const inputs = [uniform(rows * width, 1), uniform(words * width, 2), uniform(2 * rows, 3)];
    expectSameBits((kernels) =>
      withScratch(
        kernels,
        [...inputs, new Float32Array(rows), ...zeros],
        (x, table, dy, targets, y, sums, dx, dtable) => {
          kernels.writeIndices(
            targets,
            Int32Array.from({ length: rows }, (_, r) => (r * 7) % words),
          );
          kernels.tokenLogProbs(x, table, targets, y, sums, rows, width, words);
          kernels.tokenLogProbsGradient(x, table, targets, y, sums, dy, dx, dtable, rows, width, words);
          const lengths = [2 * rows, rows * width, words * width];
          return Float32Array.from([y, dx, dtable].flatMap((each, i) => Array.from(kernels.read(each, lengths[i]))));
        },
      ),
    );
  });

  for (const [name, op] of Object.entries(UNARY)) {
    test(`${name} and its gradient, at the edges of float32 too`, () => {
      const edges = [0, 1, 9, 20, 87.3, 87.4, 88.7, 88.8, 103, 1e-20, 1e-38, 1e-42, 1e30, Infinity, Number.NaN];
      const random = uniform(4001, 4).map((u, i) => u * 10 ** ((i % 9) - 5));
      const x = Float32Array.from([...edges, ...edges.map((edge) => -edge), ...random]);
      const dy = uniform(x.length, 5);
      for (const gradient of [false, true]) {
        expectSameBits((kernels) =>
          withScratch(kernels, [x, x, dy, dy], (from, to, slopes, out) => {
            kernels.unary(op, from, to, x.length, -0.7, 1.3);
            if (gradient) kernels.unaryGradient(op, from, to, slopes, out, x.length, -0.7, 1.3, true);
            return kernels.read(gradient ? out : to, x.length).map((y) => (Number.isNaN(y) ? Number.NaN : y));
          }),
        );
      }
    });
  }

  test("twenty Adam steps on mostly untouched weights", () => {
    const length = 4099;
    expectSameBits((kernels) =>
      withScratch(kernels, [uniform(length, 1), ...[0, 0, 0].map(() => new Float32Array(length))], (w, g, m, v) => {
        for (let t = 1; t <= 20; t++) {
          kernels.write(
            g,
            uniform(length, t).map((x, i) => (i % 97 < 7 ? x * 10 ** -(i % 30) : 0)),
          );
          kernels.adam(w, g, m, v, length, {
            learningRate: 0.01,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            maxGradNorm: 1,
            correction1: 1 - 0.9 ** t,
            correction2: 1 - 0.99 ** t,
          });
        }
        return Float32Array.from([w, g, m, v].flatMap((handle) => Array.from(kernels.read(handle, length))));
      }),
    );
  });
});

test("kernels write nothing past the end of a buffer", () => {
  const width = 7;
  const guard = 12345;
  const arrays = Array.from({ length: 5 }, (_, i) => uniform(3 * width, i));
  const out = withScratch(simd, [...arrays, new Float32Array(64).fill(guard)], (a, b, _c, _d, _e, to) => {
    simd.binary(0, a, b, to, 3 * width, 3 * width);
    simd.unary(UNARY.tanh, a, to, 3 * width, 0, 0);
    simd.softmax(a, to, 3, width);
    simd.matmul(a, b, to, 1, 3, width, 3, false, true, false);
    simd.copyColumns(a, width, 1, to, width, 2, 3, 5, true);
    simd.spreadRows(a, to, 3, width, 1, true);
    simd.fill(to, 3 * width, 1);
    return simd.read(to, 64);
  });
  expect(out.slice(3 * width).every((x) => x === guard)).toBe(true);
});
