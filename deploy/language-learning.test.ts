import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Episode } from "../actors/episode.ts";
import { Table } from "../actors/play.ts";
import { Random } from "../envs/random.ts";
import letters from "../envs/test-support/letters.ts";
import { assembleBatch, byRow, byToken } from "../learner/batch.ts";
import { runSchema } from "../learner/config.ts";
import { threadedGradients } from "../learner/gradient-threads.ts";
import { type GradientReading, inlineGradients } from "../learner/gradients.ts";
import { minibatches, passesOf, shardOf } from "../learner/minibatches.ts";
import { misfit } from "../learner/misfit.ts";
import type { PpoOptions, PpoRows } from "../learner/ppo.ts";
import { predict } from "../learner/predict.ts";
import { updateOptions } from "../learner/testing/work.ts";
import { update } from "../learner/update.ts";
import { answersOf, packAnswers } from "../policy/language/answer-rows.ts";
import type { Policy, TokenPolicy } from "../policy/policy.ts";
import { createPolicy } from "../policy/registry.ts";
import { initialise } from "../policy/tensor/initialise.ts";
import { defaultProvider } from "../policy/tensor/provider.ts";
import { memoryBus } from "../proto/bus/memory.ts";
import { decodeTrajectory, encodeTrajectory } from "../proto/codec.ts";
import { resolveConfig } from "../proto/config.ts";
import { sampleLineage } from "../proto/testing/trajectories.ts";
import type { Steps, Trajectory } from "../proto/trajectory.ts";
import { trainInProcess } from "./in-process.ts";

setDefaultTimeout(30_000); // for machines that do much else at the same time

const echo = join(import.meta.dir, "../policy/language/testing/echo.ts");
const source = await letters.load({ listed: true, words: 4 });
const { observation, action } = source.spec;
const policyOf = async (mode: string) =>
  (await createPolicy({ name: echo, observation, action, options: { mode } })) as TokenPolicy;
const policy = await policyOf("conversation");
const weights = initialise(policy.layout, 1);
const model = modelWith(weights);
afterAll(() => model.dispose());

function modelWith(values: Float32Array, of = policy) {
  const made = defaultProvider().model(of.layout);
  made.load(values);
  return made;
}

/** Episodes as actors play them, sent and received. */
async function play(count: number, of = policy, sideBySide = count): Promise<Trajectory[]> {
  const table = new Table(of, model, { greedy: false });
  const played: Trajectory[] = [];
  for (let from = 0; from < count; from += sideBySide) {
    const episodes = new Map<Episode, number>();
    for (let member = from; member < Math.min(count, from + sideBySide); member++) {
      const episode = new Episode(
        source.create(),
        of,
        { runSeed: 3, iteration: 0, group: 0, member },
        { stepTimeoutMs: 1000 },
      );
      await episode.reset({ task: "1", seed: 0 });
      episodes.set(episode, member);
      table.seat(episode);
    }
    while (table.live)
      for (const episode of await table.tick()) {
        const lineage = sampleLineage({ group: 0, member: episodes.get(episode)! });
        played.push(decodeTrajectory(encodeTrajectory({ lineage, ...episode.finish() })));
      }
  }
  return played.sort((a, b) => a.lineage.member - b.lineage.member);
}

const trajectories = await play(6);
const batch = assembleBatch(policy, trajectories);
const items = batch.items!;

describe("an episode of a language policy", () => {
  test("is the same whoever it is played with", async () => {
    expect(await play(6, policy, 1)).toEqual(trajectories);
    expect(await play(6, policy, 4)).toEqual(trajectories);
  });

  test("holds an answer for each step, and as valid only what the agent reads and the environment takes", () => {
    for (const { steps } of trajectories) {
      expect(steps!.tokens!.offsets.length).toBe(steps!.count + 1);
      expect(steps!.actions.type).toBe("text");
      // Letters at random are none of the four words.
      expect([...steps!.valid]).toEqual([0, 0, 0]);
    }
  });

  test("is replayed to the contexts that the actor had: the log-probabilities are those it recorded", async () => {
    for (const mode of ["conversation", "window"]) {
      const of = await policyOf(mode);
      const { rows, actions, logProbs } = assembleBatch(of, await play(5, of));
      const now = (await predict(model, of, rows, actions)).logProbs!;
      expect(now.length).toBe(logProbs.length);
      for (const [i, logProb] of now.entries()) expect(Math.abs(logProb - logProbs[i]!)).toBeLessThan(1e-6);
    }
  });

  test("sums its tokens' log-probabilities up to that of each step", () => {
    const steps = trajectories.flatMap(({ steps }) => [...steps!.logProbs]);
    for (const [row, logProb] of byRow(batch.logProbs, items).entries()) expect(logProb).toBeCloseTo(steps[row]!, 4);
  });
});

