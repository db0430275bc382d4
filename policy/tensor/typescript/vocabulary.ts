import { type Handle, VOCABULARY_PART } from "../kernels.ts";
import { exp, log } from "./float32.ts";
import { dotOf, maxOf, partial, partial2, total, total2 } from "./sums.ts";

const { fround, max, min } = Math;

const logits = new Float32Array(VOCABULARY_PART);

/** Of each row: the largest logit, Σ e, Σ e·(logit − largest) and the target's logit, with e = exp(logit − largest). */
export function tokenLogProbs(
  f: Float32Array,
  u: Int32Array,
  x: Handle,
  table: Handle,
  targets: Handle,
  out: Handle,
  statistics: Handle,
  rows: number,
  width: number,
  vocabulary: number,
): void {
  for (let r = 0; r < rows; r++) {
    const stats = statistics + 4 * r;
    const target = u[targets + r];
    for (let from = 0; from < vocabulary; from += VOCABULARY_PART) {
      const count = min(VOCABULARY_PART, vocabulary - from);
      for (let j = 0; j < count; j++) logits[j] = dotOf(f, x + r * width, table + (from + j) * width, width);
      const before = from === 0 ? -Infinity : f[stats];
      const top = max(before, maxOf(logits, 0, count));
      partial.fill(0);
      partial2.fill(0);
      for (let j = 0; j < count; j++) {
        const d = fround(logits[j] - top);
        const e = exp(d);
        partial[j & 3] += e;
        partial2[j & 3] += fround(e * d);
      }
      let sum = total();
      let weighted = total2();
      if (from > 0) {
        const moved = fround(before - top);
        const shrunk = exp(moved);
        sum = fround(f[stats + 1] * shrunk) + sum;
        weighted = fround(fround(fround(f[stats + 1] * moved) + f[stats + 2]) * shrunk) + weighted;
      }
      f[stats] = top;
      f[stats + 1] = sum;
      f[stats + 2] = weighted;
      if (target >= from && target < from + count) f[stats + 3] = logits[target - from];
    }
    const logSum = log(f[stats + 1]);
    f[out + 2 * r] = fround(f[stats + 3] - f[stats]) - logSum;
    f[out + 2 * r + 1] = logSum - fround(f[stats + 2] / f[stats + 1]);
  }
}

export function tokenLogProbsGradient(
  f: Float32Array,
  u: Int32Array,
  x: Handle,
  table: Handle,
  targets: Handle,
  y: Handle,
  statistics: Handle,
  dy: Handle,
  dx: Handle,
  dtable: Handle,
  rows: number,
  width: number,
  vocabulary: number,
): void {
  for (let r = 0; r < rows; r++) {
    const row = x + r * width;
    const stats = statistics + 4 * r;
    const logSum = log(f[stats + 1]);
    const entropy = f[y + 2 * r + 1];
    const slope = f[dy + 2 * r];
    const ofEntropy = f[dy + 2 * r + 1];
    for (let word = 0; word < vocabulary; word++) {
      const at = word * width;
      const logP = fround(fround(dotOf(f, row, table + at, width) - f[stats]) - logSum);
      const d = fround(slope + fround(ofEntropy * fround(logP + entropy)));
      let g = -fround(exp(logP) * d);
      if (word === u[targets + r]) g = fround(g + slope);
      for (let c = 0; c < width; c++) {
        if (dx !== 0) f[dx + r * width + c] += fround(g * f[table + at + c]);
        if (dtable !== 0) f[dtable + at + c] += fround(g * f[row + c]);
      }
    }
  }
}
