import type { Vocabulary } from "./commands.ts";
import type { Lists } from "./lists.ts";
import { entityNames } from "./names.ts";
import type { Domain } from "./pddl/domain.ts";
import { type ConditionalEffect, type GroundDerived, type GroundTask, ground } from "./pddl/ground.ts";
import type { Problem } from "./pddl/problem.ts";
import { type Narrator, type Scenery, type TaskText, TOLD, Told, TRUE } from "./text/narrator.ts";
import { joinTexts } from "./texts.ts";

/**
 * What grounding a problem and spelling out its commands comes to, as plain data that a pack can keep: whoever has it plays
 * the game without doing either.
 */
export interface CompiledGame {
  scenery: Scenery;
  actionNames: readonly string[];
  /** The action of each operator, as an index into the names. */
  actions: Uint16Array;
  args: Lists;
  effects: Lists;
  /** What some operators do under conditions. */
  conditional: readonly [operator: number, effects: readonly ConditionalEffect[]][];
  derived: readonly (readonly GroundDerived[])[];
  /** What each operator, then each way to reach a part of the goal, asks for: literals, sorted. */
  conditions: Lists;
  /** The command of each operator, then the part of the goal that each way leads to. */
  target: Uint16Array;
  /** Every command that can ever be admissible, sorted: its number in the vocabulary. */
  commands: Uint16Array | Uint32Array;
  /** Commands depend on the state, so none are spelled out. */
  dynamic: boolean;
  /** What a new episode starts from. */
  atoms: Uint8Array;
  intro: string;
  /** The sentence with the task, without the words that introduce it; null where the grammar has none. */
  instruction: string | null;
}

/** Throws RangeError and TypeError for a game that cannot be played, saying why. */
export function compileGame(
  domain: Domain,
  problem: Problem,
  narrator: Narrator,
  vocabulary: Vocabulary,
  task?: TaskText,
): CompiledGame {
  const t = ground(domain, problem);
  const actionNames = [...new Set(t.operators.names)];
  const missing = actionNames.find((name) => !narrator.hasAction(name));
  if (missing !== undefined) throw new TypeError(`grammar: the action '${missing}' has no template and feedback`);
  const symbols = narrator.hasSymbol("task") ? ["intro", "task"] : ["intro"];
  const { unknown, dynamic } = narrator.inspect(symbols, actionNames, t.changing);
  if (unknown.length > 0) throw new TypeError(`grammar: the symbol '#${unknown[0]}#' is not defined`);

  const told = new Told(sceneryOf(narrator, t));
  const atoms = atomsAtFirst(t);
  const texts = dynamic ? [] : spell(t, narrator, told, atoms);
  const sorted = [...new Set(texts)].sort();
  const numberOf = new Map(sorted.map((text, i) => [text, i]));
  const target = new Uint16Array(t.conditions.starts.length - 1);
  for (let i = 0; i < texts.length; i++) target[i] = numberOf.get(texts[i])!;
  target.set(t.goalPartOf, t.operators.count);
  const sentence = narrator.hasSymbol("task") ? narrator.describe("task", told, atoms, task) : undefined;
  return {
    scenery: told.scenery,
    actionNames,
    actions: Uint16Array.from(t.operators.names, (name) => actionNames.indexOf(name)),
    args: t.operators.args,
    effects: t.operators.effects,
    conditional: [...t.operators.conditional],
    derived: t.derived,
    conditions: t.conditions,
    target,
    commands: vocabulary.numbersOf(sorted),
    dynamic,
    atoms,
    intro: narrator.describe("intro", told, atoms, task),
    instruction: sentence?.replace(/^Your task is to:\s*/, "").trim() ?? null,
  };
}

