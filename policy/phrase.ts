/**
 * Text as hashed words. A word is known by the hash of its letters, never by when it was first met: what a network learned
 * about it holds in every process and after every restart. All hashes are int32.
 */
import { hash32 } from "../envs/random.ts";

/** A run of letters and digits with their marks; scripts written without spaces give one word a character. */
const WORD =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]\p{M}*|(?:(?![\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}])[\p{L}\p{N}\p{M}])+/gu;
const NUMBER = /^\p{N}+$/u;

/** Longer texts are read up to here. */
const MAX_WORDS = 512;
/** Of one command. */
export const MAX_ENTITIES = 4;

/** Words that hold a sentence together and name nothing. Other languages do without: there every word may name a thing. */
const FUNCTION_WORDS = hashSet(
  "it them its of in on at to from into onto with by for under over near and or then your you i is are be",
);
/** Function words that say nothing of the role of what follows. */
const DETERMINERS = hashSet("a an the some any this that these those");

function hashSet(text: string): ReadonlySet<number> {
  return new Set(wordsOf(text).map(wordHash));
}

export function wordHash(word: string): number {
  return hash32(word) | 0;
}

/** The hash of an ordered pair. */
export function combine(a: number, b: number): number {
  const h = Math.imul((a << 13) | (a >>> 19), 0x9e3779b1) ^ b;
  return Math.imul(h ^ (h >>> 15), 0x85ebca6b);
}

/** The words of a text: lower case, canonical Unicode form, without the plural -s of words longer than three letters. */
export function wordsOf(text: string): string[] {
  const words = asciiWords(text.toLowerCase()) ?? text.normalize("NFKC").toLowerCase().match(WORD) ?? [];
  if (words.length > MAX_WORDS) words.length = MAX_WORDS;
  return words.map((word) =>
    word.length > 3 && word.endsWith("s") && !word.endsWith("ss") ? word.slice(0, -1) : word,
  );
}

/** What WORD finds in a text of ASCII alone, several times faster; undefined when there is more. */
function asciiWords(text: string): string[] | undefined {
  const words: string[] = [];
  let start = -1;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 127) return undefined;
    if ((unit >= 97 && unit <= 122) || (unit >= 48 && unit <= 57)) {
      if (start < 0) start = i;
    } else if (start >= 0) {
      words.push(text.slice(start, i));
      start = -1;
    }
  }
  if (start >= 0) words.push(text.slice(start));
  return words;
}

type Kind = "content" | "function" | "determiner" | "number";

function kindOf(word: string, hash: number): Kind {
  const unit = word.charCodeAt(0);
  if ((unit < 58 || unit > 127) && NUMBER.test(word)) return "number";
  if (FUNCTION_WORDS.has(hash)) return "function";
  return DETERMINERS.has(hash) ? "determiner" : "content";
}

/** The words of a text in order: their hashes and kinds. */
function read(text: string): { hashes: number[]; kinds: Kind[] } {
  const words = wordsOf(text);
  const hashes = words.map(wordHash);
  return { hashes, kinds: words.map((word, i) => kindOf(word, hashes[i])) };
}

/** Distinct hashes in order of appearance, content words only if so wanted, at most `limit`. */
function distinct({ hashes, kinds }: ReturnType<typeof read>, contentOnly: boolean, limit = MAX_WORDS): Int32Array {
  const found: number[] = [];
  for (let i = 0; i < hashes.length && found.length < limit; i++)
    if ((!contentOnly || kinds[i] === "content") && !found.includes(hashes[i])) found.push(hashes[i]);
  return Int32Array.from(found);
}

/** What an observation says. */
export interface Observation {
  /** Distinct words in order of appearance. */
  readonly words: Int32Array;
  /** Those that are neither function words nor numbers. */
  readonly content: Int32Array;
  /** Its words and its pairs of neighbours: what it mentions. */
  readonly mentions: ReadonlySet<number>;
}

export function readObservation(text: string): Observation {
  const words = read(text);
  return {
    words: distinct(words, false),
    content: distinct(words, true),
    mentions: new Set(mentionsIn(words.hashes)),
  };
}

