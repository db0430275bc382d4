/** The one thing that reading a model asks of the runtime: parts of large files. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

export interface LargeFile {
  readonly size: number;
  /** Bytes from … to; a view of the file itself where the runtime can map it, so that all processes of a machine share one copy. */
  slice(from: number, to: number): Uint8Array;
}

/** Opens a file, maps it where that is possible. Throws the file system's error. */
export function openLarge(path: string): LargeFile {
  const runtime: { mmap?: (path: string, options: { shared: boolean }) => Uint8Array } =
    (globalThis as { Bun?: object }).Bun ?? {};
  const descriptor = openSync(path, "r");
  const { size } = fstatSync(descriptor);
  if (runtime.mmap && size > 0) {
    closeSync(descriptor);
    const bytes = runtime.mmap(path, { shared: false });
    return { size, slice: (from, to) => bytes.subarray(from, to) };
  }
  const slice = (from: number, to: number): Uint8Array => {
    const bytes = new Uint8Array(to - from);
    let at = 0;
    while (at < bytes.length) {
      const count = readSync(descriptor, bytes, at, Math.min(bytes.length - at, 1 << 30), from + at);
      if (count === 0) throw new RangeError(`Cannot read bytes ${from} to ${to} of ${path}: it has ${size}`);
      at += count;
    }
    return bytes;
  };
  return { size, slice };
}
