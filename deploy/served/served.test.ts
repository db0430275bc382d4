import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TASK_TYPES } from "../../envs/alfworld/task-type.ts";
import { loadEnvironment } from "../../envs/registry.ts";
import { sayIfSkipped, smallData } from "../../envs/webshop/testing.ts";
import {
  type Asked,
  chat,
  type Responder,
  json as sendJson,
  TestingEndpoint,
} from "../../policy/language/served/testing-endpoint.ts";
import { runCommandLine } from "../command-line.ts";
import { EVALUATION, taskIndices } from "../evaluate.ts";

setDefaultTimeout(60_000); // for machines that do much else at the same time
sayIfSkipped("deploy/served/served.test.ts");
const root = mkdtempSync(join(tmpdir(), "proxima-served-"));
const before = process.cwd();
beforeAll(() => process.chdir(root));
afterAll(() => {
  process.chdir(before);
  rmSync(root, { recursive: true, force: true });
});

interface Event {
  type: string;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the event holds
  [field: string]: any;
}

async function type(argv: readonly string[], signal = new AbortController().signal) {
  const out: string[] = [];
  const err: string[] = [];
  const streams = { out: (text: string) => void out.push(text), err: (text: string) => void err.push(text) };
  const code = await runCommandLine(argv, streams, signal);
  const text = out.join("");
  const events: Event[] = argv.includes("--json")
    ? text
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line))
    : [];
  const last = (wanted: string) => events.findLast((event) => event.type === wanted);
  return { code, out: text, err: err.join(""), events, last };
}

const household = ["--env", "alfworld", "--env.data", "household"];
const evaluation = (endpoint: TestingEndpoint, ...rest: string[]) => [
  ...["eval", "--policy", "openai:tiny", "--base-url", endpoint.baseUrl, "--requestTimeoutMs", "20000"],
  ...rest,
];

/** Knows the way through the tasks of an evaluation: recognises a task by the first thing one sees in it. */
async function oracle(episodes: number, env: string, args: Record<string, string> = {}) {
  const { source } = await loadEnvironment(env, args);
  const tasks = source.tasks("eval");
  const ways: { seen: readonly string[]; actions: readonly string[] }[] = [];
  for (const index of taskIndices(episodes, tasks.size, EVALUATION)) {
    const start = { task: tasks.at(index), seed: 0 };
    const { observation, instruction } = await source.create().reset(start);
    const seen = [`${instruction}`, `You see: ${observation}\n`];
    ways.push({ seen, actions: (await source.demonstrate!(start)) as string[] });
  }
  return ({ body }: Asked): string | undefined => {
    const text = body.messages.map(({ content }) => content).join("\n");
    const way = ways.find(({ seen }) => seen.every((part) => text.includes(part)));
    return way?.actions[body.messages.filter(({ role }) => role === "assistant").length];
  };
}
const saying = (action = "look") => `<think>I know.</think><action>${action}</action>`;
const known = async (episodes: number): Promise<Responder> => {
  const next = await oracle(episodes, "alfworld", { data: "household" });
  return (asked, response) => chat(response, saying(next(asked)));
};

