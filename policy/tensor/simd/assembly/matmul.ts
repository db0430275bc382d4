import { at, storePart } from "./lanes";

// C = init + A·B. Every element sums over k one after the other in one register lane, so neither the tile it falls into nor the
// number of rows changes its bits. Tiles are wide and two rows high where they can be: what limits them is the repeating of an
// element of A to four lanes, which a wider tile does less often. Small products run on the matrices as they lie; larger ones, and
// those with B transposed, on copies packed so that the innermost loop reads straight on: B in panels as wide as the tile,
// and A, when it is transposed, in blocks of 4 rows.

@inline const TILE_M: i32 = 4;
@inline const TILE_N: i32 = 8;
/** Columns of the widest tile: its 2 × 24 sums leave just enough of the 16 registers. */
@inline const WIDE: i32 = 24;
@inline const HALF_WIDE: i32 = 16;
/** A panel of B (24 KiB) stays in the first cache, a block of A (256 KiB) in the second. */
@inline const BLOCK_K: i32 = 256;
@inline const BLOCK_M: i32 = 256;
/** From this many elements of B on, and this many rows to use a packed copy for, packing pays; a transposed A gains by it too. */
@inline const PACK_FROM: i32 = 32768;
@inline export const PACK_ROWS: i32 = 32;
@inline const PACK_ROWS_OF_TRANSPOSED: i32 = 16;

const packedA: usize = memory.data(BLOCK_K * BLOCK_M * 4, 16);
const packedB: usize = memory.data(BLOCK_K * WIDE * 4, 16);

@inline function madd(sum: v128, a: v128, b: v128): v128 {
  return f32x4.add(sum, f32x4.mul(a, b));
}

@inline function storeRow(to: usize, low: v128, high: v128, columns: i32): void {
  if (columns >= 8) {
    v128.store(to, low);
    v128.store(to, high, 16);
  } else if (columns > 4) {
    v128.store(to, low);
    storePart(to + 16, high, columns - 4);
  } else if (columns == 4) {
    v128.store(to, low);
  } else {
    storePart(to, low, columns);
  }
}

/** A tile of 4 × `columns` (≤ 8). Strides in bytes; init (0 for zeros) is read like c, with its own stride. */
function tile4(
  a: usize, aRow: usize, aStep: usize,
  b: usize, bStep: usize,
  c: usize, cRow: usize,
  init: usize, initRow: usize,
  k: i32, columns: i32,
): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c10 = f32x4.splat(0), c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0), c30 = f32x4.splat(0), c31 = f32x4.splat(0);
  if (init) {
    let from = init;
    c00 = v128.load(from); c01 = v128.load(from, 16); from += initRow;
    c10 = v128.load(from); c11 = v128.load(from, 16); from += initRow;
    c20 = v128.load(from); c21 = v128.load(from, 16); from += initRow;
    c30 = v128.load(from); c31 = v128.load(from, 16);
  }
  let a0 = a, a1 = a + aRow, a2 = a + 2 * aRow, a3 = a + 3 * aRow;
  for (let i = k; i > 0; --i) {
    const b0 = v128.load(b), b1 = v128.load(b, 16);
    b += bStep;
    let s = v128.load32_splat(a0);
    c00 = madd(c00, s, b0); c01 = madd(c01, s, b1); a0 += aStep;
    s = v128.load32_splat(a1);
    c10 = madd(c10, s, b0); c11 = madd(c11, s, b1); a1 += aStep;
    s = v128.load32_splat(a2);
    c20 = madd(c20, s, b0); c21 = madd(c21, s, b1); a2 += aStep;
    s = v128.load32_splat(a3);
    c30 = madd(c30, s, b0); c31 = madd(c31, s, b1); a3 += aStep;
  }
  storeRow(c, c00, c01, columns); c += cRow;
  storeRow(c, c10, c11, columns); c += cRow;
  storeRow(c, c20, c21, columns); c += cRow;
  storeRow(c, c30, c31, columns);
}

