import { at, total } from "./lanes";
import { mask, put } from "./rows";

export function rmsNorm(x: u32, gain: u32, out: u32, statistics: u32, rows: i32, width: i32, epsilon: f32): void {
  let from = at(x), to = at(out), stats = at(statistics);
  const share = <f32>1 / <f32>width;
  for (let r = 0; r < rows; ++r) {
    let sum = f32x4.splat(0);
    for (let c = 0; c < width; c += 4) {
      const v = v128.load(from + (<usize>c << 2));
      sum = f32x4.add(sum, mask(f32x4.mul(v, v), width - c));
    }
    const scale = <f32>1 / sqrt<f32>(total(sum) * share + epsilon);
    const scales = f32x4.splat(scale);
    for (let c = 0; c < width; c += 4) {
      const shift = <usize>c << 2;
      const normal = f32x4.mul(v128.load(from + shift), scales);
      put(to + shift, f32x4.mul(normal, v128.load(at(gain) + shift)), width - c, false);
    }
    store<f32>(stats, scale);
    stats += 4;
    from += <usize>width << 2;
    to += <usize>width << 2;
  }
}

export function rmsNormGradient(
  x: u32, gain: u32, statistics: u32, dy: u32, dx: u32, dgain: u32, rows: i32, width: i32, accumulate: i32,
): void {
  const share = f32x4.splat(<f32>1 / <f32>width);
  const bytes = <usize>width << 2;
  if (dgain && !(accumulate & 2)) memory.fill(at(dgain), 0, bytes);
  let from = at(x), slope = at(dy), to = at(dx), stats = at(statistics);
  for (let r = 0; r < rows; ++r) {
    const scale = v128.load32_splat(stats);
    let sum = f32x4.splat(0);
    for (let c = 0; c < width; c += 4) {
      const shift = <usize>c << 2;
      const d = v128.load(slope + shift);
      const normal = f32x4.mul(v128.load(from + shift), scale);
      if (dgain) put(at(dgain) + shift, f32x4.mul(d, normal), width - c, true);
      const g = f32x4.mul(d, v128.load(at(gain) + shift));
      sum = f32x4.add(sum, mask(f32x4.mul(g, normal), width - c));
    }
    if (dx) {
      const mean = f32x4.mul(f32x4.splat(total(sum)), share);
      for (let c = 0; c < width; c += 4) {
        const shift = <usize>c << 2;
        const g = f32x4.mul(v128.load(slope + shift), v128.load(at(gain) + shift));
        const normal = f32x4.mul(v128.load(from + shift), scale);
        put(to + shift, f32x4.mul(f32x4.sub(g, f32x4.mul(normal, mean)), scale), width - c, (accumulate & 1) != 0);
      }
    }
    from += bytes;
    slope += bytes;
    to += bytes;
    stats += 4;
  }
}

/** See `Kernels.rotate`: rows of heads of two halves. */
export function rotate(
  x: u32, angles: u32, out: u32, rows: i32, heads: i32, width: i32, inverse: i32, accumulate: i32,
): void {
  const half = width >> 1;
  const bytes = <usize>half << 2;
  const keep = accumulate != 0;
  let from = at(x), to = at(out), cosines = at(angles);
  for (let r = 0; r < rows; ++r) {
    for (let h = 0; h < heads; ++h) {
      for (let c = 0; c < half; c += 4) {
        const shift = <usize>c << 2;
        const cosine = v128.load(cosines + shift);
        let sine = v128.load(cosines + bytes + shift);
        if (inverse) sine = f32x4.neg(sine);
        const first = v128.load(from + shift), second = v128.load(from + bytes + shift);
        put(to + shift, f32x4.sub(f32x4.mul(first, cosine), f32x4.mul(second, sine)), half - c, keep);
        put(to + bytes + shift, f32x4.add(f32x4.mul(second, cosine), f32x4.mul(first, sine)), half - c, keep);
      }
      from += bytes << 1;
      to += bytes << 1;
    }
    cosines += bytes << 1;
  }
}
