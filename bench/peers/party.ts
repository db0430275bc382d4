/** A process that answers lines with lines. What it says on its standard error is passed on. */
import { type ChildProcess, spawn } from "node:child_process";
import { basename } from "node:path";
import { createInterface } from "node:readline";

/** Long enough for 128 Python processes to start on two cores. */
const PATIENCE_MS = 600_000;
const END_MS = 60_000;

export class Party {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #command: string;
  readonly #patienceMs: number;
  readonly #closed: Promise<void>;
  /** The end of its standard error. */
  #complaint = "";

  constructor(command: string, args: readonly (string | number)[], patienceMs = PATIENCE_MS) {
    this.#command = [command, ...args].map((part) => basename(String(part))).join(" ");
    this.#patienceMs = patienceMs;
    this.#child = spawn(command, args.map(String), { stdio: ["pipe", "pipe", "pipe"] });
    const lines = createInterface({ input: this.#child.stdout! });
    this.#lines = lines[Symbol.asyncIterator]();
    const complain = (said: unknown) => {
      this.#complaint = (this.#complaint + said).slice(-2000);
    };
    this.#closed = new Promise((resolve) => {
      this.#child.on("close", () => resolve());
      this.#child.on("error", (error) => {
        complain(error); // there is no such program, and nothing else is told
        lines.close();
        resolve();
      });
    });
    this.#child.stdin!.on("error", () => {}); // its end is told by what it no longer says
    this.#child.stderr!.on("data", (bytes) => {
      process.stderr.write(bytes);
      complain(bytes);
    });
  }

  ask(line: string | number): void {
    this.#child.stdin!.write(`${line}\n`);
  }

  /** The next line. Throws when the process ends instead, says something else than expected, or nothing for too long: then it is killed. */
  async hears(expected?: string): Promise<string> {
    let late = false;
    const limit = setTimeout(() => {
      late = true;
      this.#child.kill("SIGKILL");
    }, this.#patienceMs);
    const { value, done } = await this.#lines.next();
    clearTimeout(limit);
    if (!done && (expected === undefined || value === expected)) return value;
    if (done) await this.end(); // its last words may come later than the end of what it answers
    const found = late ? `nothing for ${this.#patienceMs / 1000} s` : done ? "its end" : value;
    const why = this.#complaint.trim().split("\n").at(-1);
    throw new Error(
      `\`${this.#command}\` should say ${expected ?? "something"}, found ${found}${why ? `; its last words: ${why}` : ""}`,
    );
  }

  /** Closes its standard input, and kills it when that does not end it. */
  async end(): Promise<void> {
    this.#child.stdin!.end();
    const limit = setTimeout(() => this.#child.kill("SIGKILL"), END_MS);
    await this.#closed;
    clearTimeout(limit);
  }
}
