/** Zstandard where the runtime has it. */
import * as zlib from "node:zlib";

/** Bun, Deno 2.9 and Node ≥ 22.15 have it, older Node has not. */
export const hasZstd = typeof zlib.zstdCompressSync === "function";

/** Trajectories are 2 % larger than at the default level 3, in two thirds of the time. */
const LEVEL = 1;

export function zstd(bytes: Uint8Array): Uint8Array {
  return zlib.zstdCompressSync(bytes, { params: { [zlib.constants.ZSTD_c_compressionLevel]: LEVEL } });
}

/** Throws with code ERR_BUFFER_TOO_LARGE, having inflated no more than that, when the result exceeds `maxOutputLength`. */
export function unzstd(bytes: Uint8Array, maxOutputLength: number): Uint8Array {
  return zlib.zstdDecompressSync(bytes, { maxOutputLength });
}