/** A tile of 2 × 24. */
function tile2x24(
  a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize,
  c: usize, cRow: usize, init: usize, initRow: usize, k: i32,
): void {
  let c0a = f32x4.splat(0), c0b = f32x4.splat(0), c0c = f32x4.splat(0);
  let c0d = f32x4.splat(0), c0e = f32x4.splat(0), c0f = f32x4.splat(0);
  let c1a = f32x4.splat(0), c1b = f32x4.splat(0), c1c = f32x4.splat(0);
  let c1d = f32x4.splat(0), c1e = f32x4.splat(0), c1f = f32x4.splat(0);
  if (init) {
    c0a = v128.load(init); c0b = v128.load(init, 16); c0c = v128.load(init, 32);
    c0d = v128.load(init, 48); c0e = v128.load(init, 64); c0f = v128.load(init, 80);
    const next = init + initRow;
    c1a = v128.load(next); c1b = v128.load(next, 16); c1c = v128.load(next, 32);
    c1d = v128.load(next, 48); c1e = v128.load(next, 64); c1f = v128.load(next, 80);
  }
  let a0 = a, a1 = a + aRow;
  for (let i = k; i > 0; --i) {
    const s0 = v128.load32_splat(a0), s1 = v128.load32_splat(a1);
    a0 += aStep;
    a1 += aStep;
    let column = v128.load(b);
    c0a = madd(c0a, s0, column); c1a = madd(c1a, s1, column);
    column = v128.load(b, 16);
    c0b = madd(c0b, s0, column); c1b = madd(c1b, s1, column);
    column = v128.load(b, 32);
    c0c = madd(c0c, s0, column); c1c = madd(c1c, s1, column);
    column = v128.load(b, 48);
    c0d = madd(c0d, s0, column); c1d = madd(c1d, s1, column);
    column = v128.load(b, 64);
    c0e = madd(c0e, s0, column); c1e = madd(c1e, s1, column);
    column = v128.load(b, 80);
    c0f = madd(c0f, s0, column); c1f = madd(c1f, s1, column);
    b += bStep;
  }
  v128.store(c, c0a); v128.store(c, c0b, 16); v128.store(c, c0c, 32);
  v128.store(c, c0d, 48); v128.store(c, c0e, 64); v128.store(c, c0f, 80);
  c += cRow;
  v128.store(c, c1a); v128.store(c, c1b, 16); v128.store(c, c1c, 32);
  v128.store(c, c1d, 48); v128.store(c, c1e, 64); v128.store(c, c1f, 80);
}

/** A tile of 2 × 16. */
function tile2x16(
  a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize,
  c: usize, cRow: usize, init: usize, initRow: usize, k: i32,
): void {
  let c0a = f32x4.splat(0), c0b = f32x4.splat(0), c0c = f32x4.splat(0), c0d = f32x4.splat(0);
  let c1a = f32x4.splat(0), c1b = f32x4.splat(0), c1c = f32x4.splat(0), c1d = f32x4.splat(0);
  if (init) {
    c0a = v128.load(init); c0b = v128.load(init, 16); c0c = v128.load(init, 32); c0d = v128.load(init, 48);
    const next = init + initRow;
    c1a = v128.load(next); c1b = v128.load(next, 16); c1c = v128.load(next, 32); c1d = v128.load(next, 48);
  }
  let a0 = a, a1 = a + aRow;
  for (let i = k; i > 0; --i) {
    const s0 = v128.load32_splat(a0), s1 = v128.load32_splat(a1);
    a0 += aStep;
    a1 += aStep;
    let column = v128.load(b);
    c0a = madd(c0a, s0, column); c1a = madd(c1a, s1, column);
    column = v128.load(b, 16);
    c0b = madd(c0b, s0, column); c1b = madd(c1b, s1, column);
    column = v128.load(b, 32);
    c0c = madd(c0c, s0, column); c1c = madd(c1c, s1, column);
    column = v128.load(b, 48);
    c0d = madd(c0d, s0, column); c1d = madd(c1d, s1, column);
    b += bStep;
  }
  v128.store(c, c0a); v128.store(c, c0b, 16); v128.store(c, c0c, 32); v128.store(c, c0d, 48);
  c += cRow;
  v128.store(c, c1a); v128.store(c, c1b, 16); v128.store(c, c1c, 32); v128.store(c, c1d, 48);
}

