import { expect, test } from "bun:test";
import { type Clock, ServedModel, ServedModelError, type ServedModelOptions } from "./model.ts";
import { chat, events, json, type Responder, TestingEndpoint } from "./testing-endpoint.ts";

const question = [{ role: "user", content: "What now?" }] as const;

/** Time that passes at once and is written down. */
function virtualClock(): Clock & { slept: number[] } {
  const slept: number[] = [];
  return { slept, now: () => 0, jitter: () => 0.5, sleep: async (ms) => void slept.push(ms) };
}

async function ask(responder: Responder, options: Partial<ServedModelOptions> = {}) {
  await using endpoint = await TestingEndpoint.start(responder);
  const clock = virtualClock();
  const model = new ServedModel({ baseUrl: endpoint.baseUrl, model: "tiny", clock, ...options });
  const [result] = await Promise.allSettled([model.answer(question, { seed: 7 })]);
  return {
    answer: result.status === "fulfilled" ? result.value : undefined,
    error: result.status === "rejected" ? (result.reason as ServedModelError) : undefined,
    asked: endpoint.asked,
    slept: clock.slept,
  };
}

test("a chat is asked with model, limit and sampling, and answered with text, end and tokens", async () => {
  const { answer, asked } = await ask((_, response) => chat(response, "look"), {
    temperature: 0.4,
    topP: 0.9,
    answerTokens: 64,
    apiKey: "secret-key",
  });
  expect(answer).toEqual({ text: "look", finish: "stop", usage: { promptTokens: 10, answerTokens: 5 } });
  expect(asked[0]!.path).toBe("/v1/chat/completions");
  expect(asked[0]!.headers.authorization).toBe("Bearer secret-key");
  expect(asked[0]!.body as object).toEqual({
    model: "tiny",
    messages: [...question],
    max_tokens: 64,
    temperature: 0.4,
    top_p: 0.9,
    seed: 7,
  });
});

test("a model that knows no chat is asked to go on from a text", async () => {
  const responder: Responder = (_, response) =>
    json(response, { choices: [{ text: " look", finish_reason: "length" }] });
  const { answer, asked } = await ask(responder, { api: "completions" });
  expect(answer).toEqual({ text: " look", finish: "length" });
  expect(asked[0]!.path).toBe("/v1/completions");
  expect(asked[0]!.body).toMatchObject({ prompt: "What now?\n", max_tokens: 512 });

  await using endpoint = await TestingEndpoint.start(responder);
  const model = new ServedModel({ baseUrl: endpoint.baseUrl, model: "tiny", api: "completions" });
  await model.answer([...question, { role: "assistant", content: "look" }, { role: "user", content: "And now?" }]);
  expect(endpoint.asked[0]!.body).toMatchObject({
    prompt: "User: What now?\n\nAssistant: look\n\nUser: And now?\n\nAssistant:",
    stop: ["\nUser:"],
  });
});

test("a thought that the server keeps apart, or whose beginning is in the chat template, stands in front of the answer", async () => {
  for (const name of ["reasoning_content", "reasoning"]) {
    const { answer } = await ask((_, response) =>
      json(response, { choices: [{ message: { content: "<action>look</action>", [name]: "hm" } }] }),
    );
    expect(answer!.text).toBe("<think>hm</think><action>look</action>");
  }
  expect((await ask((_, response) => chat(response, "hm</think>look"))).answer!.text).toBe("<think>hm</think>look");
});

test("log-probabilities are read where they are offered, of chats and of texts", async () => {
  const inChat = {
    content: [
      { token: "lo", logprob: -0.5 },
      { token: "ok", logprob: -0.25 },
    ],
  };
  const { answer, asked } = await ask(
    (_, response) => json(response, { choices: [{ message: { content: "look" }, logprobs: inChat }] }),
    { logProbs: true },
  );
  expect(answer!.tokens).toEqual([
    { text: "lo", logProb: -0.5 },
    { text: "ok", logProb: -0.25 },
  ]);
  expect(asked[0]!.body.logprobs).toBe(true);
  const inText = { tokens: ["lo", "ok"], token_logprobs: [-1, -2] };
  const second = await ask((_, response) => json(response, { choices: [{ text: "look", logprobs: inText }] }), {
    api: "completions",
    logProbs: true,
  });
  expect(second.answer!.tokens!.map(({ logProb }) => logProb)).toEqual([-1, -2]);
  expect(second.asked[0]!.body.logprobs).toBe(0);
  expect((await ask((_, response) => chat(response, "look"), { logProbs: true })).answer!.tokens).toBeUndefined();
});