describe("eval --policy openai:MODEL", () => {
  test("gives ALFWorld's table, by type of task, with tokens and cost", async () => {
    await using endpoint = await TestingEndpoint.start(await known(12));
    const args = evaluation(endpoint, ...household, "--agent", "react", "--episodes", "12", "--out", "table");
    const { code, out } = await type([...args, "--price-in", "0.5", "--price-out", "2"]);
    expect(code, out).toBe(0);
    expect(out).toMatch(/model +agent .*Pick.* All\n +tiny +react( +100\.0)+\n/);
    expect(out).toContain("Success 100.0 % (95 %: 76–100)");
    const requests = endpoint.asked.length;
    const cost = (requests * (10 * 0.5 + 5 * 2)) / 1e6;
    expect(out).toContain(`${requests} requests: `);
    expect(out).toContain(`cost ${Number(cost.toPrecision(3))}`);
    for (const { body, path } of endpoint.asked) {
      expect(path).toBe("/v1/chat/completions");
      expect(body).toMatchObject({ model: "tiny", temperature: 0.4, max_tokens: 512 });
    }
  });

  test("says the same to programs, each episode when it ends", async () => {
    await using endpoint = await TestingEndpoint.start(await known(6));
    const args = evaluation(
      endpoint,
      ...household,
      "--agent",
      "react",
      "--episodes",
      "6",
      "--out",
      "programs",
      "--json",
    );
    const { events, last } = await type(args);
    expect(events.filter((event) => event.type === "episode")).toHaveLength(6);
    const result = last("evaluation")!;
    expect(result).toMatchObject({
      model: "tiny",
      agent: "react",
      environment: "alfworld",
      split: "eval",
      planned: 6,
      episodes: 6,
    });
    expect(result.success).toEqual({ successes: 6, episodes: 6 });
    expect(Object.keys(result.byType).every((name) => TASK_TYPES.includes(name as never))).toBe(true);
    expect(result.spent.promptTokens).toBe(10 * endpoint.asked.length);
    expect(result.invalidActions).toBe(0);
  });

  test("asks each step anew for a direct agent, within a conversation for react", async () => {
    for (const [agent, most] of [
      ["direct", 1],
      ["react", 5],
    ] as const) {
      await using endpoint = await TestingEndpoint.start((_, response) => chat(response, saying()));
      const args = [...household, "--agent", agent, "--episodes", "1", "--env.maxEpisodeSteps", "3", "--out", agent];
      const { code } = await type(evaluation(endpoint, ...args));
      expect(code).toBe(0);
      expect(Math.max(...endpoint.asked.map(({ body }) => body.messages.length))).toBe(most);
    }
  });

  test("tries again with a lesson for reflexion, and tells what the first trials alone had reached", async () => {
    const next = await oracle(3, "alfworld", { data: "household" });
    await using endpoint = await TestingEndpoint.start((asked, response) => {
      const [first] = asked.body.messages;
      if (first!.content.startsWith("You tried")) chat(response, "<think>hm</think>I should do it right.");
      else
        chat(
          response,
          first!.content.includes("I should do it right.") ? saying(next(asked)?.toUpperCase()) : saying(),
        );
    });
    const args = evaluation(endpoint, ...household, "--agent", "reflexion", "--episodes", "3", "--out", "reflexion");
    const { last } = await type([...args, "--env.maxEpisodeSteps", "40", "--json"]);
    expect(last("evaluation")).toMatchObject({
      success: { successes: 3, episodes: 3 },
      firstTrial: { successes: 0, episodes: 3 },
    });
    const [, line] = readFileSync("reflexion/transcripts.jsonl", "utf8").split("\n");
    expect(JSON.parse(line!).attempts.map(({ lesson }: { lesson?: string }) => lesson)).toEqual([
      "I should do it right.",
      undefined,
    ]);
  });

  test("takes what a model says that has lost its way for an invalid action, and the episode for no success", async () => {
    const nonsense = [
      "",
      "no action at all",
      "x".repeat(100_000),
      "<action></action>",
      "<think>好</think><action>look</action>",
    ];
    await using endpoint = await TestingEndpoint.start((_, response, number) =>
      chat(response, nonsense[number % nonsense.length] || " "),
    );
    const args = evaluation(
      endpoint,
      ...household,
      "--episodes",
      "3",
      "--env.maxEpisodeSteps",
      "10",
      "--out",
      "nonsense",
    );
    const { last, code } = await type([...args, "--json"]);
    expect(code).toBe(0);
    expect(last("evaluation")).toMatchObject({
      success: { successes: 0, episodes: 3 },
      invalidActions: 1,
      noResults: {},
    });
  });
});

