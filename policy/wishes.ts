/**
 * What an instruction asks for to the letter: "… with color: baby blue, and size: 2t, and …" wishes for "baby blue" and "2t". A
 * command answers a wish when what it names stands in the instruction between punctuation marks, digits and all.
 */
export interface Wishes {
  /** The instruction in lower case. */
  readonly text: string;
  /** Where the labelled wishes begin in it: what follows a colon. */
  readonly labelled: ReadonlySet<number>;
}

export function readWishes(instruction: string): Wishes {
  const text = instruction.toLowerCase();
  const labelled = new Set<number>();
  for (const { index } of text.matchAll(/(?<=[:：]\s+)\S/gu)) labelled.add(index);
  return { text, labelled };
}

/** What a command names: the words after its verb, without the brackets that some languages of commands put around them. */
export function argumentOf(command: string): string {
  const text = command.trim().toLowerCase();
  const argument = text.replace(/^[\p{L}\p{N}]+/u, "").trim();
  return /^[[(].*[\])]$/su.test(argument) ? argument.slice(1, -1).trim() : argument;
}

const MARK = /[\p{P}\p{S}]/u;
const WORD_PART = /[\p{L}\p{N}]/u;

/**
 * Where `argument` stands in the instruction between punctuation marks (or its ends): the index, else -1 when it stands there
 * between other words, -2 when it does not.
 */
export function standsAt({ text }: Wishes, argument: string): number {
  if (argument === "") return -2;
  let found = -2;
  for (let at = text.indexOf(argument); at >= 0; at = text.indexOf(argument, at + 1)) {
    const before = text.slice(0, at).trimEnd();
    const after = text.slice(at + argument.length).trimStart();
    if (ends(before.at(-1)) && ends(after[0])) return at;
    if (!WORD_PART.test(text[at - 1] ?? " ") && !WORD_PART.test(text[at + argument.length] ?? " ")) found = -1;
  }
  return found;
}

function ends(character: string | undefined): boolean {
  return character === undefined || MARK.test(character);
}

interface Answer {
  /** Of the command. */
  readonly hash: number;
  /** Where what it names stands in the instruction (`standsAt`). */
  readonly stands: number;
}

/** How the commands at hand answer the wishes. */
export interface Standing {
  /** Labelled wishes that no command here answers. */
  missing: number;
  /** Answering commands that were not used here yet, and those that were. */
  open: number;
  used: number;
}

/**
 * Follows an episode from place to place, a place being a list of admissible actions: an action that leaves it as it is was
 * taken here, and what happened at an earlier place is over.
 */
export class WishMemory {
  readonly here: Standing = { missing: 0, open: 0, used: 0 };
  /** Fewest wishes missing at any place that answered some. */
  fewest = Number.POSITIVE_INFINITY;
  /** For each command that led to another place: how many wishes were missing there; -1 where no command answered any. */
  readonly led = new Map<number, number>();
  private readonly wishes: Wishes;
  private readonly usedHere = new Set<number>();
  private admissible: readonly string[] = [];
  private last: number | undefined;

  constructor(wishes: Wishes) {
    this.wishes = wishes;
  }

  /** The next turn, its commands in the order of `admissible`. */
  arrived(admissible: readonly string[], commands: readonly Answer[]): void {
    if (!same(admissible, this.admissible)) this.usedHere.clear();
    else if (this.last !== undefined) this.usedHere.add(this.last);
    const answered = new Set<number>();
    let [open, used] = [0, 0];
    for (const { hash, stands } of commands) {
      if (stands < 0) continue;
      if (this.wishes.labelled.has(stands)) answered.add(stands);
      if (this.usedHere.has(hash)) used++;
      else open++;
    }
    const missing = this.wishes.labelled.size - answered.size;
    Object.assign(this.here, { missing, open, used });
    if (answered.size > 0) this.fewest = Math.min(this.fewest, missing);
    if (this.last !== undefined && !same(admissible, this.admissible))
      this.led.set(this.last, answered.size > 0 ? missing : -1);
    this.admissible = admissible;
  }

  wasUsedHere(hash: number): boolean {
    return this.usedHere.has(hash);
  }

  acted(hash: number): void {
    this.last = hash;
  }
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((action, i) => action === b[i]));
}
