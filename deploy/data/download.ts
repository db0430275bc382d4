/** One file over HTTP: streamed to disk, taken up where an earlier attempt ended, checked before it gets its name. */
import { createHash } from "node:crypto";
import { createReadStream, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname } from "node:path";

/** What the right file is known by. */
export interface Known {
  bytes: number;
  sha256: string;
}

export interface DownloadOptions {
  /** Refuses any other file; without it the server's word is taken. */
  known?: Known;
  signal?: AbortSignal;
  onProgress?(bytes: number, of: number | undefined): void;
  /** Give up when nothing arrives for so long. */
  stallMs?: number;
}

/** The server's answer, or what it sent, is not the file. Asking it again will not help. */
export class WrongFileError extends Error {
  override readonly name = "WrongFileError";
}

const ATTEMPTS = 5;
/** Far above any file that is fetched here; keeps a server without end from filling the disk. */
const MAX_BYTES = 64 * 2 ** 30;

/**
 * Leaves the file at `path`. What has arrived of a known file stays in `<path>.part` when the connection breaks, and the next call goes
 * on from there.
 * @throws WrongFileError when there is no such file, or another; Error when the connection, or the disk, fails
 */
export async function download(url: string, path: string, options: DownloadOptions = {}): Promise<void> {
  const part = `${path}.part`;
  mkdirSync(dirname(path), { recursive: true });
  if (options.known === undefined) rmSync(part, { force: true }); // who knows of which file it is a part
  let fruitless = 0;
  for (;;) {
    const before = sizeOf(part);
    try {
      await receive(url, part, options);
      break;
    } catch (error) {
      options.signal?.throwIfAborted();
      if (error instanceof WrongFileError || isDiskError(error)) throw error;
      fruitless = sizeOf(part) > before ? 0 : fruitless + 1;
      if (fruitless >= ATTEMPTS)
        throw new Error(
          `the connection to ${url} failed after ${sizeOf(part)} bytes (${(error as Error).message}); ` +
            "what has arrived is kept: the same command goes on from there",
          { cause: error },
        );
      if (fruitless > 0) await Bun.sleep(200 * 2 ** fruitless);
    }
  }
  if (options.known !== undefined) {
    const problem = await mismatch(part, options.known, options.signal);
    if (problem !== undefined) {
      rmSync(part, { force: true });
      throw new WrongFileError(`${url} sent a file that is not the expected one: ${problem}`);
    }
  }
  renameSync(part, path);
}

/** What is wrong with the file, or nothing. */
export async function mismatch(path: string, { bytes, sha256 }: Known, signal?: AbortSignal) {
  const size = sizeOf(path);
  if (size !== bytes) return `expected ${bytes} bytes, found ${size}`;
  const found = await sha256Of(path, signal);
  return found === sha256 ? undefined : `expected SHA-256 ${sha256}, found ${found}`;
}

export async function sha256Of(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20, signal })) hash.update(chunk);
  return hash.digest("hex");
}

/** Appends what is missing to `part`. */
async function receive(url: string, part: string, options: DownloadOptions): Promise<void> {
  const { known, signal, onProgress, stallMs = 30_000 } = options;
  let have = sizeOf(part);
  if (known !== undefined && have > known.bytes) {
    rmSync(part);
    have = 0;
  }
  if (have > 0 && have === known?.bytes) return;
  const stalled = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => stalled.abort(new Error(`nothing arrived for ${stallMs / 1000} s`)), stallMs);
  };
  try {
    alive();
    const headers: Record<string, string> = { "accept-encoding": "identity" };
    if (have > 0) headers.range = `bytes=${have}-`;
    const response = await fetch(url, {
      headers,
      signal: signal === undefined ? stalled.signal : AbortSignal.any([signal, stalled.signal]),
    });
    if (response.status === 416) {
      // The part is no beginning of this file.
      rmSync(part);
      throw new Error("the server has less than had arrived before; beginning anew");
    }
    const goesOn = response.status === 206 && response.headers.get("content-range")?.startsWith(`bytes ${have}-`);
    if (!response.ok || (response.status === 206 && !goesOn)) {
      const problem = `${url} answers ${response.status} ${response.statusText}`.trimEnd();
      if (response.status >= 500 || response.status === 429) throw new Error(problem);
      throw new WrongFileError(problem);
    }
    if (response.headers.get("content-type")?.startsWith("text/html"))
      throw new WrongFileError(
        `${url} answers with a web page instead of the file, as Google Drive does when too many people asked for it`,
      );
    const start = goesOn ? have : 0;
    const length = response.headers.get("content-length");
    const total = length === null ? known?.bytes : start + Number(length);
    if (known !== undefined && total !== known.bytes)
      throw new WrongFileError(`${url} offers another file: expected ${known.bytes} bytes, found ${total}`);
    await store(response, part, start, known?.bytes ?? total ?? MAX_BYTES, (bytes) => {
      alive();
      onProgress?.(bytes, total);
    });
    if (total !== undefined && sizeOf(part) < total)
      throw new Error(`it ended after ${sizeOf(part)} of ${total} bytes`);
  } catch (error) {
    throw stalled.signal.aborted ? stalled.signal.reason : error;
  } finally {
    clearTimeout(timer);
  }
}

async function store(response: Response, part: string, start: number, limit: number, onBytes: (n: number) => void) {
  const file = await open(part, start > 0 ? "r+" : "w");
  try {
    let at = start;
    onBytes(at);
    for await (const chunk of response.body ?? []) {
      if (at + chunk.length > limit) throw new WrongFileError(`${response.url} sent more than ${limit} bytes`);
      for (let done = 0; done < chunk.length; ) {
        const { bytesWritten } = await file.write(chunk, done, chunk.length - done, at + done);
        done += bytesWritten;
      }
      at += chunk.length;
      onBytes(at);
    }
  } finally {
    await file.close();
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** Whether it is the disk that fails: trying again would not help. */
export function isDiskError(error: unknown): boolean {
  return ["ENOSPC", "EDQUOT", "EACCES", "EPERM", "EROFS", "EIO"].includes((error as NodeJS.ErrnoException).code ?? "");
}
