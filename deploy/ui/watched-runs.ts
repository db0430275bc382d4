/** The runs that a page may show: those of a folder, whichever there are at the moment, or a given few. */
import { existsSync } from "node:fs";
import { basename, dirname } from "node:path";
import { ConfigError } from "../../proto/config.ts";
import type { Security } from "../../proto/grpc.ts";
import { readRunFolder, runNames } from "../run-folder.ts";
import { WatchedRun } from "./watched-run.ts";

/** Columns of this many runs are kept in memory; those not asked for longest go first. */
const MAX_LOADED = 32;

const LOOK_AGAIN_MS = 500;
/** A chart tells this many colours apart. */
const MAX_SHOWN = 8;

export class WatchedRuns {
  /** Those to show when nothing else is asked for, the main one first. */
  readonly shown: readonly string[];
  readonly #look: () => ReadonlyMap<string, string>;
  readonly #security: Security | undefined;
  #looked: { atMs: number; places: ReadonlyMap<string, string> } | undefined;
  readonly #known = new Map<string, WatchedRun>();
  readonly #loaded = new Set<WatchedRun>();

  /**
   * @param look name of each run → folder that it lies in, usually "runs"
   * @param security for calls to their learners
   */
  private constructor(look: () => ReadonlyMap<string, string>, shown: readonly string[], security?: Security) {
    this.#look = look;
    this.shown = shown;
    this.#security = security;
  }

  /** All runs of a folder, those that are yet to come included. */
  static ofFolder(root: string, shown: readonly string[] = [], security?: Security): WatchedRuns {
    for (const name of shown) readRunFolder(root, name); // throws where there is none
    return new WatchedRuns(() => new Map(runNames(root).map((name) => [name, root])), shown, security);
  }

  /** Those whose folders are given. @throws ConfigError when none of them is a run, or two have one name */
  static ofPaths(paths: readonly string[], security?: Security): WatchedRuns {
    const places = new Map<string, string>();
    for (const path of paths.filter((each) => existsSync(`${each}/config.toml`))) {
      const name = basename(path);
      const other = places.get(name);
      if (other !== undefined && other !== dirname(path))
        throw new ConfigError([`two runs are named '${name}', in ${other} and in ${dirname(path)}: rename one folder`]);
      places.set(name, dirname(path));
    }
    if (places.size === 0)
      throw new ConfigError([`expected folders of runs, such as runs/*, but none of ${paths.join(", ")} is one`]);
    return new WatchedRuns(() => places, [...places.keys()].slice(0, MAX_SHOWN), security);
  }

  names(): string[] {
    return [...this.#places().keys()];
  }

  /** Undefined where no such run is to be shown: a name is never taken as a path. */
  get(name: string): WatchedRun | undefined {
    const root = this.#places().get(name);
    if (root === undefined) return undefined;
    let run = this.#known.get(name);
    if (!run) {
      run = new WatchedRun(readRunFolder(root, name), this.#security);
      this.#known.set(name, run);
    }
    return run;
  }

  /** For whoever is about to read its columns. */
  load(name: string): WatchedRun | undefined {
    const run = this.get(name);
    if (!run) return undefined;
    this.#loaded.delete(run);
    this.#loaded.add(run);
    for (const oldest of this.#loaded) {
      if (this.#loaded.size <= MAX_LOADED) break;
      oldest.forgetSeries();
      this.#loaded.delete(oldest);
    }
    return run;
  }

  /** A folder with many runs is not read anew for each of them. */
  #places(): ReadonlyMap<string, string> {
    if (!this.#looked || Date.now() - this.#looked.atMs > LOOK_AGAIN_MS)
      this.#looked = { atMs: Date.now(), places: this.#look() };
    return this.#looked.places;
  }

  close(): void {
    for (const run of this.#known.values()) run.close();
    this.#known.clear();
  }
}
