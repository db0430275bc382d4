/**
 * The program inside a sandbox: takes a bundle over standard input, plays its episodes and answers over standard output. It runs in
 * a Deno without permissions, and its text is handed over on the command line: nothing here may refer to anything outside.
 */
import type { Environment, EnvironmentArguments, EnvironmentDefinition, EnvironmentSource } from "../environment.ts";
import type { Frames } from "./frames.ts";

export type Request =
  | { id: number; call: "load"; code: string; arguments: Readonly<Record<string, unknown>> }
  | { id: number; call: "reset"; instance: number; task: string; seed: number }
  | { id: number; call: "step"; instance: number; action: unknown }
  | { id: number; call: "close"; instance: number };

export type Answer = { id: number; value?: unknown; error?: string };

/** What `load` answers. A split's tasks are listed, or follow a pattern: prefix and index. */
export interface LoadedBundle {
  spec: unknown;
  /** With defaults for those not given. */
  arguments: EnvironmentArguments;
  splits: { name: string; size: number; prefix?: string; names?: string[] }[];
  maxSideBySide?: number;
}

interface DenoStreams {
  stdin: { readable: AsyncIterable<Uint8Array> };
  stdout: { writeSync(bytes: Uint8Array): number };
  exit(code: number): never;
}

/** @param maxTasks of a split are listed by name */
export async function host(frames: Frames, maxMessageBytes: number, maxTasks: number): Promise<void> {
  const { stdin, stdout, exit } = (globalThis as unknown as { Deno: DenoStreams }).Deno;
  // What a bundle prints must not end up among the answers.
  console.log = console.info = console.debug = console.error;
  const environments = new Map<number, Environment>();
  let source: EnvironmentSource | undefined;

  const resolve = (definition: EnvironmentDefinition, given: Readonly<Record<string, unknown>>) => {
    const known = Object.keys(definition.arguments);
    for (const name of Object.keys(given))
      if (!known.includes(name))
        throw new RangeError(`it has no argument "${name}"; it takes ${known.join(", ") || "none"}`);
    const values = known.map((name) => {
      const pattern = definition.arguments[name]!.default;
      const value = given[name] ?? pattern;
      if (typeof value === typeof pattern) return [name, value];
      // As a command line has it.
      if (typeof pattern === "number" && Number.isFinite(Number(value))) return [name, Number(value)];
      if (typeof pattern === "boolean" && /^(true|false)$/.test(String(value))) return [name, value === "true"];
      throw new TypeError(`argument "${name}" must be a ${typeof pattern}, found ${String(value)}`);
    });
    return Object.fromEntries(values);
  };
  const split = (from: EnvironmentSource, name: string) => {
    const tasks = from.tasks(name);
    const { size } = tasks;
    const prefix = /^(.*?)0$/s.exec(tasks.at(0))?.[1];
    const probes = [1, 2, 10, 4321, size - 1].filter((i) => i < size && Number.isSafeInteger(i));
    if (size > 1 && prefix !== undefined && probes.every((i) => tasks.at(i) === `${prefix}${i}`))
      return { name, size, prefix };
    if (size > maxTasks)
      throw new RangeError(`split "${name}" has ${size} tasks: more than ${maxTasks} must be named <prefix><index>`);
    return { name, size, names: Array.from({ length: size }, (_, i) => tasks.at(i)) };
  };
  const instance = (number: number) => {
    const present = environments.get(number) ?? source!.create();
    environments.set(number, present);
    return present;
  };
  const answer = async (request: Request): Promise<unknown> => {
    switch (request.call) {
      case "load": {
        // Imported by a computed address: only then are the bundle's own imports subject to permissions.
        const module = await import(`data:text/javascript;base64,${request.code}`);
        const definition = module.default as EnvironmentDefinition;
        if (typeof definition?.load !== "function")
          throw new TypeError("its default export is no EnvironmentDefinition");
        const given = resolve(definition, request.arguments);
        source = await definition.load(given);
        const splits = source.splits.map((name) => split(source!, name));
        return {
          spec: source.spec,
          arguments: given,
          splits,
          maxSideBySide: source.maxSideBySide,
        } satisfies LoadedBundle;
      }
      case "reset":
        return instance(request.instance).reset({ task: request.task, seed: request.seed });
      case "step":
        return instance(request.instance).step(request.action as never);
      case "close": {
        const closed = environments.get(request.instance);
        environments.delete(request.instance);
        return closed?.close();
      }
    }
  };
  const send = (message: Answer) => {
    for (let bytes = frames.encode(message); bytes.length > 0; ) bytes = bytes.subarray(stdout.writeSync(bytes));
  };
  const decode = frames.decoder(maxMessageBytes);
  for await (const chunk of stdin.readable) {
    for (const request of decode(chunk) as Request[]) {
      const { id } = request;
      answer(request)
        .then((value) => send({ id, value: value ?? null }))
        .catch((error) => send({ id, error: String(error instanceof Error ? error.message : error).slice(0, 1000) }));
    }
  }
  exit(0);
}