/** A tile of 1 × `columns` (≤ 8). */
function tile1(a: usize, aStep: usize, b: usize, bStep: usize, c: usize, init: usize, k: i32, columns: i32): void {
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0);
  if (init) {
    c0 = v128.load(init); c1 = v128.load(init, 16);
  }
  for (let i = k; i > 0; --i) {
    const s = v128.load32_splat(a);
    c0 = madd(c0, s, v128.load(b)); c1 = madd(c1, s, v128.load(b, 16));
    a += aStep;
    b += bStep;
  }
  storeRow(c, c0, c1, columns);
}

/** A tile of 1 × 32: enough sums side by side to hide the latency of one. */
function tile1x32(a: usize, aStep: usize, b: usize, bStep: usize, c: usize, init: usize, k: i32): void {
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), c2 = f32x4.splat(0), c3 = f32x4.splat(0);
  let c4 = f32x4.splat(0), c5 = f32x4.splat(0), c6 = f32x4.splat(0), c7 = f32x4.splat(0);
  if (init) {
    c0 = v128.load(init); c1 = v128.load(init, 16); c2 = v128.load(init, 32); c3 = v128.load(init, 48);
    c4 = v128.load(init, 64); c5 = v128.load(init, 80); c6 = v128.load(init, 96); c7 = v128.load(init, 112);
  }
  for (let i = k; i > 0; --i) {
    const s = v128.load32_splat(a);
    c0 = madd(c0, s, v128.load(b)); c1 = madd(c1, s, v128.load(b, 16));
    c2 = madd(c2, s, v128.load(b, 32)); c3 = madd(c3, s, v128.load(b, 48));
    c4 = madd(c4, s, v128.load(b, 64)); c5 = madd(c5, s, v128.load(b, 80));
    c6 = madd(c6, s, v128.load(b, 96)); c7 = madd(c7, s, v128.load(b, 112));
    a += aStep;
    b += bStep;
  }
  v128.store(c, c0); v128.store(c, c1, 16); v128.store(c, c2, 32); v128.store(c, c3, 48);
  v128.store(c, c4, 64); v128.store(c, c5, 80); v128.store(c, c6, 96); v128.store(c, c7, 112);
}

/** 4 rows of as many columns as a panel has: 24, 16, or 8 and fewer. */
function block4(
  a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize,
  c: usize, cRow: usize, init: usize, initRow: usize, k: i32, columns: i32,
): void {
  if (columns < HALF_WIDE) {
    tile4(a, aRow, aStep, b, bStep, c, cRow, init, initRow, k, columns);
    return;
  }
  const below = init ? init + 2 * initRow : 0;
  if (columns >= WIDE) {
    tile2x24(a, aRow, aStep, b, bStep, c, cRow, init, initRow, k);
    tile2x24(a + 2 * aRow, aRow, aStep, b, bStep, c + 2 * cRow, cRow, below, initRow, k);
  } else {
    tile2x16(a, aRow, aStep, b, bStep, c, cRow, init, initRow, k);
    tile2x16(a + 2 * aRow, aRow, aStep, b, bStep, c + 2 * cRow, cRow, below, initRow, k);
  }
}

/** Of the next panel, when so many columns are left; the last one may be narrower. */
@inline function panelWidth(left: i32): i32 {
  return left >= WIDE ? WIDE : left >= HALF_WIDE ? HALF_WIDE : TILE_N;
}

