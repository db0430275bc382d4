/** A `proxima` command as a child process that a test listens to, kills and waits for. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

const proxima = join(import.meta.dirname, "proxima.ts");

export interface ProcessEvent {
  type: string;
  [field: string]: unknown;
}

export class TestingProcess {
  readonly child: ChildProcess;
  readonly events: ProcessEvent[] = [];
  readonly exited: Promise<number | null>;
  stderr = "";
  readonly #listeners = new Set<() => void>();

  /**
   * Starts `proxima ARGS --json` in a folder; `entry` is the program, where it is not this checkout's, `inside` a command that runs
   * commands.
   */
  constructor(args: readonly string[], cwd: string, entry = proxima, inside: readonly string[] = []) {
    const [file, ...rest] = [...inside, process.execPath];
    this.child = spawn(file!, [...rest, entry, ...args, "--json"], { cwd, stdio: ["ignore", "pipe", "pipe"] });
    this.exited = once(this.child, "close").then(([code]) => code as number | null);
    this.child.stderr!.on("data", (bytes) => {
      this.stderr += String(bytes);
    });
    createInterface({ input: this.child.stdout! }).on("line", (line) => {
      try {
        this.events.push(JSON.parse(line));
      } catch {
        this.events.push({ type: "unreadable", line });
      }
      for (const listener of this.#listeners) listener();
    });
    void this.exited.then(() => {
      for (const listener of this.#listeners) listener();
    });
  }

  /** The first event that fits; rejects with everything said when the process ends without it. */
  until(fits: (event: ProcessEvent) => boolean): Promise<ProcessEvent> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.events.find(fits);
        if (!found && this.child.exitCode === null && this.child.signalCode === null) return;
        this.#listeners.delete(look);
        if (found) resolve(found);
        else
          reject(
            new Error(`The process ended first. It said: ${JSON.stringify(this.events.slice(-5))} ${this.stderr}`),
          );
      };
      this.#listeners.add(look);
      look();
    });
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.child.kill(signal);
    await this.exited;
  }
}
