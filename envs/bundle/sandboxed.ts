/**
 * A bundle behind a SandboxProcess as an ordinary EnvironmentSource. One process plays all episodes of a source. When it is gone its
 * episodes have no result, and the next one starts another. Nothing it says is believed unchecked.
 */
import { Buffer } from "node:buffer";
import type {
  Action,
  Environment,
  EnvironmentArguments,
  EnvironmentSource,
  EnvironmentSpec,
  TaskSet,
  Transition,
  Turn,
} from "../environment.ts";
import { unknownSplit } from "../one-task.ts";
import { specProblem, turnProblem } from "../spaces.ts";
import type { LoadedBundle } from "./sandbox-host.ts";
import { SandboxProcess } from "./sandbox-process.ts";

export interface SandboxOptions {
  deno: string;
  code: Uint8Array;
  arguments: EnvironmentArguments;
  /** Of a reset or a step: past it the process is killed. */
  callTimeoutMs: number;
}

export interface SandboxedSource {
  source: EnvironmentSource;
  /** With defaults for those not given. */
  arguments: EnvironmentArguments;
  close(): void;
}

/** Starting the process and importing the bundle. */
const LOAD_TIMEOUT_MS = 30_000;

export async function sandboxedSource(options: SandboxOptions): Promise<SandboxedSource> {
  const sandbox = new Sandbox(options);
  try {
    const loaded = await sandbox.load();
    const problem = specProblem(loaded.spec);
    if (problem !== undefined) throw new TypeError(`it loaded something unusable: ${problem}`);
    const spec = loaded.spec as EnvironmentSpec;
    const sets = taskSets(loaded.splits);
    const splits = Object.keys(sets);
    for (const needed of ["train", "eval"]) if (!splits.includes(needed)) throw unknownSplit(needed, splits);
    const source: EnvironmentSource = {
      spec,
      splits,
      maxSideBySide: Number(loaded.maxSideBySide) > 0 ? Number(loaded.maxSideBySide) : undefined,
      tasks(split) {
        if (!Object.hasOwn(sets, split)) throw unknownSplit(split, splits);
        return sets[split]!;
      },
      create: () => new Sandboxed(spec, sandbox, options.callTimeoutMs),
    };
    return { source, arguments: loaded.arguments, close: () => sandbox.close() };
  } catch (error) {
    sandbox.close();
    throw error;
  }
}

class Sandbox {
  readonly #options: SandboxOptions;
  #process: SandboxProcess | undefined;
  #ready: Promise<LoadedBundle> | undefined;
  #instances = 0;
  #closed = false;

  constructor(options: SandboxOptions) {
    this.#options = options;
  }

  /** What the bundle is, in a process that runs now. */
  load(): Promise<LoadedBundle> {
    if (this.#closed) return Promise.reject(new Error("the sandbox has been closed"));
    if (!this.#ready || this.#process!.death !== undefined) {
      const { deno, code, arguments: given } = this.#options;
      this.#process = new SandboxProcess(deno);
      const text = Buffer.from(code).toString("base64");
      const loading = this.#process.call({ call: "load", code: text, arguments: given }, LOAD_TIMEOUT_MS);
      this.#ready = loading as Promise<LoadedBundle>;
    }
    return this.#ready;
  }

  async process(): Promise<SandboxProcess> {
    await this.load();
    return this.#process!;
  }

  instance(): number {
    return this.#instances++;
  }

  close(): void {
    this.#closed = true;
    this.#process?.kill("its environment was closed");
  }
}

class Sandboxed implements Environment {
  readonly spec: EnvironmentSpec;
  readonly #sandbox: Sandbox;
  readonly #instance: number;
  readonly #timeoutMs: number;
  /** Where the episode runs; it ends with that process. */
  #process: SandboxProcess | undefined;

  constructor(spec: EnvironmentSpec, sandbox: Sandbox, timeoutMs: number) {
    this.spec = spec;
    this.#sandbox = sandbox;
    this.#instance = sandbox.instance();
    this.#timeoutMs = timeoutMs;
  }

  async reset({ task, seed }: { task: string; seed: number }): Promise<Turn> {
    this.#process = await this.#sandbox.process();
    const call = { call: "reset", instance: this.#instance, task, seed } as const;
    return this.#checked((await this.#process.call(call, this.#timeoutMs)) as Turn, true);
  }

  async step(action: Action): Promise<Transition> {
    if (!this.#process) throw new Error("step() without a running episode; call reset() first");
    const call = { call: "step", instance: this.#instance, action } as const;
    const transition = (await this.#process.call(call, this.#timeoutMs)) as Transition;
    const ended = transition?.terminated === true || transition?.truncated === true;
    return this.#checked(transition, !ended);
  }

  close(): void {
    const process = this.#process;
    this.#process = undefined;
    if (process?.death === undefined)
      process?.call({ call: "close", instance: this.#instance }, this.#timeoutMs).catch(() => {});
  }

  #checked<T extends Turn>(turn: T, running: boolean): T {
    const problem = turnProblem(this.spec, turn, running);
    if (problem !== undefined) throw new TypeError(`the bundle gave an unusable turn: ${problem}`);
    return turn;
  }
}

function taskSets(splits: LoadedBundle["splits"]): Record<string, TaskSet> {
  if (!Array.isArray(splits)) throw new TypeError("it named no splits");
  const sets: Record<string, TaskSet> = {};
  for (const { name, size, prefix, names } of splits) {
    const isListed = Array.isArray(names) && names.length === size && names.every((task) => typeof task === "string");
    if (typeof name !== "string" || !(size >= 1) || !(isListed || typeof prefix === "string"))
      throw new TypeError(`its split "${String(name).slice(0, 80)}" has no usable tasks`);
    sets[name] = {
      size,
      at(index) {
        if (!Number.isSafeInteger(index) || index < 0 || index >= size)
          throw new RangeError(`Split "${name}" has tasks 0 … ${size - 1}, found ${index}`);
        return isListed ? names![index]! : `${prefix}${index}`;
      },
    };
  }
  return sets;
}
