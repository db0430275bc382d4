import { parameterCount, sizeOf } from "./layout.ts";
import type { ParameterSpec } from "./tensors.ts";

/**
 * Weights as safetensors (https://github.com/huggingface/safetensors): 8 bytes of header length, little-endian; a JSON header
 * { name: { dtype, shape, data_offsets }, "__metadata__": { key: text } }; then the data of all tensors without gaps. Data, never
 * code. We write float32 and read the other floats of weights too.
 */

/** A file that is refused: damaged, hostile or not what the layout expects. */
export class SafetensorsError extends Error {
  override name = "SafetensorsError";
}

export interface SafetensorsLimits {
  maxHeaderBytes: number;
  maxTensors: number;
  maxDimensions: number;
}

export const SAFETENSORS_LIMITS: SafetensorsLimits = {
  maxHeaderBytes: 1 << 20,
  maxTensors: 4096,
  maxDimensions: 8,
};

export interface Safetensors {
  metadata: Record<string, string>;
  /** In the order of their data. Values are copies, aligned, and keep nothing of the input alive. */
  tensors: Map<string, { shape: readonly number[]; values: Float32Array }>;
}

const METADATA = "__metadata__";

/** The contiguous buffer of a layout as a file. Throws RangeError when the buffer has not the layout's size. */
export function encodeSafetensors(
  layout: readonly ParameterSpec[],
  buffer: Float32Array,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const count = parameterCount(layout);
  if (buffer.length !== count) {
    throw new RangeError(`Cannot encode ${buffer.length} values: the layout has ${count} parameters`);
  }
  const entries: [string, unknown][] = [[METADATA, metadata]];
  let offset = 0;
  for (const { name, shape } of layout) {
    if (name === METADATA) throw new RangeError(`Cannot encode a parameter named ${METADATA}: the format reserves it`);
    const end = offset + 4 * sizeOf(shape);
    entries.push([name, { dtype: "F32", shape, data_offsets: [offset, end] }]);
    offset = end;
  }
  const json = `{${entries.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(",")}}`;
  const text = new TextEncoder().encode(json);
  const headerBytes = Math.ceil(text.length / 8) * 8; // padded with spaces, so that the data is aligned
  const bytes = new Uint8Array(8 + headerBytes + offset);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerBytes), true);
  bytes.fill(0x20, 8, 8 + headerBytes);
  bytes.set(text, 8);
  bytes.set(new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength), 8 + headerBytes);
  return bytes;
}

/** Bytes of an element, by the names of the format: those of weights. */
export const ELEMENT_BYTES = { F32: 4, F16: 2, BF16: 2 } as const;
export type ElementType = keyof typeof ELEMENT_BYTES;

/** Where a tensor lies: bytes begin … end of the data. */
export interface TensorEntry {
  name: string;
  dtype: ElementType;
  shape: readonly number[];
  begin: number;
  end: number;
}

/** Throws SafetensorsError, which says what was expected and what was found. */
export function decodeSafetensors(bytes: Uint8Array, limits: Partial<SafetensorsLimits> = {}): Safetensors {
  const { metadata, entries, dataAt } = safetensorsHeader((from, to) => bytes.subarray(from, to), bytes.length, limits);
  const tensors: Safetensors["tensors"] = new Map();
  for (const { name, dtype, shape, begin, end } of entries) {
    if (dtype !== "F32") refuse(`${quote(name)} has dtype "${dtype}", expected F32`);
    const values = new Float32Array((end - begin) / 4);
    new Uint8Array(values.buffer).set(bytes.subarray(dataAt + begin, dataAt + end));
    tensors.set(name, { shape, values });
  }
  return { metadata, tensors };
}