describe("an endpoint that fails", () => {
  test("leaves episodes without a result, which do not count, and which alone are played again", async () => {
    const answers = await known(6);
    let failures = 0;
    await using endpoint = await TestingEndpoint.start((asked, response, number) => {
      if (number % 7 !== 3 || failures >= 3) return answers(asked, response, number);
      failures++;
      sendJson(response, { error: { message: "out of memory" } }, 500);
    });
    const args = evaluation(
      endpoint,
      ...household,
      "--agent",
      "react",
      "--episodes",
      "6",
      "--attempts",
      "1",
      "--out",
      "failing",
    );
    const first = await type([...args, "--json"]);
    expect(first.code).toBe(0);
    const { success, noResults } = first.last("evaluation")!;
    expect(success).toEqual({ successes: 3, episodes: 3 });
    expect(Object.entries(noResults)).toEqual([[expect.stringContaining("answered 500: out of memory"), 3]]);

    const second = await type(["eval", "--resume", "failing", "--base-url", endpoint.baseUrl, "--json"]);
    expect(second.code).toBe(0);
    expect(second.events.filter((event) => event.type === "episode")).toHaveLength(3);
    expect(second.last("evaluation")).toMatchObject({ success: { successes: 6, episodes: 6 }, noResults: {} });
    // What the episodes without a result had cost is not forgotten.
    expect(second.last("evaluation")!.spent.requests).toBe(endpoint.asked.length - 3);
  });

  test("that refuses the key stops the evaluation at once, and the key is nowhere to be read", async () => {
    process.env.TEST_SERVED_KEY = "sk-very-secret";
    await using endpoint = await TestingEndpoint.start((_, response) =>
      sendJson(response, { error: { message: "Incorrect API key provided: sk-very-secret" } }, 401),
    );
    const args = evaluation(
      endpoint,
      ...household,
      "--concurrency",
      "1",
      "--apiKeyVariable",
      "TEST_SERVED_KEY",
      "--out",
      "refused",
    );
    const { code, out, err } = await type(args);
    expect(code).toBe(1);
    expect(endpoint.asked).toHaveLength(1);
    expect(endpoint.asked[0]!.headers.authorization).toBe("Bearer sk-very-secret");
    expect(err).toContain("answered 401: Incorrect API key provided: …");
    expect(`${out}${err}${readFileSync("refused/transcripts.jsonl", "utf8")}`).not.toContain("sk-very-secret");
  });

  test("that answers nobody is left after ten episodes", async () => {
    await using endpoint = await TestingEndpoint.start(() => {});
    const args = evaluation(
      endpoint,
      ...household,
      "--requestTimeoutMs",
      "20",
      "--attempts",
      "1",
      "--concurrency",
      "1",
      "--out",
      "hanging",
    );
    const { code, last, err, events } = await type([...args, "--json"]);
    expect(code).toBe(1);
    expect(err).toBe("");
    expect(events.filter((event) => event.type === "episode")).toHaveLength(10);
    expect(last("error")!.message).toContain("10 episodes in a row had no result, the last because: ");
    expect(last("error")!.message).toContain("did not answer within 20 ms");
  });
});

test("after Ctrl-C an evaluation goes on where it stopped, and ends as if it had never stopped", async () => {
  const answers = await known(8);
  const stop = new AbortController();
  const slow: ServerResponse[] = [];
  await using endpoint = await TestingEndpoint.start((asked, response, number) => {
    if (number < 40) return answers(asked, response, number);
    slow.push(response);
    stop.abort(new Error("stopped by SIGINT"));
  });
  const common = [...household, "--agent", "react", "--episodes", "8", "--concurrency", "2", "--json"];
  const stopped = await type(evaluation(endpoint, ...common, "--out", "stopped"), stop.signal);
  expect(stopped.code).toBe(130);
  expect(stopped.last("stopped")).toEqual({ type: "stopped", folder: "stopped" });
  const done = stopped.events.filter((event) => event.type === "episode").length;
  expect(done).toBeGreaterThan(0);
  expect(done).toBeLessThan(8);
  // The process may also die in the middle of a line.
  appendFileSync("stopped/transcripts.jsonl", '{"episode":7,"task":"househ');

  await using healthy = await TestingEndpoint.start(answers);
  const resumed = await type(["eval", "--resume", "stopped", "--base-url", healthy.baseUrl, "--json"]);
  expect(resumed.code).toBe(0);
  expect(resumed.events.filter((event) => event.type === "episode")).toHaveLength(8 - done);
  const whole = await type(evaluation(healthy, ...common, "--out", "whole"));
  const { folder: _, ...wanted } = whole.last("evaluation")!;
  expect(resumed.last("evaluation")).toMatchObject(wanted);
});

test("an adapter is on the server for as long as the evaluation lasts", async () => {
  const loaded = new Map<string, string>();
  const asked = new Set<string>();
  await using endpoint = await TestingEndpoint.start(({ path, body }, response) => {
    const { lora_name: name, lora_path: path_ } = body as Record<string, string>;
    if (path === "/v1/load_lora_adapter") loaded.set(name!, path_!);
    else if (path === "/v1/unload_lora_adapter") loaded.delete(name!);
    else {
      asked.add(String(body.model));
      if (loaded.get(String(body.model)) !== "/adapters/run 7") sendJson(response, { message: "no such model" }, 404);
      else chat(response, saying());
      return;
    }
    response.end("Success");
  });
  const args = [...household, "--adapter", "/adapters/run 7", "--episodes", "2", "--env.maxEpisodeSteps", "2"];
  const { last } = await type(evaluation(endpoint, ...args, "--out", "adapted", "--json"));
  expect(last("evaluation")).toMatchObject({ episodes: 2, model: "tiny + proxima-run_7" });
  expect([...asked]).toEqual(["proxima-run_7"]);
  expect(loaded.size).toBe(0);
});