describe("an episode that cannot be of this run is refused, saying why:", () => {
  const { environment, ...lineage } = trajectories[0]!.lineage;
  const asked = { ...lineage, environment };
  const judged = (change: (steps: Steps) => void, of: Policy = policy) => {
    const trajectory = structuredClone(trajectories[0]!);
    change(trajectory.steps!);
    return misfit(trajectory, asked, source.spec, { from: 0, to: 9 }, of);
  };

  test("as it is, it fits", () => {
    expect(judged(() => {})).toBeUndefined();
  });

  test.each<[string, (steps: Steps) => void, string]>([
    ["without tokens", (steps) => delete steps.tokens, "it has no tokens"],
    [
      "with a token that there is not",
      ({ tokens }) => tokens!.values.fill(300, 1, 2),
      "it has token 300, the run's policy knows 257",
    ],
    ["with an answer that says something else", ({ tokens }) => tokens!.values.fill(65), "what was done is"],
    [
      "with an endless answer",
      (steps) => {
        steps.count = 1;
        steps.tokens!.offsets = Uint32Array.of(0, 13);
      },
      "has 13 tokens, the run's policy gives 12",
    ],
  ])("%s", (_, change, message) => {
    expect(judged(change)).toContain(message);
  });

  test("actions in words where the policy chooses", async () => {
    const chooser = await createPolicy({ name: "candidates", observation, action, options: {} });
    expect(judged(() => {}, chooser)).toContain("its actions are text");
  });
});

/** Rows whose ratios lie on both sides of the clip range and whose advantages have both signs. */
function randomData(tokenLoss: "token" | "step"): PpoRows {
  const random = new Random(11);
  const real = (scale: number) => Math.fround(scale * (2 * random.uniform() - 1));
  const lengths = Float32Array.from({ length: batch.rows.count }, (_, row) => items[row + 1]! - items[row]!);
  return {
    rows: batch.rows,
    items,
    actions: batch.actions,
    advantages: byToken(
      Float32Array.from(lengths, () => real(2)),
      items,
    ),
    oldLogProbs: batch.logProbs.map((l) => l + real(0.5)),
    importance: batch.logProbs.map(() => Math.abs(real(2))),
    referenceLogProbs: batch.logProbs.map((l) => l + real(0.4)),
    ...(tokenLoss === "step"
      ? {
          weights: byToken(
            lengths.map((n) => 1 / n),
            items,
          ),
        }
      : {}),
  };
}

const options: PpoOptions = { ...updateOptions, klCoefficient: 0.05, entropyCoefficient: 0.02, dualClip: 2 };

/** log π of every token of the vocabulary at each token of the answers, in float64 and one token at a time. */
function literalPredictions(parameters: ArrayLike<number>): { logProbs: number[]; token: number }[] {
  const [width, vocabulary, reach] = [8, 257, 3];
  const { tokens, offsets, targets } = packAnswers(batch.rows);
  return Array.from(targets, (at) => {
    const from = offsets.findLast((offset) => offset <= at)!;
    const hidden = new Array<number>(width).fill(0);
    for (let back = 1; back <= reach && at - back >= from; back++)
      for (let k = 0; k < width; k++)
        hidden[k]! += parameters[((back - 1) * vocabulary + tokens[at - back]!) * width + k]!;
    const squashed = hidden.map(Math.tanh);
    const next = reach * vocabulary * width;
    const bias = next + width * vocabulary;
    const logits = Array.from({ length: vocabulary }, (_, v) =>
      squashed.reduce((sum, h, k) => sum + h * parameters[next + k * vocabulary + v]!, parameters[bias + v]!),
    );
    const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
    return { logProbs: logits.map((logit) => logit - total), token: tokens[at]! };
  });
}

