/**
 * One run of one contender: a command that tells what happens as lines of JSON on its standard output. Both sides are started
 * and watched by the same code, so what is measured from outside (arrival times, memory) means the same for both.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";

export interface ProgramEvent {
  /** Milliseconds from the start of the command to the arrival of the line. */
  atMs: number;
  [field: string]: unknown;
}

export interface Ran {
  events: ProgramEvent[];
  wallMs: number;
  /** Largest sum of the resident memory of the command and all its descendants; a page that two of them share counts twice. */
  peakMiB: number;
}

export interface ProgramOptions {
  cwd?: string;
  env?: Record<string, string>;
  /** Cores that the command and its descendants may use (Linux `taskset`): "0" or "0,1"; all when absent. */
  cores?: string;
  /** The command and its descendants are killed then, and the run fails; 300 s by default. */
  timeoutMs?: number;
  /** Ends the run as soon as it answers true: what was said until then is the result. */
  until?(event: ProgramEvent): boolean;
}

const POLL_MS = 200;
const PAGE_BYTES = 4096;

/** Runs a command to its end. Rejects with the end of what it said when it fails or takes too long. */
export async function run(command: readonly string[], options: ProgramOptions = {}): Promise<Ran> {
  const [file, ...args] = options.cores ? ["taskset", "--cpu-list", options.cores, ...command] : command;
  const startedAt = performance.now();
  const child = spawn(file!, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const tree = new ProcessTree(child.pid ?? 0);
  const events: ProgramEvent[] = [];
  let said = "";
  let ended = "itself" as "itself" | "enough" | "late";
  const stop = (why: typeof ended) => {
    ended = why;
    tree.kill();
  };
  const say = (text: string) => {
    said = (said + text).slice(-4000);
  };
  const failure = new Promise<never>((_, reject) => child.on("error", reject));
  child.stderr.on("data", (bytes) => say(String(bytes)));
  createInterface({ input: child.stdout }).on("line", (line) => {
    const event = parsed(line, performance.now() - startedAt);
    if (!event) say(`${line}\n`);
    else if (events.push(event) && ended === "itself" && options.until?.(event)) stop("enough");
  });
  const poll = setInterval(() => tree.look(), POLL_MS);
  const limit = setTimeout(() => stop("late"), options.timeoutMs ?? 300_000);
  try {
    const [code, signal] = (await Promise.race([once(child, "close"), failure])) as [number | null, string | null];
    if (ended === "late" || (ended === "itself" && code !== 0)) {
      const how = ended === "late" ? "took too long" : `ended with ${code ?? signal}`;
      throw new Error(`\`${command.join(" ").slice(0, 300)}\` ${how}: ${said.trim().slice(-1500)}`);
    }
  } finally {
    clearInterval(poll);
    clearTimeout(limit);
    tree.kill();
  }
  return { events, wallMs: performance.now() - startedAt, peakMiB: tree.peakBytes / 2 ** 20 };
}

/** What a command says that prepares for runs. Throws with the end of its complaint when it fails. */
export function must(command: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8", maxBuffer: 2 ** 26 });
  if (error || status !== 0)
    throw new Error(`\`${[command, ...args].join(" ")}\` failed: ${error ?? stderr.trim().slice(-1500)}`);
  return stdout;
}

function parsed(line: string, atMs: number): ProgramEvent | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    return { ...JSON.parse(line), atMs };
  } catch {
    return undefined;
  }
}

/** A process and all that descend from it, those included whose parents have ended: by process id and start time. */
class ProcessTree {
  readonly #known = new Map<number, string>();
  peakBytes = 0;

  constructor(root: number) {
    const reading = readProcesses().get(root);
    if (reading) this.#known.set(root, reading.start);
  }

  look(): void {
    const alive = readProcesses();
    for (const [pid, start] of this.#known) if (alive.get(pid)?.start !== start) this.#known.delete(pid);
    let found = true;
    while (found) {
      found = false;
      for (const [pid, { parent, start }] of alive) {
        if (this.#known.has(pid) || !this.#known.has(parent)) continue;
        this.#known.set(pid, start);
        found = true;
      }
    }
    let bytes = 0;
    for (const pid of this.#known.keys()) bytes += alive.get(pid)!.residentBytes;
    this.peakBytes = Math.max(this.peakBytes, bytes);
  }

  kill(): void {
    this.look();
    for (const pid of this.#known.keys()) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {} // has ended since
    }
  }
}

interface ProcessReading {
  parent: number;
  start: string;
  residentBytes: number;
}

/** Empty where there is no /proc. */
function readProcesses(): Map<number, ProcessReading> {
  const found = new Map<number, ProcessReading>();
  for (const name of entries("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      // The name in brackets may hold spaces; after it come the state (3), the parent (4), the start (22) and the pages (24).
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const residentBytes = Number(fields[21]) * PAGE_BYTES;
      found.set(Number(name), { parent: Number(fields[1]), start: fields[19]!, residentBytes });
    } catch {} // has ended since
  }
  return found;
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
