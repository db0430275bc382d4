/**
 * Keeps what the last iterations were trained on, so that their credit can be computed again, by the run's own estimator or
 * another one. One file an iteration, complete before it gets its name:
 *
 *   "PXTA", header length (uint32, little-endian), SHA-256 of all that follows, header (JSON), then without gaps
 *   the trajectories as they came over the wire, then float32 columns in the order of the header's `columns`.
 *
 * Data, never code. A reader bounds every size before it allocates and verifies the SHA-256 before it believes anything.
 */
import { createHash } from "node:crypto";
import { mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { decodeTrajectory } from "../proto/codec.ts";
import type { Credit, Groups } from "./advantage/index.ts";
import { assembleGroups, type Batch, type PlayedTrajectory, wasPlayed } from "./batch.ts";
import { replaceFile } from "./replace-file.ts";

/** What an iteration was trained on, and how its credit was computed. */
export interface KeptIteration {
  run: string;
  iteration: number;
  /** As the run's configuration names it: an id or a file. */
  environment: string;
  estimator: { name: string; options: Readonly<Record<string, unknown>> };
  /** In the order of the rows. */
  episodes: readonly PlayedTrajectory[];
  /** With the critic's values and the log ratios of the time, where there were any. */
  groups: Groups;
  /** [R] as PPO was given them. */
  advantages: Float32Array;
}

export interface ArchiveOptions {
  folder: string;
  /** How many of the newest iterations stay. */
  keep: number;
  run: string;
  environment: string;
  estimator: KeptIteration["estimator"];
  /** Called when an iteration could not be kept; training goes on without it. */
  onNotice(message: string): void;
}

/** `reason` tells what a caller may do: choose another iteration, or give the file up. */
export class ArchiveError extends Error {
  override readonly name = "ArchiveError";
  readonly reason: "missing" | "damaged" | "mismatch";
  constructor(reason: ArchiveError["reason"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

const MAGIC = 0x4154_5850; // "PXTA", little-endian
const PREFIX_BYTES = 8 + 32;
const MAX_FILE_BYTES = 2 ** 30;
const MAX_HEADER_BYTES = 2 ** 24;
const MAX_EPISODES = 2 ** 20;

const columnNames = ["advantages", "values", "bootstrap", "logRhos"] as const;
type ColumnName = (typeof columnNames)[number];

interface Header {
  version: 1;
  run: string;
  iteration: number;
  environment: string;
  estimator: KeptIteration["estimator"];
  /** Bytes of each trajectory. */
  trajectories: number[];
  /** Name and length (in values) of each column. */
  columns: [ColumnName, number][];
}

const fileName = (iteration: number) => `iteration-${String(iteration).padStart(8, "0")}.trajectories`;
const pattern = /^iteration-(\d{8,15})\.trajectories(\.writing)?$/;

export class TrajectoryArchive {
  readonly #options: ArchiveOptions;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: ArchiveOptions) {
    this.#options = options;
  }

  /**
   * Starts writing once the iteration before is on disk, and does not wait for the end. What is handed over must not change
   * afterwards.
   * @param encoded the episodes of the batch, in its order, as they came over the wire
   */
  async keep(
    iteration: number,
    batch: Pick<Batch, "groups">,
    credit: Pick<Credit, "advantages">,
    encoded: readonly Uint8Array[],
  ): Promise<void> {
    await this.#writing;
    this.#writing = this.#write(iteration, batch, credit, encoded).catch((error: Error) => {
      const { onNotice, folder } = this.#options;
      onNotice(`Cannot keep the trajectories of iteration ${iteration} in ${folder}: ${error.message}`);
    });
  }

  /** Resolves once everything is on disk. */
  async close(): Promise<void> {
    await this.#writing;
  }

  async #write(
    iteration: number,
    batch: Pick<Batch, "groups">,
    credit: Pick<Credit, "advantages">,
    encoded: readonly Uint8Array[],
  ): Promise<void> {
    const { folder, run, environment, estimator } = this.#options;
    const { values, bootstrap, logRhos } = batch.groups;
    const given = { advantages: credit.advantages, values, bootstrap, logRhos };
    const columns = columnNames.flatMap((name) => (given[name] ? [{ name, values: given[name] }] : []));
    const body = [
      ...encoded,
      ...columns.map((column) => {
        const { buffer, byteOffset, byteLength } = column.values;
        return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
      }),
    ];
    const size = body.reduce((sum, { length }) => sum + length, 0);
    if (size > MAX_FILE_BYTES - MAX_HEADER_BYTES)
      throw new Error(`they take ${size} bytes, and at most ${MAX_FILE_BYTES - MAX_HEADER_BYTES} are read back`);
    const header: Header = {
      version: 1,
      run,
      iteration,
      environment,
      estimator,
      trajectories: encoded.map(({ length }) => length),
      columns: columns.map(({ name, values: { length } }) => [name, length]),
    };
    const json = new TextEncoder().encode(JSON.stringify(header));
    const hash = createHash("sha256").update(json);
    for (const chunk of body) hash.update(chunk);
    const prefix = new Uint8Array(PREFIX_BYTES);
    const numbers = new DataView(prefix.buffer);
    numbers.setUint32(0, MAGIC, true);
    numbers.setUint32(4, json.length, true);
    prefix.set(hash.digest(), 8);

    await mkdir(folder, { recursive: true });
    const pieces = inLargePieces([prefix, json, ...body]);
    await replaceFile(join(folder, fileName(iteration)), pieces, { sync: false }); // losing one to a power cut costs a replay
    await this.#prune(iteration);
  }

  /** Leaves the newest up to `iteration`. Later ones are of a course that a resumed run did not take. */
  async #prune(iteration: number): Promise<void> {
    const { folder, keep } = this.#options;
    const kept = (await keptIterations(folder)).filter((i) => i <= iteration).slice(-keep);
    const names = new Set(kept.map(fileName));
    for (const name of await readdir(folder))
      if (pattern.test(name) && !names.has(name)) await rm(join(folder, name), { force: true });
  }
}

