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

// An own packer and unpacker for each message's records: nothing is shared between messages.
const packr = new Packr({ useRecords: true, moreTypes: true, structuredClone: false, encodeUndefinedAsNil: true });
const unpackr = new Unpackr({
  useRecords: true,
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
  checkData(value, what, "", 0);
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

function checkData(value: unknown, what: string, place: string, depth: number): void {
  const refuse = (found: string): never => {
    throw new TypeError(
      `Cannot send ${what}: ${place ? `${place.replace(/^\./, "")} is` : "it is"} ${found}; only plain data travels (null, booleans, numbers, strings, typed arrays, arrays and plain objects).`,
    );
  };
  if (value === null || value === undefined) return;
  switch (typeof value) {
    case "boolean":
    case "number":
    case "string":
      return;
    case "object":
      break;
    default:
      refuse(`a ${typeof value}`);
  }
  if (ArrayBuffer.isView(value)) {
    const name = value.constructor.name;
    if (!/^(U?[Ii]nt(8|16|32)|Uint8Clamped|Float(32|64))Array$/.test(name)) {
      refuse(`a ${name}${name === "Buffer" ? " (make it a Uint8Array)" : ""}`);
    }
    return;
  }
  if (depth === MAX_DEPTH) refuse(`nested deeper than ${MAX_DEPTH}, or contains itself`);
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) checkData(value[i], what, `${place}[${i}]`, depth + 1);
    return;
  }
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null)
    refuse(`a ${prototype.constructor?.name ?? "class instance"}`);
  for (const key in value) checkData((value as Record<string, unknown>)[key], what, `${place}.${key}`, depth + 1);
}
