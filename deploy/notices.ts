/** What a run told people while it trained: stalls, resumes, refused messages. One JSON object a line in `notices.jsonl`. */
import { appendFileSync, closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { RunFolder } from "./run-folder.ts";

export interface Notice {
  /** Milliseconds since 1970. */
  atMs: number;
  message: string;
}

/** No more than this is read back, from the end. */
const TAIL_BYTES = 64 * 1024;

export function keepNotice(folder: Pick<RunFolder, "notices">, message: string): void {
  try {
    appendFileSync(folder.notices, `${JSON.stringify({ atMs: Date.now(), message })}\n`);
  } catch {
    // Said on the terminal in any case; a full disk ends the run elsewhere, with a better message.
  }
}

/** The newest first. */
export function readNotices(folder: Pick<RunFolder, "notices">, count: number): Notice[] {
  return tail(folder.notices)
    .split("\n")
    .flatMap((line) => {
      try {
        const { atMs, message } = JSON.parse(line) as Notice;
        return typeof atMs === "number" && typeof message === "string" ? [{ atMs, message }] : [];
      } catch {
        return []; // cut in two, or not yet whole
      }
    })
    .slice(-count)
    .reverse();
}

function tail(path: string): string {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return "";
  }
  try {
    const { size } = fstatSync(file);
    const bytes = new Uint8Array(Math.min(size, TAIL_BYTES));
    const length = readSync(file, bytes, 0, bytes.length, size - bytes.length);
    return new TextDecoder().decode(bytes.subarray(0, length));
  } finally {
    closeSync(file);
  }
}
