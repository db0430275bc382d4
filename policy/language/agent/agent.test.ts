import { expect, test } from "bun:test";
import type { Turn } from "../../../envs/environment.ts";
import { type AgentOptions, type ChatMessage, languageAgents } from "./agent.ts";

const options: AgentOptions = { template: "alfworld", form: "think", mode: "window", history: 2 };
/** Every word is a token. */
const countTokens = (text: string) => text.split(/\s+/).filter((word) => word !== "").length;
const size = (messages: readonly ChatMessage[]) =>
  messages.reduce((sum, { content }) => sum + countTokens(content) + 8, 0);

const turn = (number: number): Turn => ({
  observation: `You see thing ${number} {history}.`,
  instruction: "put a mug on the desk.",
  admissible: ["help", "look", `take thing ${number}`],
});
const answer = (number: number) => `<think>thought ${number}</think><action>Take thing ${number}</action>`;

/** Plays so many steps and gives the prompt of each, the last of them without an answer. */
function play(steps: number, given: Partial<AgentOptions> = {}, lessons: string[] = []) {
  const agent = languageAgents({ ...options, ...given }).begin(lessons);
  const prompts = [agent.prompt(turn(1))];
  for (let number = 1; number < steps; number++) {
    agent.answered(answer(number));
    prompts.push(agent.prompt(turn(number + 1)));
  }
  return { agent, prompts, last: prompts.at(-1)! };
}
const text = (messages: readonly ChatMessage[]) => messages.map(({ content }) => content).join("\n");

test("the first prompt tells the task, what is seen, what is possible and how to answer", () => {
  const { last } = play(1);
  expect(last.map(({ role }) => role)).toEqual(["user"]);
  expect(text(last)).toContain("Your task is to: put a mug on the desk.");
  expect(text(last)).toContain("You see: You see thing 1 {history}.");
  expect(text(last)).toContain("- look\n- take thing 1");
  expect(text(last)).toContain("between <think> and </think>");
  expect(text(last)).not.toContain("help");
});

test("a window tells as many of the last steps as it holds, with observations and actions but no thoughts", () => {
  const told = text(play(5).last);
  expect(told).toContain("you have taken 4 step(s). The last 2 ");
  expect(told).toContain(
    "3. You saw: You see thing 3 {history}.\n   You did: take thing 3\n4. You saw: You see thing 4 {history}.\n   You did: take thing 4\n",
  );
  expect(told).toContain("This is step 5. You see: You see thing 5");
  expect(told).not.toContain("thought");
  expect(text(play(5, { history: 0 }).last)).not.toContain("You did");
});

test("a form without thoughts asks for none", () => {
  expect(text(play(1, { form: "action" }).last)).not.toContain("think");
  expect(text(play(1, { form: "bare" }).last)).toEndWith("Answer with the action alone.");
});

test("a conversation begins with the prompt and the answer of the step before, word by word", () => {
  const { prompts } = play(6, { mode: "conversation" });
  for (let i = 1; i < prompts.length; i++) {
    const before = prompts[i - 1]!;
    expect(prompts[i]!.slice(0, -1)).toEqual([...before, { role: "assistant", content: answer(i) }]);
  }
  expect(prompts[5]!.at(-1)).toEqual({
    role: "user",
    content: "You see: You see thing 6 {history}.\nYou can do one of these now:\n- look\n- take thing 6",
  });
});

test("a conversation that outgrows its budget begins anew with the last steps, and grows again from there", () => {
  const promptTokens = 200;
  const { prompts } = play(12, { mode: "conversation", promptTokens, countTokens });
  for (const prompt of prompts) expect(size(prompt)).toBeLessThanOrEqual(promptTokens);
  const anew = prompts.findIndex((prompt, i) => i > 0 && prompt.length === 1);
  expect(anew).toBeGreaterThan(2);
  expect(text(prompts[anew]!)).toContain(`You saw: You see thing ${anew - 1} `);
  expect(prompts[anew + 1]!.slice(0, 1)).toEqual([...prompts[anew]!]);
  // Until then nothing had been left out.
  expect(size(prompts[anew - 1]!) + size([{ role: "assistant", content: answer(anew) }])).toBeGreaterThan(
    promptTokens - 25,
  );
});

test("an answer longer than all the room there is makes the conversation begin anew", () => {
  const agent = languageAgents({ ...options, mode: "conversation", promptTokens: 200, countTokens }).begin();
  agent.prompt(turn(1));
  expect(agent.answered("word ".repeat(20_000)).valid).toBe(false);
  expect(size(agent.prompt(turn(2)))).toBeLessThanOrEqual(200);
});

