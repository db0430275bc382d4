import { describe, expect, test } from "bun:test";
import { bits, uniform } from "./conformance.ts";
import { type FrozenFormat, FrozenMatrix, quantise } from "./frozen.ts";
import { simdProvider } from "./simd/provider.ts";
import type { TensorProvider } from "./tensors.ts";
import { typescriptProvider } from "./typescript/provider.ts";

/** Bytes of bf16 or f16 near these numbers, denormal ones too. */
function halves(values: Float32Array, format: "BF16" | "F16"): Uint8Array {
  const words = new Uint32Array(values.buffer);
  const stored = Uint16Array.from(words, (word, i) => {
    if (format === "BF16") return word >>> 16;
    if (i % 5 === 0) return i & 0x3ff;
    return ((word >>> 16) & 0x8000) | (((((word >>> 23) & 255) - 112) << 10) & 0x7c00) | ((word >>> 13) & 0x3ff);
  });
  return new Uint8Array(stored.buffer);
}

function frozen(format: FrozenFormat, rows: number, width: number): FrozenMatrix {
  const values = uniform(rows * width, 1).map((x) => x / 4 + Math.sign(x) * 0.1);
  const shape = [rows, width];
  const exact = new FrozenMatrix(shape, "F32", new Uint8Array(values.buffer));
  if (format === "F32") return exact;
  return format === "I8" ? quantise(exact) : new FrozenMatrix(shape, format, halves(values, format));
}

/** Value and gradients of a projection and of log-probabilities, by the frozen matrix or by the same numbers as a parameter. */
async function run(provider: TensorProvider, matrix: FrozenMatrix, asParameter: boolean) {
  const { rows, width } = matrix;
  const values = new Float32Array(rows * width);
  matrix.copyTo(values, 0, rows);
  const count = 37;
  const normal = { type: "normal", value: 1 } as const;
  const model = provider.model([
    { name: "x", shape: [count, width], init: normal },
    { name: "b", shape: [rows], init: normal },
    ...(asParameter ? [{ name: "w", shape: [rows, width], init: normal }] : []),
  ]);
  const x = uniform(count * width + rows, 3);
  model.load(asParameter ? Float32Array.of(...x, ...values) : x);
  const targets = Int32Array.from({ length: count }, (_, i) => (i * 13) % rows);
  const outputs = await model.differentiate((t) => {
    const w = asParameter ? t.parameter("w") : matrix;
    const y = t.project(t.parameter("x"), w, t.parameter("b"));
    const words = t.tokenLogProbs(t.parameter("x"), w, t.indices(targets));
    return { loss: t.add(t.sum(t.square(y)), t.sum(t.square(words))), y, words };
  });
  const gradients = (await model.gradients()).slice(0, x.length);
  model.dispose();
  return [outputs.y, outputs.words, gradients].map(bits);
}

for (const provider of [simdProvider(), typescriptProvider()]) {
  describe(`${provider.name}: a frozen matrix`, () => {
    for (const format of ["F32", "F16", "BF16", "I8"] as const) {
      // More rows than a panel and than a part of a vocabulary; a width that is no multiple of four.
      for (const [rows, width] of [
        [1100, 101],
        [6, 4],
      ]) {
        test(`[${rows}, ${width}] of ${format} gives the same bits as a parameter with its numbers`, async () => {
          const matrix = frozen(format, rows, width);
          expect(await run(provider, matrix, false)).toEqual(await run(provider, matrix, true));
        });
      }
    }
  });
}

test("numbers in int8 are within a 254th of their row's largest", () => {
  const [exact, small] = [frozen("F32", 7, 50), frozen("I8", 7, 50)];
  const [x, y] = [new Float32Array(350), new Float32Array(350)];
  exact.copyTo(x, 0, 7);
  small.copyTo(y, 0, 7);
  for (let r = 0; r < 7; r++) {
    const largest = Math.max(...x.subarray(r * 50, (r + 1) * 50).map(Math.abs));
    for (let c = r * 50; c < (r + 1) * 50; c++) expect(Math.abs(x[c] - y[c])).toBeLessThanOrEqual(largest / 253);
  }
  expect(quantise(new FrozenMatrix([2, 3], "F32", new Uint8Array(24))).scales).toEqual(new Float32Array(2));
});

test("bytes that do not fit the shape are refused", () => {
  expect(() => new FrozenMatrix([3, 4], "BF16", new Uint8Array(20))).toThrow(
    "Cannot freeze a matrix [3, 4] of BF16: expected 24 bytes, found 20",
  );
  expect(() => new FrozenMatrix([3, 4], "I8", new Uint8Array(12))).toThrow("expected 12 bytes and 3 scales, found 12");
});
