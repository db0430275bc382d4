import type { Handle, Kernels } from "./kernels.ts";
import type { AttentionCache } from "./tensors.ts";

const FIRST_ROWS = 64;

/** Keys and values of one sequence, each layer a buffer that doubles when it is full. */
export class KeyValueCache implements AttentionCache {
  private readonly kernels: Kernels;
  private readonly layers: { keys: Handle; values: Handle }[];
  private readonly width: number;
  private capacity = 0;
  private rows = 0;

  constructor(kernels: Kernels, layers: number, width: number) {
    this.kernels = kernels;
    this.width = width;
    this.layers = Array.from({ length: layers }, () => ({ keys: 0, values: 0 }));
  }

  get length(): number {
    return this.rows;
  }

  layer(index: number): { readonly keys: Handle; readonly values: Handle } {
    return this.layers[index];
  }

  reserve(rows: number): void {
    if (rows <= this.capacity) return;
    const capacity = Math.max(FIRST_ROWS, 2 * this.capacity, rows);
    const grown = (before: Handle): Handle => {
      const after = this.kernels.allocate(capacity * this.width);
      if (before !== 0) {
        this.copy(before, 0, this.capacity, after, 0, capacity, this.rows);
        this.kernels.free(before);
      }
      return after;
    };
    for (const layer of this.layers) {
      layer.keys = grown(layer.keys);
      layer.values = grown(layer.values);
    }
    this.capacity = capacity;
  }

  /** Rows fromAt … of k and v, which have `fromRows`, follow those that are kept; `advance` counts them in. */
  write(index: number, k: Handle, v: Handle, fromAt: number, fromRows: number, rows: number): void {
    const { keys, values } = this.layers[index];
    this.copy(k, fromAt, fromRows, keys, this.rows, this.capacity, rows);
    this.copy(v, fromAt, fromRows, values, this.rows, this.capacity, rows);
  }

  private copy(
    from: Handle,
    fromAt: number,
    fromRows: number,
    to: Handle,
    toAt: number,
    toRows: number,
    rows: number,
  ): void {
    const w = this.width;
    this.kernels.copyColumns(from, fromRows * w, fromAt * w, to, toRows * w, toAt * w, 1, rows * w, false);
  }

  advance(rows: number): void {
    if (this.rows + rows > this.capacity) {
      throw new RangeError(`Cannot advance a cache to ${this.rows + rows} rows: it holds at most ${this.capacity}`);
    }
    this.rows += rows;
  }

  truncate(rows: number): void {
    this.rows = Math.min(this.rows, rows);
  }

  dispose(): void {
    for (const { keys, values } of this.layers) {
      if (keys === 0) continue;
      this.kernels.free(keys);
      this.kernels.free(values);
    }
    this.layers.fill({ keys: 0, values: 0 });
    this.capacity = 0;
    this.rows = 0;
  }
}