/** The command of each operator. */
function spell({ objects, operators }: GroundTask, narrator: Narrator, told: Told, atoms: Uint8Array): string[] {
  const { count, names, args } = operators;
  const texts: string[] = [];
  let known = new Map<number, string>();
  for (let i = 0; i < count; i++) {
    const action = names[i];
    if (i === 0 || action !== names[i - 1]) known = new Map();
    // Many operators have the same command: "go to cabinet 1" from wherever.
    const relevant = narrator.relevantParameters(action);
    let key = relevant ? 0 : i;
    if (relevant)
      for (const parameter of relevant) key = key * objects.length + args.values[args.starts[i] + parameter];
    let text = key < Number.MAX_SAFE_INTEGER ? known.get(key) : undefined;
    if (text === undefined) {
      text = narrator.command(action, args.values, args.starts[i], told, atoms);
      known.set(key, text);
    }
    texts.push(text);
  }
  return texts;
}

function atomsAtFirst({ atomCount, initial, derived }: GroundTask): Uint8Array {
  const atoms = new Uint8Array(atomCount);
  for (let i = 0; i < atomCount; i++) if (initial[i] === 1) atoms[i] = TRUE;
  derive(derived, atoms, (atom, now) => {
    atoms[atom] = now ? TRUE : 0;
  });
  for (let i = 0; i < atomCount; i++) if (atoms[i] === TRUE) atoms[i] = TRUE | TOLD;
  return atoms;
}

function sceneryOf(narrator: Narrator, t: GroundTask): Scenery {
  const types = [...new Set(t.types)];
  const facts: Scenery["facts"][number][] = [];
  for (const predicate of narrator.predicates) {
    const relation = t.changing.get(predicate) ?? t.facts.get(predicate);
    if (relation && relation.count > 0) facts.push([predicate, relation.freeze()]);
  }
  return {
    ids: joinTexts(t.objects),
    names: joinTexts(namesOf(t)),
    types,
    typeOf: Uint16Array.from(t.types, (type) => types.indexOf(type)),
    facts,
  };
}

/** The names of things, empty where it is the id. */
function namesOf(t: GroundTask): string[] {
  const mentioned = new Uint8Array(t.objects.length);
  for (const relations of [t.facts, t.changing]) {
    for (const [predicate, relation] of relations) {
      // Equality and types are no facts of the game, and atoms that only may come true are not mentioned yet.
      if (predicate === "=" || predicate.startsWith("type@")) continue;
      for (let row = 0; row < relation.count; row++) {
        if (relation.changing && t.initial[relation.numbers[row]] === 0) continue;
        for (let k = 0; k < relation.arity; k++) mentioned[relation.rows[row * relation.arity + k]] = 1;
      }
    }
  }
  // Numbers are counted over the things that some fact mentions.
  const seen = t.objects.flatMap((_, i) => (mentioned[i] === 1 ? [i] : []));
  const names = entityNames(seen.map((i) => t.objects[i]));
  const result = new Array<string>(t.objects.length).fill("");
  seen.forEach((object, i) => {
    result[object] = names[i];
  });
  return result;
}

/** Brings derived atoms up to date, layer by layer; `set` is told of each that changes. */
export function derive(
  layers: readonly (readonly GroundDerived[])[],
  atoms: Uint8Array,
  set: (atom: number, now: boolean) => void,
): void {
  for (const layer of layers) {
    const now = new Set<number>();
    const holds = (literal: number, heads: ReadonlySet<number>): boolean => {
      const atom = literal >> 1;
      const truth = heads.has(atom) ? now.has(atom) : (atoms[atom] & TRUE) !== 0;
      return truth === ((literal & 1) === 0);
    };
    const heads = new Set(layer.map((rule) => rule.head));
    for (let before = -1; before !== now.size; ) {
      before = now.size;
      for (const { head, body } of layer) {
        if (!now.has(head) && body.every((literal) => holds(literal, heads))) now.add(head);
      }
    }
    for (const head of heads) if (now.has(head) !== ((atoms[head] & TRUE) !== 0)) set(head, now.has(head));
  }
}
