/**
 * A run on disk: `runs/<name>/` with config.toml, metrics.jsonl, TensorBoard's events, checkpoints/, trajectories/ and logs/. A
 * name is never silently reused, and two learners never write into one folder.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { hostname } from "node:os";
import { basename, join } from "node:path";
import { ConfigError, suggestion } from "../proto/config.ts";

export interface RunFolder {
  readonly name: string;
  readonly path: string;
  readonly config: string;
  readonly metrics: string;
  readonly checkpoints: string;
  /** What an imitation has learnt; other runs have checkpoints instead. */
  readonly weights: string;
  readonly trajectories: string;
  readonly logs: string;
  /** What was worth telling a person, with the time; see notices.ts. */
  readonly notices: string;
  /** TensorBoard reads `path` itself; its files lie beside metrics.jsonl. */
  readonly events: string;
  /** Gives up the right to write. */
  release(): void;
}

/** Creates the folder of a new run, atomically: of two that ask for the same name one gets it. @param root usually "runs" */
export function createRunFolder(root: string, options: { name: string; env: string }): RunFolder {
  mkdirSync(root, { recursive: true });
  if (options.name !== "") {
    if (!tryCreate(join(root, options.name))) {
      throw new ConfigError([
        `run '${options.name}' exists already in ${root}/: go on with it by adding --resume, or choose another name with --run`,
      ]);
    }
    return openFolder(root, options.name);
  }
  // A user's environment is named by its file: only what may stand in a run's name is kept.
  const stem =
    basename(options.env)
      .replace(/\.m?[jt]s$/, "")
      .replace(/[^A-Za-z0-9_-]+/g, "-")
      .slice(0, 50) || "run";
  for (let n = nextNumber(root, stem); ; n++) {
    if (tryCreate(join(root, `${stem}-${n}`))) return openFolder(root, `${stem}-${n}`);
  }
}

/** Opens a run to go on with it. */
export function resumeRunFolder(root: string, name: string): RunFolder {
  return openFolder(root, findRun(root, name));
}

/** Paths of a run that is only read. Throws ConfigError when there is none, with the nearest name. */
export function readRunFolder(root: string, name: string): Omit<RunFolder, "release"> {
  return pathsOf(root, findRun(root, name));
}

/** Names of all runs. */
export function runNames(root: string): string[] {
  if (!existsSync(root)) return [];
  return readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(root, entry.name, "config.toml")))
    .map((entry) => entry.name)
    .sort();
}

/** For commands that were not told which run. Throws ConfigError unless there is exactly one. */
export function onlyRun(root: string): string {
  const names = runNames(root);
  if (names.length === 1) return names[0]!;
  throw new ConfigError([
    names.length === 0
      ? `there is no run in ${root}/ yet: train one with 'proxima dev'`
      : `there are several runs: choose one with --run NAME (${names.join(", ")})`,
  ]);
}

function findRun(root: string, name: string): string {
  if (existsSync(join(root, name, "config.toml"))) return name;
  const known = runNames(root);
  const hint =
    known.length === 0 ? `; there is no run in ${root}/ yet` : suggestion(name, known).replace(/; see --help.*/, "");
  throw new ConfigError([`there is no run '${name}' in ${root}/${hint}`]);
}

function tryCreate(path: string): boolean {
  try {
    mkdirSync(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw new Error(`Cannot create the folder of the run, ${path}: ${(error as Error).message}`, { cause: error });
  }
}

function nextNumber(root: string, stem: string): number {
  const numbers = readdirSync(root)
    .filter((name) => name.startsWith(`${stem}-`))
    .map((name) => name.slice(stem.length + 1))
    .filter((rest) => /^\d{1,9}$/.test(rest))
    .map(Number);
  return Math.max(0, ...numbers) + 1;
}

function pathsOf(root: string, name: string): Omit<RunFolder, "release"> {
  const path = join(root, name);
  return {
    name,
    path,
    config: join(path, "config.toml"),
    metrics: join(path, "metrics.jsonl"),
    checkpoints: join(path, "checkpoints"),
    weights: join(path, "weights.safetensors"),
    trajectories: join(path, "trajectories"),
    logs: join(path, "logs"),
    notices: join(path, "notices.jsonl"),
    events: path,
  };
}

function openFolder(root: string, name: string): RunFolder {
  const paths = pathsOf(root, name);
  const release = lock(join(paths.path, "learner.lock"), name);
  for (const folder of [paths.checkpoints, paths.logs]) mkdirSync(folder, { recursive: true });
  return { ...paths, release };
}

/** Killed between making a lock and writing its name into it; nobody takes that long. */
const EMPTY_LOCK_MS = 1_000;

/** Held by host and process id, so that what a crash leaves behind is known to be dead. */
function lock(path: string, run: string): () => void {
  const mine = `${hostname()} ${process.pid}`;
  for (;;) {
    try {
      const file = openSync(path, "wx");
      try {
        writeSync(file, mine);
      } catch (error) {
        rmSync(path, { force: true }); // on a full disk: an empty lock would lock everybody out
        throw error;
      } finally {
        closeSync(file);
      }
      return () => rmSync(path, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const [host, pid] = readFileSync(path, "utf8").split(" ");
    const isForgotten = host === "" && Date.now() - statSync(path).mtimeMs > EMPTY_LOCK_MS;
    if (isForgotten || (host === hostname() && !isAlive(Number(pid)))) {
      rmSync(path, { force: true });
      continue;
    }
    throw new ConfigError([
      `run '${run}' is being trained by process ${pid} on ${host}: stop that one first, or choose another name with --run ` +
        `(if that machine is gone for good, delete ${path})`,
    ]);
  }
}

/** Whether a process of this machine runs. */
export function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Stores the resolved configuration; an earlier one that differs is kept as config.<n>.toml. */
export function storeConfig(folder: Pick<RunFolder, "path" | "config">, text: string): void {
  if (existsSync(folder.config)) {
    const earlier = readFileSync(folder.config, "utf8");
    if (earlier === text) return;
    let n = 1;
    while (existsSync(join(folder.path, `config.${n}.toml`))) n++;
    writeFileSync(join(folder.path, `config.${n}.toml`), earlier);
  }
  // Whole or not at all: a run cannot go on without it, and the disk may be full.
  const whole = `${folder.config}.writing`;
  writeFileSync(whole, text);
  renameSync(whole, folder.config);
}
