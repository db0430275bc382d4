import { expect, test } from "bun:test";
import { hash32 } from "../envs/random.ts";
import { candidates } from "./candidates.ts";
import type { Policy } from "./policy.ts";
import { buildPolicy } from "./registry.ts";
import type { NestedColumn, RaggedColumn, Rows } from "./rows.ts";
import { argumentOf, readWishes, standsAt, WishMemory } from "./wishes.ts";

const INSTRUCTION = 'Find me pillows with color: baby blue, and size: 28" x 28", and price lower than 50.00 dollars';
const wishes = readWishes(INSTRUCTION);

test("what a command names is what follows its verb, brackets taken off", () => {
  expect(
    ["click[Baby Blue]", "click[item - pillow, 2 pack]", "go to desk 1", "look", "search[a [b] c]"].map(argumentOf),
  ).toEqual(["baby blue", "item - pillow, 2 pack", "to desk 1", "", "a [b] c"]);
});

test("a wish is answered to the letter, digits and marks and all, and not by a part of it", () => {
  expect([...wishes.labelled]).toEqual([INSTRUCTION.indexOf("baby"), INSTRUCTION.indexOf("28")]);
  expect(standsAt(wishes, "baby blue")).toBe(INSTRUCTION.indexOf("baby"));
  expect(standsAt(wishes, '28" x 28"')).toBe(INSTRUCTION.indexOf("28"));
  expect(standsAt(wishes, "blue")).toBe(-1);
  expect(standsAt(wishes, "pillows")).toBe(-1);
  expect(standsAt(wishes, "lue")).toBe(-2);
  expect(standsAt(wishes, "red")).toBe(-2);
  expect(standsAt(wishes, "")).toBe(-2);
  // The first place may be inside of a word, and the second the wish.
  expect(standsAt(readWishes("colored things, red"), "red")).toBe(16);
});

test("what is missing, open and used is counted at the place where one is", () => {
  const memory = new WishMemory(wishes);
  const arrive = (...admissible: string[]) => {
    const commands = admissible.map((text) => ({ hash: hash32(text), stands: standsAt(wishes, argumentOf(text)) }));
    memory.arrived(admissible, commands);
    return { ...memory.here };
  };
  const act = (text: string) => memory.acted(hash32(text));
  expect(arrive("click[item - one]", "click[item - two]")).toEqual({ missing: 2, open: 0, used: 0 });
  act("click[item - one]");
  expect(arrive("click[baby blue]", "click[red]", "click[< prev]")).toEqual({ missing: 1, open: 1, used: 0 });
  act("click[baby blue]");
  expect(arrive("click[baby blue]", "click[red]", "click[< prev]")).toEqual({ missing: 1, open: 0, used: 1 });
  act("click[< prev]");
  arrive("click[item - one]", "click[item - two]");
  act("click[item - two]");
  // What was chosen at another place does not count here.
  expect(arrive("click[baby blue]", 'click[28" x 28"]')).toEqual({ missing: 0, open: 2, used: 0 });
  expect(memory.fewest).toBe(0);
  expect([memory.led.get(hash32("click[item - one]")), memory.led.get(hash32("click[item - two]"))]).toEqual([1, 0]);
  expect(memory.led.get(hash32("click[< prev]"))).toBe(-1);
});

function build(options: Record<string, boolean> = {}): Policy {
  const spaces = { observation: { type: "text", maxLength: 1000 }, action: { type: "admissible" } } as const;
  return buildPolicy(candidates, { name: "candidates", ...spaces, options });
}

function encode(policy: Policy, observation: string): Rows {
  const rows = policy.rows();
  const admissible = ["click[baby blue]", "click[red]", "click[buy now]"];
  policy.encoder().encode({ observation, admissible, instruction: INSTRUCTION }, rows);
  return rows.finish();
}

test("the features are an option: without it nothing is different, with it what answers a wish stands out", () => {
  const [plain, off, on] = [build(), build({ wishes: false }), build({ wishes: true })].map((policy) =>
    encode(policy, "pillow [SEP] $ 20"),
  );
  const values = (rows: Rows) => [...(rows.columns.candidates as NestedColumn).values];
  expect(values(off)).toEqual(values(plain));
  expect(values(on).length).toBeGreaterThan(values(plain).length);
});

test("an observation that repeats the instruction is read without it", () => {
  const words = (policy: Policy, page: string) => [...(encode(policy, page).columns.state as RaggedColumn).values];
  const [bare, repeating] = ["pillow [SEP] ", `pillow [SEP] ${INSTRUCTION}`];
  expect(words(build({ wishes: true }), repeating)).toEqual(words(build({ wishes: true }), bare));
  expect(words(build(), repeating)).not.toEqual(words(build(), bare));
});
