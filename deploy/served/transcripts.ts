/**
 * An evaluation of a served model on disk: `transcripts.jsonl`, whose first line holds the settings and every further line one task as it
 * was played, written when it ended. So nothing that was paid for is lost, and an evaluation goes on where it stopped.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../../proto/config.ts";
import type { PlayedTask, Spent } from "./play.ts";

export type Settings = Readonly<Record<string, string | number | boolean>>;

export interface TranscriptLine extends PlayedTask {
  /** Its number in the evaluation, from 0. */
  episode: number;
  task: string;
  seed: number;
  /** Class of task, where the environment has classes. */
  type?: string;
}

interface Header {
  format: "proxima.transcripts";
  version: 1;
  settings: Settings;
}

export class Transcripts {
  readonly folder: string;
  readonly settings: Settings;
  /** By number; of one that was played again, the later. */
  readonly played = new Map<number, TranscriptLine>();
  /** What the earlier ones had cost. */
  readonly superseded: Spent[] = [];

  private constructor(folder: string, settings: Settings) {
    this.folder = folder;
    this.settings = settings;
  }

  static create(folder: string, settings: Settings): Transcripts {
    if (existsSync(fileIn(folder)))
      throw new ConfigError([
        `there is an evaluation in ${folder} already: go on with it by --resume ${folder}, or choose another --out`,
      ]);
    mkdirSync(folder, { recursive: true });
    const header: Header = { format: "proxima.transcripts", version: 1, settings };
    writeFileSync(fileIn(folder), `${JSON.stringify(header)}\n`, { flag: "wx" });
    return new Transcripts(folder, settings);
  }

  /** @throws ConfigError when the folder holds no transcripts that this version reads */
  static open(folder: string): Transcripts {
    const file = fileIn(folder);
    if (!existsSync(file))
      throw new ConfigError([`there is no evaluation to go on with in ${folder}: ${file} is missing`]);
    const bytes = readFileSync(file);
    // A line that was cut short when the process died is played again.
    const end = bytes.lastIndexOf(0x0a) + 1;
    if (end < bytes.length) truncateSync(file, end);
    const [first = "", ...lines] = bytes.toString("utf8", 0, end).split("\n").slice(0, -1);
    const header = parse(first, file, 1) as Partial<Header> | null;
    if (header?.format !== "proxima.transcripts" || header.version !== 1 || typeof header.settings !== "object")
      throw new ConfigError([
        `${file} does not begin as an evaluation's transcripts do (format proxima.transcripts, version 1)`,
      ]);
    const transcripts = new Transcripts(folder, header.settings);
    for (const [i, text] of lines.entries()) {
      const line = parse(text, file, i + 2) as TranscriptLine | null;
      if (!Number.isSafeInteger(line?.episode) || !Array.isArray(line?.attempts) || line.attempts.length === 0)
        throw new ConfigError([`line ${i + 2} of ${file} is no played task`]);
      transcripts.#hold(line);
    }
    return transcripts;
  }

  append(line: TranscriptLine): void {
    this.#hold(line);
    appendFileSync(fileIn(this.folder), `${JSON.stringify(line)}\n`);
  }

  #hold(line: TranscriptLine): void {
    const earlier = this.played.get(line.episode);
    if (earlier) this.superseded.push(earlier.spent);
    this.played.set(line.episode, line);
  }
}

/** The next free folder `evaluations/<name>-<n>`. */
export function freeFolder(root: string, name: string): string {
  for (let n = 1; ; n++) {
    const folder = join(root, `${name}-${n}`);
    if (!existsSync(folder)) return folder;
  }
}

const fileIn = (folder: string) => join(folder, "transcripts.jsonl");

function parse(text: string, file: string, line: number): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ConfigError([`line ${line} of ${file} is no JSON: ${(error as Error).message}`]);
  }
}
