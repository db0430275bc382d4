import { expect, test } from "bun:test";
import cartpole from "../envs/cartpole.ts";
import type { Action, EnvironmentDefinition, EnvironmentSource, Transition, Turn } from "../envs/environment.ts";
import { mix32 } from "../envs/random.ts";
import scavenger from "../envs/scavenger.ts";
import type { Steps, Trajectory } from "../proto/trajectory.ts";
import { act, clampToBox, drawsPerRow, encodeTrajectory } from "./acting.ts";
import { candidates } from "./candidates.ts";
import { actionTerms } from "./distribution.ts";
import { mlp } from "./mlp.ts";
import { pointer } from "./pointer.ts";
import type { Policy, PolicyDefinition } from "./policy.ts";
import { buildPolicy } from "./registry.ts";
import { type Rows, takeRows } from "./rows.ts";
import { stepUniforms } from "./sampling.ts";
import { initialise } from "./tensor/initialise.ts";
import { defaultProvider } from "./tensor/provider.ts";
import type { Model } from "./tensor/tensors.ts";

async function load(definition: EnvironmentDefinition): Promise<EnvironmentSource> {
  const defaults = Object.entries(definition.arguments).map(([name, { default: value }]) => [name, value]);
  return definition.load(Object.fromEntries(defaults));
}

function policyFor(source: EnvironmentSource, definition: PolicyDefinition, options = {}): Policy {
  const { observation, action } = source.spec;
  return buildPolicy(definition, { name: definition.name, observation, action, options });
}

function modelOf(policy: Policy, scale = 1): Model {
  const model = defaultProvider().model(policy.layout);
  // Scaled up, so that decisions are far from uniform.
  model.load(initialise(policy.layout, 3).map((x) => x * scale));
  return model;
}

interface Played {
  trajectory: Trajectory;
  /** The row decided on at each step. */
  seen: Rows[];
}

const eachRow = (rows: Rows): Rows[] => Array.from({ length: rows.count }, (_, i) => takeRows(rows, [i]));

function replayed(policy: Policy, trajectory: Trajectory): Rows {
  const rows = policy.rows();
  encodeTrajectory(policy, trajectory, rows);
  return rows.finish();
}

/** Plays one episode and records it as an actor does. */
async function play(source: EnvironmentSource, policy: Policy, model: Model, seed = 0): Promise<Played> {
  const tasks = source.tasks("train");
  const task = tasks.at(seed % tasks.size);
  const environment = source.create();
  const encoder = policy.encoder();
  const rows = policy.rows();
  const seen: Rows[] = [];
  const uniforms = new Float64Array(drawsPerRow(policy));
  const table = new Map<string, number>();
  const intern = (text: string): number => {
    if (!table.has(text)) table.set(text, table.size);
    return table.get(text)!;
  };
  const texts: number[] = [];
  const vectors: number[] = [];
  const observe = ({ observation }: Turn): void => {
    if (typeof observation === "string") texts.push(intern(observation));
    else vectors.push(...observation);
  };
  const offsets = [0];
  const admissible: number[] = [];
  const choices: number[] = [];
  const logProbs: number[] = [];
  const first = await environment.reset({ task, seed });
  let turn: Turn | Transition = first;
  observe(turn);
  for (;;) {
    rows.clear();
    encoder.encode(turn, rows);
    const row = rows.finish();
    seen.push(takeRows(row, [0]));
    stepUniforms(mix32(9), choices.length, uniforms.length, uniforms, 0);
    const decisions = await act(model, policy, row, uniforms);
    const choice = decisions.choices![0];
    const action: Action = turn.admissible?.[choice] ?? choice;
    for (const text of turn.admissible ?? []) admissible.push(intern(text));
    offsets.push(admissible.length);
    choices.push(choice);
    logProbs.push(decisions.logProbs[0]);
    encoder.acted(choice, turn.admissible?.[choice]);
    const result: Transition = await environment.step(action);
    observe(result);
    turn = result;
    if (result.terminated || result.truncated) break;
  }
  const count = choices.length;
  const isText = typeof first.observation === "string";
  const steps: Steps = {
    count,
    strings: [...table.keys()],
    observations: isText
      ? { type: "text", index: Uint32Array.from(texts) }
      : { type: "vector", width: first.observation.length, values: Float32Array.from(vectors) },
    actions: { type: "choice", values: Int32Array.from(choices) },
    logProbs: Float32Array.from(logProbs),
    rewards: new Float64Array(count),
    valid: new Uint8Array(count).fill(1),
  };
  if (first.instruction !== undefined) steps.instruction = first.instruction;
  if (first.admissible !== undefined)
    steps.admissible = { offsets: Uint32Array.from(offsets), index: Uint32Array.from(admissible) };
  const lineage = {
    run: "test",
    iteration: 0,
    group: 0,
    member: 0,
    attempt: 0,
    task,
    seed,
    environment: { id: source.spec.id, generation: 0, digest: "" },
    actor: "test",
    weights: { counter: 0, sha256: "" },
  };
  return { trajectory: { lineage, steps, outcome: { type: "truncated", return: 0 } }, seen };
}

