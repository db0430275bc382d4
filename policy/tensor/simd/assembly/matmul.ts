import { at, storePart } from "./lanes";

// C = init + A·B. Every element sums over k one after the other in one register lane, so neither the tile it falls into nor the
// number of rows changes its bits. Small products run on the matrices as they lie; larger ones, and those with B transposed, on
// copies packed so that the innermost loop reads straight on: A in blocks of 4 rows, B in panels of 8 columns.

@inline const TILE_M: i32 = 4;
@inline const TILE_N: i32 = 8;
/** A panel of B (16 KiB) stays in the first cache, a block of A (256 KiB) in the second. */
@inline const BLOCK_K: i32 = 512;
@inline const BLOCK_M: i32 = 128;
/** From this many elements of B on, and this many rows to use a packed copy for, packing pays. */
@inline const PACK_FROM: i32 = 32768;
@inline export const PACK_ROWS: i32 = 32;

const packedA: usize = memory.data(BLOCK_K * BLOCK_M * 4, 16);
const packedB: usize = memory.data(BLOCK_K * TILE_N * 4, 16);

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

/** On the matrices as they lie; B is not transposed, and the rows of B and C are as far apart as it is said. */
export function direct(
  a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, c: usize, cRow: usize, init: usize, initRow: usize,
  m: i32, k: i32, n: i32,
): void {
  let i = 0;
  for (; i + TILE_M <= m; i += TILE_M) {
    for (let j = 0; j < n; j += TILE_N) {
      const column = <usize>j << 2;
      tile4(
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

/** Rows i … i + m of op(A), columns of k, as blocks of 4 rows: [m / 4][k][4]. Rows past m repeat the last. */
function packA(a: usize, aRow: usize, aStep: usize, m: i32, k: i32): void {
  let to = packedA;
  for (let i = 0; i < m; i += TILE_M) {
    const a0 = a;
    const a1 = i + 1 < m ? a0 + aRow : a0;
    const a2 = i + 2 < m ? a1 + aRow : a1;
    const a3 = i + 3 < m ? a2 + aRow : a2;
    if (aRow == 4 && i + TILE_M <= m) {
      let from = a;
      for (let l = 0; l < k; ++l) {
        v128.store(to, v128.load(from));
        from += aStep;
        to += 16;
      }
    } else {
      let from: usize = 0;
      for (let l = 0; l < k; ++l) {
        store<f32>(to, load<f32>(a0 + from));
        store<f32>(to, load<f32>(a1 + from), 4);
        store<f32>(to, load<f32>(a2 + from), 8);
        store<f32>(to, load<f32>(a3 + from), 12);
        from += aStep;
        to += 16;
      }
    }
    a += <usize>TILE_M * aRow;
  }
}

/** 8 columns of op(B) from the given element on: [k][8]. Columns past the end may hold anything. */
function packB(b: usize, bStep: usize, bColumn: usize, k: i32, columns: i32): void {
  let to = packedB;
  if (bColumn == 4) {
    for (let l = 0; l < k; ++l) {
      v128.store(to, v128.load(b));
      v128.store(to, v128.load(b, 16), 16);
      b += bStep;
      to += 32;
    }
    return;
  }
  for (let j = 0; j < columns; ++j) {
    let from = b;
    to = packedB + (<usize>j << 2);
    for (let l = 0; l < k; ++l) {
      store<f32>(to, load<f32>(from));
      from += bStep;
      to += 32;
    }
    b += bColumn;
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
      packA(a + <usize>m0 * aRow + <usize>k0 * aStep, aRow, aStep, mb, kb);
      for (let j = 0; j < n; j += TILE_N) {
        const columns = min(TILE_N, n - j);
        packB(b + <usize>k0 * bStep + <usize>j * bColumn, bStep, bColumn, kb, columns);
        const column = <usize>j << 2;
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
          const block = packedA + <usize>i * <usize>kb * 4;
          if (mb - i >= TILE_M) {
            tile4(block, 4, 16, packedB, 32, to, cRow, from, fromRow, kb, columns);
          } else {
            for (let r = 0; r < mb - i; ++r) {
              tile1(
                block + (<usize>r << 2), 16, packedB, 32, to + <usize>r * cRow,
                from ? from + <usize>r * fromRow : 0, kb, columns,
              );
            }
          }
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
  if (!transposeB && (m < PACK_ROWS || <f64>k * <f64>n < PACK_FROM)) {
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
