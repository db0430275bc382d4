import { at, storePart } from "./lanes";
import { direct, PACK_ROWS, packed } from "./matmul";
import { put } from "./rows";

@inline const BF16: i32 = 0;
@inline const F16: i32 = 1;

/** Four stored numbers as float32. f16: no infinities, which weights have not. */
@inline function widened(format: i32, raw: usize): v128 {
  const bits = i32x4.extend_low_i16x8_u(v128.load64_zero(raw));
  if (format == BF16) return i32x4.shl(bits, 16);
  const sign = i32x4.shl(v128.and(bits, i32x4.splat(0x8000)), 16);
  const magnitude = i32x4.shl(v128.and(bits, i32x4.splat(0x7fff)), 13);
  // The exponents' biases differ by 112; multiplying makes denormals right too.
  return v128.or(sign, f32x4.mul(magnitude, f32x4.splat(reinterpret<f32>(0x77800000))));
}

@inline function widenAll(format: i32, raw: usize, to: usize, count: i32): void {
  for (; count >= 4; count -= 4) {
    v128.store(to, widened(format, raw));
    raw += 8;
    to += 16;
  }
  if (count > 0) storePart(to, widened(format, raw), count);
}

/** Stored rows to float32; the numbers of the formats are those of ../kernels.ts. */
export function unpack(format: i32, raw: u32, scales: u32, out: u32, rows: i32, width: i32): void {
  if (format == BF16) {
    widenAll(BF16, at(raw), at(out), rows * width);
  } else if (format == F16) {
    widenAll(F16, at(raw), at(out), rows * width);
  } else {
    let from = at(raw), to = at(out);
    for (let r = 0; r < rows; ++r) {
      const scale = v128.load32_splat(at(scales + r));
      for (let c = 0; c < width; c += 4) {
        const words = i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(from + <usize>c)));
        put(to + (<usize>c << 2), f32x4.mul(f32x4.convert_i32x4_s(words), scale), width - c, false);
      }
      from += <usize>width;
      to += <usize>width << 2;
    }
  }
}

/** dx (+)= the part of dy·w that comes from `count` of the n rows of w; dy begins at the first of them. */
export function panelGradient(dy: u32, w: u32, dx: u32, m: i32, k: i32, count: i32, n: i32, accumulate: i32): void {
  const row = <usize>k << 2;
  const to = at(dx);
  const init = accumulate ? to : 0;
  if (m < PACK_ROWS) direct(at(dy), <usize>n << 2, 4, at(w), row, to, row, init, row, m, count, k);
  else packed(at(dy), <usize>n << 2, 4, at(w), row, 4, to, init, row, m, count, k);
}
