import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { appendFileSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Episode } from "../actors/episode.ts";
import { Table } from "../actors/play.ts";
import { loadEnvironment } from "../envs/registry.ts";
import { runSchema } from "../learner/config.ts";
import { readWeights, writeWeights } from "../learner/weights-file.ts";
import {
  mergeAdapters,
  readAdapters,
  readCheckpoint,
  readConfig,
  writeCheckpoint,
} from "../policy/language/causal/index.ts";
import type { TokenPolicy } from "../policy/policy.ts";
import { createPolicy, firstWeights } from "../policy/registry.ts";
import { decodeRunState, runStateKey } from "../policy/run-state.ts";
import { parameterCount } from "../policy/tensor/layout.ts";
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
const tiny = [
  "width=16",
  "layers=1",
  "heads=2",
  "vocabulary=300",
  "context=256",
  "answerTokens=12",
  "form=bare",
].flatMap((option) => {
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
const spoken = { form: "bare", answerTokens: 12 };
const open = async (options: Record<string, string | number>) =>
  (await createPolicy({ name: "language", ...spaces, options: { ...spoken, ...options } })) as TokenPolicy;

/** Trains in this process; what the actors were told of the run, and the metrics of each iteration. */
async function train(settings: Record<string, unknown>) {
  const values = {
    ...{ run: "run", env: letters, "env.listed": true, policy: "language", "policy.form": "bare" },
    ...{ "policy.answerTokens": 12, groupSize: 4, groupsPerIteration: 4, minibatch: 12, iterations: 2, ...settings },
  };
  const { config } = resolveConfig(runSchema, [{ source: "test", values }]);
  const records: Record<string, number>[] = [];
  const bus = memoryBus();
  let parameterCount = 0;
  await trainInProcess(
    config,
    {
      ...{ bus, provider: defaultProvider(), actors: 1, checkpointsFolder: `checkpoints-${config.run}` },
      onReady: (info) => {
        ({ parameterCount } = info);
      },
      onIteration: ({ values }) => records.push(values),
      log() {},
      onNotice() {},
    },
    AbortSignal.timeout(60_000),
  );
  const state = await (await bus.keyValue(subjects(config.run).stateBucket)).get(runStateKey);
  await bus.close();
  return { records, parameterCount, state: decodeRunState(state!.value) };
}

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
  });

  test("says how to go on, and what is played then is what the learner computes", async () => {
    const next = said
      .split(/\sdev /)
      .at(-1)!
      .trim()
      .split(" ");
    const named = Object.fromEntries(next.flatMap((word, i) => (i % 2 ? [] : [[word.slice(2), next[i + 1]!]])));
    expect(named).toMatchObject({ policy: "language", "policy.model": "runs/first/model", "policy.form": "bare" });
    const { records, state } = await train({
      ...{ run: "next", "policy.model": named["policy.model"], initialWeights: named.initialWeights },
      ...{ learningRate: 1e-8, klCoefficient: 0.01 },
    });
    // With weights that hardly move, every ratio is 1: generating with a cache and packed training agree.
    expect(records[1]!["update/approxKl"]).toBeLessThan(1e-8);
    expect(records[1]!["update/referenceKl"]).toBeLessThan(1e-8);
    expect(state.policy.base).toBe((await open({ model: "runs/first/model" })).base!);
  });

  test("an actor whose folder differs refuses, and so do the weights", async () => {
    cpSync("runs/first/model", "other", { recursive: true });
    appendFileSync("other/tokenizer_config.json", " ");
    const ours = await open({ model: "runs/first/model" });
    const theirs = await open({ model: "other" });
    expect(theirs.layout).toEqual(ours.layout);
    const spec = { name: "language", ...spaces, options: { ...spoken, model: "other" }, base: ours.base! };
    await expect(createPolicy(spec)).rejects.toThrow(
      `expected the one with SHA-256 ${ours.base}, found ${theirs.base} here. Copy the model's folder`,
    );
    await writeWeights("theirs.safetensors", theirs, firstWeights(theirs, 0));
    await expect(readWeights("theirs.safetensors", ours)).rejects.toThrow(
      `trained on the base with SHA-256 ${theirs.base}`,
    );
  });

  test("an episode whose prompt does not fit has no result, saying why", async () => {
    const policy = await open({ model: "runs/first/model", promptTokens: 2 });
    const { source } = await loadEnvironment(letters, { listed: true });
    const model = defaultProvider().model(policy.layout);
    const table = new Table(policy, model, { greedy: false });
    const lineage = { runSeed: 0, iteration: 0, group: 0, member: 0 };
    const episode = new Episode(source.create(), policy, lineage, { stepTimeoutMs: 1000 });
    await episode.reset({ task: "0", seed: 0 });
    table.seat(episode);
    expect(await table.tick()).toEqual([episode]);
    expect(episode.finish().outcome).toMatchObject({
      type: "noResult",
      reason: expect.stringContaining("prompt failed: A prompt may have 2 tokens"),
    });
    model.dispose();
  });

  test("its weights can be the base of adapters, which then are all that is trained and sent", async () => {
    const whole = await open({ model: "runs/first/model" });
    const weights = await readWeights("runs/first/weights.safetensors", whole);
    cpSync("runs/first/model", "base", { recursive: true });
    const shape = readConfig(JSON.parse(readFileSync("base/config.json", "utf8")));
    writeCheckpoint("base", shape, weights, [2]);

    const policy = await open({ model: "base", lora: 2 });
    expect(policy.layout.every(({ name }) => name.includes("lora_"))).toBe(true);
    const count = parameterCount(policy.layout);
    expect(count).toBeLessThan(parameterCount(whole.layout) / 2);
    expect(policy.base).not.toBe((await open({ model: "base", lora: 2, format: "int8" })).base!);

    const adapters = await train({
      ...{ run: "adapters", "policy.model": "base", "policy.lora": 2 },
      learningRate: 1e-8,
    });
    expect(adapters.parameterCount).toBe(count);
    expect(adapters.state.policy.base).toBe(policy.base!);
    expect(adapters.records[1]!["update/approxKl"]).toBeLessThan(1e-8);
    // Adapters begin at nothing: the first episodes are those of the weights themselves.
    const all = await train({ run: "all", "policy.model": "base", learningRate: 1e-8, iterations: 1 });
    expect(all.parameterCount).toBe(parameterCount(whole.layout));
    expect(all.records[0]!["episode/return"]).toBe(adapters.records[0]!["episode/return"]!);
  });
});