test("a stream gives the same answer as a whole, with the tokens that its last event counts", async () => {
  const part = (delta: object, finish_reason: string | null = null) => ({ choices: [{ delta, finish_reason }] });
  const { answer, asked } = await ask(
    (_, response) =>
      events(
        response,
        part({ role: "assistant", reasoning_content: "h" }),
        part({ reasoning_content: "m" }),
        part({ content: "lo" }),
        part({ content: "ok" }, "stop"),
        { choices: [], usage: { prompt_tokens: 3, completion_tokens: 4 } },
        "[DONE]",
      ),
    { stream: true },
  );
  expect(answer).toEqual({
    text: "<think>hm</think>look",
    finish: "stop",
    usage: { promptTokens: 3, answerTokens: 4 },
  });
  expect(asked[0]!.body).toMatchObject({ stream: true, stream_options: { include_usage: true } });
});

test("no more requests are under way than the limit, and all get their turn", async () => {
  const held: (() => void)[] = [];
  let arrived = 0;
  let most = 0;
  await using endpoint = await TestingEndpoint.start(async ({ path }, response) => {
    if (path === "/ping") return void response.end();
    held.push(() => chat(response, "look"));
    if (++arrived < 20 && held.length < 3) return;
    // A request beyond the limit would be here before one that is sent now.
    await fetch(new URL("/ping", endpoint.baseUrl));
    most = Math.max(most, held.length);
    for (const answer of held.splice(0)) answer();
  });
  const model = new ServedModel({ baseUrl: endpoint.baseUrl, model: "tiny", concurrency: 3 });
  const answers = await Promise.all(Array.from({ length: 20 }, () => model.answer(question)));
  expect(answers.map(({ text }) => text)).toEqual(Array.from({ length: 20 }, () => "look"));
  expect(most).toBe(3);
});

test("a busy or failing server is asked again after growing pauses, at least as long as it says", async () => {
  const { answer, slept, asked } = await ask((_, response, number) => {
    if (number === 1) json(response, { error: { message: "slow down" } }, 429, { "retry-after": "7" });
    else if (number === 2) json(response, {}, 500);
    else if (number === 3) response.destroy();
    else if (number === 4) json(response, {}, 503, { "retry-after": new Date(20_000).toUTCString() });
    else chat(response, "look");
  });
  expect(answer!.text).toBe("look");
  expect(asked).toHaveLength(5);
  // Half a second, doubled each time, by 3/4 with this jitter.
  expect(slept).toEqual([7000, 750, 1500, 20_000]);
});

test("attempts end, and a server that asks for a long rest is not waited for", async () => {
  const failing = await ask((_, response) => json(response, { error: "out of memory" }, 500), { attempts: 3 });
  expect(failing.asked).toHaveLength(3);
  expect(failing.error).toBeInstanceOf(ServedModelError);
  expect(failing.error!.message).toContain("answered 500: out of memory (3 attempts); model tiny");
  expect(failing.error!.isFinal).toBe(false);
  const resting = await ask((_, response) => json(response, {}, 429, { "retry-after": "3600" }));
  expect(resting.error!.message).toContain("and wants 3600 s of rest");
  expect(resting.slept).toEqual([]);
});

test("a wrong key, address or model is final at once; a request that is refused is not tried again", async () => {
  for (const status of [401, 403, 404]) {
    const { error, asked } = await ask((_, response) => json(response, { error: { message: "no" } }, status));
    expect([asked.length, error!.isFinal]).toEqual([1, true]);
  }
  const tooLong = await ask((_, response) => json(response, { message: "prompt is too long" }, 400));
  expect([tooLong.asked.length, tooLong.error!.isFinal]).toEqual([1, false]);
  expect(tooLong.error!.message).toContain("answered 400: prompt is too long");
});

test("a model that wants its limit under the newer name gets it, and is remembered to", async () => {
  await using endpoint = await TestingEndpoint.start((asked, response) => {
    if ("max_tokens" in asked.body)
      json(response, { error: { message: "Unsupported parameter: use 'max_completion_tokens' instead" } }, 400);
    else chat(response, "look");
  });
  const model = new ServedModel({ baseUrl: endpoint.baseUrl, model: "new", attempts: 1, answerTokens: 9 });
  await Promise.all([model.answer(question), model.answer(question)]);
  await model.answer(question);
  expect(endpoint.asked.map(({ body }) => body.max_completion_tokens)).toEqual([undefined, undefined, 9, 9, 9]);
});

test("a server that hangs is given up at the deadline", async () => {
  const { error } = await ask(() => {}, { timeoutMs: 30, attempts: 2 });
  expect(error!.message).toContain("did not answer within 30 ms (2 attempts)");
  const midway = await ask(
    (_, response) => void response.writeHead(200).write('data: {"choices":[{"delta":{"content":"lo"}}]}\n\n'),
    { timeoutMs: 30, attempts: 1, stream: true },
  );
  expect(midway.error!.message).toContain("did not answer within 30 ms");
});

