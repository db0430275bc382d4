import { type Texts, textAt } from "./texts.ts";

/** Sorted commands, found by their text. Of the hundreds that a game has an episode shows a few dozen, which are kept. */
export class Commands {
  readonly length: number;
  readonly #texts: Texts;
  /** Of each command its place among those shown, counted from 1. */
  readonly #places: Uint16Array;
  readonly #shown: string[] = [];

  /** @param texts sorted, without duplicates */
  constructor(texts: Texts) {
    this.#texts = texts;
    this.length = texts.starts.length - 1;
    this.#places = new Uint16Array(this.length);
  }

  at(index: number): string {
    const place = this.#places[index];
    if (place > 0) return this.#shown[place - 1];
    const command = textAt(this.#texts, index);
    this.#places[index] = this.#shown.push(command);
    return command;
  }

  /** The index of a command, or -1. */
  find(command: string): number {
    let low = 0;
    let high = this.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const order = this.#compare(middle, command);
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  /** Below 0 where the command at `index` comes before `other`; without making a string of it. */
  #compare(index: number, other: string): number {
    const { joined, starts } = this.#texts;
    const from = starts[index];
    const length = starts[index + 1] - from;
    const common = Math.min(length, other.length);
    for (let i = 0; i < common; i++) {
      const difference = joined.charCodeAt(from + i) - other.charCodeAt(i);
      if (difference !== 0) return difference;
    }
    return length - other.length;
  }
}
