/** Calls and answers as bytes. Both sides are actors of one system, but neither trusts what it reads. */
import { RemoteError } from "../../proto/bus/errors.ts";
import { DecodeError } from "../../proto/codec.ts";
import { decodeData, encodeData } from "../../proto/data.ts";

export interface Call {
  /** Unique among all calls of a caller; names the call to be cancelled. */
  id: string;
  method: string;
  arguments: unknown[];
  /** Left when it was sent. */
  timeoutMs: number;
  /** Answered as soon as the mailbox has it. */
  tell: boolean;
}

export type Answer =
  | { type: "done"; value: unknown }
  | { type: "threw"; name: string; message: string; stack: string }
  /** Not done, and it will not be. away: another life of the actor may take it. */
  | { type: "refused"; why: "full" | "away" | "unfit"; message: string };

/** The most characters of each part of an error that travel. */
const MAX_ERROR_LENGTH = 16_384;

/** Throws TypeError or RangeError for arguments that cannot travel. */
export function encodeCall(actor: string, call: Call): Uint8Array {
  return encodeData(call, `a call of ${actor}.${call.method}()`);
}

/** Throws DecodeError. */
export function decodeCall(bytes: Uint8Array): Call {
  const call = decodeData(bytes, "a call") as Call;
  const isCall =
    typeof call?.id === "string" &&
    call.id.length <= 64 &&
    typeof call.method === "string" &&
    call.method.length <= 128 &&
    Array.isArray(call.arguments) &&
    typeof call.timeoutMs === "number" &&
    call.timeoutMs >= 0;
  if (!isCall)
    throw new DecodeError("Cannot read a call: its id, method, arguments or timeoutMs is missing or malformed");
  return call;
}

/** A value that cannot travel becomes the error that says so. */
export function encodeAnswer(what: string, answer: Answer): Uint8Array {
  try {
    return encodeData(answer, `the answer of ${what}`);
  } catch (error) {
    return encodeData(threw(error), "an error");
  }
}

export function decodeAnswer(bytes: Uint8Array, what: string): Answer {
  const answer = decodeData(bytes, `the answer of ${what}`) as Answer;
  if (!["done", "threw", "refused"].includes(answer?.type)) throw new DecodeError(`Cannot read the answer of ${what}`);
  return answer;
}

export function threw(error: unknown): Answer {
  const { name, message, stack = "" } = error instanceof Error ? error : new Error(String(error));
  const short = (text: string) => String(text).slice(0, MAX_ERROR_LENGTH);
  return { type: "threw", name: short(name), message: short(message), stack: short(stack) };
}

export const remoteError = ({ name, message, stack }: Extract<Answer, { type: "threw" }>) =>
  new RemoteError({ name: String(name), message: String(message), stack: String(stack) });