for (const [environment, definition, options] of [
  [cartpole, mlp, {}],
  [scavenger, candidates, { value: true }],
  [scavenger, pointer, {}],
] as const) {
  const setting = `${environment.id} with ${definition.name}`;

  test(`replaying a recorded episode of ${setting} gives the rows that the actor decided on, bit for bit`, async () => {
    const source = await load(environment);
    const policy = policyFor(source, definition, options);
    const model = modelOf(policy, 3);
    for (let index = 0; index < 3; index++) {
      const { trajectory, seen } = await play(source, policy, model, index);
      const rows = replayed(policy, trajectory);
      expect(rows.count).toBe(trajectory.steps!.count);
      expect(eachRow(rows)).toEqual(seen);
      // Another process has other caches; what it makes of the record is the same.
      const elsewhere = policyFor(source, definition, options);
      expect(replayed(elsewhere, trajectory)).toEqual(rows);
    }
  });

  test(`the learner finds the log-probabilities that the actor recorded in ${setting}`, async () => {
    const source = await load(environment);
    const policy = policyFor(source, definition, options);
    const model = modelOf(policy, 3);
    const { trajectory } = await play(source, policy, model, 1);
    const rows = replayed(policy, trajectory);
    const { actions, logProbs } = trajectory.steps!;
    const choices = (actions as { type: "choice"; values: Int32Array }).values;
    const found = await model.evaluate((t) => ({ ...actionTerms(t, policy.forward(rows, t), choices) }));
    expect(found.logProb).toEqual(logProbs);
  });

  test(`an episode of ${setting} can end with one row more, for the critic`, async () => {
    const source = await load(environment);
    const policy = policyFor(source, definition, options);
    const model = modelOf(policy);
    const { trajectory, seen } = await play(source, policy, model, 2);
    const into = policy.rows();
    const count = encodeTrajectory(policy, trajectory, into, { finalRow: true });
    expect(count).toBe(trajectory.steps!.count + 1);
    const all = into.finish();
    expect(eachRow(all).slice(0, -1)).toEqual(seen);
    if (!policy.hasValue) return;
    const { value } = await model.evaluate((t) => ({ value: policy.forward(all, t).value! }));
    expect(value).toHaveLength(count);
    expect(value.every(Number.isFinite)).toBe(true);
  });

  test(`decisions in ${setting} do not depend on who else is in the batch`, async () => {
    const source = await load(environment);
    const policy = policyFor(source, definition, options);
    const model = modelOf(policy, 3);
    const { trajectory } = await play(source, policy, model, 0);
    const rows = replayed(policy, trajectory);
    const uniforms = Float64Array.from({ length: rows.count }, (_, i) => (i * 0.37) % 1);
    const together = await act(model, policy, rows, uniforms, { values: true });
    for (const i of [0, rows.count - 1]) {
      const alone = await act(model, policy, takeRows(rows, [i]), uniforms.subarray(i, i + 1), { values: true });
      expect(alone.choices![0]).toBe(together.choices![i]);
      expect(alone.logProbs[0]).toBe(together.logProbs[i]);
      expect(alone.values?.[0]).toBe(together.values?.[i]);
    }
  });
}

const spaces = {
  observation: { type: "box", shape: [2], low: -1, high: 1 },
  masked: { type: "discrete", n: 4 },
  continuous: { type: "box", shape: [2], low: -1, high: 1 },
} as const;

