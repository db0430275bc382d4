/** What kernels over ragged lists need to know of their indices, worked out on the host, where the indices come from. */

/** Owner of each item: row i for k in offsets[i] … offsets[i+1]. */
export function ownersOf(offsets: ArrayLike<number>): Int32Array {
  const rows = offsets.length - 1;
  const owners = new Int32Array(rows < 0 ? 0 : offsets[rows]);
  for (let i = 0; i < rows; i++) owners.fill(i, offsets[i], offsets[i + 1]);
  return owners;
}

/** The same pairs (item, target) by target: what each target is hit by, in the order of the items. */
export interface Inverse {
  /** Targets that are hit, ascending [U]. */
  targets: Int32Array;
  /** Items of target u: items[offsets[u] … offsets[u+1]). */
  offsets: Int32Array;
  items: Int32Array;
}

/** @param targets of item k */
export function inverseOf(targets: ArrayLike<number>): Inverse {
  let largest = -1;
  for (let k = 0; k < targets.length; k++) largest = Math.max(largest, targets[k]);
  const ends = new Int32Array(largest + 2);
  for (let k = 0; k < targets.length; k++) ends[targets[k] + 1]++;
  const hit: number[] = [];
  for (let t = 0; t <= largest; t++) {
    if (ends[t + 1] > 0) hit.push(t);
    ends[t + 1] += ends[t];
  }
  const offsets = new Int32Array(hit.length + 1);
  for (let u = 0; u < hit.length; u++) offsets[u + 1] = ends[hit[u] + 1];
  const items = new Int32Array(targets.length);
  for (let k = 0; k < targets.length; k++) items[ends[targets[k]]++] = k;
  return { targets: Int32Array.from(hit), offsets, items };
}

/** Rows of different length as rows of one length: where each place of the padded rows comes from, and each item goes to. */
export interface Padding {
  width: number;
  /** [rows × width]; `items` where there is nothing. */
  from: Int32Array;
  /** [items] */
  to: Int32Array;
}

/** Undefined when the rows are of one length already. */
export function paddingOf(offsets: ArrayLike<number>): Padding | undefined {
  const rows = offsets.length - 1;
  const items = offsets[rows];
  let width = 0;
  for (let i = 0; i < rows; i++) width = Math.max(width, offsets[i + 1] - offsets[i]);
  if (items === rows * width) return undefined;
  const from = new Int32Array(rows * width).fill(items);
  const to = new Int32Array(items);
  for (let i = 0; i < rows; i++) {
    for (let k = offsets[i]; k < offsets[i + 1]; k++) {
      to[k] = i * width + k - offsets[i];
      from[to[k]] = k;
    }
  }
  return { width, from, to };
}
