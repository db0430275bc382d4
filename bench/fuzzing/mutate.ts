/** Damages bytes in the ways in which they are damaged or forged. */
import type { Random } from "../../envs/random.ts";

/** Numbers that decoders trip over. */
const EDGES = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff];

/** One to four injuries to a seed, now and then grafted with another; rarely noise from end to end. */
export function mutate(seeds: readonly Uint8Array[], random: Random): Uint8Array {
  if (random.below(50) === 0) return Uint8Array.from({ length: random.below(512) }, () => random.below(256));
  let bytes = random.pick(seeds);
  for (let injuries = 1 + random.below(4); injuries > 0; injuries--) bytes = injure(bytes, seeds, random);
  return bytes;
}

function injure(bytes: Uint8Array, seeds: readonly Uint8Array[], random: Random): Uint8Array {
  const at = random.below(bytes.length + 1);
  const end = Math.min(bytes.length, at + 1 + random.below(random.below(4) === 0 ? 512 : 16));
  const changed = bytes.slice();
  const view = new DataView(changed.buffer);
  switch (random.below(9)) {
    case 0:
      return bytes.slice(0, at);
    case 1:
      return join(bytes.subarray(0, at), bytes.subarray(end));
    case 2:
      return join(
        bytes.subarray(0, end),
        ...Array(1 + random.below(8)).fill(bytes.subarray(at, end)),
        bytes.subarray(end),
      );
    case 3:
      return join(bytes.subarray(0, at), Uint8Array.of(random.below(256)), bytes.subarray(at));
    case 4: {
      const other = random.pick(seeds);
      const from = random.below(other.length + 1);
      return join(bytes.subarray(0, at), other.subarray(from, from + random.below(256)), bytes.subarray(end));
    }
    case 5:
      if (at + 4 <= bytes.length) view.setUint32(at, random.pick(EDGES), random.below(2) === 0);
      return changed;
    case 6:
      if (at + 2 <= bytes.length) view.setUint16(at, random.pick(EDGES) & 0xffff, random.below(2) === 0);
      return changed;
    case 7:
      if (at < bytes.length) changed[at]! ^= 1 << random.below(8);
      return changed;
    default:
      if (at < bytes.length) changed[at] = random.below(256);
      return changed;
  }
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
