import { expect, test } from "bun:test";
import { Random } from "../envs/random.ts";
import {
  columnTypes,
  type DenseColumn,
  type NestedColumn,
  type RaggedColumn,
  type Rows,
  rowsBuilder,
  type SharedColumn,
  shareRows,
  takeRows,
} from "./rows.ts";

const TYPES = {
  numbers: { type: "dense", width: 3 },
  bag: { type: "ragged" },
  lists: { type: "nested" },
  known: { type: "shared" },
} as const;

/** Lists that rows refer to. */
const KNOWN = [[7, 8, 9], [], [1], Array.from({ length: 60 }, (_, i) => i)].map((list) => Int32Array.from(list));

/** A row in plain lists, the slow and obvious form. */
interface PlainRow {
  numbers: number[];
  bag: number[];
  lists: number[][];
  known: number[][];
}

function randomRow(random: Random): PlainRow {
  const ints = (n: number): number[] => Array.from({ length: n }, () => random.below(1000) - 500);
  return {
    numbers: ints(3),
    bag: ints(random.below(5)),
    lists: Array.from({ length: random.below(4) }, () => ints(random.below(70))),
    known: Array.from({ length: random.below(5) }, () => [...KNOWN[random.below(KNOWN.length)]]),
  };
}

function build(rows: readonly PlainRow[]): Rows {
  const builder = rowsBuilder(TYPES);
  for (const row of rows) {
    builder.dense("numbers", Float32Array.from(row.numbers));
    for (const item of row.bag) builder.item("bag", item);
    for (const list of row.lists) {
      builder.items("lists", Int32Array.from(list));
      builder.endList("lists");
    }
    for (const list of row.known) builder.refer("known", KNOWN.find((k) => k.length === list.length)!);
    builder.endRow();
  }
  return builder.finish();
}

function plain(rows: Rows): PlainRow[] {
  const numbers = rows.columns.numbers as DenseColumn;
  const bag = rows.columns.bag as RaggedColumn;
  const lists = rows.columns.lists as NestedColumn;
  const known = rows.columns.known as SharedColumn;
  const { listValues, listOffsets } = known;
  return Array.from({ length: rows.count }, (_, i) => ({
    numbers: [...numbers.values.subarray(3 * i, 3 * i + 3)],
    bag: [...bag.values.subarray(bag.offsets[i], bag.offsets[i + 1])],
    lists: Array.from({ length: lists.lists[i + 1] - lists.lists[i] }, (_, j) => {
      const k = lists.lists[i] + j;
      return [...lists.values.subarray(lists.offsets[k], lists.offsets[k + 1])];
    }),
    known: [...known.values.subarray(known.offsets[i], known.offsets[i + 1])].map((list) => [
      ...listValues.subarray(listOffsets[list], listOffsets[list + 1]),
    ]),
  }));
}

test("a builder gives back the rows it was given", () => {
  const random = new Random(1);
  const rows = Array.from({ length: 200 }, () => randomRow(random));
  expect(plain(build(rows))).toEqual(rows);
});

test("takeRows() picks rows in any order and as often as asked, like picking from a list", () => {
  for (let seed = 0; seed < 20; seed++) {
    const random = new Random(seed);
    const rows = Array.from({ length: 1 + random.below(30) }, () => randomRow(random));
    const index = Array.from({ length: random.below(50) }, () => random.below(rows.length));
    const wanted = index.map((i) => rows[i]);
    expect(plain(takeRows(build(rows), index))).toEqual(wanted);
    expect(takeRows(build(rows), Uint32Array.from(index))).toEqual(build(wanted));
  }
});

test("takeRows() in the memory of an earlier result gives the same rows, larger or smaller", () => {
  const random = new Random(5);
  const rows = build(Array.from({ length: 50 }, () => randomRow(random)));
  let spare: Rows | undefined;
  for (const size of [20, 5, 30, 0, 50, 50]) {
    const index = Array.from({ length: size }, () => random.below(50));
    const taken = takeRows(rows, index, spare);
    expect(plain(taken)).toEqual(plain(takeRows(rows, index)));
    if (size === 5) expect(taken.columns.lists.values.buffer).toBe(spare!.columns.lists.values.buffer);
    spare = taken;
  }
});

test("a list that many rows refer to is stored once, and not at all when none of the rows taken does", () => {
  const builder = rowsBuilder({ known: { type: "shared" } });
  for (const row of [[3], [3, 0], [2, 3]]) {
    for (const list of row) builder.refer("known", KNOWN[list]);
    builder.endRow();
  }
  const rows = builder.finish();
  expect((rows.columns.known as SharedColumn).listValues).toHaveLength(60 + 3 + 1);
  const taken = takeRows(rows, [1, 1]).columns.known as SharedColumn;
  expect(taken.listValues).toHaveLength(60 + 3);
  expect([...taken.values]).toEqual([0, 1, 0, 1]);
});