/** On the matrices as they lie; B is not transposed, and the rows of B and C are as far apart as it is said. */
export function direct(
  a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, c: usize, cRow: usize, init: usize, initRow: usize,
  m: i32, k: i32, n: i32,
): void {
  let i = 0;
  for (; i + TILE_M <= m; i += TILE_M) {
    for (let j = 0; j < n; j += panelWidth(n - j)) {
      const column = <usize>j << 2;
      block4(
        a, aRow, aStep, b + column, bStep, c + column, cRow,
        init ? init + column : 0, initRow, k, n - j,
      );
    }
    a += <usize>TILE_M * aRow;
    c += <usize>TILE_M * cRow;
    if (init) init += <usize>TILE_M * initRow;
  }
  for (; i < m; ++i) {
    let j = 0;
    for (; j + 32 <= n; j += 32) {
      const column = <usize>j << 2;
      tile1x32(a, aStep, b + column, bStep, c + column, init ? init + column : 0, k);
    }
    for (; j < n; j += TILE_N) {
      const column = <usize>j << 2;
      tile1(a, aStep, b + column, bStep, c + column, init ? init + column : 0, k, n - j);
    }
    a += aRow;
    c += cRow;
    if (init) init += initRow;
  }
}

/** Rows i … i + m of a transposed A, columns of k, as blocks of 4 rows: [m / 4][k][4]. Rows past m repeat the last. */
function packA(a: usize, aStep: usize, m: i32, k: i32): void {
  let to = packedA;
  for (let i = 0; i < m; i += TILE_M) {
    let from = a + (<usize>i << 2);
    // Reads past the last row where there are fewer than four: nobody reads what becomes of them.
    for (let l = 0; l < k; ++l) {
      v128.store(to, v128.load(from));
      from += aStep;
      to += 16;
    }
  }
}

/** `width` columns of op(B) from the given element on: [k][width]. Columns past the end may hold anything. */
function packB(b: usize, bStep: usize, bColumn: usize, k: i32, width: i32, columns: i32): void {
  const toStep = <usize>width << 2;
  for (let j = 0; j < columns; j += 4) {
    let to = packedB + (<usize>j << 2);
    if (bColumn == 4) {
      let from = b + (<usize>j << 2);
      for (let l = 0; l < k; ++l) {
        v128.store(to, v128.load(from));
        from += bStep;
        to += toStep;
      }
    } else {
      const row0 = b + <usize>j * bColumn;
      const row1 = j + 1 < columns ? row0 + bColumn : row0;
      const row2 = j + 2 < columns ? row1 + bColumn : row1;
      const row3 = j + 3 < columns ? row2 + bColumn : row2;
      transpose4(row0, row1, row2, row3, to, toStep, k);
    }
  }
}

/** Four rows of `length` numbers become the columns of as many rows of four. */
function transpose4(row0: usize, row1: usize, row2: usize, row3: usize, to: usize, toStep: usize, length: i32): void {
  let from: usize = 0;
  let i = length;
  for (; i >= 4; i -= 4) {
    const x = v128.load(row0 + from), y = v128.load(row1 + from), z = v128.load(row2 + from), w = v128.load(row3 + from);
    const xy = v128.shuffle<f32>(x, y, 0, 4, 1, 5), zw = v128.shuffle<f32>(z, w, 0, 4, 1, 5);
    const xyHigh = v128.shuffle<f32>(x, y, 2, 6, 3, 7), zwHigh = v128.shuffle<f32>(z, w, 2, 6, 3, 7);
    v128.store(to, v128.shuffle<f32>(xy, zw, 0, 1, 4, 5)); to += toStep;
    v128.store(to, v128.shuffle<f32>(xy, zw, 2, 3, 6, 7)); to += toStep;
    v128.store(to, v128.shuffle<f32>(xyHigh, zwHigh, 0, 1, 4, 5)); to += toStep;
    v128.store(to, v128.shuffle<f32>(xyHigh, zwHigh, 2, 3, 6, 7)); to += toStep;
    from += 16;
  }
  for (; i > 0; --i) {
    store<f32>(to, load<f32>(row0 + from));
    store<f32>(to, load<f32>(row1 + from), 4);
    store<f32>(to, load<f32>(row2 + from), 8);
    store<f32>(to, load<f32>(row3 + from), 12);
    from += 4;
    to += toStep;
  }
}

