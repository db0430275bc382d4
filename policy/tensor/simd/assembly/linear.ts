import { at, storePart } from "./lanes";
import { fill, unary, unaryGradient } from "./elementwise";
import { multiply } from "./matmul";

export function linear(x: u32, w: u32, bias: u32, out: u32, m: i32, k: i32, n: i32, activation: i32): void {
  multiply(at(x), at(w), at(out), at(bias), 0, m, k, n, false, false);
  if (activation) unary(activation, out, out, m * n, 0, 0);
}

export function linearGradient(
  x: u32, w: u32, y: u32, dy: u32, dx: u32, dw: u32, dbias: u32, m: i32, k: i32, n: i32, activation: i32, accumulate: i32,
): void {
  if (activation) unaryGradient(activation, y, y, dy, dy, m * n, 0, 0, 0);
  if (dbias) {
    if (!(accumulate & 4)) fill(dbias, n, 0);
    addRows(at(dy), at(dbias), m, n);
  }
  if (dw) multiply(at(x), at(dy), at(dw), accumulate & 2 ? at(dw) : 0, <usize>n << 2, k, m, n, true, false);
  if (dx) multiply(at(dy), at(w), at(dx), accumulate & 1 ? at(dx) : 0, <usize>k << 2, m, n, k, false, true);
}

/** out [n] += all rows of x [m, n]: each column from the first row to the last, 16 columns side by side. */
function addRows(x: usize, out: usize, m: i32, n: i32): void {
  const step = <usize>n << 2;
  let left = n;
  for (; left >= 16; left -= 16) {
    let a = v128.load(out), b = v128.load(out, 16), c = v128.load(out, 32), d = v128.load(out, 48);
    let row = x;
    for (let i = m; i > 0; --i) {
      a = f32x4.add(a, v128.load(row)); b = f32x4.add(b, v128.load(row, 16));
      c = f32x4.add(c, v128.load(row, 32)); d = f32x4.add(d, v128.load(row, 48));
      row += step;
    }
    v128.store(out, a); v128.store(out, b, 16); v128.store(out, c, 32); v128.store(out, d, 48);
    x += 64;
    out += 64;
  }
  for (; left > 0; left -= 4) {
    let sum = v128.load(out);
    let row = x;
    for (let i = m; i > 0; --i) {
      sum = f32x4.add(sum, v128.load(row));
      row += step;
    }
    if (left >= 4) v128.store(out, sum);
    else storePart(out, sum, left);
    x += 16;
    out += 16;
  }
}
