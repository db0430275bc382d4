/**
 * Plain data as bytes, for what actors are told and what they answer: null, booleans, numbers, strings, typed arrays, and
 * arrays and plain objects of these. Never code, classes or references, so reading cannot run or build anything else.
 */
import { Packr } from "msgpackr/pack";
import { Unpackr } from "msgpackr/unpack";
import { DecodeError } from "./codec.ts";
import { scan } from "./scan.ts";

/** The most bytes of one message; under a broker's usual limit of 1 MiB. */
export const maxDataBytes = 1_000_000;
const MAX_NODES = 1 << 18;
const MAX_DEPTH = 16;
const TYPED_ARRAY = /^(U?[Ii]nt(8|16|32)|Uint8Clamped|Float(32|64))Array$/;

// Plain maps: faster than records for small messages, and nothing is shared between messages.
const packr = new Packr({ useRecords: false, moreTypes: true, structuredClone: false, encodeUndefinedAsNil: true });
const unpackr = new Unpackr({
  useRecords: false,
  mapsAsObjects: true,
  moreTypes: true,
  structuredClone: false,
  copyBuffers: true,
});

/**
 * @param what names the value in errors: "the arguments of counter.add()"
 * @throws TypeError for what is not plain data, naming its place; RangeError for what is too large
 */
export function encodeData(value: unknown, what: string, maxBytes = maxDataBytes): Uint8Array {
  if (!isData(value, 0)) {
    const [place, found] = misfit(value, "", 0);
    throw new TypeError(
      `Cannot send ${what}: ${place || "it"} is ${found}; only plain data travels (null, booleans, numbers, strings, typed arrays, arrays and plain objects).`,
    );
  }
  // The packer's own memory is used again for its next message.
  const bytes = new Uint8Array(packr.pack(value));
  if (bytes.length > maxBytes) {
    throw new RangeError(
      `Cannot send ${what}: at most ${maxBytes} bytes are taken, found ${bytes.length}. Send less, or put it into an object store and send its name.`,
    );
  }
  return bytes;
}

/** `undefined` comes back as null. Throws DecodeError. */
export function decodeData(bytes: Uint8Array, what: string, maxBytes = maxDataBytes): unknown {
  if (bytes.length > maxBytes) {
    throw new DecodeError(`Cannot read ${what}: at most ${maxBytes} bytes are taken, found ${bytes.length}`);
  }
  try {
    scan(bytes, { maxNodes: MAX_NODES, maxDepth: MAX_DEPTH });
    return unpackr.unpack(bytes);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.slice(0, 300) : "unreadable";
    throw new DecodeError(`Cannot read ${what}: ${reason}`, undefined, { cause });
  }
}

/** Quick, since nearly everything passes; what does not is looked at again to say where. */
function isData(value: unknown, depth: number): boolean {
  if (value === null || value === undefined) return true;
  const type = typeof value;
  if (type !== "object") return type === "number" || type === "string" || type === "boolean";
  if (ArrayBuffer.isView(value)) return TYPED_ARRAY.test(value.constructor.name);
  if (depth === MAX_DEPTH) return false;
  if (Array.isArray(value)) return value.every((item) => isData(item, depth + 1));
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  for (const key in value as object) if (!isData((value as Record<string, unknown>)[key], depth + 1)) return false;
  return true;
}

/** What is no data in a value that holds such, and where: ["list[1]", "a function"]. */
function misfit(value: unknown, place: string, depth: number): [place: string, found: string] {
  const found = (what: string): [string, string] => [place.replace(/^\./, ""), what];
  if (typeof value !== "object" || value === null) return found(`a ${typeof value}`);
  const name = value.constructor?.name ?? "class instance";
  if (ArrayBuffer.isView(value)) return found(`a ${name}${name === "Buffer" ? " (make it a Uint8Array)" : ""}`);
  if (depth === MAX_DEPTH) return found(`nested deeper than ${MAX_DEPTH}, or contains itself`);
  const prototype = Object.getPrototypeOf(value);
  if (!Array.isArray(value) && prototype !== Object.prototype && prototype !== null) return found(`a ${name}`);
  for (const [key, item] of Object.entries(value)) {
    if (!isData(item, depth + 1))
      return misfit(item, `${place}${Array.isArray(value) ? `[${key}]` : `.${key}`}`, depth + 1);
  }
  return found("no data");
}
