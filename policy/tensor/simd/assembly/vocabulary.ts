import { dots } from "./dots";
import { exp, log } from "./float32";
import { panelGradient } from "./frozen";
import { at, index, storePart, total } from "./lanes";
import { multiply } from "./matmul";
import { mask, maxOf } from "./rows";

// Log-softmax over a vocabulary from x [rows, width] and a part of its table [count, width], words `from` on, at a time: the logits of a few
// rows and that part only ever lie in the workspace. Of each row the statistics keep the largest logit, Σ e, Σ e·(logit − largest) and the
// target's logit, with e = exp(logit − largest) (Milakov & Gimelshein 2018).

/** Rows of the workspace, which has `count` columns: as many as make packing the part of the table for their gradient pay. */
@inline const BLOCK: i32 = 128;

export function vocabularySums(
  x: u32, table: u32, targets: u32, statistics: u32, workspace: u32, rows: i32, width: i32, from: i32, count: i32,
): void {
  const xRow = <usize>width << 2, row = <usize>count << 2;
  let stats = at(statistics);
  for (let i = 0; i < rows; i += BLOCK) {
    const block = min(BLOCK, rows - i);
    dots(at(x) + <usize>i * xRow, xRow, at(table), xRow, at(workspace), row, 0, block, width, count, 1);
    let logits = at(workspace);
    for (let r = 0; r < block; ++r) {
      const before = from == 0 ? f32.NEGATIVE_INFINITY : load<f32>(stats);
      const top = max(before, maxOf(logits, count));
      const tops = f32x4.splat(top);
      let sum = f32x4.splat(0), weighted = f32x4.splat(0);
      for (let j = 0; j < count; j += 4) {
        const d = f32x4.sub(v128.load(logits + (<usize>j << 2)), tops);
        const e = exp(d);
        sum = f32x4.add(sum, mask(e, count - j));
        weighted = f32x4.add(weighted, mask(f32x4.mul(e, d), count - j));
      }
      let s = total(sum), w = total(weighted);
      if (from != 0) {
        const moved = before - top;
        const shrunk = f32x4.extract_lane(exp(f32x4.splat(moved)), 0);
        const sumBefore = load<f32>(stats, 4);
        s = sumBefore * shrunk + s;
        w = (sumBefore * moved + load<f32>(stats, 8)) * shrunk + w;
      }
      store<f32>(stats, top);
      store<f32>(stats, s, 4);
      store<f32>(stats, w, 8);
      const target = index(at(targets), i + r) - from;
      if (target >= 0 && target < count) store<f32>(stats, load<f32>(logits + (<usize>target << 2)), 12);
      stats += 16;
      logits += row;
    }
  }
}

/** From the statistics to log-probability of the target and entropy: out [rows, 2]. */
export function vocabularyResult(statistics: u32, out: u32, rows: i32): void {
  let stats = at(statistics), to = at(out);
  for (let r = 0; r < rows; ++r) {
    const sum = load<f32>(stats, 4);
    const logSum = f32x4.extract_lane(log(f32x4.splat(sum)), 0);
    store<f32>(to, load<f32>(stats, 12) - load<f32>(stats) - logSum);
    store<f32>(to, logSum - load<f32>(stats, 8) / sum, 4);
    stats += 16;
    to += 8;
  }
}

/** Adds to dx and dtable (this part of it), from y = out of `vocabularyResult` and dy [rows, 2]. */
export function vocabularyGradient(
  x: u32, table: u32, targets: u32, statistics: u32, y: u32, dy: u32, dx: u32, dtable: u32, workspace: u32,
  rows: i32, width: i32, from: i32, count: i32,
): void {
  const xRow = <usize>width << 2, row = <usize>count << 2;
  let stats = at(statistics), value = at(y), slope = at(dy);
  for (let i = 0; i < rows; i += BLOCK) {
    const block = min(BLOCK, rows - i);
    const part = <usize>i * xRow;
    dots(at(x) + part, xRow, at(table), xRow, at(workspace), row, 0, block, width, count, 1);
    let logits = at(workspace);
    for (let r = 0; r < block; ++r) {
      const top = v128.load32_splat(stats);
      const logSum = log(v128.load32_splat(stats, 4));
      const entropy = v128.load32_splat(value, 4);
      const ofLogProb = load<f32>(slope);
      const slopes = f32x4.splat(ofLogProb), ofEntropy = v128.load32_splat(slope, 4);
      for (let j = 0; j < count; j += 4) {
        const to = logits + (<usize>j << 2);
        const logP = f32x4.sub(f32x4.sub(v128.load(to), top), logSum);
        const d = f32x4.add(slopes, f32x4.mul(ofEntropy, f32x4.add(logP, entropy)));
        const g = f32x4.neg(f32x4.mul(exp(logP), d));
        if (count - j >= 4) v128.store(to, g);
        else storePart(to, g, count - j);
      }
      const target = index(at(targets), i + r) - from;
      if (target >= 0 && target < count) {
        const to = logits + (<usize>target << 2);
        store<f32>(to, load<f32>(to) + ofLogProb);
      }
      stats += 16;
      value += 8;
      slope += 8;
      logits += row;
    }
    if (dx) panelGradient(workspace, table, dx + i * width, block, width, count, count, 1);
    if (dtable) {
      multiply(at(workspace), at(x) + part, at(dtable), at(dtable), xRow, count, block, width, true, false);
    }
  }
}
