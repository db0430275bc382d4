import { exp, log } from "./float32";
import { at, firstLanes, index, storePart, total } from "./lanes";

@inline export function put(to: usize, v: v128, rest: i32, accumulate: bool): void {
  const value = accumulate ? f32x4.add(v128.load(to), v) : v;
  if (rest >= 4) v128.store(to, value);
  else storePart(to, value, rest);
}

@inline export function mask(v: v128, rest: i32): v128 {
  return rest < 4 ? v128.and(v, firstLanes(rest)) : v;
}

export function sumOf(from: usize, length: i32): f32 {
  let sum = f32x4.splat(0);
  let i = length;
  for (; i >= 4; i -= 4) {
    sum = f32x4.add(sum, v128.load(from));
    from += 16;
  }
  if (i > 0) sum = f32x4.add(sum, mask(v128.load(from), i));
  return total(sum);
}

export function maxOf(from: usize, length: i32): f32 {
  let top = f32x4.splat(f32.NEGATIVE_INFINITY);
  for (let i = length; i > 0; i -= 4) {
    let v = v128.load(from);
    if (i < 4) v = v128.bitselect(v, f32x4.splat(f32.NEGATIVE_INFINITY), firstLanes(i));
    top = f32x4.max(top, v);
    from += 16;
  }
  return max(
    max(f32x4.extract_lane(top, 0), f32x4.extract_lane(top, 2)),
    max(f32x4.extract_lane(top, 1), f32x4.extract_lane(top, 3)),
  );
}

export function sumRows(x: u32, out: u32, rows: i32, width: i32, factor: f32): void {
  let from = at(x), to = at(out);
  for (let r = 0; r < rows; ++r) {
    store<f32>(to, sumOf(from, width) * factor);
    from += <usize>width << 2;
    to += 4;
  }
}

export function spreadRows(x: u32, out: u32, rows: i32, width: i32, factor: f32, accumulate: i32): void {
  let from = at(x), row = at(out);
  for (let r = 0; r < rows; ++r) {
    const value = f32x4.splat(load<f32>(from) * factor);
    let to = row;
    for (let i = width; i > 0; i -= 4) {
      put(to, value, i, accumulate != 0);
      to += 16;
    }
    from += 4;
    row += <usize>width << 2;
  }
}

/** to[…] (+)= from[…] */
@inline function copyRow(from: usize, to: usize, width: i32, accumulate: bool): void {
  for (let i = width; i > 0; i -= 4) {
    put(to, v128.load(from), i, accumulate);
    from += 16;
    to += 16;
  }
}

export function copyColumns(
  x: u32, xWidth: i32, xFrom: i32, out: u32, outWidth: i32, outFrom: i32, rows: i32, width: i32, accumulate: i32,
): void {
  let from = at(x + xFrom), to = at(out + outFrom);
  for (let r = 0; r < rows; ++r) {
    copyRow(from, to, width, accumulate != 0);
    from += <usize>xWidth << 2;
    to += <usize>outWidth << 2;
  }
}

export function expand(x: u32, offsets: u32, out: u32, rows: i32, width: i32, accumulate: i32): void {
  let from = at(x), to = at(out);
  const step = <usize>width << 2;
  for (let i = 0; i < rows; ++i) {
    const end = index(at(offsets), i + 1);
    for (let k = index(at(offsets), i); k < end; ++k) {
      copyRow(from, to, width, accumulate != 0);
      to += step;
    }
    from += step;
  }
}

export function segmentSum(x: u32, offsets: u32, out: u32, rows: i32, width: i32, accumulate: i32): void {
  let from = at(x), to = at(out);
  const step = <usize>width << 2;
  for (let i = 0; i < rows; ++i) {
    const count = index(at(offsets), i + 1) - index(at(offsets), i);
    for (let j = 0; j < width; j += 4) {
      const shift = <usize>j << 2;
      let sum = accumulate ? v128.load(to + shift) : f32x4.splat(0);
      let item = from + shift;
      for (let k = 0; k < count; ++k) {
        sum = f32x4.add(sum, v128.load(item));
        item += step;
      }
      put(to + shift, sum, width - j, false);
    }
    from += <usize>count * step;
    to += step;
  }
}

export function segmentLogSoftmax(x: u32, offsets: u32, out: u32, rows: i32): void {
  for (let i = 0; i < rows; ++i) {
    const start = index(at(offsets), i);
    const length = index(at(offsets), i + 1) - start;
    if (length == 0) continue;
    const from = at(x + start), to = at(out + start);
    const top = f32x4.splat(maxOf(from, length));
    let sum = f32x4.splat(0);
    for (let k = 0; k < length; k += 4) {
      const v = exp(f32x4.sub(v128.load(from + (<usize>k << 2)), top));
      sum = f32x4.add(sum, mask(v, length - k));
    }
    const logTotal = log(f32x4.splat(total(sum)));
    for (let k = 0; k < length; k += 4) {
      const shift = <usize>k << 2;
      put(to + shift, f32x4.sub(f32x4.sub(v128.load(from + shift), top), logTotal), length - k, false);
    }
  }
}

export function segmentLogSoftmaxGradient(y: u32, offsets: u32, dy: u32, dx: u32, rows: i32, accumulate: i32): void {
  for (let i = 0; i < rows; ++i) {
    const start = index(at(offsets), i);
    const length = index(at(offsets), i + 1) - start;
    const value = at(y + start), g = at(dy + start), to = at(dx + start);
    const sum = f32x4.splat(sumOf(g, length));
    for (let k = 0; k < length; k += 4) {
      const shift = <usize>k << 2;
      const v = f32x4.sub(v128.load(g + shift), f32x4.mul(exp(v128.load(value + shift)), sum));
      put(to + shift, v, length - k, accumulate != 0);
    }
  }
}

