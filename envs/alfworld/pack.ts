import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { decodeData, encodeData } from "../../proto/data.ts";
import { Vocabulary } from "./commands.ts";
import type { CompiledGame } from "./compile.ts";
import { compileFile, type Game, type GameFile, type GameTexts, openGame, textsOf } from "./game.ts";
import { type PackedGame, packGame, unpackGame } from "./packed-game.ts";

/**
 * Many games in one file, a tenth of their size: domains, grammars and commands once, each game compiled, compressed with the first one
 * for a dictionary. What compiling gives is part of the format: when it changes, so must the number in the magic. Layout,
 * numbers little-endian:
 *
 *   8 bytes   "PXGAMES3"
 *   32 bytes  SHA-256 of all that follows
 *   4 bytes   length of the header
 *   header    deflated JSON, `Header`
 *   games     deflated, `PackedGame` as of encodeData, one after the other
 */
const MAGIC = "PXGAMES3";
const MAX_HEADER_BYTES = 256 * 2 ** 20;
const MAX_GAME_BYTES = 16 * 2 ** 20;
/** Deflate looks back so far. */
const DICTIONARY_BYTES = 32_768;

interface Header {
  /** What the pack was made from; it is stale when that has changed. */
  source: string;
  domains: string[];
  grammars: string[];
  /** The commands of all games, by number. */
  vocabulary: string[];
  games: {
    name: string;
    domain: number;
    grammar: number;
    task?: string;
    walkthrough: readonly string[];
    /** Bytes of the compiled game. */
    length: number;
  }[];
}

/** @param source kept in the pack, to tell later whether it is stale. Throws Error for a game that cannot be played, naming it. */
export function packGames(games: Iterable<{ name: string; file: GameFile }>, source: string): Uint8Array {
  const vocabulary = new Vocabulary();
  const header: Header = { source, domains: [], grammars: [], vocabulary: vocabulary.texts, games: [] };
  const compiled: Uint8Array[] = [];
  let dictionary: Uint8Array | undefined;
  const index = (list: string[], text: string): number => {
    const at = list.indexOf(text);
    return at >= 0 ? at : list.push(text) - 1;
  };
  for (const { name, file } of games) {
    const texts = textsOf(file);
    const { domain, grammar, task, walkthrough } = texts;
    const bytes = encodeData(packGame(compiledAs(name, file, texts, vocabulary)), `the game ${name}`, MAX_GAME_BYTES);
    const packed = deflateRawSync(bytes, dictionary ? { dictionary } : {});
    dictionary ??= bytes.slice(0, DICTIONARY_BYTES);
    compiled.push(packed);
    header.games.push({
      name,
      domain: index(header.domains, domain),
      grammar: index(header.grammars, grammar),
      task,
      walkthrough,
      length: packed.length,
    });
  }
  const head = deflateRawSync(JSON.stringify(header));
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, head.length, true);
  const body = [length, head, ...compiled];
  const hash = createHash("sha256");
  for (const part of body) hash.update(part);
  return Buffer.concat([new TextEncoder().encode(MAGIC), hash.digest(), ...body]);
}

function compiledAs(name: string, file: GameFile, texts: GameTexts, vocabulary: Vocabulary): CompiledGame {
  try {
    return compileFile(file, texts, vocabulary);
  } catch (cause) {
    throw new Error(`cannot pack the game ${name}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}

/** Bytes of a pack from a place on. */
type Read = (start: number, length: number) => Uint8Array;

/** An opened pack. Games come out of it one by one. */
export class GamePack {
  readonly source: string;
  readonly #header: Header;
  readonly #read: Read;
  readonly #starts: number[] = [];
  readonly #indexOf = new Map<string, number>();
  #dictionary: Uint8Array | undefined;

  /** Checks the whole file, and keeps it open instead of in memory. Throws as the constructor. */
  static open(path: string): GamePack {
    const file = openSync(path, "r");
    try {
      return new GamePack(readFileSync(file), (start, length) => {
        const bytes = new Uint8Array(length);
        readSync(file, bytes, 0, length, start);
        return bytes;
      });
    } catch (error) {
      closeSync(file);
      throw error;
    }
  }

  /**
   * @param bytes a whole pack; kept unless `read` is given
   * @throws RangeError when it is damaged or of another version
   */
  constructor(bytes: Uint8Array, read: Read = (start, length) => bytes.subarray(start, start + length)) {
    const magic = new TextDecoder().decode(bytes.subarray(0, 8));
    if (magic !== MAGIC)
      throw new RangeError(`not a pack of games of this version: expected "${MAGIC}" at its beginning`);
    const digest = createHash("sha256").update(bytes.subarray(40)).digest();
    if (bytes.length < 44 || !digest.equals(bytes.subarray(8, 40))) {
      throw new RangeError("the pack of games is damaged: its SHA-256 does not match; delete it to have it made anew");
    }
    const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(40, true);
    const head = inflateRawSync(bytes.subarray(44, 44 + length), { maxOutputLength: MAX_HEADER_BYTES });
    this.#header = JSON.parse(new TextDecoder().decode(head)) as Header;
    this.#read = read;
    this.source = this.#header.source;
    let at = 44 + length;
    this.#header.games.forEach((game, i) => {
      this.#starts.push(at);
      this.#indexOf.set(game.name, i);
      at += game.length;
    });
  }

  get names(): string[] {
    return this.#header.games.map((game) => game.name);
  }

  /** Undefined when the pack has no such game. */
  load(name: string): Game | undefined {
    const index = this.#indexOf.get(name);
    if (index === undefined) return undefined;
    const { domain, grammar, task, walkthrough } = this.#header.games[index];
    const { domains, grammars, vocabulary } = this.#header;
    if (index > 0) this.#dictionary ??= this.#inflate(0).slice(0, DICTIONARY_BYTES);
    const packed = decodeData(this.#inflate(index), `the game ${name}`, MAX_GAME_BYTES) as PackedGame;
    const texts = { domain: domains[domain], grammar: grammars[grammar], task, walkthrough };
    return openGame(unpackGame(packed), texts, vocabulary);
  }

  #inflate(index: number): Uint8Array {
    const packed = this.#read(this.#starts[index], this.#header.games[index].length);
    return inflateRawSync(packed, {
      maxOutputLength: MAX_GAME_BYTES,
      ...(index > 0 && { dictionary: this.#dictionary }),
    });
  }
}
