/** A process that answers lines with lines. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

export class Party {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #command: string;

  constructor(command: string, args: readonly (string | number)[]) {
    this.#command = [command, ...args].join(" ").slice(0, 200);
    this.#child = spawn(command, args.map(String), { stdio: ["pipe", "pipe", "inherit"] });
    this.#child.stdin!.on("error", () => {}); // its end is told by what it no longer says
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  ask(line: string | number): void {
    this.#child.stdin!.write(`${line}\n`);
  }

  /** The next line. Throws when the process ends instead, or says something else than expected. */
  async hears(expected?: string): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done || (expected !== undefined && value !== expected))
      throw new Error(`\`${this.#command}\` should say ${expected ?? "something"}, found ${done ? "its end" : value}`);
    return value;
  }

  async end(): Promise<void> {
    this.#child.stdin!.end();
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, "exit");
  }
}
