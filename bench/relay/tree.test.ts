import { expect, test } from "bun:test";
import { broadcastSeconds, tree } from "./tree.ts";

test("a tree has no more levels than its fan-out demands, and no relays where one level does", () => {
  expect(tree(1000, 1000)).toEqual({ levels: [1000], relays: 0 });
  expect(tree(1000, 32)).toEqual({ levels: [32, 1000], relays: 32 });
  expect(tree(1000, 10)).toEqual({ levels: [10, 100, 1000], relays: 110 });
  expect(() => tree(10, 1)).toThrow(RangeError);
});

test("each level costs its latency, its children's share of the link and one verification", () => {
  const network = { bytes: 1000, linkBytesPerSecond: 1000, latencySeconds: 0.5, handleBytesPerSecond: 2000 };
  expect(broadcastSeconds(tree(8, 8), network)).toBe(0.5 + 8 + 0.5);
  expect(broadcastSeconds(tree(8, 3), network)).toBe(2 * (0.5 + 3 + 0.5));
});
