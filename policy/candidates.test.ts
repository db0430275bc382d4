import { expect, test } from "bun:test";
import type { Turn } from "../envs/environment.ts";
import { hash32, Random } from "../envs/random.ts";
import { candidates } from "./candidates.ts";
import { actionTerms } from "./distribution.ts";
import type { Policy } from "./policy.ts";
import { buildPolicy } from "./registry.ts";
import type { NestedColumn, Rows, SharedColumn } from "./rows.ts";
import { initialise } from "./tensor/initialise.ts";
import { defaultProvider } from "./tensor/provider.ts";

type Options = Record<string, string | number | boolean>;

function build(options: Options = {}): Policy {
  return buildPolicy(candidates, {
    name: "candidates",
    observation: { type: "text", maxLength: 1000 },
    action: { type: "admissible" },
    options,
  });
}

const INSTRUCTION = "put a clean mug in the sink";
/** Turns and the number of the action taken in each. */
type Episode = readonly (readonly [observation: string, admissible: readonly string[], choice: number])[];
const EPISODE: Episode = [
  ["A kitchen with a desk 1, a desk 2 and a sink 1.", ["go to desk 1", "go to desk 2", "go to sink 1", "look"], 0],
  ["On the desk 1 you see a mug 1 and a pen 2.", ["take mug 1 from desk 1", "take pen 2 from desk 1", "look"], 0],
  ["You take the mug 1 from the desk 1.", ["go to sink 1", "go to desk 1", "go to desk 2", "look"], 0],
  ["You are at the sink 1.", ["clean mug 1 with sink 1", "put mug 1 in sink 1", "look"], 1],
];

function encode(policy: Policy, episode: Episode = EPISODE, instruction = INSTRUCTION): Rows {
  const rows = policy.rows();
  const encoder = policy.encoder();
  for (const [observation, admissible, choice] of episode) {
    encoder.encode({ observation, admissible, instruction }, rows);
    encoder.acted(choice, admissible[choice]);
  }
  return rows.finish();
}

/** Features of each action of each row: the two lists that it shares with others, then its own. */
function lists(rows: Rows): number[][][] {
  const column = rows.columns.candidates as NestedColumn;
  const { values, listValues, listOffsets } = rows.columns.shared as SharedColumn;
  return Array.from({ length: rows.count }, (_, i) =>
    Array.from({ length: column.lists[i + 1] - column.lists[i] }, (_, j) => {
      const k = column.lists[i] + j;
      const shared = [...values.subarray(2 * k, 2 * k + 2)];
      return [
        ...shared.flatMap((list) => [...listValues.subarray(listOffsets[list], listOffsets[list + 1])]),
        ...column.values.subarray(column.offsets[k], column.offsets[k + 1]),
      ];
    }),
  );
}

/** What is left of `all` when each element of `some` is taken out once; undefined when one of them is missing. */
function without(all: readonly number[], some: readonly number[]): number[] | undefined {
  const left = [...all];
  for (const x of some) {
    const at = left.indexOf(x);
    if (at < 0) return undefined;
    left.splice(at, 1);
  }
  return left;
}

test("features are the same in every process and version: trained weights depend on them", () => {
  const rows = encode(build());
  expect(hash32(lists(rows).flat(2).join(" "))).toBe(1065481853);
  expect(hash32(rows.columns.state.values.join(" "))).toBe(740661861);
});

test("features lie within the table, whatever its size", () => {
  for (const tableBits of [4, 16]) {
    const { values } = encode(build({ tableBits })).columns.candidates;
    expect(values.every((id) => id >= 0 && id < 2 ** tableBits)).toBe(true);
  }
});

test("the features of an action do not depend on its place in the list or on what else was read before", () => {
  const policy = build();
  const forward = lists(encode(policy));
  encode(policy, [["Something else.", ["sing a song", "go to desk 1"], 0]], "sing");
  const backward = lists(
    encode(
      policy,
      EPISODE.map(([observation, admissible, choice]) => [
        observation,
        admissible.toReversed(),
        admissible.length - 1 - choice,
      ]),
    ),
  );
  expect(backward.map((row) => row.toReversed())).toEqual(forward);
});

test("each family of features can be left out, and nothing else changes with it", () => {
  const all = lists(encode(build()));
  for (const family of ["pairs", "overlap", "counts", "notes"]) {
    const fewer = lists(encode(build({ [family]: false })));
    let left = 0;
    all.forEach((row, i) => {
      row.forEach((list, j) => {
        const difference = without(list, fewer[i][j]);
        expect(difference).toBeDefined();
        left += difference!.length;
      });
    });
    expect(left).toBeGreaterThan(0);
  }
});

