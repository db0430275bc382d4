import { Commands, Vocabulary } from "./commands.ts";
import { type CompiledGame, compileGame } from "./compile.ts";
import { parseJson } from "./json.ts";
import { invert, type Lists, positions } from "./lists.ts";
import { type Domain, readDomain } from "./pddl/domain.ts";
import type { ConditionalEffect, GroundDerived } from "./pddl/ground.ts";
import { readProblem } from "./pddl/problem.ts";
import { detached } from "./source.ts";
import { readGrammar } from "./text/grammar.ts";
import { Narrator, type TaskText, Told, TRUE } from "./text/narrator.ts";

/** A game file of TextWorld's PDDL kind (`game.tw-pddl`). */
export interface GameFile {
  pddl_domain: string;
  grammar: string;
  pddl_problem: string;
  walkthrough: readonly string[];
}

/** Parses the JSON of a game file and checks its shape. Throws SourceError or TypeError; RangeError when unsolvable. */
export function parseGameFile(text: string): GameFile {
  const data = parseJson(text, "the game file");
  if (typeof data !== "object" || data === null || Array.isArray(data)) {
    throw new TypeError("the game file must be a JSON object");
  }
  const { pddl_domain, grammar, pddl_problem, walkthrough, solvable } = data as Record<string, unknown>;
  for (const [key, value] of Object.entries({ pddl_domain, grammar, pddl_problem })) {
    if (typeof value !== "string") throw new TypeError(`the game file has no text '${key}'`);
  }
  if (solvable === false) throw new RangeError("the game is marked as unsolvable");
  const steps = walkthrough ?? [];
  if (!Array.isArray(steps) || !steps.every((step) => typeof step === "string")) {
    throw new TypeError("'walkthrough' of the game file must be a list of commands");
  }
  return { pddl_domain, grammar, pddl_problem, walkthrough: steps.map(detached) } as GameFile;
}

/** The texts of a game file that many games have in common, and what is short. */
export interface GameTexts {
  domain: string;
  /** The grammar but for the task. */
  grammar: string;
  /** The sentence with the task, where that is plain text. */
  task?: string;
  walkthrough: readonly string[];
}

export function textsOf({ pddl_domain, grammar, walkthrough }: GameFile): GameTexts {
  return { domain: pddl_domain, ...splitTask(grammar), walkthrough };
}

/** @param vocabulary gets the game's commands */
export function compileFile(file: GameFile, texts: GameTexts, vocabulary: Vocabulary): CompiledGame {
  const domain = domainOf(texts.domain);
  const problem = readProblem(file.pddl_problem, domain);
  return compileGame(domain, problem, narratorOf(domain, texts.grammar), vocabulary, taskText(texts.task));
}

/** @param vocabulary the texts of the one that the game was compiled with */
export function openGame(compiled: CompiledGame, texts: GameTexts, vocabulary: readonly string[]): Game {
  const { domain, grammar, task, walkthrough } = texts;
  const commands = new Commands(vocabulary, compiled.commands);
  return new Game(compiled, commands, narratorOf(domainOf(domain), grammar), taskText(task), walkthrough);
}

export function loadGame(file: GameFile): Game {
  const texts = textsOf(file);
  // Games keep the texts that they were compiled with, so a full vocabulary can be left to them.
  if (vocabulary.texts.length > MAX_COMMANDS) vocabulary = new Vocabulary();
  return openGame(compileFile(file, texts, vocabulary), texts, vocabulary.texts);
}

const taskText = (task: string | undefined): TaskText | undefined =>
  task === undefined ? undefined : [{ type: "text", text: task }];

// Thousands of games share one domain and, but for the sentence with the task, one grammar.
const domains = new Map<string, Domain>();
const narrators = new WeakMap<Domain, Map<string, Narrator>>();
const MAX_SHARED = 64;

// They also have most of their commands in common.
let vocabulary = new Vocabulary();
const MAX_COMMANDS = 50_000;

function domainOf(text: string): Domain {
  let domain = domains.get(text);
  if (!domain) {
    domain = readDomain(text);
    if (domains.size >= MAX_SHARED) domains.clear();
    domains.set(text, domain);
  }
  return domain;
}

