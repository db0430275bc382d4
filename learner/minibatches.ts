/**
 * How rows are cut: those of an update into minibatches, a minibatch into a shard for each thread, a shard into passes that fit into
 * memory. Rows are independent of each other, but for those of a language policy: there the rows of a sequence stay together and in
 * their order, and what counts is how many tokens they have.
 */
import { uniform01 } from "../envs/random.ts";
import { continues, tokensOf } from "../policy/language/answer-rows.ts";
import type { Rows } from "../policy/rows.ts";

/** `items`: of a language policy, the tokens of row i are items[i] … items[i+1] of what is given by token. [R + 1] */
export interface Cuttable {
  rows: Rows;
  items?: Uint32Array;
}

export interface PackingOptions {
  /** Of a language policy: most tokens of one pass, unless a single sequence has more. Absent: no limit. */
  passTokens?: number;
}

/** How many values the named rows have of what is given by row, or by token. */
export function itemCount({ items }: Cuttable, index: Uint32Array): number {
  return items ? index.reduce((sum, row) => sum + items[row + 1]! - items[row]!, 0) : index.length;
}

/**
 * Minibatches of `size` rows, in a new order each time they are asked for. Of whole sequences: as many as fit, at least one.
 * @param rows which ones; a sequence is there from its first row on
 */
export function minibatches(data: Cuttable, rows: Uint32Array, size: number): (seed: number) => Iterable<Uint32Array> {
  const starts = sequences(data, rows);
  if (!starts) {
    const order = rows.slice();
    return function* (seed) {
      shuffle(order, seed);
      for (let from = 0; from < order.length; from += size) yield order.subarray(from, from + size);
    };
  }
  const order = Uint32Array.from({ length: starts.length - 1 }, (_, i) => i);
  return function* (seed) {
    shuffle(order, seed);
    let taken: number[] = [];
    for (const s of order) {
      const sequence = rows.subarray(starts[s], starts[s + 1]);
      if (taken.length > 0 && taken.length + sequence.length > size) {
        yield Uint32Array.from(taken);
        taken = [];
      }
      taken.push(...sequence);
    }
    if (taken.length) yield Uint32Array.from(taken);
  };
}

/** The rows of shard s of `shards`: consecutive and as even as can be. */
export function shardOf(data: Cuttable, index: Uint32Array, s: number, shards: number): Uint32Array {
  const starts = sequences(data, index);
  if (!starts)
    return index.subarray(Math.floor((index.length * s) / shards), Math.floor((index.length * (s + 1)) / shards));
  const size = tokensOf(data.rows);
  // Tokens before each sequence, and all of them at the end.
  const before = [0];
  for (let k = 0; k + 1 < starts.length; k++)
    before.push(before[k]! + sum(index.subarray(starts[k], starts[k + 1]), size));
  const cut = (part: number) => starts[before.findIndex((tokens) => tokens * shards >= before.at(-1)! * part)];
  return index.subarray(cut(s), cut(s + 1));
}

/** The rows in as few passes as their order allows. */
export function passesOf(data: Cuttable, index: Uint32Array, { passTokens = Infinity }: PackingOptions): Uint32Array[] {
  const starts = sequences(data, index);
  if (!starts) return index.length ? [index] : [];
  const size = tokensOf(data.rows);
  const passes: Uint32Array[] = [];
  let from = 0;
  let tokens = 0;
  for (let k = 0; k + 1 < starts.length; k++) {
    const more = sum(index.subarray(starts[k], starts[k + 1]), size);
    if (tokens > 0 && tokens + more > passTokens) {
      passes.push(index.subarray(from, starts[k]));
      [from, tokens] = [starts[k]!, 0];
    }
    tokens += more;
  }
  if (from < index.length) passes.push(index.subarray(from));
  return passes;
}

/** Where in `index` each sequence begins, and where the last one ends; undefined where every row is by itself. */
function sequences({ rows, items }: Cuttable, index: Uint32Array): Uint32Array | undefined {
  if (!items) return undefined;
  const goesOn = continues(rows);
  const starts: number[] = [];
  for (let i = 0; i < index.length; i++) {
    if (!goesOn(index[i]!)) starts.push(i);
    else if (i === 0 || index[i - 1] !== index[i]! - 1)
      throw new RangeError(`Row ${index[i]} goes on with row ${index[i]! - 1}, which does not stand before it`);
  }
  return Uint32Array.from([...starts, index.length]);
}

const sum = (rows: Uint32Array, of: (row: number) => number) => rows.reduce((total, row) => total + of(row), 0);

/** Fisher–Yates, in place. */
export function shuffle(order: Uint32Array, seed: number): void {
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(uniform01(seed, i) * (i + 1));
    const held = order[i]!;
    order[i] = order[j]!;
    order[j] = held;
  }
}
