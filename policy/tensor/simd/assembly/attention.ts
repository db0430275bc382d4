import { dots } from "./dots";
import { exp, log } from "./float32";
import { at, firstLanes, total } from "./lanes";
import { direct } from "./matmul";
import { mask, maxOf, put } from "./rows";

// One sequence at a time: scores of a block of queries against all keys that they see, in a workspace. A key that a query does not see has
// weight 0 there, which changes no bit of a sum; so neither the block nor the number of queries does.

/** Rows of the workspace: queries whose scores are made together. */
@inline const BLOCK: i32 = 32;

/** The first key, a multiple of four, of the block whose first query sees `position` last. */
@inline function firstKey(position: i32, window: i32): i32 {
  return window > 0 ? max(0, position - window + 1) & -4 : 0;
}

/** Of row [width]: exp(x − shift) where first ≤ column < end, 0 elsewhere. */
function weigh(row: usize, width: i32, first: i32, end: i32, shift: f32): void {
  const shifts = f32x4.splat(shift);
  for (let j = 0; j < width; j += 4) {
    const to = row + (<usize>j << 2);
    let v = exp(f32x4.sub(v128.load(to), shifts));
    v = v128.andnot(v, firstLanes(first - j));
    put(to, v128.and(v, firstLanes(end - j)), width - j, false);
  }
}

function sumOfRow(row: usize, width: i32): f32 {
  let sum = f32x4.splat(0);
  for (let j = 0; j < width; j += 4) sum = f32x4.add(sum, mask(v128.load(row + (<usize>j << 2)), width - j));
  return total(sum);
}

/** See `Kernels.attention`. The workspace holds BLOCK rows of `keys` rounded up to four. */
export function attention(
  q: u32, k: u32, v: u32, out: u32, statistics: u32, workspace: u32,
  queryAt: i32, queries: i32, keyAt: i32, keys: i32, heads: i32, keyHeads: i32, width: i32, window: i32, scale: f32,
): void {
  const kRow = <usize>(keyHeads * width) << 2;
  const sRow = <usize>((keys + 3) & -4) << 2;
  const shared = heads / keyHeads;
  const past = keys - queries;
  const scores = at(workspace);
  // Of a single query, as in generation, the heads that share a key head are the rows of a block: its keys are read once for all of them.
  const single = queries == 1 && shared <= BLOCK;
  const together = single ? shared : 1;
  const qRow = <usize>(single ? width : heads * width) << 2;
  const statisticsStep: usize = single ? 4 : <usize>heads << 2;
  const count = single ? shared : queries;
  for (let h = 0; h < heads; h += together) {
    const keyColumn = <usize>(h / shared * width) << 2;
    for (let i = 0; i < count; i += BLOCK) {
      const rows = min(BLOCK, count - i);
      const position = past + (single ? 0 : i);
      const from = firstKey(position, window);
      const seen = position + (single ? 1 : rows) - from;
      const row = (queryAt + (single ? 0 : i)) * heads + h;
      const query = <usize>(row * width) << 2, key = (<usize>(keyAt + from) * kRow) + keyColumn;
      dots(at(q) + query, qRow, at(k) + key, kRow, scores, sRow, 0, rows, width, seen, scale);
      normalise(
        scores, sRow, position - from, single ? 0 : 1, rows, seen, window, at(statistics) + (<usize>row << 2), statisticsStep,
      );
      direct(scores, sRow, 4, at(v) + key, kRow, at(out) + query, qRow, 0, 0, rows, seen, width);
    }
  }
}

/**
 * Scores to weights that sum to one; log Σ exp of each row to the statistics. `position` is the last key that row 0 sees, and each row sees
 * `further` more than the one before.
 */
