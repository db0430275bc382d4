import type { ElementType } from "./safetensors.ts";

/** Stored floats, little-endian and perhaps unaligned, as float32. */
export function toFloat32(bytes: Uint8Array, dtype: ElementType, target: Float32Array): void {
  if (dtype === "F32") {
    new Uint8Array(target.buffer, target.byteOffset, target.byteLength).set(bytes);
    return;
  }
  const halves = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  const values = new Uint16Array(halves.buffer, halves.byteOffset, halves.length / 2);
  if (dtype === "BF16") {
    const words = new Uint32Array(target.buffer, target.byteOffset, target.length);
    for (let i = 0; i < values.length; i++) words[i] = values[i] << 16;
    return;
  }
  for (let i = 0; i < values.length; i++) target[i] = fromF16(values[i]);
}

/** IEEE 754 binary16. */
export function fromF16(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
