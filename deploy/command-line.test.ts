import { describe, expect, test } from "bun:test";
import { agentTemplate } from "../policy/language/agent/index.ts";
import { runCommandLine } from "./command-line.ts";
import { commands } from "./commands.ts";

async function type(...argv: string[]) {
  let out = "";
  let err = "";
  const code = await runCommandLine(
    argv,
    {
      out: (text) => {
        out += text;
      },
      err: (text) => {
        err += text;
      },
    },
    new AbortController().signal,
  );
  return { code, out, err };
}

describe("the command line", () => {
  test("lists every command in its help", async () => {
    const { code, out } = await type("help");
    expect(code).toBe(0);
    const lines = out.split("\n").map((line) => line.trim().replace(/ +/, " "));
    for (const [name, { summary }] of Object.entries(commands)) expect(lines).toContain(`${name} ${summary}`);
    expect((await type()).out).toBe(out);
  });

  test("explains every setting of every command", async () => {
    for (const [name, { load }] of Object.entries(commands)) {
      const { code, out } = await type(name, "--help");
      expect(code).toBe(0);
      const { command } = await load();
      for (const [key, field] of Object.entries(command.schema.fields)) {
        expect(out).toContain(field.type === "options" ? `--${field.prefix}.NAME` : key);
      }
      for (const line of out.split("\n")) expect(line.length).toBeLessThanOrEqual(130);
      expect((await type("help", name)).out).toBe(out);
    }
  });

  test("lists policies and estimators with their options", async () => {
    expect((await type("help", "policies")).out).toMatch(/--policy mlp: .*\n +--policy\./);
    expect((await type("help", "estimators")).out).toContain("--credit.tau 0.1");
    const [, ...files] = (await type("help", "templates")).out.split("# --template ");
    for (const file of files) {
      const name = file.split("\n", 1)[0]!;
      expect(agentTemplate(file.slice(name.length))).toEqual(agentTemplate(name));
    }
    expect(files).toHaveLength(3);
  });

  test("suggests the nearest command and setting, and exits with 2", async () => {
    expect(await type("lerner")).toMatchObject({ code: 2, err: expect.stringContaining("did you mean 'learner'?") });
    const wrong = await type("dev", "--learninRate", "1");
    expect(wrong).toMatchObject({ code: 2, err: expect.stringContaining("did you mean 'learningRate'?") });
    expect(await type("dev", "--groupSize")).toMatchObject({ code: 2 });
    expect(await type("dev", "cartpole")).toMatchObject({
      code: 2,
      err: expect.stringContaining("'cartpole' belongs to no"),
    });
    expect(await type("dev", "--env", "cartpol")).toMatchObject({
      code: 2,
      err: expect.stringContaining('"cartpole"'),
    });
    expect(await type("dev", "--estimator", "proxmoo")).toMatchObject({ code: 2 });
    expect(await type("dev", "--policy.hiden", "3")).toMatchObject({
      code: 2,
      err: expect.stringContaining('"hidden"'),
    });
    expect(await type("learner")).toMatchObject({ code: 2, err: expect.stringContaining("needs a NATS server") });
    expect(await type("env", "chekc")).toMatchObject({ code: 2 });
    expect(await type("eval", "--run", "no-such-run")).toMatchObject({ code: 2 });
  });

  test("speaks JSON lines with --json, errors included", async () => {
    const { code, out, err } = await type("env", "list", "--json");
    const events = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(code).toBe(0);
    expect(events).toContainEqual(expect.objectContaining({ type: "environment", id: "cartpole" }));
    expect(err).toBe("");
    const wrong = await type("env", "check", "--json");
    expect(JSON.parse(wrong.out)).toMatchObject({ type: "error" });
    expect(wrong.code).toBe(2);
  });

  test("checks an environment and tells its verdict by the exit code", async () => {
    const { code, out } = await type("env", "check", "scavenger", "--episodes", "2", "--env.difficulty", "1");
    expect(out).toContain("scavenger: conforms");
    expect(code).toBe(0);
    expect((await type("env", "check", "scavenger", "--env.dificulty", "1")).code).not.toBe(0);
  });
});
