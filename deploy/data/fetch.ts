/** Brings a data set to where its environment looks: downloads or takes what there is, checks it, unpacks it, moves it into place. */
import {
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
} from "node:fs";
import { basename, dirname, extname, join, resolve } from "node:path";
import { unpack } from "./archive.ts";
import type { Dataset, RemoteFile } from "./datasets.ts";
import { download, isDiskError, mismatch } from "./download.ts";

export interface FetchOptions {
  splits: readonly string[];
  folder: string;
  /** A file, a folder or an address to take it from; "" for where the project itself offers it. */
  from: string;
  /** Takes files that are not the known ones as they are. */
  unverified: boolean;
  signal?: AbortSignal;
  onProgress?(what: Progress): void;
}

/** Bytes of a download, or files of an archive. */
export interface Progress {
  file: string;
  bytes?: number;
  of?: number;
  files?: number;
}

export interface Fetched {
  folder: string;
  /** What was there already, and what came: split → "140 games". */
  present: Record<string, string>;
  fetched: Record<string, string>;
  /** Splits that the source does not have. */
  absent: string[];
  /** Files whose bytes nobody vouched for. */
  unverified: string[];
}

/** Where one file is taken from. */
interface Source {
  name: string;
  /** Addresses, in the order in which they are tried; or a file of this machine. */
  from: { urls: readonly string[] } | { path: string };
  known?: RemoteFile;
}

const ARCHIVE = /\.(zip|tar|tgz|txz|tar\.[gx]z)$/i;

/** What is still to be had, and how much of it comes over the network. */
export interface Plan {
  present: Record<string, string>;
  missing: string[];
  sources: Source[];
  downloadBytes: number;
  diskBytes: number;
}

/** @throws Error when `from` names nothing that could help */
export function plan(
  dataset: Dataset,
  { splits, folder, from }: Pick<FetchOptions, "splits" | "folder" | "from">,
): Plan {
  const present: Record<string, string> = {};
  for (const split of splits) {
    const amount = dataset.amount(folder, split);
    if (amount !== undefined) present[split] = amount;
  }
  const missing = splits.filter((split) => !Object.hasOwn(present, split));
  const sources = missing.length === 0 ? [] : sourcesOf(dataset, missing, from);
  const downloadBytes = sources.reduce(
    (sum, { from: where, known }) => sum + ("urls" in where ? (known?.bytes ?? 0) : 0),
    0,
  );
  return { present, missing, sources, downloadBytes, diskBytes: downloadBytes + dataset.unpackedBytes(missing) };
}

function sourcesOf(dataset: Dataset, missing: readonly string[], from: string): Source[] {
  const files = dataset.files(missing);
  if (from === "") return files.map((known) => ({ name: known.name, from: { urls: known.urls }, known }));
  const named = (name: string) => files.find((known) => known.name === name);
  if (/^https?:\/\//.test(from)) {
    if (from.endsWith("/"))
      return files.map((known) => ({ name: known.name, from: { urls: [`${from}${known.name}`] }, known }));
    const name = basename(decodeURIComponent(new URL(from).pathname)) || "download";
    return [{ name, from: { urls: [from] }, known: named(name) }];
  }
  const path = resolve(from);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw new Error(`--from names ${path}, which does not exist`);
  if (stat.isFile()) return [{ name: basename(path), from: { path }, known: named(basename(path)) }];
  const inside = readdirSync(path).sort();
  const useful = inside.filter((name) => named(name) || dataset.place(name, missing) !== undefined);
  const taken = useful.length > 0 ? useful : inside.filter((name) => ARCHIVE.test(name));
  if (taken.length === 0)
    throw new Error(
      `--from names ${path}, which holds neither ${files.map(({ name }) => name).join(", ")} nor another archive; ` +
        `a folder that is unpacked already needs no fetching: name it with --env.data`,
    );
  return taken.map((name) => ({ name, from: { path: join(path, name) }, known: named(name) }));
}