/** Many small chunks as few writes. */
function* inLargePieces(chunks: readonly Uint8Array[], pieceBytes = 2 ** 20): Generator<Uint8Array> {
  for (let from = 0; from < chunks.length; ) {
    let to = from;
    for (let size = 0; to < chunks.length && (to === from || size + chunks[to].length <= pieceBytes); to++)
      size += chunks[to].length;
    yield Buffer.concat(chunks.slice(from, to));
    from = to;
  }
}

/** Iterations whose trajectories are kept in a folder, oldest first; none where there is no such folder. */
export async function keptIterations(folder: string): Promise<number[]> {
  const names = await readdir(folder).catch(() => []);
  return names
    .flatMap((name) => {
      const match = pattern.exec(name);
      return match && match[2] === undefined ? [Number(match[1])] : [];
    })
    .sort((a, b) => a - b);
}

/**
 * Reads one iteration.
 * @param environment the one that the trajectories must be of
 * @throws ArchiveError when the iteration is not kept (saying which are), the file is damaged or of another environment
 */
export async function readIteration(folder: string, iteration: number, environment: string): Promise<KeptIteration> {
  const kept = await keptIterations(folder);
  if (!kept.includes(iteration))
    throw new ArchiveError(
      "missing",
      `Iteration ${iteration} is not kept in ${folder}: ${
        kept.length === 0
          ? "nothing is (was the run trained with --keepTrajectories 0?)"
          : `there are ${inRanges(kept)}; more stay with a larger --keepTrajectories`
      }`,
    );
  const path = join(folder, fileName(iteration));
  let read: { header: Header; body: Uint8Array };
  try {
    read = await readFile(path);
  } catch (cause) {
    throw new ArchiveError("damaged", `Cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
  const { header, body } = read;
  if (header.environment !== environment)
    throw new ArchiveError(
      "mismatch",
      `${path} holds episodes of environment '${header.environment}', but its run is of '${environment}': was the file copied here?`,
    );
  try {
    return unpack(header, body);
  } catch (cause) {
    throw new ArchiveError("damaged", `Cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
}

async function readFile(path: string): Promise<{ header: Header; body: Uint8Array }> {
  const { size } = await stat(path);
  if (size > MAX_FILE_BYTES) throw new Error(`it has ${size} bytes, at most ${MAX_FILE_BYTES} are read`);
  if (size < PREFIX_BYTES) throw new Error(`it has ${size} bytes and is cut short`);
  const bytes = new Uint8Array(size);
  const file = await open(path, "r");
  try {
    let end = 0;
    while (end < size) {
      const { bytesRead } = await file.read(bytes, end, size - end, end);
      if (bytesRead === 0) throw new Error(`it became shorter while it was read`);
      end += bytesRead;
    }
  } finally {
    await file.close();
  }
  const numbers = new DataView(bytes.buffer);
  if (numbers.getUint32(0, true) !== MAGIC) throw new Error("it is no file of kept trajectories");
  const content = bytes.subarray(PREFIX_BYTES);
  if (!createHash("sha256").update(content).digest().equals(bytes.subarray(8, PREFIX_BYTES)))
    throw new Error("its content is not what its SHA-256 says: it is damaged");
  const headerBytes = numbers.getUint32(4, true);
  if (headerBytes > Math.min(MAX_HEADER_BYTES, content.length))
    throw new Error(`its header claims ${headerBytes} bytes of ${content.length}`);
  const header = checkHeader(JSON.parse(new TextDecoder().decode(content.subarray(0, headerBytes))));
  const body = content.subarray(headerBytes);
  const claimed = sum(header.trajectories) + 4 * sum(header.columns.map(([, length]) => length));
  if (claimed !== body.length) throw new Error(`its header lists ${claimed} bytes of content, found ${body.length}`);
  return { header, body };
}

function checkHeader(value: unknown): Header {
  const header = value as Header;
  const isCount = (n: unknown) => Number.isSafeInteger(n) && (n as number) >= 0;
  const holds =
    typeof value === "object" &&
    value !== null &&
    typeof header.run === "string" &&
    isCount(header.iteration) &&
    typeof header.environment === "string" &&
    typeof header.estimator?.name === "string" &&
    typeof header.estimator.options === "object" &&
    Array.isArray(header.trajectories) &&
    header.trajectories.length <= MAX_EPISODES &&
    header.trajectories.every(isCount) &&
    Array.isArray(header.columns) &&
    header.columns.every(([name, length]) => columnNames.includes(name) && isCount(length));
  if (!holds) throw new Error("its header is not one of kept trajectories");
  if (header.version !== 1)
    throw new Error(`its format version must be 1, found ${String(header.version).slice(0, 20)}`);
  return header;
}

function unpack(header: Header, body: Uint8Array): KeptIteration {
  let at = 0;
  const episodes = header.trajectories.map((length) => {
    const trajectory = decodeTrajectory(body.subarray(at, at + length));
    at += length;
    if (!wasPlayed(trajectory)) throw new Error("it holds an episode without a result");
    return trajectory;
  });
  const groups = assembleGroups(episodes);
  const lengths = { advantages: groups.rewards.length, values: groups.rewards.length, logRhos: groups.rewards.length };
  const columns: Partial<Record<ColumnName, Float32Array>> = {};
  for (const [name, length] of header.columns) {
    const expected = name === "bootstrap" ? episodes.length : lengths[name];
    if (length !== expected) throw new Error(`its column '${name}' has ${length} values, ${expected} belong there`);
    columns[name] = new Float32Array(body.slice(at, at + 4 * length).buffer);
    at += 4 * length;
  }
  const { advantages, ...critic } = columns;
  if (!advantages) throw new Error("it has no advantages");
  const { run, iteration, environment, estimator } = header;
  return { run, iteration, environment, estimator, episodes, groups: { ...groups, ...critic }, advantages };
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** 3, 5–9, 12 */
function inRanges(ascending: readonly number[]): string {
  const ranges: string[] = [];
  for (let i = 0; i < ascending.length; ) {
    let last = i;
    while (ascending[last + 1] === ascending[last] + 1) last++;
    ranges.push(last === i ? `${ascending[i]}` : `${ascending[i]}–${ascending[last]}`);
    i = last + 1;
  }
  return ranges.join(", ");
}
