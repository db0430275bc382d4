import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { create, fromBinary } from "@bufbuild/protobuf";
import {
  Compression,
  Encoding,
  type Manifest,
  ManifestSchema,
  SubscribeResponseSchema,
  VersionSchema,
} from "./gen/proxima/v1/weights_pb.ts";
import { seeded } from "./testing/trajectories.ts";
import {
  assemble,
  CHUNK_BYTES,
  compressions,
  encodings,
  fromBf16,
  hashWeights,
  type PackedWeights,
  packWeights,
  toBf16,
  unpackWeights,
  WeightsRefusedError,
} from "./weights.ts";

const sample = (length: number) => {
  const random = seeded(length);
  return Float32Array.from({ length }, () => (random() * 2 - 1) * 10 ** Math.floor(random() * 12 - 6));
};

function manifest(packed: PackedWeights, changes: Partial<Manifest> = {}): Manifest {
  const message = create(ManifestSchema, {
    run: "r",
    version: { incarnation: "i", counter: 3n, sha256: packed.sha256 },
    encoding: encodings[packed.encoding],
    compression: compressions[packed.compression],
    parameterCount: BigInt(packed.parameterCount),
    wireBytes: BigInt(packed.wireBytes),
  });
  return Object.assign(message, changes);
}

const chunks = (packed: PackedWeights) =>
  packed.frames.map((bytes) => fromBinary(SubscribeResponseSchema, bytes).frame.value as Uint8Array);

function receive(packed: PackedWeights, changes?: Partial<Manifest>) {
  const assembly = assemble(manifest(packed, changes));
  for (const chunk of chunks(packed)) assembly.push(chunk);
  expect(assembly.complete).toBe(true);
  return assembly.finish();
}

/** Of the two bf16 next to a number, the nearer, and of two equally near the one whose last bit is 0. */
function literalBf16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0];
  const widen = (half: number) => new Float32Array(Uint32Array.of((half << 16) >>> 0).buffer)[0];
  const down = bits >>> 16;
  const up = down + 1;
  // Past the greatest finite bf16 the next step counts as 2^128, not as infinity.
  const upper = Number.isFinite(widen(up)) ? widen(up) : Math.sign(value) * 2 ** 128;
  const [below, above] = [Math.abs(value - widen(down)), Math.abs(upper - value)];
  return below < above || (below === above && down % 2 === 0) ? down : up;
}

