import { expect, test } from "bun:test";
import { Random } from "../random.ts";
import { type Lists, ListsBuilder, packLists, unpackLists } from "./lists.ts";

test("packed lists come back as they were, whatever their lengths and values", () => {
  const random = new Random(5);
  for (let round = 0; round < 50; round++) {
    const builder = new ListsBuilder();
    for (let i = random.below(20); i >= 0; i--) {
      for (let k = random.below(6); k > 0; k--)
        builder.values.push(random.pick([0, 1, 7, 65_535, random.below(65_536)]));
      builder.end();
    }
    const lists = builder.pack();
    expect(unpackLists(packLists(lists))).toEqual(lists);
  }
});

test("packing says what changes from list to list", () => {
  const lists: Lists = { starts: new Uint16Array([0, 3, 6, 6, 7]), values: new Uint16Array([1, 5, 9, 1, 6, 9, 2]) };
  expect(packLists(lists)).toEqual({
    lengths: new Uint16Array([3, 3, 0, 1]),
    changes: new Uint16Array([1, 5, 9, 0, 1, 0, 2]),
  });
});
