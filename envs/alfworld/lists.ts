/** Lists of numbers below 2^16 one after the other: list i is values[starts[i] … starts[i + 1]). */
export interface Lists {
  starts: Uint16Array | Uint32Array;
  values: Uint16Array;
}

/** Room for where `count` lists of `total` items begin, and the last one ends. */
export const startsFor = (count: number, total: number): Uint16Array | Uint32Array =>
  total < 0x10000 ? new Uint16Array(count + 1) : new Uint32Array(count + 1);

/** Collects lists: push numbers onto `values`, then end() the list. */
export class ListsBuilder {
  readonly values: number[] = [];
  readonly #ends: number[] = [];

  get count(): number {
    return this.#ends.length;
  }

  /** Where the list that is being collected begins. */
  get start(): number {
    return this.#ends.length === 0 ? 0 : this.#ends[this.#ends.length - 1];
  }

  end(): void {
    this.#ends.push(this.values.length);
  }

  /** Forgets the list that is being collected. */
  drop(): void {
    this.values.length = this.start;
  }

  pack(): Lists {
    const starts = startsFor(this.#ends.length, this.values.length);
    for (let i = 0; i < this.#ends.length; i++) starts[i + 1] = this.#ends[i];
    return { starts, values: Uint16Array.from(this.values) };
  }
}

/** For each number below `count`: the numbers of the lists that contain it, in order. */
export function invert({ starts: from, values: of }: Lists, count: number): Lists {
  const starts = startsFor(count, of.length);
  for (let k = 0; k < of.length; k++) starts[of[k] + 1]++;
  for (let i = 0; i < count; i++) starts[i + 1] += starts[i];
  const next = starts.slice();
  const values = new Uint16Array(of.length);
  for (let i = 0; i + 1 < from.length; i++) for (let k = from[i]; k < from[i + 1]; k++) values[next[of[k]]++] = i;
  return { starts, values };
}

/** For each number below `count`: where in `list` it stands, in order. */
export function positions(list: ArrayLike<number>, count: number): Lists {
  const starts = startsFor(count, list.length);
  for (let k = 0; k < list.length; k++) starts[list[k] + 1]++;
  for (let i = 0; i < count; i++) starts[i + 1] += starts[i];
  const next = starts.slice();
  const values = new Uint16Array(list.length);
  for (let k = 0; k < list.length; k++) values[next[list[k]]++] = k;
  return { starts, values };
}

/** Lists by what changes from one to the next, which compresses well where lists resemble those before them. */
export interface PackedLists {
  lengths: Uint16Array;
  /** Each value less the one at its place in the list before (0 where that is shorter), modulo 2^16. */
  changes: Uint16Array;
}

export function packLists({ starts, values }: Lists): PackedLists {
  const lengths = new Uint16Array(starts.length - 1);
  const changes = new Uint16Array(values.length);
  for (let i = 0, before = 0; i < lengths.length; before = starts[i++]) {
    lengths[i] = starts[i + 1] - starts[i];
    for (let k = 0; k < lengths[i]; k++) {
      const at = before + k;
      changes[starts[i] + k] = values[starts[i] + k] - (at < starts[i] ? values[at] : 0);
    }
  }
  return { lengths, changes };
}

/** Takes over the changes. */
export function unpackLists({ lengths, changes }: PackedLists): Lists {
  const starts = startsFor(lengths.length, changes.length);
  const values = changes;
  for (let i = 0, before = 0; i < lengths.length; before = starts[i++]) {
    const from = starts[i];
    starts[i + 1] = from + lengths[i];
    for (let k = 0; k < lengths[i] && before + k < from; k++) values[from + k] += values[before + k];
  }
  return { starts, values };
}
