import type { Domain } from "../pddl/domain.ts";
import type { FactList } from "../pddl/relation.ts";
import { type Texts, textAt } from "../texts.ts";
import { type Entity, type Expression, evaluate, onlyVariable } from "./expression.ts";
import type { Grammar } from "./grammar.ts";
import { Hierarchy } from "./hierarchy.ts";
import type { QueryLiteral } from "./query.ts";
import type { TextSymbol } from "./symbols.ts";

/** Bits of an atom: true in the world; last said to be true; last said to be false. Texts go by what was said. */
export const TRUE = 1;
export const TOLD = 2;
export const DENIED = 4;

/** What a narrator must know of a game; plain data. */
export interface Scenery {
  /** Ids of the objects, sorted. */
  ids: Texts;
  /** The name of each object as players see it; empty where it is the id. */
  names: Texts;
  types: readonly string[];
  /** The type of each object, as an index into the types. */
  typeOf: Uint16Array;
  /** Of each predicate that the grammar asks for (`predicates`), where there is any. */
  facts: readonly [predicate: string, FactList][];
}

/** The sentence with a game's task, where games that share a grammar differ in it. */
export type TaskText = readonly { type: "text"; text: string }[];

/** A piece of text with its variables resolved to slots. */
type Node =
  | { type: "text"; text: string }
  | { type: "symbol"; name: string }
  | { type: "expression"; expression: number }
  | { type: "each"; what: Node; query: Query | undefined; list: boolean };

type Query = readonly { facts: number; slots: readonly number[] }[];

interface Rule {
  condition: Query | undefined;
  rhs: readonly Node[];
}

/** What a query literal may be matched with: the same for all literals of one predicate and types. */
interface FactQuery {
  predicate: string;
  denied: boolean;
  types: readonly string[];
}

interface ActionNarration {
  template: readonly Node[];
  feedback: readonly Node[];
  /** Slot of each of the action's parameters. */
  slots: readonly number[];
  /** The parameters that the command depends on; undefined where that cannot be told from the template. */
  relevant: readonly number[] | undefined;
}

const MAX_DEPTH = 100;
const MAX_LENGTH = 1_000_000;

/** The facts that a query literal ranges over in one game, in the order in which the original finds them. */
interface FactTable {
  list: FactList;
  /** Which of the list, by row. */
  rows: Uint16Array;
  bit: number;
  /** For each argument position, the same rows sorted by the object there: starts[object] … starts[object + 1]. */
  byArgument: ({ starts: Uint16Array; rows: Uint16Array } | undefined)[];
}

const NO_FACTS: FactList = { arity: 0, tuples: new Uint16Array(0), firstAtom: -1 };

/** A game's scenery as its narrator uses it. */
export class Told {
  readonly scenery: Scenery;
  readonly tables: (FactTable | undefined)[] = [];
  /** Values of expressions that depend on one thing only. */
  readonly values = new Map<number, string>();
  constructor(scenery: Scenery) {
    this.scenery = scenery;
  }
}

/**
 * Derives texts from a grammar in a state of a game (TextWorld's context-sensitive grammar): a symbol is replaced by its
 * first rule whose condition holds, conditions and lists being queries over what the game has said to be true. One
 * narrator serves all games with the same domain and grammar.
 */
export class Narrator {
  readonly #rules = new Map<string, Rule[]>();
  readonly #actions = new Map<string, ActionNarration>();
  readonly #hierarchy: Hierarchy;
  readonly #slotOf = new Map<string, number>();
  readonly #slotName: string[] = [];
  readonly #nameIndex = new Map<string, number>();
  readonly #facts: FactQuery[] = [];
  readonly #factsOf = new Map<string, number>();
  readonly #expressions: { expression: Expression; only: number }[] = [];
  readonly #expressionOf = new Map<string, number>();

  // The context of the derivation that is under way.
  #told!: Told;
  #atoms!: Uint8Array;
  /** The object in each slot, or -1. */
  #slots: Int32Array;
  /** The object that each variable name means: that of the slot bound last. */
  #variables: Int32Array;
  #depth = 0;
  #task: TaskText | undefined;