/** What an instruction asks for: everything it names, each name with its role. */
export interface Instruction {
  /** All distinct words, at most MAX_ASKED. */
  readonly words: Int32Array;
  /** Those that are neither function words nor numbers. */
  readonly content: Int32Array;
  /** The words that name something and the pairs of such words next to each other, as `Observation.mentions` has them. */
  readonly names: Int32Array;
  /**
   * Of each name: the word before the run of naming words it stands in, determiners skipped, with its place counted from
   * the end of the run. In "put a clean mug in the sink", mug and sink are the last word after put, and after in.
   */
  readonly roles: Int32Array;
}

const MAX_ASKED = 48;
const PAIR_PLACE = 16;

export function readInstruction(text: string): Instruction {
  const words = read(text);
  const roles = new Map<number, number>();
  let before = 0;
  let run: number[] = [];
  const endRun = (): void => {
    for (let i = run.length - 1; i >= 0; i--) {
      const place = Math.min(run.length - 1 - i, 2);
      if (!roles.has(run[i])) roles.set(run[i], combine(before, place));
      if (i === 0) continue;
      const pair = combine(run[i - 1], run[i]);
      if (!roles.has(pair)) roles.set(pair, combine(before, PAIR_PLACE + place));
    }
    before = run.at(-1) ?? before;
    run = [];
  };
  words.hashes.forEach((hash, i) => {
    const kind = words.kinds[i];
    if (kind === "content") run.push(hash);
    else {
      endRun();
      if (kind !== "determiner") before = hash;
    }
  });
  endRun();
  return {
    words: distinct(words, false, MAX_ASKED),
    content: distinct(words, true, MAX_ASKED),
    names: Int32Array.from(roles.keys()).subarray(0, MAX_ASKED),
    roles: Int32Array.from(roles.values()).subarray(0, MAX_ASKED),
  };
}

/** The words and the pairs of neighbours among `hashes`. */
function mentionsIn(hashes: readonly number[]): number[] {
  const mentions = [...hashes];
  for (let i = 1; i < hashes.length; i++) mentions.push(combine(hashes[i - 1], hashes[i]));
  return mentions;
}

/** Something that a command is about: "desk 2", "red apple". */
export interface Entity {
  /** Its last two words (or its only one), as `Observation.mentions` has them. */
  readonly id: number;
  /** Its words and pairs of neighbours. */
  readonly mentions: readonly number[];
}

/** A text action: its first word is the verb, the runs of naming words after it are entities (a number ends a run). */
export interface Command {
  readonly hash: number;
  readonly verb: number;
  /** What is left without the entities: "take … from …". */
  readonly pattern: number;
  /** Distinct words in order of appearance. */
  readonly words: Int32Array;
  /** Those that are neither function words nor numbers. */
  readonly content: Int32Array;
  /** Words and pairs of all entities. */
  readonly mentions: readonly number[];
  readonly entities: readonly Entity[];
}

export function readCommand(text: string): Command {
  const words = read(text);
  const { hashes, kinds } = words;
  const verb = hashes[0] ?? 0;
  let pattern = verb;
  const entities: Entity[] = [];
  let run: number[] = [];
  const endRun = (): void => {
    if (run.length === 0) return;
    const last = run[run.length - 1];
    const id = run.length === 1 ? last : combine(run[run.length - 2], last);
    if (entities.length < MAX_ENTITIES) entities.push({ id, mentions: mentionsIn(run) });
    run = [];
    pattern = combine(pattern, 1);
  };
  for (let i = 1; i < hashes.length; i++) {
    if (kinds[i] === "content" || kinds[i] === "number") {
      run.push(hashes[i]);
      if (kinds[i] === "number") endRun();
    } else {
      endRun();
      pattern = combine(pattern, hashes[i]);
    }
  }
  endRun();
  return {
    hash: hashes.reduce(combine, 0),
    verb,
    pattern,
    words: distinct(words, false),
    content: distinct(words, true),
    mentions: entities.flatMap((entity) => entity.mentions),
    entities,
  };
}
