import { describe, expect, test } from "bun:test";
import { mix32, Random } from "../envs/random.ts";
import { mlp } from "../policy/mlp.ts";
import { buildPolicy } from "../policy/registry.ts";
import { initialise } from "../policy/tensor/initialise.ts";
import { defaultProvider } from "../policy/tensor/provider.ts";
import { typescriptProvider } from "../policy/tensor/typescript/provider.ts";
import type { Trajectory } from "../proto/trajectory.ts";
import { agrees, type Trial, tryDevice } from "./device-trial.ts";
import { threadedGradients } from "./gradient-threads.ts";
import { inlineGradients } from "./gradients.ts";
import { type ImitationSettings, imitate } from "./imitation.ts";
import { type ImitationRows, imitationLoss } from "./imitation-loss.ts";
import { predict } from "./predict.ts";

const box = { type: "box", shape: [2], low: -1, high: 1 } as const;
const policyWith = (action: { type: "discrete"; n: number } | typeof box, valueHead: string) =>
  buildPolicy(mlp, { name: "mlp", observation: box, action, options: { hidden: "16", valueHead } });
const critic = policyWith({ type: "discrete", n: 4 }, "separate");
const gaussian = policyWith(box, "none");

const settings: ImitationSettings = {
  epochs: 30,
  patience: 30,
  heldOut: 0.2,
  minibatch: 32,
  learningRate: 1e-2,
  adamBeta1: 0.9,
  adamBeta2: 0.999,
  adamEpsilon: 1e-8,
  maxGradNorm: 1,
  valueCoefficient: 0.5,
  gamma: 0.5,
  seed: 5,
};

const T = 3;
const quadrant = (x: number, y: number) => (x > 0 ? 1 : 0) + (y > 0 ? 2 : 0);

/** Two numbers are seen; the demonstrator names their quadrant, or gives them back halved. The last step is rewarded. */
function demonstrated(count: number, options: { tasks?: number; isVector?: boolean; wrong?: boolean } = {}) {
  return Array.from({ length: count }, (_, group): Trajectory => {
    const random = new Random(mix32(77, group));
    const values = Float32Array.from({ length: 2 * (T + 1) }, () => 2 * random.uniform() - 1);
    const choices = Int32Array.from({ length: T }, (_, t) => quadrant(values[2 * t]!, values[2 * t + 1]!));
    if (options.wrong) for (const [t, choice] of choices.entries()) choices[t] = (choice + 1 + random.below(3)) % 4;
    return {
      lineage: {
        ...{ run: "", iteration: 0, group, member: 0, attempt: 0, actor: "", seed: group },
        task: `task ${group % (options.tasks ?? count)}`,
        environment: { id: "quadrants", generation: 0, digest: "" },
        weights: { counter: 0, sha256: "" },
      },
      steps: {
        count: T,
        strings: [],
        observations: { type: "vector", width: 2, values },
        actions: options.isVector
          ? { type: "vector", width: 2, values: values.slice(0, 2 * T).map((v) => v / 2) }
          : { type: "choice", values: choices },
        logProbs: new Float32Array(T),
        rewards: Float64Array.of(0, 0, 1),
        valid: new Uint8Array(T).fill(1),
      },
      outcome: { type: "finished", success: true, return: 1 },
    };
  });
}

function fresh(policy = critic) {
  const model = defaultProvider().model(policy.layout);
  model.load(initialise(policy.layout, 3));
  return model;
}

async function learn(demonstrations: readonly Trajectory[], changed: Partial<ImitationSettings> = {}, policy = critic) {
  const model = fresh(policy);
  const given = { ...settings, ...changed };
  const result = await imitate(policy, { model, engine: inlineGradients(policy, model, 1) }, demonstrations, given);
  return { ...result, model, weights: await model.weights() };
}

describe("imitationLoss()", () => {
  const rowsOf = (count: number): ImitationRows => {
    const builder = critic.rows();
    const random = new Random(1);
    const encoder = critic.encoder();
    for (let i = 0; i < count; i++)
      encoder.encode({ observation: Float32Array.of(random.uniform(), random.uniform()) }, builder);
    const actions = Int32Array.from({ length: count }, () => random.below(4));
    return { rows: builder.finish(), actions, valueTargets: Float32Array.from(actions, () => random.uniform()) };
  };

  test("is the mean of -log π(a|s) and, with a critic, of half the squared error, written out in float64", async () => {
    const data = rowsOf(19);
    const { logProbs, values } = await predict(fresh(), critic, data.rows, data.actions);
    let expected = 0;
    for (let i = 0; i < 19; i++)
      expected += (-logProbs![i]! + 0.3 * 0.5 * (values![i]! - data.valueTargets![i]!) ** 2) / 19;
    const read = await fresh().differentiate((t) => imitationLoss(critic, t, data, 19, { valueCoefficient: 0.3 }));
    expect(read.loss[0]).toBeCloseTo(expected, 5);
  });

  test("has a gradient of the same bits whether one thread computes its shards or two", async () => {
    const data = rowsOf(19);
    const index = Uint32Array.from({ length: 15 }, (_, i) => (i * 4) % 19);
    const gradients = [];
    for (const engineOf of [inlineGradients, threadedGradients]) {
      const model = fresh();
      const engine = engineOf(critic, model, 2, "simd");
      await engine.load(data, { valueCoefficient: 0.5 }, "imitation");
      const reading = await engine.gradient(index);
      engine.unload();
      gradients.push({ reading, gradient: await model.gradients() });
      await engine.close();
    }
    expect(gradients[1]).toEqual(gradients[0]!);
  });
});

