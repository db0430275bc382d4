/**
 * Encoded turns as columns. A row may have fixed-width numbers, a list of items, a list of lists (candidates with their
 * features), or a list of references to lists that rows have in common, so that any batch is a few typed arrays: cheap to
 * gather into a minibatch and to hand to a worker thread.
 */

/** values [count, width] */
export interface DenseColumn {
  type: "dense";
  width: number;
  values: Float32Array;
}
/** Items of row i: values[offsets[i] … offsets[i+1]); offsets [count + 1]. */
export interface RaggedColumn {
  type: "ragged";
  values: Int32Array;
  offsets: Uint32Array;
}
/** Lists of row i: k in lists[i] … lists[i+1]; items of list k: values[offsets[k] … offsets[k+1]). lists [count + 1]. */
export interface NestedColumn {
  type: "nested";
  values: Int32Array;
  offsets: Uint32Array;
  lists: Uint32Array;
}
/**
 * Row i refers to the lists numbered values[offsets[i] … offsets[i+1]); list k of the batch is
 * listValues[listOffsets[k] … listOffsets[k+1]), stored once however many rows refer to it.
 */
export interface SharedColumn {
  type: "shared";
  values: Int32Array;
  offsets: Uint32Array;
  listValues: Int32Array;
  listOffsets: Uint32Array;
}
export type Column = DenseColumn | RaggedColumn | NestedColumn | SharedColumn;

export type ColumnTypes = Readonly<
  Record<string, { type: "dense"; width: number } | { type: "ragged" } | { type: "nested" } | { type: "shared" }>
>;

export interface Rows {
  readonly count: number;
  readonly columns: Readonly<Record<string, Column>>;
}

/** Grows amortised; `clear` keeps the memory. `finish` gives views that are valid until the next change. */
export interface RowsBuilder {
  readonly count: number;
  /** Gives the open row its `width` numbers. */
  dense(column: string, values: ArrayLike<number>): void;
  /** Appends to the open row; in a shared column, another reference to the list of that number. */
  item(column: string, value: number): void;
  /** Appends values[0 … count) (all of them by default) to the open row. */
  items(column: string, values: Int32Array, count?: number): void;
  /** Nested columns: closes the current list and opens the next one. */
  endList(column: string): void;
  /**
   * Shared columns: appends a reference to the list with these values, which are copied when they are seen first, and returns its
   * number. An array is looked at once: its values must not change until the builder is cleared.
   */
  refer(column: string, list: Int32Array): number;
  /** Shared columns: appends a reference to a new list, a copy of list[0 … count), and returns its number. */
  referNew(column: string, list: Int32Array, count: number): number;
  /** Throws when a dense column was not given, or a list was left open. */
  endRow(): void;
  clear(): void;
  finish(): Rows;
}

/** An array that grows by doubling; `used` elements of it count. */
class Growing<A extends Float32Array | Int32Array | Uint32Array> {
  values: A;
  used = 0;
  constructor(values: A) {
    this.values = values;
  }
  reserve(extra: number): void {
    const needed = this.used + extra;
    if (needed <= this.values.length) return;
    const grown = new (this.values.constructor as new (length: number) => A)(Math.max(needed, 2 * this.values.length));
    grown.set(this.values.subarray(0, this.used));
    this.values = grown;
  }
  push(value: number): void {
    if (this.used === this.values.length) this.reserve(1);
    this.values[this.used++] = value;
  }
  append(values: ArrayLike<number>, count: number): void {
    this.reserve(count);
    const { values: target, used } = this;
    for (let i = 0; i < count; i++) target[used + i] = values[i];
    this.used = used + count;
  }
  view(): A {
    return this.values.subarray(0, this.used) as A;
  }
}

class DenseWriter {
  readonly type = "dense";
  readonly width: number;
  readonly numbers = new Growing(new Float32Array(64));
  constructor(width: number) {
    if (!Number.isSafeInteger(width) || width < 1)
      throw new RangeError(`A dense column needs a width ≥ 1, not ${width}`);
    this.width = width;
  }
  endRow(name: string, row: number): void {
    const given = this.numbers.used - row * this.width;
    if (given !== this.width)
      throw new RangeError(`Column "${name}" takes ${this.width} values in every row; row ${row} has ${given}`);
  }
  clear(): void {
    this.numbers.used = 0;
  }
  finish(): Column {
    return { type: "dense", width: this.width, values: this.numbers.view() };
  }
}