test("masked actions are never taken, drawn or greedy", async () => {
  const policy = buildPolicy(mlp, { name: "mlp", observation: spaces.observation, action: spaces.masked, options: {} });
  const model = modelOf(policy);
  const rows = policy.rows();
  const masks: Uint8Array[] = [];
  for (let i = 0; i < 300; i++) {
    const bits = 1 + (mix32(i) % 15);
    masks.push(Uint8Array.from([0, 1, 2, 3], (k) => (bits >> k) & 1));
    const observation = Float32Array.of(Math.sin(i), Math.cos(i));
    policy.encoder().encode({ observation, actionMask: masks[i] }, rows);
  }
  const uniforms = Float64Array.from({ length: 300 }, (_, i) => (i % 2 === 0 ? (i * 0.618) % 1 : 1 - 2 ** -53));
  for (const greedy of [false, true]) {
    const { choices, logProbs } = await act(model, policy, rows.finish(), uniforms, { greedy });
    masks.forEach((mask, i) => {
      expect(mask[choices![i]]).toBe(1);
      expect(logProbs[i]).toBeGreaterThan(-10);
    });
  }
});

test("continuous actions spread around the mean, greedy ones are the mean, and both come with their log-probability", async () => {
  const policy = buildPolicy(mlp, {
    name: "mlp",
    observation: spaces.observation,
    action: spaces.continuous,
    options: { valueHead: "none" },
  });
  expect(drawsPerRow(policy)).toBe(2);
  const model = modelOf(policy);
  const rows = policy.rows();
  const count = 2000;
  for (let i = 0; i < count; i++) policy.encoder().encode({ observation: Float32Array.of(0.5, -0.5) }, rows);
  const uniforms = new Float64Array(2 * count);
  for (let i = 0; i < count; i++) stepUniforms(mix32(1, i), 0, 2, uniforms, 2 * i);
  const drawn = await act(model, policy, rows.finish(), uniforms, { values: true });
  const greedy = await act(model, policy, rows.finish(), uniforms, { greedy: true });
  expect(drawn.choices).toBeUndefined();
  expect(drawn.values).toBeUndefined();
  for (let d = 0; d < 2; d++) {
    const column = Array.from({ length: count }, (_, i) => drawn.vectors![2 * i + d]);
    const mean = column.reduce((a, b) => a + b) / count;
    const variance = column.reduce((sum, x) => sum + (x - mean) ** 2, 0) / count;
    expect(Math.abs(mean - greedy.vectors![d])).toBeLessThan(5 / Math.sqrt(count));
    expect(Math.abs(variance - 1)).toBeLessThan(5 * Math.sqrt(2 / count));
  }
  for (const decisions of [drawn, greedy]) {
    const found = await model.evaluate((t) => ({
      ...actionTerms(t, policy.forward(rows.finish(), t), decisions.vectors!),
    }));
    for (let i = 0; i < count; i++) expect(Math.abs(found.logProb[i] - decisions.logProbs[i])).toBeLessThan(1e-5);
  }
});

test("clampToBox() keeps a vector within bounds for all elements or for each", () => {
  const vector = Float32Array.of(-3, 0.5, 3);
  const box = { type: "box", shape: [3] } as const;
  expect([...clampToBox(vector, { ...box, low: -1, high: 2 })]).toEqual([-1, 0.5, 2]);
  expect([...clampToBox(vector, { ...box, low: [-5, 1, 0], high: [0, 2, Infinity] })]).toEqual([-3, 1, 3]);
  expect([...vector]).toEqual([-3, 0.5, 3]);
});

test("too few random numbers and trajectories without steps are refused", async () => {
  const source = await load(cartpole);
  const policy = policyFor(source, mlp);
  const model = modelOf(policy);
  const { trajectory } = await play(source, policy, model, 0);
  expect(() => act(model, policy, replayed(policy, trajectory), new Float64Array(1))).toThrow(RangeError);
  const failed: Trajectory = { lineage: trajectory.lineage, outcome: { type: "noResult", reason: "lost" } };
  expect(() => encodeTrajectory(policy, failed, policy.rows())).toThrow("it has no steps (noResult)");
});
