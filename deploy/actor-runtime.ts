/** How a rollout actor is started on each runtime. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { delimiter, extname, join, resolve } from "node:path";
import { findDeno } from "../envs/bundle/sandbox-process.ts";
import { cacheFolder } from "../proto/cache-folder.ts";
import { ConfigError } from "../proto/config.ts";

export const actorRuntimes = ["bun", "deno", "node"] as const;
export type ActorRuntime = (typeof actorRuntimes)[number];

const root = resolve(import.meta.dirname, "..");
/** TypeScript in a checkout, JavaScript in the package. */
const entry = join(import.meta.dirname, `actor-main${extname(import.meta.filename)}`);

export interface ActorCommand {
  file: string;
  args: readonly string[];
}

/**
 * The command that runs a program of this package, by default the rollout actor, to which settings are appended. Throws
 * ConfigError when the runtime is not there.
 */
export async function actorCommand(runtime: ActorRuntime, program = entry): Promise<ActorCommand> {
  switch (runtime) {
    case "bun":
      return { file: process.execPath, args: [program] };
    case "deno": {
      // Past wrapper scripts: killing one would leave the actor alive.
      const file = (await findDeno(denoPath())) ?? denoPath();
      // The one program it may start is Deno itself, to confine bundles in.
      return { file, args: ["run", "--quiet", "--no-prompt", ...denoPermissions, `--allow-run=${file}`, program] };
    }
    case "node":
      return { file: nodePath(), args: [program.endsWith(".js") ? program : await nodeBundle(program)] };
  }
}

/** No writing: an actor reads its code and its games, and speaks to the broker and the weights server. */
const denoPermissions = ["--allow-net", "--allow-read", "--allow-env", "--allow-sys"];

function onPath(name: string): string | undefined {
  return (process.env.PATH ?? "")
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
}

function denoPath(): string {
  const installed = join(root, "node_modules", ".bin", "deno");
  const path = onPath("deno") ?? (existsSync(installed) ? installed : undefined);
  if (path) return path;
  throw new ConfigError([
    "actorRuntime = deno, but there is no deno on the PATH or in node_modules/.bin: install Deno, or 'bun install' for the one that tests use",
  ]);
}

function nodePath(): string {
  const path = onPath("node");
  if (!path) throw new ConfigError(["actorRuntime = node, but there is no node on the PATH: install Node 20 or later"]);
  const version = spawnSync(path, ["--version"], { encoding: "utf8" }).stdout.trim();
  const major = Number(/^v(\d+)/.exec(version)?.[1]);
  if (!(major >= 20))
    throw new ConfigError([`actorRuntime = node needs Node 20 or later, found ${version} at ${path}`]);
  return path;
}

/** Node 20 does not read TypeScript: a program becomes one JavaScript file, kept in the cache by its content. */
export function nodeBundle(program: string): Promise<string> {
  const bundle = bundles.get(program) ?? buildBundle(program);
  bundles.set(program, bundle);
  return bundle;
}

const bundles = new Map<string, Promise<string>>();

async function buildBundle(program: string): Promise<string> {
  const built = await Bun.build({ entrypoints: [program], target: "node", format: "esm", throw: false });
  if (!built.success) throw new AggregateError(built.logs, `Cannot bundle ${program} for Node`);
  const code = await built.outputs[0]!.text();
  const folder = join(cacheFolder(), "actors");
  const path = join(folder, `${createHash("sha256").update(code).digest("hex").slice(0, 16)}.mjs`);
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${path}.${process.pid}`, code);
  renameSync(`${path}.${process.pid}`, path);
  return path;
}