test("without counts and notes only the last three actions and the current observation matter", () => {
  const look = ["You look.", ["look", "go to desk 1"], 0] as const;
  const end = ["The end.", ["go to desk 1", "go to desk 2", "look"], 0] as const;
  const atDesk: Episode = [["A kitchen.", ["go to desk 1"], 0], look, look, look, end];
  const idle: Episode = [["A kitchen.", ["look"], 0], look, look, look, end];
  const last = (episode: Episode, options: Options): number[][] => lists(encode(build(options), episode)).at(-1)!;
  const short = { counts: false, notes: false };
  expect(last(atDesk, short)).toEqual(last(idle, short));
  expect(last(atDesk, { notes: false })).not.toEqual(last(idle, { notes: false }));
  expect(last(atDesk, { counts: false })).not.toEqual(last(idle, { counts: false }));
});

/** "Take the X", one of four things at hand. */
function errands(words: readonly string[], count: number, seed: number): { turns: Turn[]; choices: Int32Array } {
  const random = new Random(seed);
  const choices = new Int32Array(count);
  const turns = Array.from({ length: count }, (_, i): Turn => {
    const things = random.shuffle([...words]).slice(0, 4);
    choices[i] = random.below(4);
    const admissible = things.map((thing) => `take ${thing} 1`);
    return { observation: "You see things.", instruction: `take the ${things[choices[i]]}`, admissible };
  });
  return { turns, choices };
}

/** Share of right choices on words never seen in training, after a few steps of imitation. */
async function accuracyOnNewWords(options: Options): Promise<number> {
  const policy = build({ tableBits: 10, hidden: "16", ...options });
  const model = defaultProvider().model(policy.layout);
  model.load(initialise(policy.layout, 1));
  const rowsOf = (turns: readonly Turn[]): Rows => {
    const rows = policy.rows();
    for (const turn of turns) policy.encoder().encode(turn, rows);
    return rows.finish();
  };
  const known = ["mug", "pen", "book", "lamp", "knife", "apple", "pot", "towel", "egg", "soap"];
  const fresh = ["zither", "quagga", "yacht", "ibex", "wok", "fez", "harp", "jug"];
  for (let step = 0; step < 60; step++) {
    const { turns, choices } = errands(known, 32, step);
    const rows = rowsOf(turns);
    await model.differentiate((t) => {
      const { logProb } = actionTerms(t, policy.forward(rows, t), choices);
      return { loss: t.affine(t.mean(logProb), -1) };
    });
    await model.adam({ learningRate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 });
  }
  const { turns, choices } = errands(fresh, 200, 1000);
  const rows = rowsOf(turns);
  const { logProb } = await model.evaluate((t) => ({ ...actionTerms(t, policy.forward(rows, t), choices) }));
  return logProb.filter((x) => x > Math.log(0.5)).length / 200;
}

test("it learns to take what the instruction names, even things it never heard of; without overlap it cannot", async () => {
  expect(await accuracyOnNewWords({})).toBeGreaterThan(0.95);
  expect(await accuracyOnNewWords({ overlap: false })).toBeLessThan(0.5);
});

test("sizes are options and the critic is one too", () => {
  const plain = build({ tableBits: 8, embedding: 4, hidden: "10,6" });
  expect(plain.hasValue).toBe(false);
  expect(plain.layout.map((p) => [p.name, ...p.shape])).toEqual([
    ["table", 256, 4],
    ["candidate.weight", 4, 10],
    ["state.weight", 4, 10],
    ["hidden.0.bias", 10],
    ["hidden.1.weight", 10, 6],
    ["hidden.1.bias", 6],
    ["score.weight", 6, 1],
  ]);
  const critic = build({ value: true });
  expect(critic.hasValue).toBe(true);
  expect(critic.layout.filter((p) => p.name.startsWith("value."))).toHaveLength(4);
});

test("spaces, options and turns that do not suit are refused", () => {
  const box = { type: "box", shape: [4], low: -1, high: 1 } as const;
  const spec = { name: "candidates", observation: box, action: { type: "discrete", n: 2 }, options: {} } as const;
  expect(() => buildPolicy(candidates, spec)).toThrow('policy "mlp" suits those');
  expect(() => build({ tableBits: 40 })).toThrow('"tableBits" is a whole number from 4 to 24; found 40');
  expect(() => build({ hidden: "" })).toThrow("at least one layer");
  expect(() => build({ overlaps: true })).toThrow('did you mean "overlap"?');
  const policy = build();
  expect(() => policy.encoder().encode({ observation: Float32Array.of(1) }, policy.rows())).toThrow(TypeError);
  expect(() => policy.encoder().acted(0)).toThrow(TypeError);
});