/** Where a grammar has the sentence with the task, when that is plain text. */
const TASK = /("task"\s*:\s*\[\s*\{\s*"rhs"\s*:\s*")([^"\\;|<>[\]#{}\n\t]*)("\s*\}\s*\])/;

/** A grammar without the sentence that tells its task, which is what thousands of games share. */
function splitTask(whole: string): Pick<GameTexts, "grammar" | "task"> {
  const match = TASK.exec(whole);
  if (!match) return { grammar: whole };
  const from = match.index + match[1].length;
  return { grammar: whole.slice(0, from) + whole.slice(from + match[2].length), task: detached(match[2]) };
}

function narratorOf(domain: Domain, base: string): Narrator {
  const shared = narrators.get(domain) ?? new Map<string, Narrator>();
  narrators.set(domain, shared);
  let narrator = shared.get(base);
  if (!narrator) {
    narrator = new Narrator(domain, readGrammar(base));
    if (shared.size >= MAX_SHARED) shared.clear();
    shared.set(base, narrator);
  }
  return narrator;
}

/** What is said when a command means nothing here. */
export const NOTHING_HAPPENS = "Nothing happens.";

/**
 * A game, ready to be played any number of times at once: its actions are ground, its commands spelled out and sorted.
 * Immutable but for caches of text. An operator's precondition, and each way to reach a part of the goal, is a counter
 * of literals that do not hold yet; an atom that flips moves the counters that watch it.
 */
export class Game {
  readonly walkthrough: readonly string[];
  /** The sentence with the task, without the words that introduce it. */
  readonly instruction: string | undefined;
  /** The text at the beginning. */
  readonly intro: string;
  /** Every command that can ever be admissible, sorted. */
  readonly commands: Commands;
  readonly operatorCount: number;
  /** Operators, then ways to reach parts of the goal. */
  readonly counterCount: number;
  readonly goalParts: number;
  readonly effects: Lists;
  readonly conditional: ReadonlyMap<number, readonly ConditionalEffect[]>;
  readonly derived: readonly (readonly GroundDerived[])[];
  /** The counters that a literal is part of. */
  readonly watchers: Lists;
  /** The command of an operator; for ways to the goal, the part of the goal. */
  readonly target: Uint16Array;
  /** The operators of a command; of several that are applicable `precedes` says which is meant. */
  readonly operatorsOf: Lists;
  /** Commands that depend on the state are spelled out at every step. */
  readonly dynamic: boolean;
  /** What a new episode starts from. */
  readonly atoms: Uint8Array;
  readonly counters: Uint16Array;
  readonly #narrator: Narrator;
  readonly #told: Told;
  readonly #task: TaskText | undefined;
  readonly #actionNames: readonly string[];
  readonly #actions: Uint16Array;
  readonly #args: Lists;

  constructor(
    compiled: CompiledGame,
    commands: Commands,
    narrator: Narrator,
    task: TaskText | undefined,
    walkthrough: readonly string[],
  ) {
    const { conditions, target, actions, atoms, dynamic } = compiled;
    this.walkthrough = walkthrough;
    this.instruction = compiled.instruction ?? undefined;
    this.intro = compiled.intro;
    this.#narrator = narrator;
    this.#told = new Told(compiled.scenery);
    this.#task = task;
    this.#actionNames = compiled.actionNames;
    this.#actions = actions;
    this.#args = compiled.args;
    this.effects = compiled.effects;
    this.conditional = new Map(compiled.conditional);
    this.derived = compiled.derived;
    this.dynamic = dynamic;
    this.atoms = atoms;
    this.target = target;
    this.commands = commands;
    this.operatorCount = actions.length;
    this.counterCount = target.length;
    this.goalParts = target[target.length - 1] + 1;
    this.watchers = invert(conditions, 2 * atoms.length);
    this.operatorsOf = positions(dynamic ? [] : target.subarray(0, actions.length), this.commands.length);

    const { starts, values } = conditions;
    const counters = new Uint16Array(this.counterCount + this.commands.length + this.goalParts);
    for (let counter = 0; counter < this.counterCount; counter++) {
      let open = 0;
      for (let k = starts[counter]; k < starts[counter + 1]; k++) {
        if (((atoms[values[k] >> 1] & TRUE) !== 0) === ((values[k] & 1) === 1)) open++;
      }
      counters[counter] = open;
      if (open > 0) continue;
      if (counter >= this.operatorCount) counters[this.counterCount + this.commands.length + target[counter]]++;
      else if (!dynamic) counters[this.counterCount + target[counter]]++;
    }
    this.counters = counters;
  }

  /** Whether the original's successor generator finds operator a before b: it goes by the atoms they ask for. */
  precedes(a: number, b: number): boolean {
    // Hardly ever asked, so it is worked out from the watchers.
    const { starts, values } = invert(this.watchers, this.counterCount);
    for (let i = starts[a], k = starts[b]; ; i++, k++) {
      if (i === starts[a + 1] || k === starts[b + 1]) {
        return i === starts[a + 1] && k === starts[b + 1] ? a < b : i === starts[a + 1];
      }
      const difference = (values[i] >> 1) - (values[k] >> 1);
      if (difference !== 0) return difference < 0;
    }
  }

  /** The command of an operator. */
  spell(operator: number, atoms: Uint8Array): string {
    const action = this.#actionNames[this.#actions[operator]];
    return this.#narrator.command(action, this.#args.values, this.#args.starts[operator], this.#told, atoms);
  }

  /** What is said after an operator was applied. */
  feedback(operator: number, atoms: Uint8Array): string {
    const { values, starts } = this.#args;
    const action = this.#actionNames[this.#actions[operator]];
    return this.#narrator.feedback(action, values, starts[operator], this.#told, atoms, this.#task);
  }
}
