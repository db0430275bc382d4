/** Trajectories of every kind for tests and benchmarks: all deterministic given their arguments. */
import type { Lineage, Outcome, Steps, TokenColumn, Trajectory } from "../trajectory.ts";

/** A small seeded generator of numbers in [0, 1) (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export function sampleLineage(changes: Partial<Lineage> = {}): Lineage {
  return {
    run: "sample-run",
    iteration: 3,
    group: 12,
    member: 5,
    attempt: 0,
    task: "pick_and_place/trial-7",
    seed: 3_000_000_000,
    environment: { id: "sample", generation: 2, digest: "sha256:0123" },
    actor: "rollout-1",
    weights: { counter: 3, sha256: "0123456789abcdef".repeat(4) },
    ...changes,
  };
}

function withOutcome(steps: Steps, type: "finished" | "truncated", success?: boolean): Trajectory {
  const total = steps.rewards.reduce((sum, reward) => sum + reward, 0);
  const outcome: Outcome = success === undefined ? { type, return: total } : { type, success, return: total };
  return { lineage: sampleLineage(), steps, outcome };
}

const WORDS = "you open the drawer cabinet fridge and see a mug plate apple on shelf nothing happens take put".split(
  " ",
);
const sentence = (random: () => number, words: number) =>
  Array.from({ length: words }, () => WORDS[Math.floor(random() * WORDS.length)]).join(" ");

/** An episode of a text game: new observations at most steps, about 28 admissible commands from a table that repeats. */
export function textTrajectory(count = 50, seed = 1): Trajectory {
  const random = seeded(seed);
  const commands = Array.from({ length: 120 }, (_, i) => `${sentence(random, 3)} ${i}`);
  const seen = Array.from({ length: count + 1 }, (_, i) => `${sentence(random, 13)} ${i}`);
  const offsets = new Uint32Array(count + 1);
  const index: number[] = [];
  const choices = new Int32Array(count);
  for (let t = 0; t < count; t++) {
    const offered = 20 + Math.floor(random() * 17);
    for (let k = 0; k < offered; k++) index.push(Math.floor(random() * commands.length));
    offsets[t + 1] = index.length;
    choices[t] = Math.floor(random() * offered);
  }
  const steps: Steps = {
    count,
    strings: [...commands, ...seen],
    instruction: "put a clean mug on the shelf",
    observations: { type: "text", index: Uint32Array.from(seen, (_, i) => commands.length + i) },
    admissible: { offsets, index: Uint32Array.from(index) },
    actions: { type: "choice", values: choices },
    logProbs: Float32Array.from({ length: count }, () => Math.log(0.01 + 0.98 * random())),
    rewards: Float64Array.from({ length: count }, (_, t) => (t === count - 1 ? 10 : 0)),
    valid: Uint8Array.from({ length: count }, () => (random() < 0.9 ? 1 : 0)),
  };
  return withOutcome(steps, "finished", true);
}

/** The same played by a language model: its commands in words, each with the tokens of the answer it was read from. */
export function languageTrajectory(count = 50, seed = 1): Trajectory {
  const played = textTrajectory(count, seed);
  const { actions, admissible, strings } = played.steps!;
  const random = seeded(seed + 1);
  const said = Uint32Array.from({ length: count }, (_, t) =>
    actions.type === "choice" ? admissible!.index[admissible!.offsets[t]! + actions.values[t]!]! : 0,
  );
  const tokens = answers(
    Array.from(said, (index) => 2 + strings[index]!.length / 4),
    random,
  );
  const steps: Steps = { ...played.steps!, actions: { type: "text", index: said }, tokens, logProbs: sums(tokens) };
  return { ...played, steps };
}

function answers(lengths: readonly number[], random: () => number): TokenColumn {
  const offsets = new Uint32Array(lengths.length + 1);
  for (const [t, length] of lengths.entries()) offsets[t + 1] = offsets[t]! + Math.max(1, Math.floor(length));
  const count = offsets[lengths.length]!;
  return {
    offsets,
    values: Int32Array.from({ length: count }, () => Math.floor(random() * 150_000)),
    logProbs: Float32Array.from({ length: count }, () => Math.log(1 - random())),
  };
}

const sums = ({ offsets, logProbs }: TokenColumn) =>
  Float32Array.from({ length: offsets.length - 1 }, (_, t) =>
    logProbs.subarray(offsets[t], offsets[t + 1]).reduce((sum, each) => sum + each, 0),
  );