class RaggedWriter {
  readonly type = "ragged";
  readonly numbers = new Growing(new Int32Array(64));
  readonly offsets = new Growing(new Uint32Array(64));
  constructor() {
    this.clear();
  }
  endRow(): void {
    this.offsets.push(this.numbers.used);
  }
  clear(): void {
    this.numbers.used = 0;
    this.offsets.used = 0;
    this.offsets.push(0);
  }
  finish(): Column {
    return { type: "ragged", values: this.numbers.view(), offsets: this.offsets.view() };
  }
}

class NestedWriter {
  readonly type = "nested";
  readonly numbers = new Growing(new Int32Array(256));
  readonly offsets = new Growing(new Uint32Array(64));
  readonly lists = new Growing(new Uint32Array(64));
  constructor() {
    this.clear();
  }
  endList(): void {
    this.offsets.push(this.numbers.used);
  }
  endRow(name: string, row: number): void {
    if (this.offsets.values[this.offsets.used - 1] !== this.numbers.used)
      throw new RangeError(
        `Row ${row} of column "${name}" ends inside a list; call endList("${name}") after each list`,
      );
    this.lists.push(this.offsets.used - 1);
  }
  clear(): void {
    this.numbers.used = 0;
    this.offsets.used = 0;
    this.offsets.push(0);
    this.lists.used = 0;
    this.lists.push(0);
  }
  finish(): Column {
    return {
      type: "nested",
      values: this.numbers.view(),
      offsets: this.offsets.view(),
      lists: this.lists.view(),
    };
  }
}

class SharedWriter {
  readonly type = "shared";
  readonly references = new RaggedWriter();
  readonly lists = new RaggedWriter();
  private readonly numbers = new Map<Int32Array, number>();
  /** Numbers of lists that were referred to, by a hash of their values; where that is taken, at the next free key. */
  private readonly byContent = new Map<number, number>();
  /** How many lists there are. */
  private get count(): number {
    return this.lists.offsets.used - 1;
  }
  refer(list: Int32Array): number {
    let number = this.numbers.get(list);
    if (number === undefined) {
      number = this.numberOf(list);
      this.numbers.set(list, number);
    }
    this.references.numbers.push(number);
    return number;
  }
  /** Of the list with these values, which becomes one when there is none. */
  private numberOf(list: Int32Array): number {
    let key = hashOf(list);
    for (let found = this.byContent.get(key); found !== undefined; found = this.byContent.get(++key))
      if (this.holds(found, list)) return found;
    this.byContent.set(key, this.count);
    return this.append(list, list.length);
  }
  private holds(number: number, list: Int32Array): boolean {
    const { numbers, offsets } = this.lists;
    const start = offsets.values[number];
    if (offsets.values[number + 1] - start !== list.length) return false;
    for (let i = 0; i < list.length; i++) if (numbers.values[start + i] !== list[i]) return false;
    return true;
  }
  private append(list: Int32Array, count: number): number {
    const number = this.count;
    this.lists.numbers.append(list, count);
    this.lists.endRow();
    return number;
  }
  add(list: Int32Array, count: number): number {
    const number = this.append(list, count);
    this.references.numbers.push(number);
    return number;
  }
  again(number: number): void {
    if (!(number >= 0 && number < this.count)) throw new RangeError(`There is no shared list ${number} to refer to`);
    this.references.numbers.push(number);
  }
  endRow(): void {
    this.references.endRow();
  }
  clear(): void {
    this.references.clear();
    this.lists.clear();
    this.numbers.clear();
    this.byContent.clear();
  }
  finish(): Column {
    const { numbers, offsets } = this.references;
    return {
      type: "shared",
      values: numbers.view(),
      offsets: offsets.view(),
      listValues: this.lists.numbers.view(),
      listOffsets: this.lists.offsets.view(),
    };
  }
}

function hashOf(list: Int32Array): number {
  let hash = list.length;
  for (let i = 0; i < list.length; i++) hash = Math.imul(hash ^ list[i], 0x9e3779b1) ^ (hash >>> 15);
  return hash;
}

type Writer = DenseWriter | RaggedWriter | NestedWriter | SharedWriter;

function writerOf(type: ColumnTypes[string]): Writer {
  if (type.type === "dense") return new DenseWriter(type.width);
  if (type.type === "ragged") return new RaggedWriter();
  return type.type === "nested" ? new NestedWriter() : new SharedWriter();
}

class ColumnsBuilder implements RowsBuilder {
  count = 0;
  private readonly writers: Readonly<Record<string, Writer>>;
  private readonly named: readonly [string, Writer][];

  constructor(types: ColumnTypes) {
    this.named = Object.entries(types).map(([name, type]) => [name, writerOf(type)]);
    this.writers = Object.fromEntries(this.named);
  }

