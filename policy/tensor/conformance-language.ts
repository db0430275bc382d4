/** The operations of language models, each with literal loops in float64: part of `conformance`. */
import type { OperationExample } from "./conformance.ts";
import { FrozenMatrix } from "./frozen.ts";
import { initialise } from "./initialise.ts";
import type { AttentionOptions, ParameterSpec, TensorProvider } from "./tensors.ts";

/** Σ_c a[at + c]·b[bt + c] */
function dot(a: readonly number[], at: number, b: readonly number[], bt: number, width: number): number {
  let sum = 0;
  for (let c = 0; c < width; c++) sum += a[at + c] * b[bt + c];
  return sum;
}

/** Vaswani et al. 2017, eq. 1, one query and head at a time. */
function attend(
  q: number[],
  k: number[],
  v: number[],
  offsets: Uint32Array,
  { heads, keyHeads, scale, window = Infinity }: AttentionOptions,
): number[] {
  const width = q.length / offsets[offsets.length - 1] / heads;
  const out = q.map(() => 0);
  for (let s = 0; s + 1 < offsets.length; s++) {
    for (let i = offsets[s]; i < offsets[s + 1]; i++) {
      for (let h = 0; h < heads; h++) {
        const query = (i * heads + h) * width;
        const key = (j: number): number => (j * keyHeads + Math.floor((h * keyHeads) / heads)) * width;
        const seen: number[] = [];
        for (let j = Math.max(offsets[s], i - window + 1); j <= i; j++) seen.push(j);
        const weights = seen.map((j) => Math.exp((scale ?? 1 / Math.sqrt(width)) * dot(q, query, k, key(j), width)));
        const total = weights.reduce((a, b) => a + b, 0);
        seen.forEach((j, n) => {
          for (let c = 0; c < width; c++) out[query + c] += (weights[n] / total) * v[key(j) + c];
        });
      }
    }
  }
  return out;
}

const PACKED = Uint32Array.of(0, 5, 5, 6, 46); // an empty sequence, one of one token, one longer than a block

function attention(name: string, width: number, options: AttentionOptions): OperationExample {
  const { heads, keyHeads } = options;
  const rows = PACKED[PACKED.length - 1];
  return {
    name: `attention ${name}`,
    shapes: [
      [rows, heads * width],
      [rows, keyHeads * width],
      [rows, keyHeads * width],
    ],
    compute: (t, q, k, v) => t.attention(q, k, v, t.indices(PACKED), options),
    reference: (q, k, v) => attend(q, k, v, PACKED, options),
  };
}

const WORDS = 517; // more than one part of a vocabulary
const TARGETS = Int32Array.of(0, 516, 511, 512, 3);

export const LANGUAGE_OPERATIONS: readonly OperationExample[] = [
  ...[
    [1, 5, 3],
    [3, 8, 9],
    [7, 35, 6],
  ].map(
    ([m, k, n]): OperationExample => ({
      name: `project ${m}×${k}×${n}`,
      shapes: [[m, k], [n, k], [n]],
      compute: (t, x, w, b) => t.project(x, w, b),
      reference: (x, w, b) => {
        const y: number[] = [];
        for (let i = 0; i < m; i++) for (let j = 0; j < n; j++) y.push(dot(x, i * k, w, j * k, k) + b[j]);
        return y;
      },
    }),
  ),
  {
    name: "project without bias",
    shapes: [
      [2, 4],
      [3, 4],
    ],
    compute: (t, x, w) => t.project(x, w),
    reference: (x, w) => [0, 1].flatMap((i) => [0, 1, 2].map((j) => dot(x, 4 * i, w, 4 * j, 4))),
  },
  {
    name: "rmsNorm",
    shapes: [[5, 7], [7]],
    compute: (t, x, gain) => t.rmsNorm(x, gain, 1e-6),
    reference: (x, gain) =>
      x.map((value, i) => {
        const row = i - (i % 7);
        return (value / Math.sqrt(dot(x, row, x, row, 7) / 7 + 1e-6)) * gain[i % 7];
      }),
  },
  ...[4, 6].map((width): OperationExample => {
    const half = width / 2;
    const angle = (row: number, c: number): number => row * 0.7 ** c;
    return {
      name: `rotate heads of ${width}`,
      shapes: [[5, 3 * width]],
      compute: (t, x) => {
        const angles = new Float32Array(5 * width);
        for (let i = 0; i < angles.length; i++) {
          const c = i % width;
          angles[i] = (c < half ? Math.cos : Math.sin)(angle(Math.floor(i / width), c % half));
        }
        return t.rotate(x, t.input(angles, [5, width]));
      },
      reference: (x) =>
        x.map((value, i) => {
          const c = i % width;
          const turn = angle(Math.floor(i / (3 * width)), c % half);
          return c < half
            ? value * Math.cos(turn) - x[i + half] * Math.sin(turn)
            : value * Math.cos(turn) + x[i - half] * Math.sin(turn);
        }),
    };
  }),
  attention("of three heads", 4, { heads: 3, keyHeads: 3 }),
  attention("of query heads that share key heads", 6, { heads: 4, keyHeads: 2 }),
  attention("within a window, with a scale of its own", 8, { heads: 2, keyHeads: 1, window: 6, scale: 0.5 }),
  {
    name: "tokenLogProbs",
    shapes: [
      [5, 6],
      [WORDS, 6],
    ],
    compute: (t, x, table) => t.tokenLogProbs(t.affine(x, 3), table, t.indices(TARGETS)),
    reference: (x, table) =>
      Array.from(TARGETS).flatMap((target, r) => {
        const logits = Array.from({ length: WORDS }, (_, word) => 3 * dot(x, 6 * r, table, 6 * word, 6));
        const logSum = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
        const mean = logits.reduce((sum, logit) => sum + Math.exp(logit - logSum) * logit, 0);
        return [logits[target] - logSum, logSum - mean];
      }),
  },
];

/** A projection and log-probabilities by a matrix in bf16, frozen or as a parameter: values one after the other, the gradient of x. */
export async function runFrozen(
  provider: TensorProvider,
  isFrozen: boolean,
): Promise<{ value: Float32Array; gradient: Float32Array }> {
  const x: ParameterSpec = { name: "x", shape: [5, 6], init: { type: "normal", value: 1 } };
  const w: ParameterSpec = { name: "w", shape: [WORDS, 6], init: { type: "normal", value: 1 } };
  const stored = Uint16Array.from(new Uint32Array(initialise([w], 2).buffer), (word) => word >>> 16);
  const matrix = new FrozenMatrix(w.shape, "BF16", new Uint8Array(stored.buffer));
  const values = new Float32Array(WORDS * 6);
  matrix.copyTo(values, 0, WORDS);
  const model = provider.model(isFrozen ? [x] : [x, w]);
  model.load(isFrozen ? initialise([x], 3) : Float32Array.of(...initialise([x], 3), ...values));
  const { words, wide } = await model.differentiate((t) => {
    const weights = isFrozen ? matrix : t.parameter("w");
    const words = t.tokenLogProbs(t.parameter("x"), weights, t.indices(TARGETS));
    const wide = t.project(t.parameter("x"), weights);
    return { loss: t.add(t.sum(t.square(words)), t.mean(t.square(wide))), words, wide };
  });
  const gradient = (await model.gradients()).slice(0, 30);
  model.dispose();
  return { value: Float32Array.of(...words, ...wide), gradient };
}
