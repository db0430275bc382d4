import { detached } from "./source.ts";

/** Commands by number. Many games share one: all of ALFWorld's have 15,000 commands between them, each a thousand of these. */
export class Vocabulary {
  readonly texts: string[] = [];
  readonly #numberOf = new Map<string, number>();

  /** The number of each text; those that are new get the next ones. */
  numbersOf(texts: readonly string[]): Uint16Array | Uint32Array {
    const numbers = texts.map((text) => this.#numberOf.get(text) ?? this.#add(detached(text)));
    return this.texts.length <= 0x10000 ? Uint16Array.from(numbers) : Uint32Array.from(numbers);
  }

  #add(text: string): number {
    const number = this.texts.push(text) - 1;
    this.#numberOf.set(text, number);
    return number;
  }
}

/** A game's sorted commands, found by their text. */
export class Commands {
  readonly length: number;
  readonly #vocabulary: readonly string[];
  readonly #numbers: Uint16Array | Uint32Array;

  /** @param numbers of texts of the vocabulary that are sorted and without duplicates */
  constructor(vocabulary: readonly string[], numbers: Uint16Array | Uint32Array) {
    this.length = numbers.length;
    this.#vocabulary = vocabulary;
    this.#numbers = numbers;
  }

  at(index: number): string {
    return this.#vocabulary[this.#numbers[index]];
  }

  /** The index of a command, or -1. */
  find(command: string): number {
    let low = 0;
    let high = this.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const found = this.at(middle);
      if (found === command) return middle;
      if (found < command) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }
}
