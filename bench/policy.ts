/**
 * What a decision costs on an actor, and a minibatch on the learner, each against a plainer way in the same run:
 * reading text with its caches cold; the same network on the plain kernels; gathering rows one by one.
 *   bun bench/policy.ts
 */
import cartpole from "../envs/cartpole.ts";
import type { EnvironmentDefinition, Transition, Turn } from "../envs/environment.ts";
import { mix32 } from "../envs/random.ts";
import { resolveArguments } from "../envs/registry.ts";
import scavenger from "../envs/scavenger.ts";
import { act } from "../policy/acting.ts";
import type { Policy } from "../policy/policy.ts";
import { buildPolicy, defaultPolicyFor } from "../policy/registry.ts";
import { takeRows } from "../policy/rows.ts";
import { initialise } from "../policy/tensor/initialise.ts";
import { tensorProvider } from "../policy/tensor/provider.ts";

interface Recorded {
  turns: Turn[];
  choices: number[];
}

/** Groups of eight episodes of one task, played at random. */
async function record(
  definition: EnvironmentDefinition,
  args: object,
  episodes: number,
): Promise<[Policy, Recorded[]]> {
  const source = await definition.load(resolveArguments(definition, args as Record<string, unknown>));
  const { observation, action } = source.spec;
  const built = defaultPolicyFor(source.spec);
  const policy = buildPolicy(built, { name: built.name, observation, action, options: {} });
  const tasks = source.tasks("train");
  const environment = source.create();
  const recorded: Recorded[] = [];
  for (let i = 0; i < episodes; i++) {
    const turns: Turn[] = [];
    const choices: number[] = [];
    let turn: Turn = await environment.reset({ task: tasks.at((i >> 3) % tasks.size), seed: i });
    for (;;) {
      const offered = turn.admissible?.length ?? (action.type === "discrete" ? action.n : 1);
      const choice = mix32(i, turns.length) % offered;
      turns.push(turn);
      choices.push(choice);
      const result: Transition = await environment.step(turn.admissible?.[choice] ?? choice);
      if (result.terminated || result.truncated) break;
      turn = result;
    }
    recorded.push({ turns, choices });
  }
  return [policy, recorded];
}

function encodeAll(policy: Policy, episodes: readonly Recorded[]) {
  const rows = policy.rows();
  for (const { turns, choices } of episodes) {
    const encoder = policy.encoder();
    turns.forEach((turn, step) => {
      encoder.encode(turn, rows);
      encoder.acted(choices[step], turn.admissible?.[choices[step]]);
    });
  }
  return rows.finish();
}

/** Best of `repeats`, in microseconds: the machine is rarely ours alone. */
function bestUs(repeats: number, work: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < repeats; i++) {
    const start = performance.now();
    work();
    best = Math.min(best, performance.now() - start);
  }
  return 1000 * best;
}

function report(what: string, ours: number, unit: string, peer: number, peerName: string): void {
  const ratio = `${(peer / ours).toFixed(1)}×`;
  console.log(`${what.padEnd(44)} ${ours.toFixed(2).padStart(8)} ${unit.padEnd(12)} ${ratio.padStart(6)}  ${peerName}`);
}

const [text, textEpisodes] = await record(scavenger, { difficulty: 3 }, 64);
const textRows = encodeAll(text, textEpisodes);
const candidates = textRows.columns.candidates as { offsets: Uint32Array };
const perRow = (candidates.offsets.length - 1) / textRows.count;
console.log(`${textRows.count} text steps with ${perRow.toFixed(1)} admissible actions each\n`);
/** As an actor does: the rows of one turn at a time, in a builder that is used again. */
function read(policy: Policy): void {
  const rows = policy.rows();
  for (const { turns, choices } of textEpisodes) {
    const encoder = policy.encoder();
    turns.forEach((turn, step) => {
      rows.clear();
      encoder.encode(turn, rows);
      encoder.acted(choices[step], turn.admissible?.[choices[step]]);
    });
  }
}
for (let i = 0; i < 5; i++) read(text);
const warm = bestUs(15, () => read(text)) / textRows.count;
const cold = bestUs(15, () => read(buildPolicy(defaultPolicyFor(environmentOf(text)), text.spec)));
report("reading a text step", warm, "µs/step", cold / textRows.count, "with cold caches");
report("  the same for one admissible action", warm / perRow, "µs/action", cold / textRows.count / perRow, "");

function environmentOf({ spec }: Policy) {
  return { id: "", observation: spec.observation, action: spec.action, maxEpisodeSteps: 1, hasSuccess: true };
}

const [vector, vectorEpisodes] = await record(cartpole, {}, 8);
for (const [name, policy, episodes, batch] of [
  ["mlp", vector, vectorEpisodes, 16],
  ["candidates", text, textEpisodes, 16],
] as const) {
  const rows = takeRows(
    encodeAll(policy, episodes),
    Array.from({ length: batch }, (_, i) => i),
  );
  const uniforms = Float64Array.from({ length: batch }, (_, i) => (i * 0.618) % 1);
  const [ours, peer] = ["simd", "typescript"].map((provider) => {
    const model = tensorProvider(provider).model(policy.layout);
    model.load(initialise(policy.layout, 1));
    for (let i = 0; i < 2000; i++) act(model, policy, rows, uniforms);
    const repeats = 200;
    return (
      bestUs(20, () => {
        for (let i = 0; i < repeats; i++) act(model, policy, rows, uniforms);
      }) / repeats
    );
  });
  report(`act() of ${name}, a batch of ${batch}`, ours, "µs/batch", peer, "on the plain kernels");
}

const index = Array.from({ length: 512 }, (_, i) => mix32(i) % textRows.count);
let spare = takeRows(textRows, index);
const taken = bestUs(50, () => {
  spare = takeRows(textRows, index, spare);
});
const fresh = bestUs(50, () => takeRows(textRows, index));
report("takeRows() of 512 text rows in the memory of the minibatch before", taken, "µs", fresh, "in fresh memory");