export async function fetchDataset(dataset: Dataset, options: FetchOptions): Promise<Fetched> {
  const { folder, signal } = options;
  const { present, missing, sources, diskBytes } = plan(dataset, options);
  const result: Fetched = { folder, present, fetched: {}, absent: [], unverified: [] };
  if (missing.length === 0) return result;
  mkdirSync(folder, { recursive: true });
  refuseFullDisk(folder, diskBytes);
  const downloads = join(folder, ".downloads");
  const staging = join(folder, `.unpacking-${process.pid}`);
  try {
    for (const source of sources) {
      signal?.throwIfAborted();
      const path = await obtain(dataset, source, downloads, options, result);
      if (source.known === undefined) result.unverified.push(source.name);
      await stage(dataset, source, path, staging, missing, options, result);
    }
    for (const split of missing) {
      for (const unit of dataset.units(split)) {
        if (!existsSync(join(staging, unit))) continue;
        mkdirSync(dirname(join(folder, unit)), { recursive: true });
        rmSync(join(folder, unit), { recursive: true, force: true });
        renameSync(join(staging, unit), join(folder, unit));
      }
    }
    rmSync(downloads, { recursive: true, force: true });
  } catch (error) {
    if (["ENOSPC", "EDQUOT"].includes((error as NodeJS.ErrnoException).code ?? ""))
      throw new Error(`the disk that holds ${folder} is full: free some space, or choose another folder with --dir`, {
        cause: error,
      });
    throw error;
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
  for (const split of missing) {
    const amount = dataset.amount(folder, split);
    if (amount === undefined) result.absent.push(split);
    else result.fetched[split] = amount;
  }
  return result;
}

/** The path of a source on this machine, checked where it is known what it must be. */
async function obtain(
  dataset: Dataset,
  { name, from, known }: Source,
  downloads: string,
  { signal, unverified, onProgress }: FetchOptions,
  result: Fetched,
): Promise<string> {
  if ("path" in from) {
    const problem = known && (await mismatch(from.path, known, signal));
    if (problem !== undefined && !unverified)
      throw new Error(
        `${from.path} bears the name of an original file but is another: ${problem}. If you trust it, add --unverified`,
      );
    if (problem !== undefined) result.unverified.push(name);
    return from.path;
  }
  const path = join(downloads, name);
  if (known !== undefined && !unverified && existsSync(path)) return path; // checked when it came
  const problems: string[] = [];
  for (const url of from.urls) {
    try {
      await download(url, path, {
        known: unverified ? undefined : known,
        signal,
        onProgress: (bytes, of) => onProgress?.({ file: name, bytes, of }),
      });
      return path;
    } catch (error) {
      signal?.throwIfAborted();
      if (isDiskError(error)) throw error;
      problems.push((error as Error).message);
    }
  }
  throw new Error(
    `${name} could not be fetched:\n${problems.map((problem) => `  ${problem}`).join("\n")}\n` +
      `By hand: get ${(known?.urls ?? from.urls).join(" or ")} with a browser, then\n` +
      `  proxima data fetch ${dataset.id} --from FILE`,
  );
}

/** Puts what a source holds of the missing splits into the staging folder. */
async function stage(
  dataset: Dataset,
  { name, from }: Source,
  path: string,
  staging: string,
  missing: readonly string[],
  { signal, unverified, onProgress }: FetchOptions,
  result: Fetched,
): Promise<void> {
  const place = dataset.place(name, missing);
  if (place !== undefined && !ARCHIVE.test(name)) {
    const target = join(staging, place);
    mkdirSync(dirname(target), { recursive: true });
    if ("path" in from) copyFileSync(path, target, constants.COPYFILE_FICLONE);
    else renameSync(path, target);
    return;
  }
  const files = await unpack(path, staging, {
    wanted: (entry) => dataset.place(entry, missing),
    signal,
    onProgress: (files) => onProgress?.({ file: name, files }),
  });
  if (files === 0)
    throw new Error(`${path} holds nothing of ${missing.join(", ")}: is it an archive of ${dataset.about}?`);
  // Files that are known by themselves are checked as if they had come alone.
  for (const known of dataset.files(missing)) {
    const unpacked = join(staging, known.name);
    if (unverified || !existsSync(unpacked) || extname(known.name) !== ".json") continue;
    const problem = await mismatch(unpacked, known, signal);
    if (problem !== undefined)
      throw new Error(
        `${known.name} in ${path} is not the original file: ${problem}. If you trust it, add --unverified`,
      );
    result.unverified = result.unverified.filter((other) => other !== name);
  }
}

function refuseFullDisk(folder: string, needed: number): void {
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  if (free < needed)
    throw new Error(
      `the data set needs about ${gigabytes(needed)} and ${folder} has ${gigabytes(free)} left: free some space, or choose another folder with --dir`,
    );
}

export function gigabytes(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.max(0.1, bytes / 1e6).toFixed(1)} MB`;
}
