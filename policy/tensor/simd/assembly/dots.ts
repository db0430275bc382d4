import { at, firstLanes, storePart } from "./lanes";

// C = factor·A·Bᵀ + bias with the rows of A and B side by side in memory. Every element is four sums, element l of the rows in
// sum l mod 4, then one: neither the tile it falls into nor the number of rows changes its bits, and nothing is packed.

/** Bytes of A to keep in the second cache while B passes by. */
@inline const BLOCK_BYTES: i32 = 524288;

@inline function madd(sum: v128, a: v128, b: v128): v128 {
  return f32x4.add(sum, f32x4.mul(a, b));
}

/** The totals of four registers as one, each in the order (0 + 2) + (1 + 3). */
@inline function totals(c0: v128, c1: v128, c2: v128, c3: v128): v128 {
  const low = f32x4.add(v128.shuffle<f32>(c0, c1, 0, 1, 4, 5), v128.shuffle<f32>(c0, c1, 2, 3, 6, 7));
  const high = f32x4.add(v128.shuffle<f32>(c2, c3, 0, 1, 4, 5), v128.shuffle<f32>(c2, c3, 2, 3, 6, 7));
  return f32x4.add(v128.shuffle<f32>(low, high, 0, 2, 4, 6), v128.shuffle<f32>(low, high, 1, 3, 5, 7));
}

@inline function finish(to: usize, sums: v128, bias: usize, factor: f32, columns: i32): void {
  let y = f32x4.mul(sums, f32x4.splat(factor));
  if (bias) y = f32x4.add(y, v128.load(bias));
  if (columns >= 4) v128.store(to, y);
  else storePart(to, y, columns);
}

/** Two rows of A with up to four of B. Eight elements a turn: addresses are made half as often, and twice as many would spill registers. */
function tile2(
  a: usize, aRow: usize, b: usize, bRow: usize, c: usize, cRow: usize, bias: usize, k: i32, columns: i32, factor: f32,
): void {
  const a1 = a + aRow;
  const b1 = columns > 1 ? b + bRow : b;
  const b2 = columns > 2 ? b1 + bRow : b;
  const b3 = columns > 3 ? b2 + bRow : b;
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c02 = f32x4.splat(0), c03 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0), c12 = f32x4.splat(0), c13 = f32x4.splat(0);
  let i: usize = 0;
  const whole = <usize>(k & -8) << 2;
  for (; i < whole; i += 32) {
    let x0 = v128.load(a + i), x1 = v128.load(a1 + i);
    let w = v128.load(b + i);
    c00 = madd(c00, x0, w); c10 = madd(c10, x1, w);
    w = v128.load(b1 + i);
    c01 = madd(c01, x0, w); c11 = madd(c11, x1, w);
    w = v128.load(b2 + i);
    c02 = madd(c02, x0, w); c12 = madd(c12, x1, w);
    w = v128.load(b3 + i);
    c03 = madd(c03, x0, w); c13 = madd(c13, x1, w);
    x0 = v128.load(a + i, 16); x1 = v128.load(a1 + i, 16);
    w = v128.load(b + i, 16);
    c00 = madd(c00, x0, w); c10 = madd(c10, x1, w);
    w = v128.load(b1 + i, 16);
    c01 = madd(c01, x0, w); c11 = madd(c11, x1, w);
    w = v128.load(b2 + i, 16);
    c02 = madd(c02, x0, w); c12 = madd(c12, x1, w);
    w = v128.load(b3 + i, 16);
    c03 = madd(c03, x0, w); c13 = madd(c13, x1, w);
  }
  for (let left = k & 7; left > 0; left -= 4) {
    const keep = firstLanes(left);
    const x0 = v128.and(v128.load(a + i), keep), x1 = v128.and(v128.load(a1 + i), keep);
    let w = v128.and(v128.load(b + i), keep);
    c00 = madd(c00, x0, w); c10 = madd(c10, x1, w);
    w = v128.and(v128.load(b1 + i), keep);
    c01 = madd(c01, x0, w); c11 = madd(c11, x1, w);
    w = v128.and(v128.load(b2 + i), keep);
    c02 = madd(c02, x0, w); c12 = madd(c12, x1, w);
    w = v128.and(v128.load(b3 + i), keep);
    c03 = madd(c03, x0, w); c13 = madd(c13, x1, w);
    i += 16;
  }
  finish(c, totals(c00, c01, c02, c03), bias, factor, columns);
  finish(c + cRow, totals(c10, c11, c12, c13), bias, factor, columns);
}

/** One row of A with up to four of B. */
function tile1(a: usize, b: usize, bRow: usize, c: usize, bias: usize, k: i32, columns: i32, factor: f32): void {
  const b1 = columns > 1 ? b + bRow : b;
  const b2 = columns > 2 ? b1 + bRow : b;
  const b3 = columns > 3 ? b2 + bRow : b;
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), c2 = f32x4.splat(0), c3 = f32x4.splat(0);
  let i: usize = 0;
  const whole = <usize>(k & -4) << 2;
  for (; i < whole; i += 16) {
    const x = v128.load(a + i);
    c0 = madd(c0, x, v128.load(b + i));
    c1 = madd(c1, x, v128.load(b1 + i));
    c2 = madd(c2, x, v128.load(b2 + i));
    c3 = madd(c3, x, v128.load(b3 + i));
  }
  if (k & 3) {
    const keep = firstLanes(k & 3);
    const x = v128.and(v128.load(a + i), keep);
    c0 = madd(c0, x, v128.and(v128.load(b + i), keep));
    c1 = madd(c1, x, v128.and(v128.load(b1 + i), keep));
    c2 = madd(c2, x, v128.and(v128.load(b2 + i), keep));
    c3 = madd(c3, x, v128.and(v128.load(b3 + i), keep));
  }
  finish(c, totals(c0, c1, c2, c3), bias, factor, columns);
}

/** A [m, k], B [n, k], C [m, n] with rows this many bytes apart; bias [n] or 0. */
export function dots(
  a: usize, aRow: usize, b: usize, bRow: usize, c: usize, cRow: usize, bias: usize, m: i32, k: i32, n: i32, factor: f32,
): void {
  const block = max(8, (BLOCK_BYTES / max(1, k << 2)) & -2);
  for (let i0 = 0; i0 < m; i0 += block) {
    const end = min(m, i0 + block);
    let row = b;
    for (let j = 0; j < n; j += 4) {
      const shift = <usize>j << 2;
      const columns = n - j;
      const from = bias ? bias + shift : 0;
      let x = a + <usize>i0 * aRow;
      let to = c + <usize>i0 * cRow + shift;
      let i = i0;
      for (; i + 2 <= end; i += 2) {
        tile2(x, aRow, row, bRow, to, cRow, from, k, columns, factor);
        x += aRow << 1;
        to += cRow << 1;
      }
      if (i < end) tile1(x, row, bRow, to, from, k, columns, factor);
      row += bRow << 2;
    }
  }
}

export function project(x: u32, w: u32, bias: u32, out: u32, m: i32, k: i32, n: i32): void {
  const width = <usize>k << 2;
  dots(at(x), width, at(w), width, at(out), <usize>n << 2, at(bias), m, k, n, 1);
}

/** Columns of `project`: w holds `count` of its n rows, bias and out begin at the first of them. */
export function projectPanel(x: u32, w: u32, bias: u32, out: u32, m: i32, k: i32, count: i32, n: i32): void {
  const width = <usize>k << 2;
  dots(at(x), width, at(w), width, at(out), <usize>n << 2, at(bias), m, k, count, 1);
}
