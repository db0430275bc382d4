import { toFloat32 } from "./floats.ts";
import type { ElementType } from "./safetensors.ts";

/** Shared between the threads of a process, where the runtime allows it. */
const Memory = globalThis.SharedArrayBuffer ?? ArrayBuffer;

/** I8: each row's whole numbers times its scale. */
export type FrozenFormat = ElementType | "I8";

const BYTES: Record<FrozenFormat, number> = { F32: 4, F16: 2, BF16: 2, I8: 1 };

/**
 * A matrix that is only multiplied by: it lies outside of the kernels' memory, perhaps in a mapped file that all processes share, and goes in a
 * panel of rows at a time. No gradient flows to it.
 */
export class FrozenMatrix {
  readonly rows: number;
  readonly width: number;
  readonly format: FrozenFormat;
  /** Little-endian, row after row. */
  readonly bytes: Uint8Array;
  /** [rows] for I8. */
  readonly scales: Float32Array | undefined;

  /** Throws RangeError when the bytes or scales do not fit the shape. */
  constructor(
    [rows, width]: readonly number[],
    format: FrozenFormat,
    bytes: Uint8Array,
    scales: Float32Array | undefined = undefined,
  ) {
    const needed = rows * width * BYTES[format];
    if (bytes.length !== needed || (format === "I8") !== (scales?.length === rows)) {
      throw new RangeError(
        `Cannot freeze a matrix [${rows}, ${width}] of ${format}: expected ${needed} bytes${format === "I8" ? ` and ${rows} scales` : ""}, found ${bytes.length}${scales ? ` and ${scales.length}` : ""}`,
      );
    }
    this.rows = rows;
    this.width = width;
    this.format = format;
    this.bytes = bytes;
    this.scales = scales;
  }

  /** The bytes of rows from … to. */
  part(from: number, to: number): Uint8Array {
    const row = this.width * BYTES[this.format];
    return this.bytes.subarray(from * row, to * row);
  }

  /** Rows from … to as float32 [to − from, width]. */
  copyTo(target: Float32Array, from: number, to: number): void {
    const bytes = this.part(from, to);
    if (this.format !== "I8") {
      toFloat32(bytes, this.format, target);
      return;
    }
    const values = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let i = 0; i < values.length; i++) target[i] = values[i] * this.scales![from + Math.floor(i / this.width)];
  }
}

/** Rows that are converted at a time. */
const SOME_ROWS = 256;

function forSomeRows(matrix: FrozenMatrix, visit: (values: Float32Array, from: number, to: number) => void): void {
  const { rows, width } = matrix;
  const values = new Float32Array(SOME_ROWS * width);
  for (let from = 0; from < rows; from += SOME_ROWS) {
    const to = Math.min(rows, from + SOME_ROWS);
    matrix.copyTo(values, from, to);
    visit(values, from, to);
  }
}

/** The same matrix in half of float32's bytes: its numbers rounded to 8 bits, ties to even. */
export function toBfloat16(matrix: FrozenMatrix): FrozenMatrix {
  const { rows, width } = matrix;
  const stored = new Uint16Array(new Memory(2 * rows * width));
  forSomeRows(matrix, (values, from, to) => {
    const words = new Uint32Array(values.buffer);
    const first = from * width;
    const count = (to - from) * width;
    for (let i = 0; i < count; i++) stored[first + i] = (words[i] + 0x7fff + ((words[i] >>> 16) & 1)) >>> 16;
  });
  return new FrozenMatrix([rows, width], "BF16", new Uint8Array(stored.buffer));
}

/** The same matrix in a quarter of float32's bytes: each row scaled to −127 … 127 and rounded. Its numbers move by up to 0.4 % of the row's largest. */
export function quantise(matrix: FrozenMatrix): FrozenMatrix {
  const { rows, width } = matrix;
  const stored = new Int8Array(new Memory(rows * width));
  const scales = new Float32Array(rows);
  forSomeRows(matrix, (values, from, to) => {
    for (let r = from; r < to; r++) {
      const at = (r - from) * width;
      let largest = 0;
      for (let c = at; c < at + width; c++) largest = Math.max(largest, Math.abs(values[c]));
      scales[r] = largest / 127;
      const scale = largest === 0 ? 0 : 1 / scales[r];
      for (let c = 0; c < width; c++) stored[r * width + c] = Math.round(values[at + c] * scale);
    }
  });
  return new FrozenMatrix([rows, width], "I8", new Uint8Array(stored.buffer), scales);
}
