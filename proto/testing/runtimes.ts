/**
 * The runtimes that everything an actor loads must run on alike. Tests run a script on each: Deno as it is, Node as one bundled
 * file. Deno comes with the development dependencies; Node may be absent, and then its tests are skipped.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

export type Runtime = "bun" | "deno" | "node";

const deno = fileURLToPath(new URL("../../node_modules/.bin/deno", import.meta.url));

export function hasRuntime(runtime: Runtime): boolean {
  if (runtime === "node") return spawnSync("node", ["--version"]).status === 0;
  return runtime === "bun" || existsSync(deno);
}

/** The command that runs a script there; its arguments come after. */
export async function commandOn(runtime: Runtime, script: string): Promise<[program: string, ...args: string[]]> {
  if (runtime === "bun") return [process.execPath, script];
  if (runtime === "deno") return [deno, "run", "--allow-all", "--no-lock", "--quiet", script];
  const folder = mkdtempSync(join(tmpdir(), "proxima-bundle-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const naming = basename(script).replace(/\.ts$/, ".mjs");
  await Bun.build({ entrypoints: [script], target: "node", outdir: folder, naming });
  return ["node", join(folder, naming)];
}

/** What a script prints there. Throws, with its errors, when it fails or takes longer than a minute. */
export async function outputOn(runtime: Runtime, script: string, ...args: string[]): Promise<string> {
  const child = Bun.spawn([...(await commandOn(runtime, script)), ...args], { stderr: "pipe", timeout: 60_000 });
  const [output, errors, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(`${basename(script)} on ${runtime} ended with exit code ${code}: ${errors}`);
  return output;
}
