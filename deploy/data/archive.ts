/** Archives from elsewhere: only what is wanted leaves them, and nothing leaves the folder it is meant for. */
import { spawn } from "node:child_process";
import { createReadStream, mkdirSync } from "node:fs";
import { open, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { Parser, type ReadEntry } from "tar";
import { openPromise } from "yauzl";

export interface UnpackOptions {
  /** Where an entry belongs, relative to the folder; undefined leaves it out. */
  wanted(path: string): string | undefined;
  limits?: Limits;
  signal?: AbortSignal;
  onProgress?(files: number): void;
}

interface Limits {
  entries: number;
  /** Of one file, and of all together, unpacked. */
  fileBytes: number;
  bytes: number;
}

/** Several times what the data sets hold. */
const LIMITS: Limits = { entries: 500_000, fileBytes: 8 * 2 ** 30, bytes: 16 * 2 ** 30 };

const TOO_LARGE = "what it holds is larger than any data set known here";

interface Entry {
  path: string;
  type: "file" | "folder" | "other";
  /** As declared. */
  bytes: number;
  content(): Promise<AsyncIterable<Uint8Array>>;
}

/**
 * Unpacks the wanted files of a zip, tar, tar.gz or tar.xz, told apart by their first bytes.
 * @returns how many files were written
 * @throws Error when the archive is damaged, is none, or is hostile: names outside of it, links under wanted names, more than the limits
 */
export async function unpack(archive: string, folder: string, options: UnpackOptions): Promise<number> {
  const { wanted, limits = LIMITS, signal, onProgress } = options;
  let [entries, bytes, files] = [0, 0, 0];
  try {
    for await (const entry of entriesOf(archive)) {
      signal?.throwIfAborted();
      if (++entries > limits.entries) throw new Error(`it holds more than ${limits.entries} entries`);
      if (!isInside(entry.path)) throw new Error(`it holds a file outside of itself, "${entry.path.slice(0, 200)}"`);
      const target = entry.type === "folder" ? undefined : wanted(entry.path);
      if (target === undefined) {
        bytes += entry.bytes;
        if (bytes > limits.bytes) throw new Error(TOO_LARGE);
        continue;
      }
      if (entry.type === "other") throw new Error(`"${entry.path}" in it is a link or a device instead of a file`);
      bytes += await write(await entry.content(), join(folder, target), entry.path, {
        ...limits,
        bytes: limits.bytes - bytes,
      });
      files++;
      onProgress?.(files);
    }
  } catch (cause) {
    signal?.throwIfAborted();
    if ((cause as NodeJS.ErrnoException).code === "ENOSPC") throw cause;
    throw new Error(`${archive} was not unpacked: ${(cause as Error).message}`, { cause });
  }
  return files;
}

/** The declared sizes are not believed: what is written is counted. */
async function write(content: AsyncIterable<Uint8Array>, path: string, name: string, limits: Limits): Promise<number> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  mkdirSync(dirname(path), { recursive: true });
  const file = await open(path, "w");
  try {
    for await (const chunk of content) {
      bytes += chunk.length;
      if (bytes > limits.fileBytes)
        throw new Error(`"${name}" in it is larger than ${limits.fileBytes} bytes unpacked`);
      if (bytes > limits.bytes) throw new Error(TOO_LARGE);
      chunks.push(chunk);
      if (chunks.length === 64) await writeFile(file, Buffer.concat(chunks.splice(0)));
    }
    await writeFile(file, Buffer.concat(chunks));
  } finally {
    await file.close();
  }
  return bytes;
}

function isInside(path: string): boolean {
  return !/^([/\\]|[A-Za-z]:)/.test(path) && !path.split(/[/\\]/).includes("..") && !path.includes("\0");
}

