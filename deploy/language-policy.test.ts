import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { appendFileSync, cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runSchema } from "../learner/config.ts";
import type { TokenPolicy } from "../policy/policy.ts";
import { createPolicy } from "../policy/registry.ts";
import { decodeRunState, runStateKey } from "../policy/run-state.ts";
import { defaultProvider } from "../policy/tensor/provider.ts";
import { memoryBus } from "../proto/bus/memory.ts";
import { resolveConfig } from "../proto/config.ts";
import { subjects } from "../proto/subjects.ts";
import { runCommandLine } from "./command-line.ts";
import { trainInProcess } from "./in-process.ts";

setDefaultTimeout(60_000); // for machines that do much else at the same time

const root = mkdtempSync(join(tmpdir(), "proxima-language-"));
const before = process.cwd();
beforeAll(() => process.chdir(root));
afterAll(() => {
  process.chdir(before);
  rmSync(root, { recursive: true, force: true });
});

const letters = join(import.meta.dir, "../envs/test-support/letters.ts");
const environment = ["--env", letters, "--env.listed", "true"];
const tiny = ["width=16", "layers=1", "heads=2", "vocabulary=300", "context=256", "answerTokens=12", "form=bare"].flatMap((option) => {
  const [name, value] = option.split("=");
  return [`--policy.${name}`, value!];
});

async function type(...argv: string[]) {
  const out: string[] = [];
  const err: string[] = [];
  const streams = { out: (text: string) => void out.push(text), err: (text: string) => void err.push(text) };
  const code = await runCommandLine(argv, streams, new AbortController().signal);
  return { code, out: out.join(""), err: err.join("") };
}

const spaces = { observation: { type: "text", maxLength: 100 }, action: { type: "admissible" } } as const;
const open = async (options: Record<string, string | number>) =>
  (await createPolicy({ name: "language", ...spaces, options })) as TokenPolicy;

describe("imitate with a language model that is not there yet", () => {
  let said = "";
  beforeAll(async () => {
    const { code, out, err } = await type(
      ...["imitate", "--run", "first", ...environment, "--policy", "language", ...tiny],
      ...["--tasks", "20", "--epochs", "12", "--minibatch", "6", "--learningRate", "1e-2", "--evalEpisodes", "20"],
    );
    expect(code, err).toBe(0);
    said = out;
  });

  test("trains a tokenizer on what is said, makes a model, and trains that", async () => {
    for (const file of ["config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"])
      expect(existsSync(join("runs/first/model", file))).toBe(true);
    const policy = await open({ model: "runs/first/model" });
    expect(policy.layout.find(({ name }) => name === "model.embed_tokens.weight")!.shape).toEqual([300, 16]);
    const [first, last] = [/epoch 1 .*held out: loss ([\d.]+)/, /Kept the weights of epoch (\d+)/].map((pattern) =>
      Number(pattern.exec(said)?.[1]),
    );
    expect(first).toBeGreaterThan(1);
    expect(last).toBeGreaterThan(5);
    console.log(said.slice(-1400));
  });

  test("says how to go on, and going on with that improves", async () => {
    const next = said
      .split(/\sdev /)
      .at(-1)!
      .trim()
      .split(" ");
    expect(next).toContain("runs/first/model");
    const values: Record<string, unknown> = {
      ...{ run: "second", groupSize: 8, groupsPerIteration: 8, minibatch: 64, iterations: 8, klCoefficient: 0.01 },
    };
    for (let i = 0; i < next.length; i += 2) values[next[i]!.slice(2)] = next[i + 1]!;
    const numbers = { learningRate: 5e-3, "env.listed": true };
    const { config } = resolveConfig(runSchema, [{ source: "test", values: { ...values, ...numbers } }]);
    const returns: number[] = [];
    const bus = memoryBus();
    await trainInProcess(
      config,
      {
        ...{ bus, provider: defaultProvider(), actors: 1, checkpointsFolder: "checkpoints", log() {}, onNotice() {} },
        onIteration: ({ values }) => returns.push(values["episode/return"]!),
      },
      AbortSignal.timeout(60_000),
    );
    console.log(returns);
    expect(Math.max(...returns.slice(-3))).toBeGreaterThan(returns[0]!);
    // The run's record says what it builds on.
    const state = await (await bus.keyValue(subjects("second").stateBucket)).get(runStateKey);
    const { policy: spec } = decodeRunState(state!.value);
    expect(spec.base).toBe((await open({ model: "runs/first/model" })).base!);
    await bus.close();
  });

  test("an actor whose folder differs refuses, and so do the weights", async () => {
    cpSync("runs/first/model", "other", { recursive: true });
    appendFileSync("other/tokenizer_config.json", " ");
    const ours = await open({ model: "runs/first/model" });
    const theirs = await open({ model: "other" });
    expect(theirs.layout).toEqual(ours.layout);
    const spec = { name: "language", ...spaces, options: { model: "other" }, base: ours.base! };
    await expect(createPolicy(spec)).rejects.toThrow(
      `expected the one with SHA-256 ${ours.base}, found ${theirs.base} here. Copy the model's folder`,
    );
    const { code, err } = await type(
      ...["eval", "--run", "first", "--weights", "runs/first/weights.safetensors", "--policy.model", "other"],
    );
    expect(code).not.toBe(0);
    expect(err).toContain("policy");
  });
});
