import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { checkEnvironment, renderReport } from "../envs/check.ts";
import type { EnvironmentDefinition } from "../envs/environment.ts";
import { type Fields, resolveConfig } from "../proto/config.ts";
import { parseArguments } from "./arguments.ts";
import { commands } from "./commands.ts";
import { proximaCommands, type Snippet, snippets } from "./snippets.ts";

const root = resolve(import.meta.dir, "..");
const { stdout } = spawnSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "*.md"], {
  cwd: root,
  encoding: "utf8",
});
const all = stdout
  .split("\n")
  .filter(Boolean)
  .flatMap((file) => snippets(file, readFileSync(join(root, file), "utf8")));
const ofLanguage = (...languages: string[]) =>
  all.filter(({ language, tags }) => languages.includes(language) && !tags.includes("fragment"));

describe("the documentation", () => {
  test("shows TypeScript that type-checks", async () => {
    const found = ofLanguage("ts", "typescript");
    if (found.length === 0) return;
    expect(await inProject(found, typeErrors)).toBe("");
  }, 60_000);

  test("shows environments that conform", async () => {
    const found = ofLanguage("ts").filter(
      ({ text }) => /export default \w+;/.test(text) && text.includes("EnvironmentDefinition ="),
    );
    expect(found.length).toBeGreaterThan(0);
    await inProject(found, async (files) => {
      for (const file of files) {
        const { default: definition } = (await import(file)) as { default: EnvironmentDefinition };
        const report = await checkEnvironment(definition);
        expect(report.ok, renderReport(report)).toBe(true);
      }
    });
  });

  test("shows commands and settings that exist", async () => {
    for (const { place, text } of ofLanguage("sh", "bash", "shell", "console")) {
      for (const [name, ...argv] of proximaCommands(text)) {
        const entry = commands[name!];
        if (!entry) {
          expect([undefined, "help", "--help", "--version"], `${place}: proxima ${name}`).toContain(name);
          continue;
        }
        const { command } = await entry.load();
        const given = parseArguments(argv, command.schema);
        const check = () =>
          resolveConfig<Fields>({ ...command.schema, check: undefined }, [
            { source: place, values: given.settings, parse: true },
          ]);
        expect(check, place).not.toThrow();
      }
    }
  });
});

/** Each snippet as a file that imports as if it lay in the project's root; they are gone afterwards. */
async function inProject<T>(found: readonly Snippet[], use: (files: string[]) => T | Promise<T>): Promise<T> {
  mkdirSync(join(root, ".cache"), { recursive: true });
  const folder = mkdtempSync(join(root, ".cache", "snippets-"));
  try {
    const files = found.map(({ place, text }) => {
      const file = join(folder, `${place.replace(/[^A-Za-z0-9]+/g, "-")}.ts`);
      writeFileSync(file, `${text.replaceAll(/(from|import\() ?"\.\//g, `$1 "${root}/`)}\nexport {};\n`);
      return file;
    });
    return await use(files);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What tsc says about files of one folder. */
function typeErrors(files: readonly string[]): string {
  const folder = dirname(files[0]!);
  const config = {
    extends: join(root, "tsconfig.json"),
    compilerOptions: { noUnusedLocals: false },
    files,
    include: [],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  const { stdout, stderr } = spawnSync(process.execPath, ["x", "tsc", "--noEmit", "-p", folder], {
    cwd: root,
    encoding: "utf8",
  });
  return `${stdout}${stderr}`.trim();
}

describe("snippets()", () => {
  const markdown = [
    "Text",
    "```sh",
    "$ npx -y bun@1.4 run dev --env cartpole # comment",
    "```",
    "- item",
    "  ````ts fragment",
    "  ```",
    "  const a = 1;",
    "  ````",
    "```ts",
    "never closed",
  ].join("\n");

  test("finds closed blocks with their place, language and tags", () => {
    expect(snippets("a.md", markdown).map(({ place, language, tags }) => [place, language, ...tags])).toEqual([
      ["a.md:2", "sh"],
      ["a.md:6", "ts", "fragment"],
    ]);
  });

  test("proximaCommands() understands every way of starting a command", () => {
    expect(proximaCommands(snippets("a.md", markdown)[0]!.text)).toEqual([["dev", "--env", "cartpole"]]);
    const script =
      'proxima eval --run "a b" | tee x\nbun run proxima env list\nRUN=3 proxima help\nls proxima\nbun run test';
    expect(proximaCommands(script)).toEqual([["eval", "--run", "a b"], ["env", "list"], ["help"]]);
  });

  test("typeErrors() sees a wrong snippet and accepts a right one", async () => {
    const right = {
      place: "a.md:1",
      language: "ts",
      tags: [],
      text: 'import type { Turn } from "./envs/environment.ts";\nconst turn: Turn = { observation: "hall" };',
    };
    const wrong = { ...right, place: "a.md:9", text: "const n: number = 'text';" };
    expect(await inProject([right], typeErrors)).toBe("");
    expect(await inProject([right, wrong], typeErrors)).toContain("a-md-9.ts(1,7)");
  }, 60_000);
});
