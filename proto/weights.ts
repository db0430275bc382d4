/**
 * One version of the parameters as frames on the wire, and back: what weights server, relay and weights client share.
 *
 *   const packed = packWeights(weights, "bf16", "none");      // once, for all subscribers
 *   for (const frame of packed.frames) await stream.send(frame);
 *
 *   const assembly = assemble(manifest);                      // throws WeightsRefusedError
 *   assembly.push(chunk); …
 *   const { weights } = assembly.finish();                    // verified, or throws WeightsRefusedError
 */
import { createHash, type Hash } from "node:crypto";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { Compression, Encoding, type Manifest, SubscribeResponseSchema } from "./gen/proxima/v1/weights_pb.ts";
import { hasZstd, unzstd, zstd } from "./zstd.ts";

export type WeightsEncoding = "f32" | "bf16";
export type WeightsCompression = "none" | "zstd";

export const CHUNK_BYTES = 256 << 10;
/** Parameters that a receiver makes room for: 1 GiB of binary32. */
export const MAX_PARAMETERS = 1 << 28;

export const encodings: Readonly<Record<WeightsEncoding, Encoding>> = { f32: Encoding.F32, bf16: Encoding.BF16 };
export const compressions: Readonly<Record<WeightsCompression, Compression>> = {
  none: Compression.NONE,
  zstd: Compression.ZSTD,
};

/** What was received is not the version that was announced; the receiver keeps what it has. */
export class WeightsRefusedError extends Error {
  override readonly name = "WeightsRefusedError";
}

const bytesOf = (values: Float32Array | Uint16Array) =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/** The upper halves of binary32 values, rounded to nearest even. NaN stays NaN. */
export function toBf16(weights: Float32Array): Uint16Array {
  const bits = new Uint32Array(weights.buffer, weights.byteOffset, weights.length);
  const halves = new Uint16Array(weights.length);
  for (let i = 0; i < bits.length; i++) {
    const value = bits[i];
    // Rounding up must not carry a NaN's mantissa into infinity.
    if ((value & 0x7fff_ffff) > 0x7f80_0000) halves[i] = (value >>> 16) | 0x40;
    else halves[i] = (value + 0x7fff + ((value >>> 16) & 1)) >>> 16;
  }
  return halves;
}

/** Exact: every bf16 is a binary32. */
export function fromBf16(halves: Uint16Array): Float32Array {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < bits.length; i++) bits[i] = halves[i] << 16;
  return new Float32Array(bits.buffer);
}

/** SHA-256 of the parameters as binary32, little-endian: a weights version's identity. */
export function hashWeights(weights: Float32Array): Buffer {
  return createHash("sha256").update(bytesOf(weights)).digest();
}

export interface PackedWeights {
  encoding: WeightsEncoding;
  compression: WeightsCompression;
  parameterCount: number;
  wireBytes: number;
  /** Of the parameters as a receiver of this encoding will hold them. */
  sha256: Buffer;
  /** Encoded SubscribeResponse messages (FetchResponse has the same bytes), one chunk each. */
  frames: readonly Buffer[];
}

/** Copies: `weights` may change afterwards. */
export function packWeights(
  weights: Float32Array,
  encoding: WeightsEncoding,
  compression: WeightsCompression,
): PackedWeights {
  const halves = encoding === "bf16" ? toBf16(weights) : undefined;
  const sha256 = hashWeights(halves ? fromBf16(halves) : weights);
  const raw = bytesOf(halves ?? weights);
  const wire = compression === "zstd" ? zstd(raw) : raw;
  const frames = toFrames(wire);
  return { encoding, compression, parameterCount: weights.length, wireBytes: wire.length, sha256, frames };
}

const CHUNK_FIELD = SubscribeResponseSchema.field.chunk.number;

const chunkHeader = (bytes: number) =>
  new BinaryWriter().tag(CHUNK_FIELD, WireType.LengthDelimited).uint32(bytes).finish();

/** One allocation and one copy: at this size, touching fresh memory is what costs. */
function toFrames(wire: Uint8Array): Buffer[] {
  const full = chunkHeader(CHUNK_BYTES);
  const all = Buffer.allocUnsafeSlow(wire.length + Math.ceil(wire.length / CHUNK_BYTES) * full.length);
  const frames: Buffer[] = [];
  let end = 0;
  for (let at = 0; at < wire.length; at += CHUNK_BYTES) {
    const start = end;
    const chunk = wire.subarray(at, at + CHUNK_BYTES);
    const header = chunk.length === CHUNK_BYTES ? full : chunkHeader(chunk.length);
    all.set(header, start);
    all.set(chunk, start + header.length);
    end = start + header.length + chunk.length;
    frames.push(all.subarray(start, end));
  }
  return frames;
}

