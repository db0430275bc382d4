/** Sums along contiguous elements as a SIMD register makes them: four partial sums, element i in sum i mod 4, then one. */
const { fround, max } = Math;

export const partial = new Float32Array(4);
export const partial2 = new Float32Array(4);

export function total(): number {
  return fround(fround(partial[0] + partial[2]) + fround(partial[1] + partial[3]));
}

export function total2(): number {
  return fround(fround(partial2[0] + partial2[2]) + fround(partial2[1] + partial2[3]));
}

export function sumOf(f: Float32Array, from: number, length: number): number {
  partial.fill(0);
  for (let i = 0; i < length; i++) partial[i & 3] += f[from + i];
  return total();
}

export function dotOf(f: Float32Array, a: number, b: number, length: number): number {
  partial.fill(0);
  for (let i = 0; i < length; i++) partial[i & 3] += fround(f[a + i] * f[b + i]);
  return total();
}

export function maxOf(f: Float32Array, from: number, length: number): number {
  let top = f[from];
  for (let i = 1; i < length; i++) top = max(top, f[from + i]);
  return top;
}