  dense(column: string, values: ArrayLike<number>): void {
    const writer = this.writers[column];
    if (writer?.type !== "dense") throw this.unsuited(column, "dense");
    if (values.length !== writer.width)
      throw new RangeError(`Column "${column}" takes ${writer.width} values in every row, found ${values.length}`);
    writer.numbers.append(values, writer.width);
  }

  item(column: string, value: number): void {
    const writer = this.writers[column];
    if (writer?.type === "shared") writer.again(value);
    else this.listWriter(column).numbers.push(value);
  }

  items(column: string, values: Int32Array, count = values.length): void {
    this.listWriter(column).numbers.append(values, count);
  }

  endList(column: string): void {
    const writer = this.writers[column];
    if (writer?.type !== "nested") throw this.unsuited(column, "nested");
    writer.endList();
  }

  refer(column: string, list: Int32Array): number {
    return this.sharedWriter(column).refer(list);
  }

  referNew(column: string, list: Int32Array, count: number): number {
    return this.sharedWriter(column).add(list, count);
  }

  endRow(): void {
    for (const [name, writer] of this.named) writer.endRow(name, this.count);
    this.count++;
  }

  clear(): void {
    for (const [, writer] of this.named) writer.clear();
    this.count = 0;
  }

  finish(): Rows {
    const columns: Record<string, Column> = {};
    for (const [name, writer] of this.named) columns[name] = writer.finish();
    return { count: this.count, columns };
  }

  private listWriter(column: string): RaggedWriter | NestedWriter {
    const writer = this.writers[column];
    if (writer?.type !== "ragged" && writer?.type !== "nested") throw this.unsuited(column, "ragged or nested");
    return writer;
  }

  private sharedWriter(column: string): SharedWriter {
    const writer = this.writers[column];
    if (writer?.type !== "shared") throw this.unsuited(column, "shared");
    return writer;
  }

  private unsuited(column: string, wanted: string): TypeError {
    const has = this.named.map(([name, writer]) => `${name} (${writer.type})`).join(", ");
    return new TypeError(`No ${wanted} column "${column}" in these rows; they have ${has || "no column"}`);
  }
}

/** An empty builder for rows of these columns. */
export function rowsBuilder(types: ColumnTypes): RowsBuilder {
  return new ColumnsBuilder(types);
}

/** The columns of `rows`, ready for another builder. */
export function columnTypes(rows: Rows): ColumnTypes {
  const types: Record<string, ColumnTypes[string]> = {};
  for (const [name, column] of Object.entries(rows.columns))
    types[name] = column.type === "dense" ? { type: "dense", width: column.width } : { type: column.type };
  return types;
}

/** Copies source[from … to) to target[at …]; short runs by hand, because a view costs more than they do. */
function copyRun<A extends Float32Array | Int32Array>(
  source: A,
  from: number,
  to: number,
  target: A,
  at: number,
): void {
  if (to - from > 48) target.set(source.subarray(from, to), at);
  else for (let k = from; k < to; k++) target[at++] = source[k];
}

/** An array in the memory of `spare` where that is large enough. Its values are whatever they were. */
function room<A extends Float32Array | Int32Array | Uint32Array>(like: A, length: number, spare: A | undefined): A {
  const type = like.constructor as {
    new (length: number): A;
    new (buffer: ArrayBufferLike, at: number, length: number): A;
  };
  if (spare !== undefined && spare.buffer.byteLength - spare.byteOffset >= length * like.BYTES_PER_ELEMENT)
    return new type(spare.buffer, spare.byteOffset, length);
  return new type(length);
}

type Index = Uint32Array | readonly number[];

function takeDense(column: DenseColumn, index: Index, spare?: DenseColumn): DenseColumn {
  const { width, values } = column;
  const taken = room(values, index.length * width, spare?.values);
  for (let i = 0; i < index.length; i++) copyRun(values, index[i] * width, (index[i] + 1) * width, taken, i * width);
  return { type: "dense", width, values: taken };
}

function takeRagged(column: RaggedColumn, index: Index, spare?: RaggedColumn): RaggedColumn {
  const { values, offsets } = column;
  const takenOffsets = room(offsets, index.length + 1, spare?.offsets);
  takenOffsets[0] = 0;
  for (let i = 0; i < index.length; i++)
    takenOffsets[i + 1] = takenOffsets[i] + offsets[index[i] + 1] - offsets[index[i]];
  const taken = room(values, takenOffsets[index.length], spare?.values);
  for (let i = 0; i < index.length; i++)
    copyRun(values, offsets[index[i]], offsets[index[i] + 1], taken, takenOffsets[i]);
  return { type: "ragged", values: taken, offsets: takenOffsets };
}

