/**
 * Finds environments: those built in by id, a user's own by file.
 *
 *   const { definition, digest } = await environment("./my-env.ts");
 *   const source = await definition.load(resolveArguments(definition, { difficulty: 3 }));
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { closest } from "fastest-levenshtein";
import packageJson from "../package.json" with { type: "json" };
import { resolveArguments } from "./arguments.ts";
import type { EnvironmentArguments, EnvironmentDefinition, EnvironmentSource } from "./environment.ts";
import { shown, specProblem } from "./spaces.ts";

export { resolveArguments } from "./arguments.ts";

/** Imported on demand, so that an actor loads only what it plays. A new built-in is one more line. */
const builtIns: Readonly<Record<string, () => Promise<{ default: EnvironmentDefinition }>>> = {
  alfworld: () => import("./alfworld/alfworld.ts"),
  cartpole: () => import("./cartpole.ts"),
  pendulum: () => import("./pendulum.ts"),
  scavenger: () => import("./scavenger.ts"),
  webshop: () => import("./webshop/webshop.ts"),
  remote: () => import("./remote.ts"),
  openenv: () => import("./openenv.ts"),
};

export const builtInIds: readonly string[] = Object.keys(builtIns);

export interface RegisteredEnvironment {
  definition: EnvironmentDefinition;
  /** What ran, for lineage: "builtin:<id>@<version>", the hex SHA-256 of the user's file (what it imports not included), or the source's own. */
  digest: string;
}

/** All built-in environments, for `env list`. */
export async function environments(): Promise<EnvironmentDefinition[]> {
  return Promise.all(builtInIds.map(async (id) => (await builtIns[id]()).default));
}

/**
 * @param idOrFile a built-in's id, or a file that exports an EnvironmentDefinition as default: anything that holds a
 *   slash, or ends in .ts, .mts, .js or .mjs. Relative to the working directory.
 * @throws Error when there is no such environment, or the file does not define one
 */
export async function environment(idOrFile: string): Promise<RegisteredEnvironment> {
  if (Object.hasOwn(builtIns, idOrFile)) {
    const { default: definition } = await builtIns[idOrFile]();
    return { definition, digest: `builtin:${idOrFile}@${packageJson.version}` };
  }
  if (/[/\\]|\.m?[jt]s$/.test(idOrFile)) return fromFile(idOrFile);
  throw new Error(
    `There is no environment "${shown(idOrFile).slice(1, -1)}": did you mean "${closest(idOrFile, [...builtInIds])}"? ` +
      `Built in are ${builtInIds.join(", ")}; an environment of your own is named by its file, such as ./my-env.ts`,
  );
}

/** Finds an environment, resolves its arguments and loads it, checking what comes back. */
export async function loadEnvironment(
  idOrFile: string,
  given: Readonly<Record<string, unknown>> = {},
): Promise<RegisteredEnvironment & { arguments: EnvironmentArguments; source: EnvironmentSource }> {
  const { definition, digest } = await environment(idOrFile);
  const args = resolveArguments(definition, given);
  const source = await definition.load(args);
  const problem = sourceProblem(source);
  if (problem !== undefined)
    throw new TypeError(`Environment "${definition.id}" loaded something unusable: ${problem}`);
  return { definition, digest: source.digest ?? digest, arguments: args, source };
}

async function fromFile(file: string): Promise<RegisteredEnvironment> {
  const path = resolve(file);
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw new Error(`Cannot read the environment file ${path}: ${reason(cause)}`, { cause });
  }
  const digest = createHash("sha256").update(bytes).digest("hex");
  let module: { default?: unknown };
  try {
    // The query makes an edited file another module, so that it is not served from the import cache. Not as a file: URL,
    // whose query Bun ignores.
    module = await import(`${path}?sha256=${digest}`);
  } catch (cause) {
    const hint =
      (cause as { code?: unknown })?.code === "ERR_UNKNOWN_FILE_EXTENSION"
        ? " (this runtime does not import TypeScript: pack the file into a JavaScript bundle first)"
        : "";
    throw new Error(`Importing the environment file ${path} failed: ${reason(cause)}${hint}`, { cause });
  }
  return { definition: toDefinition(module.default, path), digest };
}

function reason(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

/** Accepts a module's default export as a definition. Throws TypeError saying what is missing; `origin` names the module. */
export function toDefinition(value: unknown, origin: string): EnvironmentDefinition {
  const problem = definitionProblem(value);
  if (problem === undefined) return value as EnvironmentDefinition;
  throw new TypeError(
    `${origin} does not define an environment: ${problem}. ` +
      "Its default export must be an EnvironmentDefinition { id, summary, arguments, load }",
  );
}

function definitionProblem(value: unknown): string | undefined {
  if (value === undefined) return "it has no default export";
  if (typeof value !== "object" || value === null) return `its default export is ${shown(value)}, not an object`;
  const d = value as Partial<Record<keyof EnvironmentDefinition, unknown>>;
  if (typeof d.id !== "string" || !/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(d.id)) {
    return `"id" must be 1 to 64 letters, digits, dots, dashes or underscores, found ${shown(d.id)}`;
  }
  if (typeof d.summary !== "string" || d.summary === "")
    return `"summary" must be a sentence, found ${shown(d.summary)}`;
  if (typeof d.load !== "function") return `"load" must be a function, found ${shown(d.load)}`;
  if (typeof d.arguments !== "object" || d.arguments === null) {
    return `"arguments" must be an object, empty where there are none, found ${shown(d.arguments)}`;
  }
  for (const [name, argument] of Object.entries(
    d.arguments as Record<string, { default?: unknown; about?: unknown }>,
  )) {
    if (!["string", "number", "boolean"].includes(typeof argument?.default)) {
      return `argument "${name}" needs a default that is a string, number or boolean, found ${shown(argument?.default)}`;
    }
    if (typeof argument.about !== "string")
      return `argument "${name}" needs a sentence "about", found ${shown(argument.about)}`;
  }
  if (d.trainingDefaults !== undefined && (typeof d.trainingDefaults !== "object" || d.trainingDefaults === null)) {
    return `"trainingDefaults" must be an object, found ${shown(d.trainingDefaults)}`;
  }
  return undefined;
}

/** What is wrong with a loaded source, as far as can be said without playing. */
export function sourceProblem(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null)
    return `load() must give an EnvironmentSource, found ${shown(value)}`;
  const s = value as Partial<Record<keyof EnvironmentSource, unknown>>;
  if (typeof s.create !== "function") return `"create" must be a function, found ${shown(s.create)}`;
  if (typeof s.tasks !== "function") return `"tasks" must be a function, found ${shown(s.tasks)}`;
  const splits = s.splits;
  if (!Array.isArray(splits) || !splits.includes("train") || !splits.includes("eval")) {
    return `"splits" must be a list that holds "train" and "eval", found ${Array.isArray(splits) ? `[${splits.join(", ")}]` : shown(splits)}`;
  }
  for (const name of ["demonstrate", "taskType"] as const) {
    if (s[name] !== undefined && typeof s[name] !== "function")
      return `"${name}" must be a function, found ${shown(s[name])}`;
  }
  return specProblem(s.spec);
}