/** The parameters in uncompressed f32 frames. */
export function unpackWeights({ frames, parameterCount }: PackedWeights): Float32Array {
  const weights = new Float32Array(parameterCount);
  const bytes = bytesOf(weights);
  let at = 0;
  for (const frame of frames) {
    const length = Math.min(CHUNK_BYTES, bytes.length - at);
    bytes.set(frame.subarray(frame.length - length), at);
    at += length;
  }
  return weights;
}

export interface Assembly {
  /** All chunks are here. */
  readonly complete: boolean;
  push(chunk: Uint8Array): void;
  /** The parameters in a buffer of their own, verified against the manifest's hash. */
  finish(): { weights: Float32Array; sha256: string };
}

/** What a receiver takes. */
export interface Acceptance {
  maxParameters?: number;
  /** Hex SHA-256 of what the parameters build on and the receiver holds; "any" for who passes them on. Absent: whole parameters. */
  base?: string;
}

/** Makes room for what the manifest announces. All its functions throw WeightsRefusedError. */
export function assemble(manifest: Manifest, acceptance: Acceptance = {}): Assembly {
  const { maxParameters = MAX_PARAMETERS, base = "" } = acceptance;
  const { encoding, compression, version } = manifest;
  const count = Number(manifest.parameterCount);
  const wireBytes = Number(manifest.wireBytes);
  const name = `weights version ${version?.counter}`;
  const refuse = (expected: string, found: unknown, options?: ErrorOptions): never => {
    throw new WeightsRefusedError(`Cannot take ${name}: ${expected}, found ${found}`, options);
  };
  if (version?.sha256.length !== 32) {
    return refuse("its hash must be 32 bytes", version?.sha256.length ?? "no version");
  }
  if (encoding !== Encoding.F32 && encoding !== Encoding.BF16)
    return refuse("the encoding must be f32 or bf16", encoding);
  if (compression !== Compression.NONE && !(compression === Compression.ZSTD && hasZstd)) {
    return refuse(`the compression must be none${hasZstd ? " or zstd" : ""}`, compression);
  }
  const onTopOf = Buffer.from(manifest.baseSha256).toString("hex");
  if (onTopOf !== base && base !== "any")
    return refuse(
      base === "" ? "it must be whole parameters" : `it must build on the base with SHA-256 ${base}`,
      onTopOf === "" ? "whole parameters" : `an adapter on top of ${onTopOf}`,
    );
  if (count < 1 || count > maxParameters) return refuse(`it must have 1 to ${maxParameters} parameters`, count);
  const rawBytes = count * (encoding === Encoding.F32 ? 4 : 2);
  // Data that does not shrink grows a little in zstd.
  if (compression === Compression.NONE ? wireBytes !== rawBytes : wireBytes > rawBytes + (rawBytes >> 7) + 1024) {
    return refuse(`it must be ${rawBytes} bytes`, wireBytes);
  }

  const wire = new Uint8Array(wireBytes);
  // Uncompressed binary32 is hashed as it arrives and used in place.
  const hash: Hash | undefined =
    encoding === Encoding.F32 && compression === Compression.NONE ? createHash("sha256") : undefined;
  let received = 0;

  const unpack = (): Float32Array => {
    let raw = wire;
    if (compression === Compression.ZSTD) {
      try {
        const inflated = unzstd(wire, rawBytes);
        raw = new Uint8Array(inflated.length);
        raw.set(inflated); // an aligned buffer of its own
      } catch (cause) {
        return refuse("its zstd data must be whole", "it damaged", { cause });
      }
      if (raw.length !== rawBytes) return refuse(`it must be ${rawBytes} bytes decompressed`, raw.length);
    }
    return encoding === Encoding.F32 ? new Float32Array(raw.buffer) : fromBf16(new Uint16Array(raw.buffer));
  };

  return {
    get complete() {
      return received === wireBytes;
    },
    push(chunk) {
      if (chunk.length === 0 || received + chunk.length > wireBytes) {
        refuse(`its chunks must add up to ${wireBytes} bytes`, received + chunk.length);
      }
      wire.set(chunk, received);
      received += chunk.length;
      hash?.update(chunk);
    },
    finish() {
      if (received !== wireBytes) refuse(`its chunks must add up to ${wireBytes} bytes`, received);
      const weights = unpack();
      const found = hash ? hash.digest() : hashWeights(weights);
      const sha256 = found.toString("hex");
      if (!found.equals(version.sha256)) {
        refuse(`its SHA-256 must be ${Buffer.from(version.sha256).toString("hex")}`, sha256);
      }
      return { weights, sha256 };
    },
  };
}