async function* entriesOf(archive: string): AsyncGenerator<Entry> {
  const file = await open(archive, "r");
  const { buffer: head } = await file.read(Buffer.alloc(6), 0, 6, 0).finally(() => file.close());
  const starts = (...bytes: number[]) => bytes.every((byte, i) => head[i] === byte);
  if (starts(0x50, 0x4b)) yield* zipEntries(archive);
  else if (starts(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00)) yield* tarEntries(...decompressed(archive));
  else if (starts(0x1f, 0x8b)) yield* tarEntries(...gunzipped(archive));
  else yield* tarEntries(createReadStream(archive), Promise.resolve());
}

async function* zipEntries(archive: string): AsyncGenerator<Entry> {
  // Names are checked here, so that both kinds of archive are refused in the same words.
  const zip = await openPromise(archive, { decodeStrings: false, autoClose: false });
  try {
    for await (const entry of zip.eachEntry()) {
      const path = Buffer.from(entry.fileName as unknown as Uint8Array).toString("utf8");
      const type = path.endsWith("/") ? "folder" : entry.externalFileAttributes >>> 28 === 0xa ? "other" : "file";
      yield { path, type, bytes: entry.uncompressedSize, content: () => opened(zip.openReadStreamPromise(entry)) };
    }
  } finally {
    zip.close();
  }
}

/** A stream may fail before anybody reads it, which would end the process: its reader hears of it all the same. */
async function opened(opening: Promise<Readable>): Promise<Readable> {
  const stream = await opening;
  return stream.on("error", () => undefined);
}

function gunzipped(archive: string): [Readable, Promise<void>] {
  const gunzip = createGunzip();
  const done = pipeline(createReadStream(archive), gunzip);
  done.catch(() => undefined); // heard where the entries are read
  return [gunzip, done];
}

/** xz has no library that is well kept; its program is everywhere that tar reads such archives. */
function decompressed(archive: string): [Readable, Promise<void>] {
  const xz = spawn("xz", ["--decompress", "--stdout", "--", archive], { stdio: ["ignore", "pipe", "pipe"] });
  let complaint = "";
  xz.stderr.on("data", (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-500);
  });
  const done = new Promise<void>((resolve, reject) => {
    xz.on("error", (cause) => reject(new Error("the program xz, which unpacks it, cannot be run", { cause })));
    xz.on("close", (code) => (code === 0 ? resolve() : reject(new Error(complaint.trim() || `xz ends with ${code}`))));
  });
  done.catch(() => undefined); // heard where the entries are read
  return [xz.stdout, done];
}

/** Entries of a tar, which come one after the other: what is not read of one is skipped. */
async function* tarEntries(source: Readable, done: Promise<void>): AsyncGenerator<Entry> {
  const waiting: ReadEntry[] = [];
  let wake = () => {};
  let failed: unknown;
  let ended = false;
  const notify = (error?: unknown) => {
    failed ??= error;
    wake();
  };
  const parser = new Parser({
    strict: true,
    maxMetaEntrySize: 1 << 20,
    onReadEntry: (entry: ReadEntry) => {
      waiting.push(entry);
      notify();
    },
  });
  parser.on("error", notify);
  parser.on("end", () => {
    ended = true;
    notify();
  });
  // An entry that is being read would wait for ever: the parser ends it.
  const broken = (error: unknown) => {
    notify(error);
    parser.end();
  };
  source.on("error", broken);
  done.catch(broken);
  source.pipe(parser as unknown as NodeJS.WritableStream);
  try {
    for (;;) {
      if (failed !== undefined) throw failed;
      const entry = waiting.shift();
      if (entry !== undefined) {
        const type =
          entry.type === "Directory" ? "folder" : /^(Old|Contiguous)?File$/.test(entry.type) ? "file" : "other";
        let read = false;
        yield {
          path: entry.path,
          type,
          bytes: entry.size,
          content: async () => {
            read = true;
            return entry as unknown as AsyncIterable<Uint8Array>;
          },
        };
        if (!read) entry.resume();
      } else if (ended) {
        await done;
        return;
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    source.destroy();
  }
}
