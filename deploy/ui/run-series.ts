/**
 * The metrics of a run as columns of numbers, kept up with a growing `metrics.jsonl`. What a resumed run cuts off and trains again
 * is read again. Reading gives way to others between chunks, for a learner may share the process.
 */
import { type FileHandle, open } from "node:fs/promises";
import { parseMetrics } from "../../learner/metrics/metrics-file.ts";

export type Axis = "iteration" | "envSteps" | "hours";
export const axes: readonly Axis[] = ["iteration", "envSteps", "hours"];

const CHUNK_BYTES = 2 ** 18;
/** Names such as `dropped/<reason>` come from elsewhere: a run gets no more columns than this. */
const MAX_COLUMNS = 1000;

/** Numbers by iteration; NaN where there is none. */
class Column {
  #values = new Float64Array(64).fill(Number.NaN);

  set(row: number, value: number): void {
    if (row >= this.#values.length) {
      const larger = new Float64Array(2 * row).fill(Number.NaN);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[row] = value;
  }

  first(count: number): Float64Array {
    if (count > this.#values.length) this.set(count - 1, Number.NaN);
    return this.#values.subarray(0, count);
  }
}

export class RunSeries {
  readonly #path: string;
  #columns = new Map<string, Column>();
  #axes: Record<Axis, Column> = emptyAxes();
  #rows = 0;
  /** Bytes read as whole lines, and the last of those lines: where it no longer stands, the file was written anew. */
  #offset = 0;
  #lastLine = Buffer.alloc(0);
  #latest: ReturnType<typeof parseMetrics> | undefined;
  #refreshing: Promise<void> | undefined;
  #totals = new Map<string, number>();

  constructor(path: string) {
    this.#path = path;
  }

  /** Iterations read so far. */
  get rows(): number {
    return this.#rows;
  }

  get names(): string[] {
    return [...this.#columns.keys()].sort();
  }

  /** The newest line; undefined before the first. */
  get latest() {
    return this.#latest;
  }

  /** [rows] of one metric, NaN where an iteration has none; undefined when no iteration has any. */
  column(name: string): Float64Array | undefined {
    return this.#columns.get(name)?.first(this.#rows);
  }

  /** [rows], never descending. `hours` count the time spent on iterations, without pauses between processes. */
  axis(axis: Axis): Float64Array {
    return this.#axes[axis].first(this.#rows);
  }

  /** Sum of a metric over all iterations. */
  total(name: string): number {
    return this.#totals.get(name) ?? 0;
  }

  /** Reads what has been written since; whoever asks meanwhile gets the same reading. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#read().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #read(): Promise<void> {
    let file: FileHandle;
    try {
      file = await open(this.#path, "r");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      if (this.#rows > 0) this.#forget();
      return;
    }
    try {
      if (!(await this.#isContinued(file))) this.#forget();
      const chunk = Buffer.alloc(CHUNK_BYTES);
      let rest = Buffer.alloc(0);
      for (let at = this.#offset; ; ) {
        const { bytesRead } = await file.read(chunk, 0, chunk.length, at);
        if (bytesRead === 0) return;
        at += bytesRead;
        const text = Buffer.concat([rest, chunk.subarray(0, bytesRead)]);
        const end = text.lastIndexOf(0x0a) + 1;
        this.#take(text.subarray(0, end));
        rest = text.subarray(end);
      }
    } finally {
      await file.close();
    }
  }

  async #isContinued(file: FileHandle): Promise<boolean> {
    const { length } = this.#lastLine;
    if (length === 0) return true;
    const found = Buffer.alloc(length);
    const { bytesRead } = await file.read(found, 0, length, this.#offset - length);
    return bytesRead === length && found.equals(this.#lastLine);
  }

  #forget(): void {
    this.#columns = new Map();
    this.#axes = emptyAxes();
    this.#totals = new Map();
    this.#rows = 0;
    this.#offset = 0;
    this.#lastLine = Buffer.alloc(0);
    this.#latest = undefined;
  }

  #take(lines: Buffer): void {
    if (lines.length === 0) return;
    for (const line of lines.toString().split("\n")) {
      if (line === "") continue;
      try {
        this.#append(parseMetrics(line));
      } catch {
        // A line that a crash has damaged: the run cuts it off when it goes on.
      }
    }
    this.#offset += lines.length;
    this.#lastLine = Buffer.from(lines.subarray(lines.lastIndexOf(0x0a, -2) + 1));
  }

  #append(line: ReturnType<typeof parseMetrics>): void {
    const row = this.#rows++;
    this.#latest = line;
    const hours = row === 0 ? 0 : this.#axes.hours.first(row)[row - 1]!;
    this.#axes.iteration.set(row, line.iteration);
    this.#axes.envSteps.set(row, line.envSteps);
    this.#axes.hours.set(row, hours + (line.values["time/iterationMs"] || 0) / 3_600_000);
    for (const [name, value] of Object.entries(line.values)) {
      let column = this.#columns.get(name);
      if (!column) {
        if (this.#columns.size >= MAX_COLUMNS) continue;
        column = new Column();
        this.#columns.set(name, column);
      }
      column.set(row, value);
      if (name.startsWith("time/") && Number.isFinite(value)) this.#totals.set(name, this.total(name) + value);
    }
  }
}

/** The newest whole line of a metrics.jsonl, without reading the rest; undefined where there is none. */
export async function newestLine(path: string): Promise<ReturnType<typeof parseMetrics> | undefined> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    for (let length = 16_384; ; length *= 4) {
      const bytes = Buffer.alloc(Math.min(length, size));
      await file.read(bytes, 0, bytes.length, size - bytes.length);
      const end = bytes.lastIndexOf(0x0a);
      const start = end <= 0 ? -1 : bytes.lastIndexOf(0x0a, end - 1);
      if (end > 0 && (start >= 0 || bytes.length === size)) return parseMetrics(bytes.toString("utf8", start + 1, end));
      if (bytes.length === size) return undefined;
    }
  } finally {
    await file.close();
  }
}

const emptyAxes = (): Record<Axis, Column> => ({
  iteration: new Column(),
  envSteps: new Column(),
  hours: new Column(),
});