test("shareRows() gives equal rows whose memory is shared and survives a structured clone uncopied", () => {
  const random = new Random(3);
  const rows = build(Array.from({ length: 10 }, () => randomRow(random)));
  const shared = shareRows(rows);
  expect(plain(shared)).toEqual(plain(rows));
  expect(columnTypes(shared)).toEqual(TYPES);
  const clone = structuredClone(shared);
  expect(clone.columns.lists.values.buffer).toBeInstanceOf(SharedArrayBuffer);
  shared.columns.numbers.values[0] = 12345;
  expect(clone.columns.numbers.values[0]).toBe(12345);
});

test("a cleared builder starts anew in the memory it has", () => {
  const builder = rowsBuilder(TYPES);
  const write = (value: number): Rows => {
    builder.clear();
    builder.dense("numbers", [value, value, value]);
    builder.items("bag", Int32Array.of(value, value, 7), 2);
    builder.refer("known", KNOWN[2]);
    builder.endRow();
    return builder.finish();
  };
  const first = write(1);
  const memory = first.columns.numbers.values.buffer;
  const second = write(2);
  expect(second.columns.numbers.values.buffer).toBe(memory);
  expect(plain(second)).toEqual([{ numbers: [2, 2, 2], bag: [2, 2], lists: [], known: [[1]] }]);
});

test("takeRows() refuses rows that do not exist", () => {
  const rows = build([randomRow(new Random(4))]);
  for (const index of [1, -1, 0.5, Number.NaN]) expect(() => takeRows(rows, [0, index])).toThrow(RangeError);
});

test("a builder says which column of which row is wrong", () => {
  const builder = rowsBuilder(TYPES);
  expect(() => builder.endRow()).toThrow('Column "numbers" takes 3 values in every row; row 0 has 0');
  expect(() => builder.dense("numbers", [1])).toThrow('Column "numbers" takes 3 values in every row, found 1');
  expect(() => builder.dense("bag", [1])).toThrow(
    'No dense column "bag" in these rows; they have numbers (dense), bag',
  );
  expect(() => builder.item("numbers", 1)).toThrow(TypeError);
  expect(() => builder.endList("bag")).toThrow(TypeError);
  expect(() => builder.item("nothing", 1)).toThrow(TypeError);
  builder.dense("numbers", [1, 2, 3]);
  builder.item("lists", 1);
  expect(() => builder.endRow()).toThrow('Row 0 of column "lists" ends inside a list');
});

test("a new shared list is never taken for another, whatever memory it is copied from", () => {
  const builder = rowsBuilder({ s: { type: "shared" } });
  const memory = Int32Array.of(4, 5, 6);
  expect([builder.referNew("s", memory, 2), builder.referNew("s", memory, 3), builder.refer("s", memory)]).toEqual([
    0, 1, 2,
  ]);
  builder.item("s", 1);
  builder.endRow();
  const { values, listValues, listOffsets } = builder.finish().columns.s as SharedColumn;
  expect([...values]).toEqual([0, 1, 2, 1]);
  expect([...listValues]).toEqual([4, 5, 4, 5, 6, 4, 5, 6]);
  expect([...listOffsets]).toEqual([0, 2, 5, 8]);
});

test("a shared list is referred to again by its number, and only while there is such a list", () => {
  const builder = rowsBuilder({ s: { type: "shared" } });
  const number = builder.refer("s", Int32Array.of(4, 5));
  builder.item("s", number);
  builder.endRow();
  const column = builder.finish().columns.s;
  expect(column).toMatchObject({ values: Int32Array.of(0, 0), listValues: Int32Array.of(4, 5) });
  for (const missing of [-1, 1]) expect(() => builder.item("s", missing)).toThrow(`no shared list ${missing}`);
  builder.clear();
  expect(() => builder.item("s", number)).toThrow("no shared list 0");
});

test("shared lists are one when they have the same values, not when their hashes meet", () => {
  const builder = rowsBuilder({ s: { type: "shared" } });
  // The hashes of [] and [1] are equal.
  const numbers = [[], [1], [2, 3], [1], [], [2, 3]].map((list) => builder.refer("s", Int32Array.from(list)));
  expect(numbers).toEqual([0, 1, 2, 1, 0, 2]);
  builder.endRow();
  expect(builder.finish().columns.s).toMatchObject({ listValues: Int32Array.of(1, 2, 3) });
});