export function packed(
  a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, bColumn: usize,
  c: usize, init: usize, initRow: usize, m: i32, k: i32, n: i32,
): void {
  const cRow = <usize>n << 2;
  for (let k0 = 0; k0 == 0 || k0 < k; k0 += BLOCK_K) {
    const kb = min(BLOCK_K, k - k0);
    for (let m0 = 0; m0 < m; m0 += BLOCK_M) {
      const mb = min(BLOCK_M, m - m0);
      let block = a + <usize>m0 * aRow + <usize>k0 * aStep;
      let blockRow = aRow, blockStep = aStep, block4Step = <usize>TILE_M * aRow;
      if (aRow == 4) {
        packA(block, aStep, mb, kb);
        block = packedA;
        blockStep = 16;
        block4Step = <usize>kb << 4;
      }
      for (let j = 0, width = 0; j < n; j += width) {
        width = panelWidth(n - j);
        const columns = min(width, n - j);
        packB(b + <usize>k0 * bStep + <usize>j * bColumn, bStep, bColumn, kb, width, columns);
        const column = <usize>j << 2;
        const panelStep = <usize>width << 2;
        let rows = block;
        for (let i = 0; i < mb; i += TILE_M) {
          const to = c + <usize>(m0 + i) * cRow + column;
          // Later blocks of k go on from what the earlier ones left in C.
          let from: usize = 0;
          let fromRow = cRow;
          if (k0 > 0) from = to;
          else if (init) {
            from = init + <usize>(m0 + i) * initRow + column;
            fromRow = initRow;
          }
          if (mb - i >= TILE_M) {
            block4(rows, blockRow, blockStep, packedB, panelStep, to, cRow, from, fromRow, kb, columns);
          } else {
            for (let r = 0; r < mb - i; ++r) {
              for (let j8 = 0; j8 < columns; j8 += TILE_N) {
                const offset = <usize>j8 << 2;
                tile1(
                  rows + <usize>r * blockRow, blockStep, packedB + offset, panelStep, to + <usize>r * cRow + offset,
                  from ? from + <usize>r * fromRow + offset : 0, kb, columns - j8,
                );
              }
            }
          }
          rows += block4Step;
        }
      }
    }
  }
}

/** C [m, n] = init + op(A)·op(B); init 0 for zeros, c to accumulate, or a row with initRow 0. */
export function multiply(
  a: usize, b: usize, c: usize, init: usize, initRow: usize,
  m: i32, k: i32, n: i32, transposeA: bool, transposeB: bool,
): void {
  const aRow: usize = transposeA ? 4 : <usize>k << 2;
  const aStep: usize = transposeA ? <usize>m << 2 : 4;
  const packRows = transposeA ? PACK_ROWS_OF_TRANSPOSED : PACK_ROWS;
  if (!transposeB && (m < packRows || <f64>k * <f64>n < PACK_FROM)) {
    const row = <usize>n << 2;
    direct(a, aRow, aStep, b, row, c, row, init, initRow, m, k, n);
  } else {
    const bStep: usize = transposeB ? 4 : <usize>n << 2;
    const bColumn: usize = transposeB ? <usize>k << 2 : 4;
    packed(a, aRow, aStep, b, bStep, bColumn, c, init, initRow, m, k, n);
  }
}

export function matmul(
  a: u32, b: u32, out: u32, batch: i32, m: i32, k: i32, n: i32, transposeA: i32, transposeB: i32, accumulate: i32,
): void {
  const cRow = <usize>n << 2;
  for (let i = 0; i < batch; ++i) {
    const c = at(out) + <usize>i * <usize>m * cRow;
    multiply(
      at(a) + (<usize>i * m * k << 2), at(b) + (<usize>i * k * n << 2), c,
      accumulate ? c : 0, cRow, m, k, n, transposeA != 0, transposeB != 0,
    );
  }
}
