import { spawnSync } from "node:child_process";
import { resolve } from "node:path";

/** The deno program itself: npm's command is a script around it, which does not pass signals on. */
export function testingDeno(): string {
  const command = resolve(import.meta.dirname, "../node_modules/.bin/deno");
  const { stdout, stderr, status } = spawnSync(command, ["eval", "console.log(Deno.execPath())"], { encoding: "utf8" });
  if (status !== 0) throw new Error(`Cannot run ${command}: ${stderr}`);
  return stdout.trim();
}