/** The loss as it is written down, step by step and token by token. */
function literalLoss(data: PpoRows, parameters: ArrayLike<number>, tokenLoss: "token" | "step"): number {
  const predicted = literalPredictions(parameters);
  const { clipLow, clipHigh, dualClip, klCoefficient, entropyCoefficient } = options;
  const perToken = predicted.map(({ logProbs, token }, i) => {
    const advantage = data.advantages[i]!;
    const ratio = Math.exp(logProbs[token]! - data.oldLogProbs[i]!);
    const clipped = Math.min(Math.max(ratio, 1 - clipLow), 1 + clipHigh);
    let objective = Math.min(ratio * advantage, clipped * advantage);
    if (advantage < 0) objective = Math.max(objective, dualClip * advantage);
    const k1 = logProbs[token]! - data.referenceLogProbs![i]!;
    const entropy = -logProbs.reduce((sum, l) => sum + Math.exp(l) * l, 0);
    return -objective * data.importance![i]! + klCoefficient * (Math.exp(-k1) - 1 + k1) - entropyCoefficient * entropy;
  });
  if (tokenLoss === "token") return perToken.reduce((a, b) => a + b) / perToken.length;
  const steps = Array.from({ length: batch.rows.count }, (_, row) => {
    const own = perToken.slice(items[row], items[row + 1]);
    return own.reduce((a, b) => a + b) / own.length;
  });
  return steps.reduce((a, b) => a + b) / steps.length;
}

const everyRow = Uint32Array.from({ length: batch.rows.count }, (_, row) => row);

async function gradientOf(data: PpoRows, index: Uint32Array, passTokens: number, shards = 1) {
  const engine = inlineGradients(policy, model, shards);
  await engine.load(data, { ...options, passTokens });
  const reading = await engine.gradient(index);
  return { reading, gradient: await model.gradients() };
}

describe.each(["token", "step"] as const)("the loss by %s", (tokenLoss) => {
  const data = randomData(tokenLoss);

  test("equals the formula written out token by token", async () => {
    const { reading } = await gradientOf(data, everyRow, 1e9);
    expect(reading.loss).toBeCloseTo(literalLoss(data, weights, tokenLoss), 5);
    expect(reading.rows.logRatio!.length).toBe(items[batch.rows.count]!);
  });

  test("has the gradient that small changes of the weights tell", async () => {
    const { gradient } = await gradientOf(data, everyRow, 1e9);
    const random = new Random(2);
    for (let trial = 0; trial < 8; trial++) {
      // Along a random direction, so that every parameter takes part.
      const direction = Float64Array.from(weights, () => random.uniform() - 0.5);
      const moved = (by: number) => Float64Array.from(weights, (w, i) => w + by * direction[i]!);
      const step = 1e-5;
      const slope =
        (literalLoss(data, moved(step), tokenLoss) - literalLoss(data, moved(-step), tokenLoss)) / (2 * step);
      const analytic = gradient.reduce((sum, g, i) => sum + g * direction[i]!, 0);
      expect(Math.abs(analytic - slope)).toBeLessThan(1e-3 * Math.max(0.1, Math.abs(slope)));
    }
  });

  test("does not depend on how many passes or shards it is computed in, but for rounding", async () => {
    const whole = await gradientOf(data, everyRow, 1e9);
    for (const [passTokens, shards] of [
      [1, 1],
      [60, 1],
      [60, 3],
    ] as const) {
      const parts = await gradientOf(data, everyRow, passTokens, shards);
      expect(parts.reading.loss).toBeCloseTo(whole.reading.loss, 6);
      expect(parts.reading.rows.logRatio).toEqual(whole.reading.rows.logRatio!);
      for (const [i, g] of parts.gradient.entries()) expect(Math.abs(g - whole.gradient[i]!)).toBeLessThan(1e-6);
    }
  });

  test("is the same bits on several threads as on one", async () => {
    const results: { reading: GradientReading; gradient: Float32Array }[] = [];
    for (const make of [
      () => inlineGradients(policy, model, 3),
      () => threadedGradients(policy, model, 3, defaultProvider().name),
    ]) {
      const engine = make();
      await engine.load(data, { ...options, passTokens: 80 });
      const reading = await engine.gradient(everyRow);
      results.push({ reading, gradient: await model.gradients() });
      engine.unload();
      await engine.close();
    }
    expect(results[1]).toEqual(results[0]!);
  });
});

