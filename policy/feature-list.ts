import { combine } from "./phrase.ts";

/** 0, 1, 2, 3 (3 … 4), 4 (5 … 8), 5 (more). */
export function bucket(count: number): number {
  return count < 3 ? count : count < 5 ? 3 : count < 9 ? 4 : 5;
}

/** Features of one list, hashed to the rows of an embedding table, in memory that is used again for the next list. */
export class FeatureList {
  ids = new Int32Array(256);
  count = 0;
  private readonly shift: number;

  constructor(tableBits: number) {
    this.shift = 32 - tableBits;
  }

  clear(): void {
    this.count = 0;
  }

  /** The row of the table that a feature has: a kind with its arguments. */
  id(kind: number, a: number, b = 0, c = 0, d = 0): number {
    const h = combine(combine(combine(combine(kind, a), b), c), d);
    return (h ^ (h >>> 16)) >>> this.shift;
  }

  add(kind: number, a: number, b = 0, c = 0, d = 0): void {
    this.push(this.id(kind, a, b, c, d));
  }

  /** Adds a feature by the row of the table that it has. */
  push(id: number): void {
    if (this.count === this.ids.length) this.grow(1);
    this.ids[this.count++] = id;
  }

  append(ids: Int32Array, count = ids.length): void {
    if (this.count + count > this.ids.length) this.grow(count);
    for (let i = 0; i < count; i++) this.ids[this.count + i] = ids[i];
    this.count += count;
  }

  copy(): Int32Array {
    return this.ids.slice(0, this.count);
  }

  private grow(extra: number): void {
    const ids = new Int32Array(Math.max(this.count + extra, 2 * this.ids.length));
    ids.set(this.ids.subarray(0, this.count));
    this.ids = ids;
  }
}