/** An episode of cart-pole: four numbers observed, two actions, reward 1 a step. */
export function vectorTrajectory(count = 500, seed = 1): Trajectory {
  const random = seeded(seed);
  const steps: Steps = {
    count,
    strings: [],
    observations: {
      type: "vector",
      width: 4,
      values: Float32Array.from({ length: (count + 1) * 4 }, () => random() * 2 - 1),
    },
    actions: { type: "choice", values: Int32Array.from({ length: count }, () => Math.floor(random() * 2)) },
    logProbs: Float32Array.from({ length: count }, () => Math.log(0.2 + 0.7 * random())),
    rewards: new Float64Array(count).fill(1),
    valid: new Uint8Array(count).fill(1),
  };
  return withOutcome(steps, "truncated");
}

/** Any mixture of column kinds, masks, admissible lists and outcomes; strings with every plane of Unicode. */
export function randomTrajectory(seed: number): Trajectory {
  const random = seeded(seed);
  const int = (limit: number) => Math.floor(random() * limit);
  const flip = () => random() < 0.5;
  const lineage = sampleLineage({
    iteration: int(1000),
    group: int(1000),
    member: int(16),
    attempt: int(3),
    seed: int(0x1_0000_0000),
    task: ["", "task", "zadání č. 7", "タスク", "🎯".repeat(40)][int(5)],
  });
  if (random() < 0.1) return { lineage, outcome: { type: "noResult", reason: "the environment's process died" } };

  const count = 1 + int(random() < 0.1 ? 300 : 12);
  const alphabet = ["a", "é", "ж", "語", "🍵", " ", '"', "\\", "\n", "\u0000", "z".repeat(70)];
  const strings = Array.from({ length: 1 + int(40) }, () =>
    Array.from({ length: int(20) }, () => alphabet[int(alphabet.length)]).join(""),
  );
  const indices = (length: number) => Uint32Array.from({ length }, () => int(strings.length));
  // A view into the middle of a larger buffer, at any byte offset: what fromBinary and slicing produce in practice.
  const unaligned = <A extends Float32Array | Uint8Array>(values: A): A => {
    if (values instanceof Uint8Array) {
      const wide = new Uint8Array(values.length + 3);
      wide.set(values, 3);
      return wide.subarray(3) as A;
    }
    const wide = new Float32Array(values.length + 1);
    wide.set(values, 1);
    return wide.subarray(1) as A;
  };
  const floats = (length: number) =>
    unaligned(Float32Array.from({ length }, () => (random() * 2 - 1) * 10 ** (int(40) - 20)));

  const steps: Steps = {
    count,
    strings,
    observations: flip()
      ? { type: "text", index: indices(count + 1) }
      : (() => {
          const width = 1 + int(6);
          return { type: "vector" as const, width, values: floats((count + 1) * width) };
        })(),
    actions: { type: "text", index: indices(count) },
    logProbs: Float32Array.from({ length: count }, () => Math.log(1 - random())),
    rewards: Float64Array.from({ length: count }, () => (random() * 2 - 1) * 10 ** int(6)),
    valid: unaligned(Uint8Array.from({ length: count }, () => int(2))),
  };
  if (flip()) steps.instruction = strings[int(strings.length)];
  const kind = int(5);
  if (kind === 0) {
    const width = 1 + int(4);
    steps.actions = { type: "vector", width, values: floats(count * width) };
    steps.logProbs = floats(count).map((value) => Math.max(-1e6, Math.min(1e6, value)));
  } else if (kind === 1) {
    const offsets = new Uint32Array(count + 1);
    for (let t = 0; t < count; t++) offsets[t + 1] = offsets[t] + 1 + int(30);
    steps.admissible = { offsets, index: indices(offsets[count]) };
    const values = Int32Array.from({ length: count }, (_, t) => int(offsets[t + 1] - offsets[t]));
    steps.actions = { type: "choice", values };
  } else if (kind === 2) {
    const width = 1 + int(8);
    const values = Int32Array.from({ length: count }, () => int(width));
    steps.actionMask = Uint8Array.from({ length: count * width }, (_, i) =>
      i % width === values[Math.floor(i / width)] ? 1 : int(2),
    );
    steps.actions = { type: "choice", values };
  } else if (kind === 3) {
    steps.actions = { type: "choice", values: Int32Array.from({ length: count }, () => int(1000)) };
  } else if (flip()) {
    steps.tokens = answers(
      Array.from({ length: count }, () => 1 + int(30)),
      random,
    );
    steps.logProbs = sums(steps.tokens);
  }
  const trajectory = withOutcome(steps, flip() ? "finished" : "truncated", [undefined, true, false][int(3)]);
  return { ...trajectory, lineage };
}
