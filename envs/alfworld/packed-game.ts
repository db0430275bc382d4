import type { CompiledGame } from "./compile.ts";
import { type PackedLists, packLists, startsFor, unpackLists } from "./lists.ts";
import type { Scenery } from "./text/narrator.ts";
import type { Texts } from "./texts.ts";

interface PackedTexts {
  joined: string;
  lengths: Uint16Array;
}

/** A compiled game by what changes from one operator, fact or command to the next: it compresses to less than half. */
export interface PackedGame extends Omit<CompiledGame, "scenery" | "args" | "effects" | "conditions"> {
  scenery: Omit<Scenery, "ids" | "names"> & { ids: PackedTexts; names: PackedTexts };
  args: PackedLists;
  effects: PackedLists;
  conditions: PackedLists;
}

export function packGame(game: CompiledGame): PackedGame {
  const { scenery } = game;
  return {
    ...game,
    scenery: {
      ...scenery,
      ids: packTexts(scenery.ids),
      names: packTexts(scenery.names),
      facts: scenery.facts.map(([predicate, list]) => [
        predicate,
        { ...list, tuples: differences(list.tuples, list.arity) },
      ]),
    },
    args: packLists(game.args),
    effects: packLists(game.effects),
    conditions: packLists(game.conditions),
    target: differences(game.target, 1),
    commands: differences(game.commands, 1),
  };
}

/** Takes over the arrays of what it is given. */
export function unpackGame(packed: PackedGame): CompiledGame {
  const { scenery } = packed;
  for (const [, { tuples, arity }] of scenery.facts) addUp(tuples, arity);
  addUp(packed.target, 1);
  addUp(packed.commands, 1);
  return {
    ...packed,
    scenery: { ...scenery, ids: unpackTexts(scenery.ids), names: unpackTexts(scenery.names) },
    args: unpackLists(packed.args),
    effects: unpackLists(packed.effects),
    conditions: unpackLists(packed.conditions),
  };
}

/** Each value less the one `stride` places before it, modulo what the array has room for. */
function differences<A extends Uint16Array | Uint32Array>(values: A, stride: number): A {
  return values.map((value, i) => (i < stride ? value : value - values[i - stride])) as A;
}

function addUp(values: Uint16Array | Uint32Array, stride: number): void {
  for (let i = stride; i < values.length; i++) values[i] += values[i - stride];
}

function packTexts({ joined, starts }: Texts): PackedTexts {
  return { joined, lengths: Uint16Array.from(starts.subarray(1), (end, i) => end - starts[i]) };
}

function unpackTexts({ joined, lengths }: PackedTexts): Texts {
  const starts = startsFor(lengths.length, joined.length);
  for (let i = 0; i < lengths.length; i++) starts[i + 1] = starts[i] + lengths[i];
  return { joined, starts };
}