describe("bf16", () => {
  test("rounds to nearest even, as the literal definition does", () => {
    const random = seeded(5);
    const bits = Uint32Array.from({ length: 50_000 }, () => Math.floor(random() * 2 ** 32));
    const ties = Uint32Array.from({ length: 1000 }, (_, i) => ((i * 65_537 * 61) & 0xffff_0000) | 0x8000);
    const special = Float32Array.of(0, -0, 1, -1, 3.4028234663852886e38, 1e-45, -1e-45, 2 ** -126);
    const values = [...new Float32Array(bits.buffer), ...new Float32Array(ties.buffer), ...special];
    const finite = Float32Array.from(values.filter(Number.isFinite));
    expect(toBf16(finite)).toEqual(Uint16Array.from(finite, literalBf16));
  });

  test("keeps infinities and NaN", () => {
    const quiet = fromBf16(toBf16(Float32Array.of(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY)));
    expect([...quiet]).toEqual([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
    const awkward = new Float32Array(Uint32Array.of(0x7f80_0001, 0xffff_ffff).buffer);
    expect([...fromBf16(toBf16(awkward))]).toEqual([Number.NaN, Number.NaN]);
  });

  test("is exact on the way back", () => {
    const halves = Uint16Array.from({ length: 0x7f80 }, (_, i) => i);
    expect(toBf16(fromBf16(halves))).toEqual(halves);
  });
});

describe("packing", () => {
  test.each([1, CHUNK_BYTES / 4 - 1, CHUNK_BYTES / 4, CHUNK_BYTES / 4 + 1, 200_001])("%i parameters come back", (n) => {
    const weights = sample(n);
    for (const compression of ["none", "zstd"] as const) {
      const exact = receive(packWeights(weights, "f32", compression));
      expect(exact.weights).toEqual(weights);
      expect(exact.sha256).toBe(hashWeights(weights).toString("hex"));
      expect(receive(packWeights(weights, "bf16", compression)).weights).toEqual(fromBf16(toBf16(weights)));
    }
    expect(unpackWeights(packWeights(weights, "f32", "none"))).toEqual(weights);
  });

  test("chunks are at most 256 KiB and frames are ordinary messages", () => {
    const packed = packWeights(sample(200_001), "f32", "none");
    expect(chunks(packed).map(({ length }) => length)).toEqual([CHUNK_BYTES, CHUNK_BYTES, CHUNK_BYTES, 13_572]);
  });

  test("the hash is the plain SHA-256 of the little-endian bytes", () => {
    const bytes = Buffer.alloc(8);
    bytes.writeFloatLE(1.5, 0);
    bytes.writeFloatLE(-2, 4);
    expect(hashWeights(Float32Array.of(1.5, -2))).toEqual(createHash("sha256").update(bytes).digest());
  });

  test("a view into a larger array is packed as the view", () => {
    const whole = sample(1000);
    expect(receive(packWeights(whole.subarray(3, 503), "f32", "none")).weights).toEqual(whole.slice(3, 503));
  });
});

describe("what does not verify is refused", () => {
  const packed = packWeights(sample(100_000), "f32", "none");
  const zipped = packWeights(new Float32Array(100_000), "f32", "zstd");
  const refusal = (act: () => unknown) => {
    try {
      act();
    } catch (error) {
      expect(error).toBeInstanceOf(WeightsRefusedError);
      return (error as Error).message;
    }
    throw new Error("it was accepted");
  };
  const version = (sha256: Uint8Array) => ({
    version: create(VersionSchema, { incarnation: "i", counter: 3n, sha256 }),
  });

  test.each<[string, Partial<Manifest>, string]>([
    ["no version", { version: undefined }, "hash must be 32 bytes"],
    ["a short hash", version(new Uint8Array(31)), "hash must be 32 bytes"],
    ["an unknown encoding", { encoding: 9 as Encoding }, "encoding must be"],
    ["no encoding", { encoding: Encoding.UNSPECIFIED }, "encoding must be"],
    ["an unknown compression", { compression: 9 as Compression }, "compression must be"],
    ["an adapter", { baseSha256: new Uint8Array(32) }, "whole parameters"],
    ["no parameters", { parameterCount: 0n }, "1 to 268435456 parameters"],
    ["too many parameters", { parameterCount: 2n ** 60n, wireBytes: 2n ** 62n }, "1 to 268435456 parameters"],
    ["a size that does not fit the count", { wireBytes: 400_004n }, "must be 400000 bytes"],
    ["a compressed size beyond the raw one", { compression: Compression.ZSTD, wireBytes: 500_000n }, "400000 bytes"],
  ])("%s", (_, changes, message) => {
    expect(refusal(() => assemble(manifest(packed, changes)))).toContain(message);
  });

  test("an adapter for another base than the receiver's, and whole parameters where it holds one", () => {
    const base = "ab".repeat(32);
    const adapter = manifest(packed, { baseSha256: new Uint8Array(Buffer.from(base, "hex")) });
    expect(refusal(() => assemble(adapter, { base: "cd".repeat(32) }))).toContain(`an adapter on top of ${base}`);
    expect(refusal(() => assemble(manifest(packed), { base }))).toContain("found whole parameters");
    for (const taken of [base, "any"]) expect(assemble(adapter, { base: taken }).complete).toBe(false);
  });

  test("another hash, naming both", () => {
    const message = refusal(() => receive(packed, version(new Uint8Array(32))));
    expect(message).toContain("0".repeat(64));
    expect(message).toContain(packed.sha256.toString("hex"));
  });

  test("one flipped bit", () => {
    const assembly = assemble(manifest(packed));
    for (const [i, chunk] of chunks(packed).entries()) {
      const copy = Uint8Array.from(chunk);
      if (i === 1) copy[100] ^= 1;
      assembly.push(copy);
    }
    expect(refusal(() => assembly.finish())).toContain("SHA-256");
  });

  test("too few, too many and empty chunks", () => {
    const [first] = chunks(packed);
    const assembly = assemble(manifest(packed));
    assembly.push(first);
    expect(refusal(() => assembly.finish())).toContain("add up to 400000 bytes, found 262144");
    expect(refusal(() => assembly.push(first))).toContain("found 524288");
    expect(refusal(() => assembly.push(new Uint8Array()))).toContain("add up");
  });

  test("damaged zstd, and zstd that inflates beyond the announced size", () => {
    const damaged = chunks(zipped).map((chunk) => Uint8Array.from(chunk).fill(7, 4, 12));
    const assembly = assemble(manifest(zipped));
    for (const chunk of damaged) assembly.push(chunk);
    expect(refusal(() => assembly.finish())).toContain("zstd");
    expect(refusal(() => receive(zipped, { parameterCount: 50_000n }))).toContain("zstd");
    expect(refusal(() => receive(zipped, { parameterCount: 150_000n }))).toContain("600000 bytes decompressed");
  });
});