export function softmax(x: u32, out: u32, rows: i32, width: i32): void {
  let from = at(x), to = at(out);
  for (let r = 0; r < rows; ++r) {
    const top = f32x4.splat(maxOf(from, width));
    for (let c = 0; c < width; c += 4) {
      const shift = <usize>c << 2;
      put(to + shift, exp(f32x4.sub(v128.load(from + shift), top)), width - c, false);
    }
    const scale = f32x4.splat(<f32>1 / sumOf(to, width));
    for (let c = 0; c < width; c += 4) {
      const shift = <usize>c << 2;
      put(to + shift, f32x4.mul(v128.load(to + shift), scale), width - c, false);
    }
    from += <usize>width << 2;
    to += <usize>width << 2;
  }
}

export function softmaxGradient(y: u32, dy: u32, dx: u32, rows: i32, width: i32, accumulate: i32): void {
  let value = at(y), g = at(dy), to = at(dx);
  for (let r = 0; r < rows; ++r) {
    let sum = f32x4.splat(0);
    for (let c = 0; c < width; c += 4) {
      const shift = <usize>c << 2;
      sum = f32x4.add(sum, mask(f32x4.mul(v128.load(value + shift), v128.load(g + shift)), width - c));
    }
    const dot = f32x4.splat(total(sum));
    for (let c = 0; c < width; c += 4) {
      const shift = <usize>c << 2;
      const v = f32x4.mul(v128.load(value + shift), f32x4.sub(v128.load(g + shift), dot));
      put(to + shift, v, width - c, accumulate != 0);
    }
    value += <usize>width << 2;
    g += <usize>width << 2;
    to += <usize>width << 2;
  }
}

export function layerNorm(x: u32, gain: u32, bias: u32, out: u32, statistics: u32, rows: i32, width: i32): void {
  let from = at(x), to = at(out), stats = at(statistics);
  const share = <f32>1 / <f32>width;
  for (let r = 0; r < rows; ++r) {
    const mean = sumOf(from, width) * share;
    const means = f32x4.splat(mean);
    let sum = f32x4.splat(0);
    for (let c = 0; c < width; c += 4) {
      const d = f32x4.sub(v128.load(from + (<usize>c << 2)), means);
      sum = f32x4.add(sum, mask(f32x4.mul(d, d), width - c));
    }
    const scale = <f32>1 / sqrt<f32>(total(sum) * share + <f32>1e-5);
    const scales = f32x4.splat(scale);
    for (let c = 0; c < width; c += 4) {
      const shift = <usize>c << 2;
      const normal = f32x4.mul(f32x4.sub(v128.load(from + shift), means), scales);
      const v = f32x4.add(f32x4.mul(normal, v128.load(at(gain) + shift)), v128.load(at(bias) + shift));
      put(to + shift, v, width - c, false);
    }
    store<f32>(stats, mean);
    store<f32>(stats, scale, 4);
    stats += 8;
    from += <usize>width << 2;
    to += <usize>width << 2;
  }
}

export function layerNormGradient(
  x: u32, gain: u32, statistics: u32, dy: u32, dx: u32, dgain: u32, dbias: u32, rows: i32, width: i32, accumulate: i32,
): void {
  const share = f32x4.splat(<f32>1 / <f32>width);
  const bytes = <usize>width << 2;
  if (dgain && !(accumulate & 2)) memory.fill(at(dgain), 0, bytes);
  if (dbias && !(accumulate & 4)) memory.fill(at(dbias), 0, bytes);
  let from = at(x), slope = at(dy), to = at(dx), stats = at(statistics);
  for (let r = 0; r < rows; ++r) {
    const mean = v128.load32_splat(stats), scale = v128.load32_splat(stats, 4);
    let sum = f32x4.splat(0), sumNormal = f32x4.splat(0);
    for (let c = 0; c < width; c += 4) {
      const shift = <usize>c << 2;
      const d = v128.load(slope + shift);
      const normal = f32x4.mul(f32x4.sub(v128.load(from + shift), mean), scale);
      if (dgain) put(at(dgain) + shift, f32x4.mul(d, normal), width - c, true);
      if (dbias) put(at(dbias) + shift, d, width - c, true);
      const g = mask(f32x4.mul(d, v128.load(at(gain) + shift)), width - c);
      sum = f32x4.add(sum, g);
      sumNormal = f32x4.add(sumNormal, mask(f32x4.mul(g, normal), width - c));
    }
    if (dx) {
      const meanG = f32x4.mul(f32x4.splat(total(sum)), share);
      const meanNormal = f32x4.mul(f32x4.splat(total(sumNormal)), share);
      for (let c = 0; c < width; c += 4) {
        const shift = <usize>c << 2;
        const g = f32x4.mul(v128.load(slope + shift), v128.load(at(gain) + shift));
        const normal = f32x4.mul(f32x4.sub(v128.load(from + shift), mean), scale);
        const v = f32x4.mul(f32x4.sub(f32x4.sub(g, meanG), f32x4.mul(normal, meanNormal)), scale);
        put(to + shift, v, width - c, (accumulate & 1) != 0);
      }
    }
    from += bytes;
    slope += bytes;
    to += bytes;
    stats += 8;
  }
}
