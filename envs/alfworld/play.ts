import { derive } from "./compile.ts";
import type { Game } from "./game.ts";
import { DENIED, TOLD, TRUE } from "./text/narrator.ts";
import { strip } from "./text/white-space.ts";

/** One attempt at a game: the atoms that hold and the counters that follow them; a few kilobytes. */
export class Play {
  readonly game: Game;
  readonly #atoms: Uint8Array;
  readonly #counters: Uint16Array;
  #admissible: readonly string[] | undefined;
  /** Of a game with dynamic commands: the first operator of each command. */
  #operatorOf: Map<string, number> | undefined;

  constructor(game: Game) {
    this.game = game;
    this.#atoms = game.atoms.slice();
    this.#counters = game.counters.slice();
  }

  /** Whether the goal holds. */
  get won(): boolean {
    const { counterCount, commands, goalParts } = this.game;
    const from = counterCount + commands.length;
    for (let part = from; part < from + goalParts; part++) if (this.#counters[part] === 0) return false;
    return true;
  }

  /** The commands that mean something now, sorted. The list is not changed later. */
  get admissible(): readonly string[] {
    if (!this.#admissible) this.#admissible = this.game.dynamic ? this.#spelled() : this.#listed();
    return this.#admissible;
  }

  #listed(): string[] {
    const { counterCount, commands } = this.game;
    const counters = this.#counters;
    const list: string[] = [];
    for (let i = 0; i < commands.length; i++) if (counters[counterCount + i] !== 0) list.push(commands.at(i));
    return list;
  }

  #spelled(): string[] {
    const { game } = this;
    this.#operatorOf = new Map();
    for (let operator = 0; operator < game.operatorCount; operator++) {
      if (this.#counters[operator] !== 0) continue;
      const command = game.spell(operator, this.#atoms);
      const other = this.#operatorOf.get(command);
      if (other === undefined || game.precedes(operator, other)) this.#operatorOf.set(command, operator);
    }
    return [...this.#operatorOf.keys()].sort();
  }

  /** Does what the command says and returns what the game answers; undefined when the command means nothing here. */
  do(command: string): string | undefined {
    const operator = this.#operator(strip(command));
    if (operator < 0) return undefined;
    this.#apply(operator);
    return this.game.feedback(operator, this.#atoms);
  }

  #operator(command: string): number {
    const { game } = this;
    if (game.dynamic) {
      void this.admissible;
      return this.#operatorOf!.get(command) ?? -1;
    }
    const number = game.commands.find(command);
    if (number < 0 || this.#counters[game.counterCount + number] === 0) return -1;
    const { starts, values } = game.operatorsOf;
    let first = -1;
    for (let i = starts[number]; i < starts[number + 1]; i++) {
      if (this.#counters[values[i]] !== 0) continue;
      if (first < 0 || game.precedes(values[i], first)) first = values[i];
    }
    return first;
  }

  #apply(operator: number): void {
    const { game } = this;
    const { starts, values } = game.effects;
    const conditional = game.conditional.get(operator);
    // Conditions are asked before anything changes.
    const firing = conditional?.filter(({ when }) =>
      when.every((literal) => ((this.#atoms[literal >> 1] & TRUE) !== 0) === ((literal & 1) === 0)),
    );
    for (let i = starts[operator]; i < starts[operator + 1]; i++) {
      this.#say(values[i]);
      this.#set(values[i] >> 1, (values[i] & 1) === 0);
    }
    if (conditional && firing) {
      // The texts are told of every effect, whether its condition held or not, and of losses last.
      for (const { then } of conditional) if ((then & 1) === 0) this.#say(then);
      for (const { then } of conditional) if ((then & 1) === 1) this.#say(then);
      for (const { then } of firing) if ((then & 1) === 1) this.#set(then >> 1, false);
      for (const { then } of firing) if ((then & 1) === 0) this.#set(then >> 1, true);
    }
    if (game.derived.length > 0) derive(game.derived, this.#atoms, (atom, now) => this.#set(atom, now));
    if (game.dynamic) this.#admissible = undefined;
  }

  #say(literal: number): void {
    const atom = literal >> 1;
    this.#atoms[atom] = (this.#atoms[atom] & TRUE) | ((literal & 1) === 0 ? TOLD : DENIED);
  }

  #set(atom: number, now: boolean): void {
    if (((this.#atoms[atom] & TRUE) !== 0) === now) return;
    this.#atoms[atom] ^= TRUE;
    const { starts, values } = this.game.watchers;
    const gained = 2 * atom + (now ? 0 : 1);
    const lost = gained ^ 1;
    for (let i = starts[lost]; i < starts[lost + 1]; i++) this.#lose(values[i]);
    for (let i = starts[gained]; i < starts[gained + 1]; i++) this.#gain(values[i]);
  }

  #gain(counter: number): void {
    if (--this.#counters[counter] === 0) this.#count(counter, 1);
  }

  #lose(counter: number): void {
    if (this.#counters[counter]++ === 0) this.#count(counter, -1);
  }

  #count(counter: number, by: 1 | -1): void {
    const { game } = this;
    if (counter >= game.operatorCount) {
      this.#counters[game.counterCount + game.commands.length + game.target[counter]] += by;
    } else if (!game.dynamic) {
      this.#counters[game.counterCount + game.target[counter]] += by;
      this.#admissible = undefined;
    }
  }
}
