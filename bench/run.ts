/** Lists the benchmarks, or runs those named, with options: `bun run bench [name…] [--option…]`. Each is also a script of its own. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const folder = import.meta.dirname;
const names = readdirSync(folder)
  .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts") && file !== "run.ts")
  .map((file) => file.slice(0, -3));
const given = process.argv.slice(2);
const firstOption = given.findIndex((argument) => argument.startsWith("--"));
const wanted = firstOption < 0 ? given : given.slice(0, firstOption);
const options = given.slice(wanted.length);
const unknown = wanted.filter((name) => !names.includes(name));

if (unknown.length) {
  console.error(`There is no benchmark ${unknown.join(", ")}. There are: ${names.join(", ")}.`);
  process.exit(2);
}
if (!wanted.length) {
  for (const name of names) {
    const [, about = ""] = /\/\*\*?\s*\*?\s*([^.:]*)/.exec(readFileSync(join(folder, `${name}.ts`), "utf8")) ?? [];
    console.log(`${name.padEnd(12)} ${about.replace(/\s*\n \*\s*/g, " ").trim()}`);
  }
}
for (const name of wanted) {
  const { status } = spawnSync(process.execPath, [join(folder, `${name}.ts`), ...options], { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}
