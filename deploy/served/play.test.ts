import { expect, test } from "bun:test";
import type { Environment, Transition } from "../../envs/environment.ts";
import { languageAgents } from "../../policy/language/agent/index.ts";
import { ServedModel, ServedModelError } from "../../policy/language/served/index.ts";
import { chat, json, type Responder, TestingEndpoint } from "../../policy/language/served/testing-endpoint.ts";
import { type PlayOptions, playTask } from "./play.ts";

const agents = languageAgents({ template: "plain", form: "action", mode: "conversation", history: 2 });

/** A corridor of doors: "forward" three times wins, ten steps end it. */
function corridor(changes: Partial<Environment> = {}): Environment & { taken: string[] } {
  let [place, steps] = [0, 0];
  const taken: string[] = [];
  const turn = () => ({ observation: `door ${place}`, instruction: "Go on.", admissible: ["forward", "back"] });
  return {
    taken,
    spec: {
      ...{ id: "corridor", maxEpisodeSteps: 10, hasSuccess: true },
      observation: { type: "text", maxLength: 100 },
      action: { type: "admissible" },
    },
    reset() {
      [place, steps] = [0, 0];
      return turn();
    },
    step(action) {
      taken.push(String(action));
      steps++;
      const valid = action === "forward" || action === "back";
      if (action === "forward") place++;
      const [terminated, truncated] = [place === 3, place < 3 && steps === 10];
      const success = terminated || truncated ? { success: terminated } : {};
      return { ...turn(), reward: terminated ? 1 : 0, terminated, truncated, valid, ...success };
    },
    close() {},
    ...changes,
  };
}

async function play(environment: Environment, responder: Responder, changes: Partial<PlayOptions> = {}) {
  await using endpoint = await TestingEndpoint.start(responder);
  const model = new ServedModel({ baseUrl: endpoint.baseUrl, model: "tiny", attempts: 1 });
  const options = { trials: 1, seed: 1, stepTimeoutMs: 10_000, ...changes };
  const played = await playTask(environment, { task: "a", seed: 1 }, agents, model, options);
  return { ...played, asked: endpoint.asked };
}
const always =
  (answer: string): Responder =>
  (_, response) =>
    chat(response, answer);
const forward = always("<action>forward</action>");

test("an episode is told turn by turn, and written down as it was played", async () => {
  const { attempts, instruction, spent } = await play(corridor(), forward);
  expect(instruction).toBe("Go on.");
  expect(attempts).toHaveLength(1);
  const [{ steps, outcome, last }] = attempts as [(typeof attempts)[0]];
  expect(outcome).toEqual({ type: "finished", success: true, return: 1 });
  expect(steps.map(({ observation, action, reward, valid }) => [observation, action, reward, valid])).toEqual([
    ["door 0", "forward", 0, true],
    ["door 1", "forward", 0, true],
    ["door 2", "forward", 1, true],
  ]);
  expect([steps[0]!.admissible, last]).toEqual([["forward", "back"], "door 3"]);
  expect(spent).toEqual({ requests: 3, promptTokens: 30, answerTokens: 15, uncounted: 0 });
});

test("the log-probability of an answer is kept where the endpoint says it", async () => {
  const logprobs = { content: [-0.5, -0.25].map((logprob) => ({ token: "a", logprob })) };
  const { attempts } = await play(corridor(), (_, response) =>
    json(response, { choices: [{ message: { content: "<action>forward</action>" }, logprobs }] }),
  );
  expect(attempts[0]!.steps.map(({ logProb }) => logProb)).toEqual([-0.75, -0.75, -0.75]);
});

test("a step is valid only where the answer kept to its form and the environment took the action", async () => {
  const answers = ["<action>forward</action>", "<action>jump</action>", "forward"];
  const { attempts } = await play(corridor(), (_, response, number) => chat(response, answers[(number - 1) % 3]!));
  expect(attempts[0]!.steps.slice(0, 3).map(({ valid }) => valid)).toEqual([true, false, false]);
});

test("a failing, silent or senseless environment gives no result, and says why", async () => {
  const broken = (message: string) => () => {
    throw new Error(message);
  };
  const senseless = () => ({ ...corridor().step("back"), reward: Number.NaN }) as Transition;
  for (const [changes, reason] of [
    [{ reset: broken("no such game") }, "reset failed: no such game"],
    [{ step: broken("the game crashed") }, "step failed: the game crashed"],
    [{ step: () => new Promise<never>(() => {}) }, "step failed: step took longer than 20 ms"],
    [{ step: senseless }, "step failed: the reward is NaN"],
  ] as const) {
    const { attempts } = await play(corridor(changes), forward, { stepTimeoutMs: 20 });
    expect(attempts.map(({ outcome }) => outcome)).toEqual([{ type: "noResult", reason }]);
  }
});

test("an endpoint that fails gives no result and no action", async () => {
  const environment = corridor();
  const { attempts } = await play(environment, (asked, response, number) =>
    number < 3 ? forward(asked, response, number) : json(response, {}, 500),
  );
  expect(attempts[0]!.outcome).toMatchObject({ type: "noResult", reason: expect.stringContaining("answered 500") });
  expect(environment.taken).toEqual(["forward", "forward"]);
});

test("what no further try can mend is thrown, and so is an abort", async () => {
  const refused = play(corridor(), (_, response) => json(response, {}, 401));
  await expect(refused).rejects.toBeInstanceOf(ServedModelError);
  const stop = new AbortController();
  const stopped = play(corridor(), () => stop.abort(new Error("enough")), { signal: stop.signal });
  await expect(stopped).rejects.toThrow("enough");
});

test("further trials are told the last three lessons, thoughts left out, and end with the first success", async () => {
  let lessons = 0;
  const { attempts, asked } = await play(
    corridor(),
    ({ body }, response) => {
      const [first] = body.messages;
      if (first!.content.startsWith("You tried")) chat(response, `<think>hm</think> Lesson ${++lessons}.`);
      else chat(response, first!.content.includes("Lesson 5.") ? "<action>forward</action>" : "<action>back</action>");
    },
    { trials: 8 },
  );
  expect(attempts.map(({ outcome }) => outcome.type)).toEqual([...Array(5).fill("truncated"), "finished"]);
  expect(attempts.map(({ lesson }) => lesson)).toEqual(
    [1, 2, 3, 4, 5].map((n) => `Lesson ${n}.`).concat(undefined as never),
  );
  const told = asked.at(-1)!.body.messages[0]!.content;
  expect(told).toContain("- Lesson 3.\n- Lesson 4.\n- Lesson 5.\n");
  expect(told).not.toContain("Lesson 2.");
  const question = asked.find(({ body }) => body.messages[0]!.content.startsWith("You tried"))!;
  expect(question.body.messages[0]!.content).toContain("it was cut after 10 steps");
});

test("a lesson that cannot be had leaves the task without a result", async () => {
  const { attempts } = await play(
    corridor(),
    (asked, response, number) =>
      asked.body.messages[0]!.content.startsWith("You tried")
        ? json(response, {}, 503)
        : always("<action>back</action>")(asked, response, number),
    { trials: 2 },
  );
  expect(attempts).toHaveLength(1);
  expect(attempts[0]!.outcome.type).toBe("noResult");
});