/** What a file of `size` bytes says of its tensors, in the order of their data, which begins at `dataAt`. Throws as `decodeSafetensors`. */
export function safetensorsHeader(
  slice: (from: number, to: number) => Uint8Array,
  size: number,
  limits: Partial<SafetensorsLimits> = {},
): { metadata: Record<string, string>; entries: TensorEntry[]; dataAt: number } {
  const { maxHeaderBytes, maxTensors, maxDimensions } = { ...SAFETENSORS_LIMITS, ...limits };
  if (size < 8) refuse(`expected at least 8 bytes, found ${size}`);
  const start = slice(0, 8);
  const declared = new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true);
  if (declared > BigInt(maxHeaderBytes))
    refuse(`expected a header of at most ${maxHeaderBytes} bytes, found ${declared}`);
  const headerBytes = Number(declared);
  if (headerBytes > size - 8) refuse(`the header says ${headerBytes} bytes, ${size - 8} follow`);
  const dataAt = 8 + headerBytes;
  const header = parseHeader(slice(8, dataAt));
  const dataBytes = size - dataAt;

  const named = Object.entries(header).filter(([name]) => name !== METADATA);
  if (named.length > maxTensors) refuse(`expected at most ${maxTensors} tensors, found ${named.length}`);
  const entries = named.map(([name, entry]) => ({ name, ...readEntry(name, entry, maxDimensions) }));
  entries.sort((x, y) => x.begin - y.begin || x.end - y.end);
  let at = 0;
  for (const { name, begin, end } of entries) {
    if (begin !== at) refuse(`the data of ${quote(name)} begins at ${begin}, expected ${at}: no gaps, no overlaps`);
    if (end > dataBytes) refuse(`the data of ${quote(name)} ends at ${end}, the file has ${dataBytes} bytes of data`);
    at = end;
  }
  if (at !== dataBytes) refuse(`the tensors end at byte ${at} of the data, the file has ${dataBytes}`);
  return { metadata: readMetadata(header[METADATA]), entries, dataAt };
}

/** The contiguous buffer of a layout from a file with just its tensors. Throws SafetensorsError when names or shapes differ. */
export function weightsFromSafetensors(layout: readonly ParameterSpec[], file: Safetensors): Float32Array {
  const weights = new Float32Array(parameterCount(layout));
  if (file.tensors.size !== layout.length) {
    const extra = [...file.tensors.keys()].filter((name) => layout.every((spec) => spec.name !== name));
    refuse(
      `expected ${layout.length} tensors, found ${file.tensors.size}; unknown: ${extra.slice(0, 5).map(quote).join(", ")}`,
    );
  }
  let offset = 0;
  for (const { name, shape } of layout) {
    const tensor = file.tensors.get(name);
    if (!tensor) return refuse(`tensor ${quote(name)} is missing`);
    if (tensor.shape.join() !== shape.join()) {
      refuse(`expected ${quote(name)} as [${shape.join(", ")}], found [${tensor.shape.join(", ")}]`);
    }
    weights.set(tensor.values, offset);
    offset += tensor.values.length;
  }
  return weights;
}

function parseHeader(bytes: Uint8Array): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new SafetensorsError("Cannot read safetensors: the header is not JSON in UTF-8", { cause });
  }
  if (!isRecord(header) || bytes[0] !== 0x7b) return refuse("the header must be an object that begins with {");
  return header;
}

function readEntry(name: string, entry: unknown, maxDimensions: number): Omit<TensorEntry, "name"> {
  if (!isRecord(entry)) return refuse(`the entry of ${quote(name)} is not an object`);
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== "string" || !Object.hasOwn(ELEMENT_BYTES, dtype)) {
    return refuse(`${quote(name)} has dtype ${quote(String(dtype))}, expected F32, F16 or BF16`);
  }
  const type = dtype as ElementType;
  if (!isCounts(shape) || shape.length > maxDimensions) {
    return refuse(`the shape of ${quote(name)} must be at most ${maxDimensions} non-negative integers`);
  }
  if (!isCounts(offsets) || offsets.length !== 2)
    return refuse(`the data_offsets of ${quote(name)} must be two integers`);
  const [begin, end] = offsets;
  const needed = ELEMENT_BYTES[type] * shape.reduce((product, dimension) => product * dimension, 1);
  if (end - begin !== needed) {
    refuse(`${quote(name)} [${shape.join(", ")}] needs ${needed} bytes, its data_offsets span ${end - begin}`);
  }
  return { dtype: type, shape, begin, end };
}

function readMetadata(value: unknown): Record<string, string> {
  if (value === undefined) return {};
  if (!isRecord(value)) return refuse(`${METADATA} must be an object`);
  const metadata: Record<string, string> = Object.create(null);
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") return refuse(`${METADATA} must hold text: ${quote(key)} does not`);
    metadata[key] = text;
  }
  return metadata;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}

/** Names come from the file: shown quoted and cut short. */
function quote(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
}

function refuse(why: string): never {
  throw new SafetensorsError(`Cannot read safetensors: ${why}`);
}