function normalise(
  scores: usize, sRow: usize, position: i32, further: i32, rows: i32, seen: i32, window: i32,
  statistics: usize, statisticsStep: usize,
): void {
  for (let r = 0; r < rows; ++r) {
    const end = position + r * further + 1;
    const first = window > 0 ? max(0, end - window) : 0;
    const top = maxOf(scores + (<usize>first << 2), end - first);
    weigh(scores, seen, first, end, top);
    const sum = sumOfRow(scores, seen);
    const share = f32x4.splat(<f32>1 / sum);
    for (let j = 0; j < seen; j += 4) {
      const to = scores + (<usize>j << 2);
      put(to, f32x4.mul(v128.load(to), share), seen - j, false);
    }
    store<f32>(statistics, top + f32x4.extract_lane(log(f32x4.splat(sum)), 0));
    statistics += statisticsStep;
    scores += sRow;
  }
}

/** See `Kernels.attentionGradient`. The workspace holds twice that of `attention`, then `queries`. */
export function attentionGradient(
  q: u32, k: u32, v: u32, out: u32, statistics: u32, dout: u32, dq: u32, dk: u32, dv: u32, workspace: u32,
  queryAt: i32, queries: i32, keyAt: i32, keys: i32, heads: i32, keyHeads: i32, width: i32, window: i32, scale: f32,
): void {
  const qRow = <usize>(heads * width) << 2, kRow = <usize>(keyHeads * width) << 2;
  const sRow = <usize>((keys + 3) & -4) << 2;
  const shared = heads / keyHeads;
  const past = keys - queries;
  const weights = at(workspace), slopes = weights + <usize>BLOCK * sRow;
  for (let h = 0; h < heads; ++h) {
    const column = <usize>(h * width) << 2, keyColumn = <usize>(h / shared * width) << 2;
    for (let i = 0; i < queries; i += BLOCK) {
      const rows = min(BLOCK, queries - i);
      const from = firstKey(past + i, window);
      const seen = past + i + rows - from;
      const queryRow = <usize>(queryAt + i) * qRow + column, keyRow = <usize>(keyAt + from) * kRow + keyColumn;
      dots(at(q) + queryRow, qRow, at(k) + keyRow, kRow, weights, sRow, 0, rows, width, seen, scale);
      dots(at(dout) + queryRow, qRow, at(v) + keyRow, kRow, slopes, sRow, 0, rows, width, seen, 1);
      let row = weights, slope = slopes, result = queryRow;
      for (let r = 0; r < rows; ++r) {
        const end = past + i + r + 1 - from;
        const logSum = load<f32>(at(statistics) + (<usize>((queryAt + i + r) * heads + h) << 2));
        weigh(row, seen, window > 0 ? max(0, end - window) : 0, end, logSum);
        // Σ weights·slopes is dout·out: a sum over `width` numbers instead of all keys.
        let sum = f32x4.splat(0);
        for (let c = 0; c < width; c += 4) {
          const shift = result + (<usize>c << 2);
          sum = f32x4.add(sum, mask(f32x4.mul(v128.load(at(dout) + shift), v128.load(at(out) + shift)), width - c));
        }
        const mean = f32x4.splat(total(sum));
        for (let j = 0; j < seen; j += 4) {
          const shift = <usize>j << 2;
          const d = f32x4.mul(v128.load(row + shift), f32x4.sub(v128.load(slope + shift), mean));
          put(slope + shift, f32x4.mul(d, f32x4.splat(scale)), seen - j, false);
        }
        row += sRow;
        slope += sRow;
        result += qRow;
      }
      if (dv) {
        const to = at(dv) + keyRow;
        direct(weights, 4, sRow, at(dout) + queryRow, qRow, to, kRow, to, kRow, seen, rows, width);
      }
      if (dk) {
        const to = at(dk) + keyRow;
        direct(slopes, 4, sRow, at(q) + queryRow, qRow, to, kRow, to, kRow, seen, rows, width);
      }
      if (dq) {
        const to = at(dq) + queryRow;
        direct(slopes, sRow, 4, at(k) + keyRow, kRow, to, qRow, to, qRow, rows, seen, width);
      }
    }
  }
}