function takeNested(column: NestedColumn, index: Index, spare?: NestedColumn): NestedColumn {
  const { values, offsets, lists } = column;
  const takenLists = room(lists, index.length + 1, spare?.lists);
  takenLists[0] = 0;
  let items = 0;
  for (let i = 0; i < index.length; i++) {
    const first = lists[index[i]];
    const end = lists[index[i] + 1];
    takenLists[i + 1] = takenLists[i] + end - first;
    items += offsets[end] - offsets[first];
  }
  const taken = room(values, items, spare?.values);
  const takenOffsets = room(offsets, takenLists[index.length] + 1, spare?.offsets);
  takenOffsets[0] = 0;
  let at = 0;
  for (let i = 0; i < index.length; i++) {
    const first = lists[index[i]];
    const end = lists[index[i] + 1];
    const shift = at - offsets[first];
    // A row's lists lie one after the other, so its items are one run.
    copyRun(values, offsets[first], offsets[end], taken, at);
    for (let k = first, to = takenLists[i]; k <= end; k++, to++) takenOffsets[to] = offsets[k] + shift;
    at = takenOffsets[takenLists[i + 1]];
  }
  return { type: "nested", values: taken, offsets: takenOffsets, lists: takenLists };
}

/** The lists that are still referred to keep their order of appearance, as if only these rows had been written. */
function takeShared(column: SharedColumn, index: Index, spare?: SharedColumn): SharedColumn {
  const { values, offsets } = takeRagged({ ...column, type: "ragged" }, index, spare && { ...spare, type: "ragged" });
  const { listOffsets, listValues } = column;
  const renumbered = new Int32Array(listOffsets.length - 1).fill(-1);
  const kept: number[] = [];
  for (let k = 0; k < values.length; k++) {
    const list = values[k];
    if (renumbered[list] < 0) renumbered[list] = kept.push(list) - 1;
    values[k] = renumbered[list];
  }
  const all: RaggedColumn = { type: "ragged", values: listValues, offsets: listOffsets };
  const old = spare && ({ type: "ragged", values: spare.listValues, offsets: spare.listOffsets } as const);
  const lists = takeRagged(all, kept, old);
  return { type: "shared", values, offsets, listValues: lists.values, listOffsets: lists.offsets };
}

/** A column of the rows picked, in the memory of `spare` if that is of its type. */
function takeColumn(column: Column, index: Index, spare: Column | undefined): Column {
  switch (column.type) {
    case "dense":
      return takeDense(column, index, spare?.type === "dense" ? spare : undefined);
    case "ragged":
      return takeRagged(column, index, spare?.type === "ragged" ? spare : undefined);
    case "nested":
      return takeNested(column, index, spare?.type === "nested" ? spare : undefined);
    case "shared":
      return takeShared(column, index, spare?.type === "shared" ? spare : undefined);
  }
}

/**
 * Gathers rows by number (a minibatch). With `spare`, the result of an earlier call that is no longer needed, its memory is
 * used again: fresh memory for every minibatch costs more than the copying.
 * Throws RangeError on a row that does not exist.
 */
export function takeRows(rows: Rows, index: Index, spare?: Rows): Rows {
  for (let i = 0; i < index.length; i++)
    if (!(index[i] >= 0 && index[i] < rows.count && Number.isInteger(index[i])))
      throw new RangeError(`Cannot take row ${index[i]} (position ${i}): rows are 0 … ${rows.count - 1}`);
  const columns: Record<string, Column> = {};
  for (const [name, column] of Object.entries(rows.columns))
    columns[name] = takeColumn(column, index, spare?.columns[name]);
  return { count: index.length, columns };
}

type Numbers = Float32Array | Int32Array | Uint32Array;

/** A copy of the rows in one SharedArrayBuffer: posting it to a worker thread copies nothing, and every thread may read it. */
export function shareRows(rows: Rows): Rows {
  const arrays = (column: Column) =>
    Object.entries(column).filter((entry): entry is [string, Numbers] => ArrayBuffer.isView(entry[1]));
  let bytes = 0;
  for (const column of Object.values(rows.columns)) for (const [, values] of arrays(column)) bytes += values.byteLength;
  const buffer = new SharedArrayBuffer(bytes);
  let at = 0;
  const share = (values: Numbers): Numbers => {
    const type = values.constructor as new (buffer: SharedArrayBuffer, at: number, length: number) => Numbers;
    const shared = new type(buffer, at, values.length);
    shared.set(values);
    at += values.byteLength;
    return shared;
  };
  const columns: Record<string, Column> = {};
  for (const [name, column] of Object.entries(rows.columns)) {
    const shared = arrays(column).map(([field, values]) => [field, share(values)]);
    columns[name] = { ...column, ...Object.fromEntries(shared) };
  }
  return { count: rows.count, columns };
}
