import { startsFor } from "./lists.ts";
import { detached } from "./source.ts";

/** Many texts as plain data: one string, with text i at starts[i] … starts[i + 1]. */
export interface Texts {
  joined: string;
  starts: Uint16Array | Uint32Array;
}

export function joinTexts(texts: readonly string[]): Texts {
  const joined = detached(texts.join(""));
  const starts = startsFor(texts.length, joined.length);
  for (let i = 0; i < texts.length; i++) starts[i + 1] = starts[i] + texts[i].length;
  return { joined, starts };
}

export function textAt({ joined, starts }: Texts, index: number): string {
  return joined.slice(starts[index], starts[index + 1]);
}
