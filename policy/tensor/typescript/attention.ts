import type { AttentionShape, Handle, Span } from "../kernels.ts";
import { exp, log } from "./float32.ts";
import { dotOf, maxOf, partial, total } from "./sums.ts";

const { fround } = Math;

let weights = new Float32Array(0);

/** What one head of one query sees: keys first … end − 1 of the span; its own row in q, and where a key's row begins. */
function forEachQuery(
  { queryAt, queries, keyAt, keys }: Span,
  { heads, keyHeads, width, window }: AttentionShape,
  visit: (query: number, row: number, key: (j: number) => number, first: number, end: number) => void,
): void {
  if (weights.length < keys) weights = new Float32Array(keys);
  for (let h = 0; h < heads; h++) {
    const keyHead = Math.floor(h / (heads / keyHeads));
    for (let i = 0; i < queries; i++) {
      const end = keys - queries + i + 1;
      const first = window > 0 ? Math.max(0, end - window) : 0;
      const row = (queryAt + i) * heads + h;
      visit(row * width, row, (j) => ((keyAt + j) * keyHeads + keyHead) * width, first, end);
    }
  }
}

export function attention(
  f: Float32Array,
  q: Handle,
  k: Handle,
  v: Handle,
  out: Handle,
  statistics: Handle,
  span: Span,
  shape: AttentionShape,
): void {
  const { width } = shape;
  const scale = fround(shape.scale);
  forEachQuery(span, shape, (query, row, key, first, end) => {
    for (let j = first; j < end; j++) weights[j] = dotOf(f, q + query, k + key(j), width) * scale;
    const top = maxOf(weights, first, end - first);
    partial.fill(0);
    for (let j = first; j < end; j++) {
      weights[j] = exp(fround(weights[j] - top));
      partial[j & 3] += weights[j];
    }
    const sum = total();
    const share = fround(1 / sum);
    f.fill(0, out + query, out + query + width);
    for (let j = first; j < end; j++) {
      const weight = fround(weights[j] * share);
      for (let c = 0; c < width; c++) f[out + query + c] += fround(weight * f[v + key(j) + c]);
    }
    f[statistics + row] = top + log(sum);
  });
}

export function attentionGradient(
  f: Float32Array,
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
  const { width } = shape;
  const scale = fround(shape.scale);
  forEachQuery(span, shape, (query, row, key, first, end) => {
    const mean = dotOf(f, dout + query, out + query, width);
    for (let j = first; j < end; j++) {
      const at = key(j);
      const score = fround(dotOf(f, q + query, k + at, width) * scale);
      const weight = exp(fround(score - f[statistics + row]));
      const slope = dotOf(f, dout + query, v + at, width);
      const dscore = fround(fround(weight * fround(slope - mean)) * scale);
      for (let c = 0; c < width; c++) {
        if (dv !== 0) f[dv + at + c] += fround(weight * f[dout + query + c]);
        if (dk !== 0) f[dk + at + c] += fround(dscore * f[q + query + c]);
        if (dq !== 0) f[dq + query + c] += fround(dscore * f[k + at + c]);
      }
    }
  });
}
