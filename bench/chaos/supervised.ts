/** A `proxima` command on a host that is started again whenever it ends, as systemd or a container platform would. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Host } from "./hosts.ts";

const RESTART_MS = 250;
const proxima = join(import.meta.dirname, "../../deploy/proxima.ts");

export interface SupervisedOptions {
  name: string;
  host: Host;
  cwd: string;
  env?: Record<string, string>;
  /** Its words, asked for at each start. */
  words(start: number): readonly string[];
  onEvent?(event: { type: string; [field: string]: unknown }): void;
  /** Each time that it has ended. */
  onEnd?(): void;
}

export class Supervised {
  readonly #options: SupervisedOptions;
  #child: ChildProcess | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closing = false;
  starts = 0;
  stopped = false;
  /** The last lines that it said before it ended by itself. */
  lastWords: string[] = [];

  constructor(options: SupervisedOptions) {
    this.#options = options;
    this.#start();
  }

  get name(): string {
    return this.#options.name;
  }

  get host(): Host {
    return this.#options.host;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
    if (signal === "SIGSTOP") this.stopped = true;
    if (signal === "SIGCONT" || signal === "SIGKILL") this.stopped = false;
  }

  /** Ends it for good. */
  async close(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.#closing = true;
    clearTimeout(this.#timer);
    const child = this.#child;
    if (!child) return;
    const ended = once(child, "close");
    if (this.stopped) child.kill("SIGCONT");
    child.kill(signal);
    await ended;
  }

  #start(): void {
    const { host, cwd, env, words, onEvent } = this.#options;
    const child = host.spawn([process.execPath, proxima, ...words(this.starts++), "--json"], {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    this.stopped = false;
    const hear = (line: string) => {
      this.lastWords = [...this.lastWords.slice(-9), line];
      const event = parsed(line);
      if (event) onEvent?.(event);
    };
    for (const stream of [child.stdout!, child.stderr!]) createInterface({ input: stream }).on("line", hear);
    child.once("close", () => {
      this.#child = undefined;
      this.#options.onEnd?.();
      if (!this.#closing) this.#timer = setTimeout(() => this.#start(), RESTART_MS);
    });
  }
}

/** Undefined for what is no event, or was cut off by a kill. */
function parsed(line: string): { type: string; [field: string]: unknown } | undefined {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** Resident memory of a process in MiB; undefined where it is gone or the system does not tell. */
export function residentMiB(pid: number | undefined): number | undefined {
  if (pid === undefined) return undefined;
  try {
    const kibibytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return kibibytes === undefined ? undefined : Number(kibibytes) / 1024;
  } catch {
    return undefined;
  }
}
