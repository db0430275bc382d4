/**
 * A Deno process without permissions (network, files, environment variables, subprocesses: all denied) that is asked over its
 * standard input and answers over its standard output. Each call has a deadline; a process that misses one, or sends what is no
 * answer, is killed, and every call under way fails with the reason.
 */
import { Buffer } from "node:buffer";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import process from "node:process";
import { type Frames, frames } from "./frames.ts";
import { type Answer, host, type Request } from "./sandbox-host.ts";

/** Of one answer: a listing of tasks is the longest. */
const MAX_ANSWER_BYTES = 16 * 2 ** 20;
const MAX_REQUEST_BYTES = 16 * 2 ** 20;
const MAX_TASKS = 200_000;
const MAX_HEAP_MIB = 1024;
/** Of what it says on standard error, for the message of its death. */
const MAX_WORDS = 600;

// Nothing can be asked for (--no-prompt), and nothing imported from elsewhere, cached modules included.
const DENIED = ["--no-prompt", "--no-remote", "--no-npm", "--deny-import", "--no-config", "--no-lock"];

type Call = Request extends infer R ? (R extends Request ? Omit<R, "id"> : never) : never;

interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
  timer: ReturnType<typeof setTimeout>;
}

/**
 * The program of a Deno installation: on Deno this one, else what `given` or the PATH leads to, past wrapper scripts whose death
 * would leave the real one alive. Undefined where there is none that works.
 */
export async function findDeno(given: string): Promise<string | undefined> {
  if ("Deno" in globalThis && given === "") return process.execPath;
  return new Promise((resolve) => {
    const asked = ["eval", "--no-config", "--no-lock", "console.log(Deno.execPath())"];
    execFile(given || "deno", asked, { timeout: 10_000, env: { ...process.env, NO_COLOR: "1" } }, (error, stdout) =>
      resolve(error ? undefined : stdout.trim()),
    );
  });
}

export class SandboxProcess {
  readonly #child: ChildProcess;
  readonly #frames: Frames = frames();
  readonly #pending = new Map<number, Pending>();
  #calls = 0;
  #unsent: Uint8Array[] = [];
  #words = "";
  #death: string | undefined;

  constructor(deno: string) {
    const program = `(${host})((${frames})(), ${MAX_REQUEST_BYTES}, ${MAX_TASKS});`;
    const entry = `data:text/javascript;base64,${Buffer.from(program).toString("base64")}`;
    this.#child = spawn(deno, ["run", "--quiet", ...DENIED, `--v8-flags=--max-old-space-size=${MAX_HEAP_MIB}`, entry], {
      cwd: "/",
      // Nothing of this process's environment; no folder for caches or local storage.
      env: { DENO_DIR: "/dev/null/none", DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1" },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const decode = this.#frames.decoder(MAX_ANSWER_BYTES);
    this.#child.stdout!.on("data", (chunk: Uint8Array) => {
      try {
        for (const message of decode(new Uint8Array(chunk))) this.#settle(message as Answer);
      } catch (error) {
        this.kill(`it sent what is no answer: ${(error as Error).message}`);
      }
    });
    this.#child.stderr!.on("data", (chunk) => {
      this.#words = (this.#words + String(chunk)).slice(-MAX_WORDS);
    });
    this.#child.stdin!.on("error", () => {}); // its death is told by "close"
    this.#child.on("error", (error) => this.#die(`it cannot be started: ${error.message}`));
    this.#child.on("close", (code, signal) =>
      this.#die(`it ended with ${signal ?? `code ${code}`}${this.#words && `: ${lastLine(this.#words)}`}`),
    );
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Why it is no longer there; undefined while it is. */
  get death(): string | undefined {
    return this.#death;
  }

  /** Rejects with what the bundle threw, or with why the process is gone. */
  call(request: Call, timeoutMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#death !== undefined) return reject(new Error(`the sandbox is gone: ${this.#death}`));
      const id = this.#calls++;
      const timer = setTimeout(() => this.kill(`${request.call} took longer than ${timeoutMs} ms`), timeoutMs);
      this.#pending.set(id, { resolve, reject, timer });
      this.#send(this.#frames.encode({ ...request, id }));
    });
  }

  kill(reason: string): void {
    this.#child.kill("SIGKILL");
    this.#die(`killed, as ${reason}`);
  }

  /** What is said in one tick goes out as one write. */
  #send(frame: Uint8Array): void {
    this.#unsent.push(frame);
    if (this.#unsent.length > 1) return;
    queueMicrotask(() => {
      const bytes = Buffer.concat(this.#unsent);
      this.#unsent = [];
      if (this.#death === undefined) this.#child.stdin!.write(bytes);
    });
  }

  #settle(answer: Answer): void {
    const call = this.#pending.get(answer?.id);
    if (!call) throw new RangeError("an answer that nobody waits for");
    this.#pending.delete(answer.id);
    clearTimeout(call.timer);
    if (typeof answer.error === "string") call.reject(new Error(answer.error));
    else call.resolve(answer.value);
  }

  #die(reason: string): void {
    if (this.#death !== undefined) return;
    this.#death = reason;
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(new Error(`the sandbox is gone: ${reason}`));
    }
    this.#pending.clear();
  }
}

const lastLine = (text: string) => text.trim().split("\n").at(-1)!.slice(0, 200);