  constructor(domain: Domain, grammar: Grammar) {
    this.#hierarchy = new Hierarchy(domain.types);
    for (const [name, rules] of grammar.rules) {
      this.#rules.set(
        name,
        rules.map(({ condition, rhs }) => ({ condition: condition && this.#query(condition), rhs: this.nodes(rhs) })),
      );
    }
    for (const schema of domain.schemas) {
      const text = grammar.actions.get(schema.name);
      if (!text || this.#actions.has(schema.name)) continue;
      const template = this.nodes(text.template);
      const slots = schema.parameters.map((p) => this.#slot(p.name.slice(1), p.type));
      const relevant = this.#relevant(template, slots);
      this.#actions.set(schema.name, { template, feedback: this.nodes(text.feedback), slots, relevant });
    }
    this.#slots = new Int32Array(this.#slotName.length).fill(-1);
    this.#variables = new Int32Array(this.#nameIndex.size).fill(-1);
  }

  // ---- Compilation ----

  #slot(name: string, type: string): number {
    const key = `${name}:${type}`;
    let slot = this.#slotOf.get(key);
    if (slot === undefined) {
      slot = this.#slotName.length;
      this.#slotOf.set(key, slot);
      this.#slotName.push(name);
      this.#variable(name);
    }
    return slot;
  }

  #variable(name: string): number {
    let index = this.#nameIndex.get(name);
    if (index === undefined) {
      index = this.#nameIndex.size;
      this.#nameIndex.set(name, index);
    }
    return index;
  }

  #query(literals: readonly QueryLiteral[]): Query {
    return literals.map(({ predicate, denied, placeholders }) => {
      const types = placeholders.map((p) => p.type);
      const key = `${denied ? "!" : ""}${predicate}(${types})`;
      let facts = this.#factsOf.get(key);
      if (facts === undefined) {
        facts = this.#facts.push({ predicate, denied, types }) - 1;
        this.#factsOf.set(key, facts);
      }
      return { facts, slots: placeholders.map((p) => this.#slot(p.name, p.type)) };
    });
  }

  /** Resolves symbols to slots. After construction only for texts without placeholders of their own. */
  nodes(symbols: readonly TextSymbol[]): Node[] {
    return symbols.map((symbol) => this.#node(symbol));
  }

  #node(symbol: TextSymbol): Node {
    switch (symbol.type) {
      case "text":
      case "symbol":
        return symbol;
      case "expression": {
        const { expression } = symbol;
        // The same expression is written in many places, and its values are kept.
        const key = JSON.stringify(expression);
        let index = this.#expressionOf.get(key);
        if (index === undefined) {
          const only = onlyVariable(expression);
          index = this.#expressions.push({ expression, only: only === undefined ? -1 : this.#variable(only) }) - 1;
          this.#expressionOf.set(key, index);
        }
        return { type: "expression", expression: index };
      }
      case "each":
        return {
          type: "each",
          what: this.#node(symbol.what),
          query: symbol.given && this.#query(symbol.given),
          list: symbol.list,
        };
    }
  }

  #relevant(template: readonly Node[], slots: readonly number[]): number[] | undefined {
    const used = new Set<number>();
    const walk = (node: Node): boolean => {
      if (node.type === "text") return true;
      if (node.type === "symbol") return false;
      if (node.type === "expression") {
        const { only } = this.#expressions[node.expression];
        slots.forEach((slot, i) => {
          if (this.#nameIndex.get(this.#slotName[slot]) === only) used.add(i);
        });
        return only >= 0;
      }
      for (const literal of node.query ?? []) {
        for (const slot of literal.slots) {
          // A placeholder that is no parameter must differ from all of them.
          if (!slots.includes(slot)) return false;
          used.add(slots.indexOf(slot));
        }
      }
      return walk(node.what);
    };
    return template.every(walk) ? [...used].sort((a, b) => a - b) : undefined;
  }

  /** Which of an action's parameters its command depends on; undefined when that is not known. */
  relevantParameters(action: string): readonly number[] | undefined {
    return this.#actions.get(action)!.relevant;
  }

  /** The predicates that the grammar asks for. */
  get predicates(): string[] {
    return [...new Set(this.#facts.map((f) => f.predicate))];
  }

  hasAction(name: string): boolean {
    return this.#actions.has(name);
  }

  hasSymbol(name: string): boolean {
    return this.#rules.has(name);
  }

  /**
   * The symbols reachable from the given ones and from the actions that have no rules; list separators are left out, as
   * short lists do without. `changes` in the templates of the actions: whether commands depend on the state.
   */
  inspect(
    symbols: readonly string[],
    actions: readonly string[],
    changing: ReadonlyMap<string, unknown>,
  ): { unknown: string[]; dynamic: boolean } {
    const unknown = new Set<string>();
    const walk = (nodes: readonly Node[], seen: Set<string>, found: (query: Query) => void): void => {
      for (const node of nodes) {
        if (node.type === "symbol") {
          if (seen.has(node.name)) continue;
          seen.add(node.name);
          const rules = this.#rules.get(node.name);
          if (!rules) unknown.add(node.name);
          for (const rule of rules ?? []) {
            if (rule.condition) found(rule.condition);
            walk(rule.rhs, seen, found);
          }
        } else if (node.type === "each") {
          if (node.query) found(node.query);
          walk([node.what], seen, found);
        }
      }
    };
    const ignore = () => {};
    walk(
      symbols.map((name) => ({ type: "symbol", name })),
      new Set(),
      ignore,
    );
    let dynamic = false;
    for (const name of actions) {
      const action = this.#actions.get(name);
      if (!action) continue;
      walk(action.feedback, new Set(), ignore);
      walk(action.template, new Set(), (query) => {
        if (query.some(({ facts }) => changing.has(this.#facts[facts].predicate))) dynamic = true;
      });
    }
    return { unknown: [...unknown], dynamic };
  }

  // ---- Derivation ----

  /** The text of a symbol without any context, as `#intro#`. */
  describe(symbol: string, told: Told, atoms: Uint8Array, task?: TaskText): string {
    this.#begin(told, atoms, task);
    return this.#symbol(symbol);
  }

  /** The command of an action with the given arguments. */
  command(action: string, args: ArrayLike<number>, from: number, told: Told, atoms: Uint8Array): string {
    const { template, slots } = this.#actions.get(action)!;
    this.#begin(told, atoms, undefined);
    this.#bind(slots, args, from);
    return this.#derive(template);
  }

  /** What the game says after an action; `atoms` are those after it. */
  feedback(
    action: string,
    args: ArrayLike<number>,
    from: number,
    told: Told,
    atoms: Uint8Array,
    task: TaskText | undefined,
  ): string {
    const { feedback, slots } = this.#actions.get(action)!;
    this.#begin(told, atoms, task);
    this.#bind(slots, args, from);
    return this.#derive(feedback);
  }

  #begin(told: Told, atoms: Uint8Array, task: TaskText | undefined): void {
    this.#told = told;
    this.#atoms = atoms;
    this.#task = task;
    this.#depth = 0;
    this.#slots.fill(-1);
    this.#variables.fill(-1);
  }

  #bind(slots: readonly number[], args: ArrayLike<number>, from: number): void {
    for (let i = 0; i < slots.length; i++) {
      this.#slots[slots[i]] = args[from + i];
      this.#variables[this.#nameIndex.get(this.#slotName[slots[i]])!] = args[from + i];
    }
  }

  #derive(nodes: readonly Node[]): string {
    let text = "";
    for (const node of nodes) text += this.#one(node);
    if (text.length > MAX_LENGTH)
      throw new RangeError(`the grammar makes a text of more than ${MAX_LENGTH} characters`);
    return text;
  }

  #one(node: Node): string {
    switch (node.type) {
      case "text":
        return node.text;
      case "symbol":
        return this.#symbol(node.name);
      case "expression":
        return this.#expression(node.expression);
      case "each": {
        const { what, query } = node;
        if (!query) return this.#one(what);
        const texts: string[] = [];
        this.#solve(query, 0, () => {
          texts.push(this.#one(what));
          return true;
        });
        return node.list ? this.#listed(texts) : texts.join("");
      }
    }
  }

  #listed(texts: readonly string[]): string {
    if (texts.length === 0) return this.#symbol("list_empty");
    if (texts.length === 1) return texts[0];
    const separator = texts.length > 2 ? this.#symbol("list_separator") : "";
    let list = texts[0];
    for (let i = 1; i < texts.length - 1; i++) list += separator + texts[i];
    return list + this.#symbol("list_last_separator") + texts[texts.length - 1];
  }

  #symbol(name: string): string {
    if (this.#task && name === "task") return this.#derive(this.#task);
    const rules = this.#rules.get(name);
    if (!rules) throw new TypeError(`grammar: the symbol '#${name}#' is not defined`);
    if (++this.#depth > MAX_DEPTH)
      throw new RangeError(`grammar: '#${name}#' never ends: more than ${MAX_DEPTH} levels`);
    for (const { condition, rhs } of rules) {
      if (condition && !this.#solve(condition, 0, undefined)) continue;
      const text = this.#derive(rhs);
      this.#depth--;
      return text;
    }
    throw new TypeError(`grammar: no rule of '#${name}#' applies`);
  }

  #expression(index: number): string {
    const { only, expression } = this.#expressions[index];
    const object = only < 0 ? -1 : this.#variables[only];
    if (object < 0) return evaluate(expression, this.#lookup);
    const key = object * this.#expressions.length + index;
    let text = this.#told.values.get(key);
    if (text === undefined) {
      text = evaluate(expression, this.#lookup);
      this.#told.values.set(key, text);
    }
    return text;
  }

  readonly #lookup = (name: string): Entity | undefined => {
    const index = this.#nameIndex.get(name);
    const object = index === undefined ? -1 : this.#variables[index];
    if (object < 0) return undefined;
    const { ids, names, types, typeOf } = this.#told.scenery;
    return {
      get id() {
        return textAt(ids, object);
      },
      get name() {
        return textAt(names, object) || this.id;
      },
      type: types[typeOf[object]],
      definite: "the",
      indefinite: "a",
    };
  };

  /**
   * Runs through the ways in which the query holds, in the original's order, with their things in the slots; without
   * `use` it stops at the first. Two placeholders never mean the same thing. Says whether there was any.
   */
  #solve(query: Query, at: number, use: (() => boolean) | undefined): boolean {
    if (at === query.length) return use ? use() : true;
    const { facts, slots } = query[at];
    const table = this.#told.tables[facts] ?? this.#table(facts);
    const { bit } = table;
    const { arity, tuples, firstAtom } = table.list;
    const values = this.#slots;
    let { rows } = table;
    let from = 0;
    let to = rows.length;
    for (let k = 0; k < arity; k++) {
      const object = values[slots[k]];
      if (object < 0) continue;
      const index = table.byArgument[k] ?? this.#index(table, k);
      rows = index.rows;
      from = index.starts[object];
      to = index.starts[object + 1];
      break;
    }
    let any = false;
    for (let c = from; c < to; c++) {
      const row = rows[c];
      if (firstAtom >= 0 && (this.#atoms[firstAtom + row] & bit) === 0) continue;
      let bound = 0;
      let k = 0;
      for (; k < arity; k++) {
        const slot = slots[k];
        const object = tuples[row * arity + k];
        if (values[slot] === object) continue;
        if (values[slot] >= 0 || values.includes(object)) break;
        values[slot] = object;
        bound |= 1 << k;
      }
      if (k === arity) {
        any = bound === 0 ? this.#solve(query, at + 1, use) || any : this.#within(query, at, use, bound, slots) || any;
      }
      if (bound !== 0) for (let b = 0; b < arity; b++) if ((bound & (1 << b)) !== 0) values[slots[b]] = -1;
      if (any && !use) return true;
    }
    return any;
  }

  /** Goes on with the query while the names of the slots just bound mean their things. */
  #within(
    query: Query,
    at: number,
    use: (() => boolean) | undefined,
    bound: number,
    slots: readonly number[],
  ): boolean {
    if (!use) return this.#solve(query, at + 1, use);
    const before: number[] = [];
    for (let k = 0; k < slots.length; k++) {
      if ((bound & (1 << k)) === 0) continue;
      const variable = this.#nameIndex.get(this.#slotName[slots[k]])!;
      before.push(variable, this.#variables[variable]);
      this.#variables[variable] = this.#slots[slots[k]];
    }
    const any = this.#solve(query, at + 1, use);
    for (let i = before.length - 2; i >= 0; i -= 2) this.#variables[before[i]] = before[i + 1];
    return any;
  }

  #table(facts: number): FactTable {
    const { predicate, denied, types } = this.#facts[facts];
    const { scenery } = this.#told;
    const arity = types.length;
    const list = scenery.facts.find(([of]) => of === predicate)?.[1];
    const combinations = this.#hierarchy.subtypes(types);
    const rows: number[] = [];
    const usable = list !== undefined && list.arity === arity && (list.firstAtom >= 0 || !denied);
    if (usable) {
      // Tuples of types as numbers.
      const { types: known, typeOf } = scenery;
      const keyOf = (type: (k: number) => number): number => {
        let key = 0;
        for (let k = 0; k < arity; k++) key = key * known.length + type(k);
        return key;
      };
      const groups = new Map<number, number[]>();
      const count = arity === 0 ? 1 : list.tuples.length / arity;
      for (let row = 0; row < count; row++) {
        const key = keyOf((k) => typeOf[list.tuples[row * arity + k]]);
        const group = groups.get(key);
        if (group) group.push(row);
        else groups.set(key, [row]);
      }
      for (const combination of combinations) {
        if (combination.every((type) => known.includes(type)))
          rows.push(...(groups.get(keyOf((k) => known.indexOf(combination[k]))) ?? []));
      }
    }
    const table: FactTable = {
      list: usable ? list : NO_FACTS,
      rows: Uint16Array.from(rows),
      bit: denied ? DENIED : TOLD,
      byArgument: new Array(arity),
    };
    this.#told.tables[facts] = table;
    return table;
  }

  #index(table: FactTable, position: number): { starts: Uint16Array; rows: Uint16Array } {
    const { arity, tuples } = table.list;
    const starts = new Uint16Array(this.#told.scenery.typeOf.length + 1);
    for (const row of table.rows) starts[tuples[row * arity + position] + 1]++;
    for (let i = 1; i < starts.length; i++) starts[i] += starts[i - 1];
    const next = starts.slice();
    const rows = new Uint16Array(table.rows.length);
    for (const row of table.rows) rows[next[tuples[row * arity + position]]++] = row;
    const index = { starts, rows };
    table.byArgument[position] = index;
    return index;
  }
}
