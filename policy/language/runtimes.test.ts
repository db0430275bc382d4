import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { hasRuntime, outputOn, type Runtime } from "../../proto/testing/runtimes.ts";
import { chat, events, json, type Responder, TestingEndpoint } from "./served/testing-endpoint.ts";

const script = fileURLToPath(new URL("runtimes.script.ts", import.meta.url));

/** Answers by the name of the model: the player takes one of the listed actions, the others fail. */
function responder(): Responder {
  let busy = true;
  return async ({ body }, response) => {
    switch (body.model) {
      case "player": {
        const prompt = body.messages.at(-1)!.content;
        const actions = [...prompt.matchAll(/^- (?!Look around)(.*)$/gm)].map(([, action]) => action);
        const answer = `<think>It has ${prompt.length} characters: ✓</think><action>${actions[prompt.length % actions.length]}</action>`;
        if (!body.stream) return chat(response, answer);
        const parts = [...answer].map((content) => ({ choices: [{ delta: { content } }] }));
        return events(response, ...parts, { choices: [], usage: { prompt_tokens: 1, completion_tokens: 2 } }, "[DONE]");
      }
      case "busy":
        if (busy) json(response, {}, 429, { "retry-after": "0" });
        else chat(response, "at last");
        busy = !busy;
        return;
      case "garbage":
        return void response.end("<html>");
      case "moved":
        return void response.writeHead(302, { location: "http://127.0.0.1:1/" }).end();
      case "torn":
        response.writeHead(200, { "content-length": "1000" }).write('{"choices":');
        return void response.destroy();
      case "endless":
        response.writeHead(200);
        while (!response.destroyed) {
          response.write(`data: ${JSON.stringify({ choices: [{ delta: { content: "y".repeat(100) } }] })}\n\n`);
          await new Promise((resolve) => setImmediate(resolve));
        }
    }
  };
}

async function saidOn(runtime: Runtime): Promise<Record<string, string>> {
  await using endpoint = await TestingEndpoint.start(responder());
  return JSON.parse(await outputOn(runtime, script, endpoint.baseUrl));
}

const onBun = saidOn("bun");

test("agents and served models run on Bun", async () => {
  const { window, conversation, ...others } = await onBun;
  expect(window).not.toBe(conversation);
  expect(others).toEqual({
    busy: "7 characters, stop",
    hangs: "/chat/completions did not answer within 100 ms (2 attempts); model hangs",
    garbage: "/chat/completions answers something that is no JSON: <html> (2 attempts); model garbage",
    moved: "/chat/completions cannot be asked (2 attempts); model moved",
    torn: "/chat/completions cannot be asked (2 attempts); model torn",
    endless: "1000 characters, cut",
  });
}, 60_000);

for (const runtime of ["deno", "node"] as const)
  test.skipIf(!hasRuntime(runtime))(
    `${runtime} gives the same prompts, answers and failures as Bun (skipped where it is absent)`,
    async () => expect(await saidOn(runtime)).toEqual(await onBun),
    60_000,
  );