describe("imitate()", () => {
  test("learns what the demonstrator does on tasks that it was not shown", async () => {
    const { best, epochs, trained, heldOut } = await learn(demonstrated(100));
    expect([trained, heldOut]).toEqual([80, 20]);
    expect(epochs[0]).toMatchObject({ epoch: 0, steps: 0, heldOutLoss: expect.closeTo(Math.log(4), 1) });
    expect(epochs.length).toBe(31);
    expect(epochs.at(-1)!.steps).toBe(30 * 80 * T);
    expect(best.heldOutAccuracy).toBeGreaterThan(0.9);
  });

  test("teaches a critic the discounted return that followed", async () => {
    const { best, epochs, model } = await learn(demonstrated(100));
    expect(best.heldOutValueLoss).toBeLessThan(epochs[0]!.heldOutValueLoss! / 2);
    const builder = critic.rows();
    critic.encoder().encode({ observation: Float32Array.of(0.1, 0.2) }, builder);
    const { values } = await predict(model, critic, builder.finish());
    expect(Math.abs(values![0]! - (1 + 0.5 + 0.25) / 3)).toBeLessThan(0.2); // no turn says which step it is
  });

  test("fits vectors, too", async () => {
    const { best, epochs } = await learn(demonstrated(100, { isVector: true }), {}, gaussian);
    expect(best.heldOutLoss).toBeLessThan(epochs[0]!.heldOutLoss - 1);
    expect(best.heldOutAccuracy).toBeUndefined();
  });

  test("ends when the held-out tasks no longer get better, with the weights that were best", async () => {
    const random = demonstrated(30, { wrong: true }); // nothing to generalise: it can only learn them by heart
    const { best, epochs, weights } = await learn(random, { epochs: 200, patience: 3, minibatch: 8 });
    expect(best.epoch).toBeGreaterThan(0);
    expect(epochs.length).toBe(best.epoch + 3 + 1);
    expect(best.heldOutLoss).toBe(Math.min(...epochs.map((epoch) => epoch.heldOutLoss)));
    const until = await learn(random, { epochs: best.epoch, patience: 3, minibatch: 8 });
    expect(weights).toEqual(until.weights);
  });

  test("gives the same weights bit for bit when it is repeated, and others with another seed", async () => {
    const first = await learn(demonstrated(20), { epochs: 3 });
    const second = await learn(demonstrated(20), { epochs: 3 });
    expect(second.weights).toEqual(first.weights);
    expect(second.epochs).toEqual(first.epochs);
    expect((await learn(demonstrated(20), { epochs: 3, seed: 6 })).weights).not.toEqual(first.weights);
  });

  test("holds out whole tasks, or seeds where all are of one task", async () => {
    expect(await learn(demonstrated(20, { tasks: 2 }), { epochs: 1 })).toMatchObject({ trained: 10, heldOut: 10 });
    expect(await learn(demonstrated(20, { tasks: 1 }), { epochs: 1 })).toMatchObject({ trained: 16, heldOut: 4 });
    await expect(learn(demonstrated(1))).rejects.toThrow("there must be at least two");
  });

  test("ends at an abort with the best weights so far", async () => {
    const model = fresh();
    const stop = new AbortController();
    const { best, epochs } = await imitate(
      critic,
      { model, engine: inlineGradients(critic, model, 1) },
      demonstrated(20),
      settings,
      {
        signal: stop.signal,
        // Comes from outside, as a signal does.
        onEpoch: ({ epoch }) => epoch === 2 && setImmediate(() => stop.abort()),
      },
    );
    expect(epochs.length).toBe(3);
    const until = await learn(demonstrated(20), { epochs: 2 });
    expect(await model.weights()).toEqual(until.weights);
    expect(best).toEqual(until.best);
  });

  test("may move to another side after trying its first steps there, and brings the weights back", async () => {
    const there = typescriptProvider().model(critic.layout);
    const other = { model: there, engine: inlineGradients(critic, there, 1) };
    const model = fresh();
    const here = { model, engine: inlineGradients(critic, model, 1) };
    const trials: Trial[] = [];
    await imitate(critic, here, demonstrated(20), settings, {
      async choose(take) {
        trials.push(await tryDevice(here, other, take, 3));
        return other;
      },
    });
    expect(trials[0]!.steps).toBe(2); // an epoch has no more
    expect(agrees(trials[0]!)).toBe(true);
    const stayed = await learn(demonstrated(20));
    const moved = await model.weights();
    for (let i = 0; i < moved.length; i++) expect(moved[i]!).toBeCloseTo(stayed.weights[i]!, 3);
  });

  test("that diverges says so and names the learning rate", async () => {
    const broken = demonstrated(10, { isVector: true });
    for (const { steps } of broken) (steps!.actions as { values: Float32Array }).values[0] = Number.NaN;
    await expect(learn(broken, {}, gaussian)).rejects.toThrow("Try a smaller learningRate (now 0.01)");
  });
});