describe("export", () => {
  test("writes a model that is trained whole as a folder that training can start from", async () => {
    const { code, out, err } = await type("export", "--run", "first", "--out", "whole");
    expect(code, err).toBe(0);
    expect(out).toContain("the whole model, with its tokenizer");
    const trained = await readWeights("runs/first/weights.safetensors", await open({ model: "runs/first/model" }));
    expect((await open({ model: "whole" })).firstWeights!(0)).toEqual(trained);
    const again = await type("export", "--run", "first", "--out", "whole");
    expect(again.code).toBe(2);
    expect(again.err).toContain("whole is not empty");
  });

  test("writes adapters by themselves, or worked into their model", async () => {
    const adapted = ["--policy", "language", "--policy.model", "whole", "--policy.lora", "2", "--policy.form", "bare"];
    const short = [
      "--tasks",
      "20",
      "--epochs",
      "4",
      "--minibatch",
      "6",
      "--learningRate",
      "3e-3",
      "--evalEpisodes",
      "1",
    ];
    const { code, err } = await type(
      ...["imitate", "--run", "adapted", ...environment, ...adapted, "--policy.answerTokens", "12", ...short],
    );
    expect(code, err).toBe(0);
    const trained = await readWeights("runs/adapted/weights.safetensors", await open({ model: "whole", lora: 2 }));
    const checkpoint = readCheckpoint("whole");
    expect((await type("export", "--run", "adapted", "--out", "adapters")).out).toContain("adapters of rank 2 for ");
    const { options, adapters } = readAdapters("adapters", checkpoint.config);
    expect(adapters).toEqual(trained);
    expect((await type("export", "--run", "adapted", "--out", "merged", "--whole")).code).toBe(0);
    const merged = (await open({ model: "merged" })).firstWeights!(0);
    expect(merged).toEqual(mergeAdapters(checkpoint, options, adapters));
    expect(merged).not.toEqual((await open({ model: "whole" })).firstWeights!(0));
  });
});

describe("a language model is refused, saying why,", () => {
  test.each<[string, Record<string, string | number>, string]>([
    ["without a folder", {}, "needs --policy.model"],
    ["whose folder does not exist", { model: "nowhere" }, "there is no such folder"],
    ["whose folder holds no model", { model: "." }, "it has no config.json"],
    [
      "with adapters on nothing",
      { model: "runs/first/model", lora: 4 },
      "no weights that adapters could be trained on",
    ],
    ["with an unknown mode", { model: "runs/first/model", mode: "chat" }, '"mode" must be one of window, conversation'],
    ["with a temperature of 0", { model: "runs/first/model", temperature: 0 }, '"temperature" must be above 0'],
    [
      "that leaves no room for a prompt",
      { model: "runs/first/model", answerTokens: 256 },
      "leaves no room for a prompt",
    ],
    ["with half an answer token", { model: "runs/first/model", answerTokens: 0.5 }, "whole number of at least 1"],
    [
      "with a template that is not there",
      { model: "runs/first/model", template: "a.toml" },
      "Cannot read the template",
    ],
  ])("%s", async (_, options, message) => {
    await expect(open(options)).rejects.toThrow(message);
  });

  test("where observations or actions are no words", async () => {
    const action = { type: "discrete", n: 3 } as const;
    await expect(createPolicy({ name: "language", ...spaces, action, options: {} })).rejects.toThrow(
      "found text observations and discrete actions",
    );
  });
});
