/** The package as users get it: packed, installed by npm into an empty folder, and run from there. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawn, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { findDeno } from "../envs/bundle/sandbox-process.ts";
import { testingBroker } from "./testing-broker.ts";
import { TestingProcess } from "./testing-process.ts";

setDefaultTimeout(120_000);

const root = resolve(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "proxima-package-"));
const empty = join(folder, "empty");
const example = join(folder, "example");
const env = { ...process.env, PATH: [dirname(process.execPath), process.env.PATH].join(delimiter) };

function run(cwd: string, command: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, env, encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? ""}${stderr}${stdout}`);
  return stdout;
}
const types = (cwd: string) =>
  spawnSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc")], { cwd, encoding: "utf8" }).stdout;
const install = (cwd: string, tarball: string) =>
  run(cwd, "npm", "install", "--omit=dev", "--no-audit", "--no-fund", "--prefer-offline", tarball);

const skipped = process.env.PROXIMA_OFFLINE === "1" || !Bun.which("npm") || !Bun.which("node");
if (skipped) console.warn("Skipping the package's tests: they need npm, node and npm's registry.");
const broker = skipped ? undefined : await testingBroker();

/** Itself, not npm's script around it, which passes no signals on. */
const deno = (await findDeno(join(import.meta.dirname, "../node_modules/.bin/deno")))!;

describe.skipIf(skipped)("the package", () => {
  let tarball: string;
  beforeAll(() => {
    for (const each of [empty, example]) mkdirSync(each);
    run(root, "npm", "pack", "--silent", "--pack-destination", folder);
    tarball = join(folder, readdirSync(folder).find((name) => name.endsWith(".tgz"))!);
    install(empty, tarball);
  });
  afterAll(async () => {
    await broker?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test("holds code with its types, the licence and the read-me, and no tests or sources", () => {
    const names = run(folder, "tar", "-tzf", tarball).trim().split("\n");
    for (const name of ["LICENSE", "README.md", "package.json", "dist/deploy/proxima.js", "dist/deploy/library.d.ts"]) {
      expect(names).toContain(`package/${name}`);
    }
    expect(names.filter((name) => /\.test\.|testing|(?<!\.d)\.ts$/.test(name) && name.includes("/dist/"))).toEqual([]);
  });

  test("gives a proxima that trains and evaluates on Bun", () => {
    const short = ["--env", "cartpole", "--iterations", "2", "--groupsPerIteration", "8", "--evalEpisodes", "4"];
    const out = run(empty, join(empty, "node_modules/.bin/proxima"), "dev", "--json", "--nats", "memory", ...short);
    const events = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(events.filter(({ type }) => type === "iteration")).toHaveLength(2);
    expect(events.at(-1)).toMatchObject({ type: "evaluation" });
  });

  test("gives a proxima-learner for supervisors", () => {
    const { status, stderr } = spawnSync(join(empty, "node_modules/.bin/proxima-learner"), { env, encoding: "utf8" });
    expect(stderr).toContain("expected the run's name");
    expect(status).toBe(2);
  });

  const bin = join(empty, "node_modules/.bin/proxima-actor");
  const permissions = ["--allow-net", "--allow-read", "--allow-env", "--allow-sys"];
  test.skipIf(!broker).each([
    ["Node", bin, []],
    ["Deno", deno, ["run", "--quiet", "--no-prompt", ...permissions, bin]],
    ["Bun", process.execPath, [bin]],
  ])("gives an actor that plays on %s for a learner of the same package", async (runtime, file, args) => {
    const entry = join(empty, "node_modules/proxima/dist/deploy/proxima.js");
    const common = ["--run", `on-${runtime}`, "--nats", broker!.url];
    const learner = new TestingProcess(
      ["learner", ...common, "--env", "cartpole", "--iterations", "2", "--groupsPerIteration", "8"],
      empty,
      entry,
    );
    const actor = spawn(file, [...args, ...common], { cwd: empty, env, stdio: ["ignore", "pipe", "pipe"] });
    const said: string[] = [];
    for (const stream of [actor.stdout, actor.stderr]) stream.on("data", (bytes) => said.push(String(bytes)));
    const ended = new Promise<number | null>((done) => actor.on("close", done));
    try {
      const first = await Promise.race([
        learner.until(({ type }) => type === "end"),
        ended.then(() => Promise.reject(new Error(`the actor ended: ${said.join("")}`))),
      ]);
      expect(first.balance).toMatchObject({ dropped: 0, inFlight: 0 });
      actor.kill("SIGTERM");
      expect(await ended).toBe(0);
    } finally {
      actor.kill("SIGKILL");
      await learner.kill();
    }
    expect(said.join("")).toContain(`plays cartpole for run on-${runtime}`);
  });

  describe("serves the example project", () => {
    beforeAll(() => {
      cpSync(join(root, "examples/own-environment"), example, { recursive: true });
      install(example, tarball);
    });

    test("with types, and they are not just any", () => {
      expect(types(example)).toBe("");
      const wrong = [
        'import { train } from "proxima";',
        'import type { EnvironmentDefinition } from "proxima/environment";',
        'import { estimator } from "proxima/estimator";',
        'import type { PolicyDefinition } from "proxima/policy";',
        "export const world: EnvironmentDefinition = 1;",
        "export const network: PolicyDefinition = 2;",
        "estimator(3); train(4);",
      ];
      writeFileSync(join(example, "wrong.ts"), wrong.join("\n"));
      const problems = types(example);
      rmSync(join(example, "wrong.ts"));
      expect([...problems.matchAll(/wrong\.ts\((\d+)/g)].map(([, line]) => Number(line))).toEqual([5, 6, 7, 7]);
    });

    test("whose environment conforms", () => {
      expect(run(example, join(example, "node_modules/.bin/proxima"), "env", "check", "./lights.ts")).toContain(
        "conforms",
      );
    });

    test("whose program learns: success in the last iterations is far above the first's", () => {
      const { success, balance } = JSON.parse(run(example, process.execPath, "train.ts").trim().split("\n").at(-1)!);
      expect(success[0]).toBeLessThan(0.6);
      expect(Math.min(...success.slice(-5))).toBeGreaterThan(0.9);
      expect(balance).toMatchObject({ trained: 40 * 128, inFlight: 0 });
    });

    test.skipIf(!broker)("whose environment and policy actors on Deno play", () => {
      const paths = [join(root, "node_modules/.bin"), env.PATH].join(delimiter);
      const settings = ["--env", "./lights.ts", "--policy", "./two-layers.ts", "--actorRuntime", "deno"];
      const short = ["--nats", broker!.url, "--iterations", "2", "--actors", "1", "--evalEpisodes", "4"];
      const { stdout, stderr, status } = spawnSync(
        join(example, "node_modules/.bin/proxima"),
        ["dev", "--json", ...settings, ...short],
        { cwd: example, env: { ...env, PATH: paths }, encoding: "utf8" },
      );
      expect(stderr).toBe("");
      expect(status).toBe(0);
      expect(stdout).toContain('"type":"actor"');
      expect(stdout).toContain('"trained":256');
    });
  });
});
