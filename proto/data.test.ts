import { describe, expect, test } from "bun:test";
import { DecodeError } from "./codec.ts";
import { decodeData, encodeData } from "./data.ts";

const roundTrip = (value: unknown) => decodeData(encodeData(value, "it"), "it");

describe("data between actors", () => {
  test.each([
    [null],
    [true],
    [-0.5],
    [2 ** 40],
    ["ä text"],
    [[1, [2, { a: "b" }]]],
    [{ name: "x", nested: { list: [1, 2, 3], none: null } }],
    [Float32Array.of(1, 2, 3)],
    [Uint8Array.of(0, 255)],
    [[{ a: 1 }, { a: 2 }, { a: 3, b: Float64Array.of(0.1) }]],
  ])("%p comes back as it went", (value) => {
    expect(roundTrip(value)).toEqual(value);
  });

  test("undefined comes back as null", () => {
    expect(roundTrip([undefined])).toEqual([null]);
  });

  test("what comes back shares no memory with the message", () => {
    const bytes = encodeData(Float32Array.of(1, 2), "it");
    const back = decodeData(bytes, "it") as Float32Array;
    bytes.fill(0);
    expect([...back]).toEqual([1, 2]);
  });

  test.each([
    [{ list: [1, () => 2] }, "list[1] is a function"],
    [new Map(), "it is a Map"],
    [{ at: new Date() }, "at is a Date"],
    [[1n], "[0] is a bigint"],
    [Buffer.from("x"), "it is a Buffer (make it a Uint8Array)"],
    [BigInt64Array.of(1n), "it is a BigInt64Array"],
    [new (class Thing {})(), "it is a Thing"],
  ])("%p is refused with its place", (value, found) => {
    expect(() => encodeData(value, "the arguments of f()")).toThrow(TypeError);
    expect(() => encodeData(value, "the arguments of f()")).toThrow(`Cannot send the arguments of f(): ${found}`);
  });

  test("what contains itself, and what is too large, is refused", () => {
    const self: Record<string, unknown> = {};
    self.self = self;
    expect(() => encodeData(self, "it")).toThrow("contains itself");
    expect(() => encodeData("x".repeat(2_000_000), "it")).toThrow(RangeError);
    expect(() => encodeData("x".repeat(200), "it", 100)).toThrow(/at most 100 bytes.*found 20/);
  });

  test("bytes that are not such data are refused, whatever they are", () => {
    expect(() => decodeData(new Uint8Array(0), "it")).toThrow(DecodeError);
    expect(() => decodeData(new Uint8Array(2_000_000), "it")).toThrow(DecodeError);
    let seed = 1;
    for (let round = 0; round < 2_000; round++) {
      const bytes = encodeData([{ a: [1, "two"] }, Float32Array.of(3)], "it");
      for (let flips = 0; flips < 3; flips++) {
        seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
        bytes[seed % bytes.length] = seed >>> 24;
      }
      try {
        decodeData(bytes, "it");
      } catch (error) {
        expect(error).toBeInstanceOf(DecodeError);
      }
    }
  });
});
