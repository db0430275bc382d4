import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { cacheFolder } from "../../proto/cache-folder.ts";
import { type Game, loadGame, parseGameFile } from "./game.ts";
import { GamePack, packGames } from "./pack.ts";

/** The splits of the data set. `valid_unseen` is the test split of the papers: for the last measurement only. */
export const DATA_SPLITS = ["train", "valid_train", "valid_seen", "valid_unseen"] as const;

/** The data set's own folder, which holds the splits. */
export const ROOT = "json_2.1.1";
export const GAME_FILE = "game.tw-pddl";

/**
 * The folder that holds the splits: the one given, `$ALFWORLD_DATA`, or in `$PROXIMA_DATA` or the cache the one called
 * `alfworld`; each may be the folder `json_2.1.1` of the data set or the one around it. Undefined when there is none.
 * @throws Error when a folder was given, or named by `$ALFWORLD_DATA`, that holds no games
 */
export function findData(
  given: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): string | undefined {
  for (const [name, folder] of [
    ["data", given],
    ["$ALFWORLD_DATA", env.ALFWORLD_DATA],
  ] as const) {
    if (!folder) continue;
    const found = withSplits(folder);
    if (found) return found;
    const where = resolve(folder);
    throw new Error(
      `alfworld: ${name} names ${where}, which ${existsSync(where) ? "holds no games" : "does not exist"}: expected a folder ` +
        `with "${DATA_SPLITS[0]}" or another split of ALFWorld's json_2.1.1 in it ('proxima data fetch alfworld' gets it; ` +
        `without any data games are made up)`,
    );
  }
  for (const folder of [env.PROXIMA_DATA, cacheFolder(env)]) {
    const found = folder ? (withSplits(join(folder, "alfworld")) ?? withSplits(folder)) : undefined;
    if (found) return found;
  }
  return undefined;
}

/** Where games that are fetched belong, so that `findData("")` finds them. */
export function dataHome(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const home = resolve(env.ALFWORLD_DATA || join(env.PROXIMA_DATA || cacheFolder(env), "alfworld"));
  return basename(home) === ROOT ? dirname(home) : home;
}

/** How many games a split has, without reading them. */
export function countGames(root: string, split: string): number {
  const packed = join(root, `${split}.games`);
  return existsSync(packed) ? new GamePack(readFileSync(packed)).names.length : gameNames(join(root, split)).length;
}

function withSplits(folder: string): string | undefined {
  return [join(folder, ROOT), folder]
    .map((candidate) => resolve(candidate))
    .find((candidate) => DATA_SPLITS.some((split) => hasSplit(candidate, split)));
}

export function hasSplit(root: string, split: string): boolean {
  return isFolder(join(root, split)) || existsSync(join(root, `${split}.games`));
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** So many games take seconds to compile. */
const LONG_WORK = 500;

/**
 * The games of one split. They come from `<split>.games` beside the folder where there is such a pack; from a pack in the
 * cache while that is as new as the folder; otherwise from their files. Listing them makes the pack, once.
 */
export class SplitGames {
  readonly #folder: string;
  readonly #packed: string;
  readonly #cached: string | undefined;
  #pack: GamePack | undefined;
  #looked = false;

  /** @param cache folder for packs; undefined to do without */
  constructor(root: string, split: string, cache: string | undefined) {
    this.#folder = join(root, split);
    this.#packed = join(root, `${split}.games`);
    const key = createHash("sha256").update(this.#folder).digest("hex").slice(0, 12);
    this.#cached = cache === undefined ? undefined : join(cache, "alfworld", "compiled", `${split}-${key}.games`);
  }

  /** Names of the games, sorted: `<task>/<trial>`. */
  names(): readonly string[] {
    const pack = this.#open();
    if (pack) return pack.names;
    if (this.#cached === undefined) return gameNames(this.#folder);
    const made = this.#make();
    return made ? made.names : gameNames(this.#folder);
  }

  /** Throws Error when there is no such game or its file is of no use, naming it. */
  load(name: string): Game {
    const game = this.#open()?.load(name);
    if (game) return game;
    const file = join(this.#folder, name, GAME_FILE);
    try {
      return loadGame(parseGameFile(readFileSync(file, "utf8")));
    } catch (cause) {
      throw new Error(`alfworld: cannot load the game ${file}: ${cause instanceof Error ? cause.message : cause}`, {
        cause,
      });
    }
  }

  #open(): GamePack | undefined {
    if (this.#looked) return this.#pack;
    this.#looked = true;
    if (existsSync(this.#packed)) {
      this.#pack = GamePack.open(this.#packed);
    } else if (this.#cached !== undefined && existsSync(this.#cached)) {
      try {
        const pack = GamePack.open(this.#cached);
        if (pack.source === sourceOf(this.#folder, gameNames(this.#folder))) this.#pack = pack;
      } catch {
        // A damaged pack is made anew; until then the files serve.
      }
    }
    return this.#pack;
  }

  /** Undefined where the cache cannot be written to. */
  #make(): GamePack | undefined {
    const path = this.#cached!;
    const folder = this.#folder;
    const names = gameNames(folder);
    const source = sourceOf(folder, names);
    if (names.length >= LONG_WORK) console.error(`alfworld: compiles the ${names.length} games of ${folder}, once …`);
    const bytes = packGames(readGames(folder, names), source);
    this.#pack = new GamePack(bytes);
    try {
      mkdirSync(join(path, ".."), { recursive: true });
      // Renamed into place, so that whoever reads it sees all of it; several processes may do this at once.
      const partial = `${path}.${process.pid}.part`;
      writeFileSync(partial, bytes);
      renameSync(partial, path);
    } catch {
      // Without a cache it works all the same.
    }
    return this.#pack;
  }
}

/** Games that are marked as unsolvable are left out, as the original does. */
function* readGames(folder: string, names: readonly string[]) {
  for (const name of names) {
    const path = join(folder, name, GAME_FILE);
    try {
      const text = readFileSync(path, "utf8");
      if (/"solvable":\s*false/.test(text)) continue;
      yield { name, file: parseGameFile(text) };
    } catch (cause) {
      throw new Error(`alfworld: cannot read the game ${path}: ${cause instanceof Error ? cause.message : cause}`, {
        cause,
      });
    }
  }
}

/** Games with movable receptacles or slicing are left out, as the original does. */
function gameNames(folder: string): string[] {
  const names: string[] = [];
  for (const task of isFolder(folder) ? readdirSync(folder) : []) {
    if (task.includes("movable") || task.includes("Sliced") || !isFolder(join(folder, task))) continue;
    for (const trial of readdirSync(join(folder, task))) {
      if (existsSync(join(folder, task, trial, GAME_FILE))) names.push(`${task}/${trial}`);
    }
  }
  return names.sort();
}

/** Changes when a game is added, removed or written to. */
function sourceOf(folder: string, names: readonly string[]): string {
  const hash = createHash("sha256");
  for (const name of names) {
    const { size, mtimeMs } = statSync(join(folder, name, GAME_FILE));
    hash.update(`${name} ${size} ${mtimeMs}\n`);
  }
  return hash.digest("hex");
}