test("what does not fit is left out in order: steps, lessons, the observation's end, the actions' end; and no more than must be", () => {
  const lessons = ["look first", "never look back"];
  const whole = play(5, { countTokens, promptTokens: Number.POSITIVE_INFINITY }, lessons).last;
  const all = size(whole);
  const seen = { steps: new Set<number>(), lessons: new Set<number>() };
  let before = "";
  for (let promptTokens = all; ; promptTokens--) {
    let last: readonly ChatMessage[];
    try {
      ({ last } = play(5, { countTokens, promptTokens }, lessons));
    } catch (error) {
      expect(error).toBeInstanceOf(RangeError);
      expect((error as Error).message).toContain(`A prompt may have ${promptTokens} tokens`);
      break;
    }
    expect(size(last)).toBeLessThanOrEqual(promptTokens);
    const told = text(last);
    const steps = told.split("You did").length - 1;
    const learnt = lessons.filter((lesson) => told.includes(lesson)).length;
    if (learnt < 2) expect(steps).toBe(0);
    if (!told.includes("You see thing 5 {history}.")) expect(learnt).toBe(0);
    if (!told.includes("- take thing 5")) expect(told).toContain("…");
    if (promptTokens === all) expect(told).toBe(text(whole));
    if (steps > 0 && steps < 2) expect(told).toContain("thing 4 {history}");
    if (learnt === 1) expect(told).toContain("never look back");
    // Whatever fitted before still does not fit now, or is told unchanged.
    if (told !== before && before !== "") expect(countTokens(before) + 8).toBeGreaterThan(promptTokens);
    before = told;
    seen.steps.add(steps);
    seen.lessons.add(learnt);
  }
  expect([...seen.steps].sort()).toEqual([0, 1, 2]);
  expect([...seen.lessons].sort()).toEqual([0, 1, 2]);
});

test("an observation is never cut within a character", () => {
  const agent = languageAgents({ ...options, promptTokens: 1_200, countTokens: (told) => told.length }).begin();
  const [{ content }] = agent.prompt({ ...turn(1), observation: "🏠".repeat(2_000) }) as [ChatMessage];
  expect(content.isWellFormed()).toBe(true);
  expect(content).toContain("🏠…");
});

test("a replay of the same turns and answers gives the same prompts", () => {
  for (const mode of ["window", "conversation"] as const) {
    const given = { mode, promptTokens: 200, countTokens };
    expect(play(9, given).prompts).toEqual(play(9, given).prompts);
  }
});

test("on WebShop an observation is told without the instruction that it repeats, and a page without list asks for a search", () => {
  const agent = languageAgents({ ...options, template: "webshop" }).begin();
  const instruction = "Find me shoes, and price lower than 40.00 dollars";
  const page = (rest: string) => `WebShop [SEP] Instruction: [SEP] ${instruction} [SEP] ${rest}`;
  const first = text(agent.prompt({ observation: page("Search"), instruction }));
  // Records of episodes know no difference between no list and an empty one.
  const again = languageAgents({ ...options, template: "webshop" }).begin();
  expect(text(again.prompt({ observation: page("Search"), instruction, admissible: [] }))).toBe(first);
  expect(first).toContain("You see this page: Search\n");
  expect(first).toContain("- search[<words to search for>]");
  expect(agent.answered("<think>.</think><action>Search[Shoes]</action>").action).toBe("search[shoes]");
  const second = text(agent.prompt({ observation: page("Back to Search [SEP] $5"), admissible: ["click[b01]"] }));
  expect(second).toContain("1. You saw: Search\n   You did: search[shoes]");
  expect(second).toContain(`The wish: ${instruction}`);
  expect(second).toContain("You see this page: Back to Search [SEP] $5\n");
  expect(second).toContain("- click[b01]");
});

test("a memory of one's own decides what is told of the past", () => {
  const memory = () => {
    const steps: { number: number; observation: string; action: string }[] = [];
    return {
      remember: (step: (typeof steps)[number]) => void steps.push(step),
      recall: (_: string, most: number) => steps.slice(0, most),
    };
  };
  const told = text(play(5, { memory, history: 1 }).last);
  expect(told).toContain("1. You saw: You see thing 1");
  expect(told).not.toContain("You saw: You see thing 4");
});

test("a failed episode asks for its lesson, and the next attempt is told it", () => {
  const { agent } = play(4, { mode: "conversation" });
  agent.answered(answer(4));
  const question = text(agent.reflection("50 steps were not enough"));
  expect(question).toContain("(50 steps were not enough)");
  for (const number of [1, 2, 3, 4]) expect(question).toContain(`You did: take thing ${number}`);
  const { last } = play(1, {}, ["Mugs are in the cabinet."]);
  expect(text(last)).toContain("you have learnt:\n- Mugs are in the cabinet.\nYou see:");
});

test("a question for a lesson leaves out the oldest steps where its budget is short", () => {
  const { agent } = play(6, { promptTokens: 90, countTokens });
  const question = agent.reflection("failed");
  expect(size(question)).toBeLessThanOrEqual(90);
  expect(text(question)).not.toContain("You did: take thing 1\n");
  expect(text(question)).toContain("You did: take thing 5");
});

test("options that mean nothing are refused with the reason", () => {
  expect(() => languageAgents({ ...options, history: 1.5 })).toThrow("whole number of steps from 0, found 1.5");
  expect(() => languageAgents({ ...options, promptTokens: 0 })).toThrow("promptTokens must be above 0");
  expect(() => languageAgents({ ...options, promptTokens: 100 })).toThrow("needs countTokens");
  expect(() => play(1).agent.prompt({ observation: new Float32Array(2) })).toThrow("observations of text");
  expect(() => languageAgents(options).begin().answered("look")).toThrow("nothing to answer");
});