test("garbage is an error that shows a little of it, never an answer", async () => {
  const cases: [Responder, string, boolean?][] = [
    [(_, response) => void response.end("<html>It works!</html>"), "no JSON: <html>It works!</html>"],
    [(_, response) => void response.end(), "no JSON"],
    [(_, response) => json(response, [1, 2]), "answers [1,2] instead of an object"],
    [(_, response) => json(response, { choices: "none" }), 'without "choices"'],
    [(_, response) => json(response, { choices: [] }), "without a choice"],
    [
      (_, response) => json(response, { choices: [{ message: { content: null }, finish_reason: "content_filter" }] }),
      "without a text (finish_reason content_filter)",
    ],
    [(_, response) => json(response, { choices: [{ message: { content: "" } }] }), "without a text"],
    [(_, response) => json(response, { error: { message: "overloaded" } }), "with an error: overloaded"],
    [
      (_, response) =>
        json(response, { choices: [{ message: { content: "a" }, logprobs: { content: [{ token: 1 }] } }] }),
      "log-probabilities that are none",
    ],
    [(_, response) => void response.end("\u0000\ufffd\u0001 garbage"), "a line that is no event", true],
    [(_, response) => events(response, "{broken"), "no JSON: {broken", true],
    [(_, response) => events(response), "streams no event", true],
    [(_, response) => events(response, "[DONE]"), "streams no event", true],
    [(_, response) => events(response, { error: { message: "died" } }), "with an error: died", true],
  ];
  for (const [responder, message, stream] of cases) {
    const { error, answer } = await ask(responder, { attempts: 1, stream });
    expect(answer).toBeUndefined();
    expect(error!.message).toContain(message);
    expect(error!.message.length).toBeLessThan(400);
  }
});

test("an answer of 100,000 characters is cut, a stream where it passes the limit, and an endless body refused", async () => {
  const whole = await ask((_, response) => chat(response, "x".repeat(100_000)));
  expect([whole.answer!.text.length, whole.answer!.finish]).toEqual([65_536, "cut"]);

  let written = 0;
  const stopped = Promise.withResolvers<void>();
  const endless = await ask(
    async (_, response) => {
      response.writeHead(200).on("close", stopped.resolve);
      const part = `data: ${JSON.stringify({ choices: [{ delta: { content: "y".repeat(1000) } }] })}\n\n`;
      while (!response.destroyed) {
        written++;
        if (!response.write(part)) await Promise.race([new Promise((r) => response.once("drain", r)), stopped.promise]);
      }
    },
    { stream: true, longestAnswer: 5000 },
  );
  await stopped.promise;
  expect([endless.answer!.text.length, endless.answer!.finish]).toEqual([5000, "cut"]);
  expect(written).toBeGreaterThan(4);

  const flood = await ask((_, response) => void response.end(`"${"z".repeat(17 * 2 ** 20)}"`), { attempts: 1 });
  expect(flood.error!.message).toContain("answers more than 16777216 bytes");
});

test("a key stands in no error, though the server repeats it", async () => {
  const { error } = await ask((_, response) => json(response, { error: { message: "bad key sk-12345678" } }, 401), {
    apiKey: "sk-12345678",
  });
  expect(error!.message).toContain("bad key …");
  expect(error!.message).not.toContain("sk-12345678");
});

test("an abort ends what is under way and what waits, with its reason", async () => {
  const arrived = Promise.withResolvers<void>();
  await using endpoint = await TestingEndpoint.start(() => arrived.resolve());
  const model = new ServedModel({ baseUrl: endpoint.baseUrl, model: "tiny", concurrency: 1 });
  const stop = new AbortController();
  const both = Promise.allSettled([1, 2].map(() => model.answer(question, { signal: stop.signal })));
  await arrived.promise;
  stop.abort(new Error("enough"));
  expect((await both).map((each) => each.status === "rejected" && each.reason.message)).toEqual(["enough", "enough"]);
  expect(endpoint.asked).toHaveLength(1);
});

test("addresses that cannot work, or would give the key away, are refused", () => {
  const make = (baseUrl: string, apiKey?: string) => () => new ServedModel({ baseUrl, model: "tiny", apiKey });
  expect(make("somewhere")).toThrow("is like http://127.0.0.1:8000/v1, found");
  expect(make("ftp://host/v1")).toThrow("by http or https");
  expect(make("http://me:pass@host/v1")).toThrow("holds no user");
  expect(make("http://gpu-box:8000/v1", "key")).toThrow("would travel unprotected to gpu-box:8000");
  for (const fine of ["http://127.0.0.1:1/v1", "http://localhost/v1", "http://[::1]:1/v1", "https://host/v1"])
    expect(make(fine, "key")).not.toThrow();
  expect(make("http://gpu-box:8000/v1")).not.toThrow();
});