describe("minibatches of a language policy", () => {
  const data = { rows: batch.rows, items };
  const episodeOf = (row: number) => Math.floor(row / 3);

  test("hold whole episodes, each row once, in another order each time", () => {
    const shuffled = minibatches(data, everyRow, 7);
    const [first, second] = [[...shuffled(1)], [...shuffled(2)]];
    for (const parts of [first, second]) {
      expect(parts.flatMap((part) => [...part]).sort((a, b) => a - b)).toEqual([...everyRow]);
      for (const part of parts) expect(part.length).toBe(6); // two episodes of three steps; a third is too much
    }
    expect(first).not.toEqual(second);
    expect([...minibatches(data, everyRow, 7)(1)]).toEqual(first);
  });

  test("are cut into shards and passes between episodes only", () => {
    const shards = [0, 1, 2, 3].map((s) => shardOf(data, everyRow, s, 4));
    expect(shards.flatMap((shard) => [...shard])).toEqual([...everyRow]);
    for (const passTokens of [1, 40, 70, 1e9]) {
      const passes = passesOf(data, everyRow, { passTokens });
      expect(passes.flatMap((pass) => [...pass])).toEqual([...everyRow]);
      for (const part of [...shards, ...passes]) {
        expect(part.length % 3).toBe(0);
        if (part.length) expect(part[0]! % 3).toBe(0);
      }
    }
    expect(passesOf(data, everyRow, { passTokens: 1 }).length).toBe(6);
  });

  test("refuse rows whose beginning is not there", () => {
    expect(() => passesOf(data, Uint32Array.of(3, 5), { passTokens: 10 })).toThrow(
      "Row 5 goes on with row 4, which does not stand before it",
    );
    expect(episodeOf(5)).toBe(1);
  });
});

test("an update makes good answers more likely and bad ones less", async () => {
  const trained = modelWith(weights);
  const advantages = byToken(
    Float32Array.from({ length: batch.rows.count }, (_, row) => (row % 2 ? 1 : -1)),
    items,
  );
  const data: PpoRows = { rows: batch.rows, items, actions: batch.actions, advantages, oldLogProbs: batch.logProbs };
  const engine = inlineGradients(policy, trained, 2);
  const statistics = await update(
    trained,
    engine,
    data,
    everyRow,
    { ...updateOptions, klCoefficient: 0, minibatch: 6, passTokens: 50 },
    5,
  );
  expect(statistics.learnerSteps).toBe(2 * 3);
  const after = byRow((await predict(trained, policy, batch.rows, batch.actions)).logProbs!, items);
  const before = byRow(batch.logProbs, items);
  for (const row of everyRow) expect(Math.sign(after[row]! - before[row]!)).toBe(row % 2 ? 1 : -1);
  expect(answersOf(batch.rows).values.length).toBe(batch.logProbs.length);
  trained.dispose();
});

describe("a run of a language policy", () => {
  const settings = {
    ...{ run: "words", env: join(import.meta.dir, "../envs/test-support/letters.ts"), "env.words": 2, policy: echo },
    ...{ estimator: "proxmo", groupSize: 8, groupsPerIteration: 16, minibatch: 64, learningRate: 5e-2, seed: 1 },
  };

  async function train(values: Record<string, unknown>, actors = 1): Promise<Record<string, number>[]> {
    const { config } = resolveConfig(runSchema, [{ source: "test", values: { ...settings, ...values } }]);
    const records: Record<string, number>[] = [];
    const folder = mkdtempSync(join(tmpdir(), "proxima-language-"));
    await trainInProcess(
      config,
      {
        ...{
          bus: memoryBus(),
          provider: defaultProvider(),
          actors,
          checkpointsFolder: folder,
          log() {},
          onNotice() {},
        },
        onIteration: ({ values }) => records.push(values),
      },
      AbortSignal.timeout(60_000),
    );
    rmSync(folder, { recursive: true });
    return records;
  }

  test("learns to say what is asked for", async () => {
    const records = await train({ iterations: 20 });
    const returns = records.map((values) => values["episode/return"]!);
    expect(Math.max(...returns.slice(0, 3))).toBeLessThan(0.1);
    expect(Math.min(...returns.slice(-3))).toBeGreaterThan(2); // of 3, when every letter is right
  });

  test("gives the same metrics bit for bit with one actor or three", async () => {
    const run = { iterations: 3, klCoefficient: 0.01, tokenLoss: "step", passTokens: 500 };
    expect(await train(run, 3)).toEqual(await train(run));
  });

  test("goes on with answers of an older version where that is asked for", async () => {
    const records = await train({ iterations: 14, mode: "async", decoupled: true, truncateImportance: 2 });
    expect(records.some((values) => values["episode/staleness"]! > 0)).toBe(true);
    expect(records.at(-1)!["episode/return"]).toBeGreaterThan(0.5);
  });
});