describe.skipIf(smallData === undefined)("on WebShop", () => {
  test("a model searches in its own words, and gets score and success", async () => {
    // Searches for the wish, opens the first product, and buys it as it is.
    await using endpoint = await TestingEndpoint.start(({ body }, response) => {
      const prompt = body.messages.at(-1)!.content;
      const [, wish] = /The wish: (.*?)(?:, and price lower.*)?\n/.exec(prompt) ?? [];
      const actions = [...prompt.matchAll(/^- (.*)$/gm)].map(([, action]) => action!);
      const buy = actions.find((action) => action === "click[buy now]" || /^click\[b0/.test(action));
      chat(response, saying(actions[0]!.startsWith("search[<") ? `search[${wish}]` : buy));
    });
    const args = ["--env", "webshop", "--env.data", smallData!, "--episodes", "8"];
    const { out, code } = await type(evaluation(endpoint, ...args, "--out", "shop"));
    expect(code, out).toBe(0);
    expect(out).toMatch(/model +agent +Score +Success\n +tiny +direct +\d\d\.\d +\d+\.\d\n/);
    expect(out).toContain("3.000 steps an episode, 0.0 % of actions invalid");
  });
});

test("the successes of a served model can be imitated", async () => {
  const next = await oracle(60, "scavenger", { difficulty: "1" });
  await using endpoint = await TestingEndpoint.start((asked, response) => chat(response, saying(next(asked))));
  const args = [
    "--env",
    "scavenger",
    "--env.difficulty",
    "1",
    "--agent",
    "react",
    "--episodes",
    "60",
    "--out",
    "teacher",
  ];
  const { out, code } = await type(evaluation(endpoint, ...args));
  expect(code).toBe(0);
  expect(out).toContain("imitate --env scavenger --env.difficulty 1 --from teacher/trajectories");
  const learnt = await type([
    ...[
      "imitate",
      "--env",
      "scavenger",
      "--env.difficulty",
      "1",
      "--from",
      "teacher/trajectories",
      "--policy.hidden",
      "16",
    ],
    ...["--epochs", "2", "--evalEpisodes", "5", "--learnerThreads", "1", "--json"],
  ]);
  expect(learnt.code, learnt.out).toBe(0);
  expect(learnt.last("demonstrations")!.demonstrations).toBeGreaterThan(50);
});

describe("settings that cannot work are refused with the reason", () => {
  const refused = async (...argv: string[]) => {
    const { code, err } = await type(["eval", ...argv]);
    expect(code).toBe(2);
    return err;
  };
  test("of the command", async () => {
    expect(await refused("--policy", "gpt")).toContain("openai:MODEL, with the model's name at the endpoint");
    expect(await refused("--agent", "react")).toContain("agent is for served language models only");
    expect(await refused("--policy", "openai:tiny", "--run", "a")).toContain("run belongs to a policy of ours");
    expect(await refused("--policy", "openai:tiny", "--env", "cartpole")).toContain("'cartpole' has box observations");
    expect(await refused("--policy", "openai:tiny", ...household, "--base-url", "here")).toContain('found "here"');
    expect(await refused("--policy", "openai:tiny", ...household, "--template", "./none.toml")).toContain(
      "no file ./none.toml",
    );
    writeFileSync("broken.toml", "firts = 'a'");
    expect(await refused("--policy", "openai:tiny", ...household, "--template", "broken.toml")).toContain(
      "did you mean 'first'?",
    );
    expect(existsSync("evaluations")).toBe(false);
  });

  test("of an evaluation that is to go on", async () => {
    await using endpoint = await TestingEndpoint.start((_, response) => chat(response, saying()));
    const args = [...household, "--episodes", "1", "--env.maxEpisodeSteps", "2", "--out", "settled"];
    expect((await type(evaluation(endpoint, ...args))).code).toBe(0);
    expect(await refused("--resume", "settled", "--temperature", "1")).toContain("without --temperature (there: 0.4)");
    expect(await refused("--resume", "nowhere")).toContain("there is no evaluation to go on with in nowhere");
    appendFileSync("settled/transcripts.jsonl", "{}\n");
    expect(await refused("--resume", "settled")).toContain("line 3 of settled/transcripts.jsonl is no played task");
    expect((await type(evaluation(endpoint, ...args))).err).toContain("there is an evaluation in settled already");
  });
});
