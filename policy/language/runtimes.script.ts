/**
 * Plays an episode with a served model, and asks others that fail in their own ways; prints what came of it: `runtimes.test.ts` runs it on Bun,
 * Deno and Node, which must agree. Takes the endpoint's address.
 */
import { createHash } from "node:crypto";
import { resolveArguments } from "../../envs/registry.ts";
import scavenger from "../../envs/scavenger.ts";
import { languageAgents } from "./agent/index.ts";
import { ServedModel } from "./served/index.ts";

const [baseUrl = ""] = process.argv.slice(2);
const said: Record<string, string> = {};

for (const mode of ["window", "conversation"] as const) {
  const model = new ServedModel({ baseUrl, model: "player", stream: mode === "conversation" });
  const countTokens = (text: string) => text.length;
  const options = { template: "plain", form: "think", history: 2, promptTokens: 2_000, countTokens } as const;
  const agent = languageAgents({ ...options, mode }).begin(["Look around first."]);
  const source = await scavenger.load(resolveArguments(scavenger, { difficulty: 1 }));
  const env = source.create();
  const hash = createHash("sha256");
  let turn = await env.reset({ task: source.tasks("train").at(0), seed: 1 });
  for (let ended = false; !ended; ) {
    const prompt = agent.prompt(turn);
    hash.update(JSON.stringify(prompt));
    const { text, usage } = await model.answer(prompt, { seed: 1 });
    hash.update(JSON.stringify([text, usage]));
    const next = await env.step(agent.answered(text).action);
    ended = next.terminated || next.truncated;
    turn = next;
  }
  said[mode] = hash.digest("hex");
}

for (const name of ["busy", "hangs", "garbage", "moved", "torn", "endless"]) {
  const model = new ServedModel({
    ...{ baseUrl, model: name, timeoutMs: name === "hangs" ? 100 : 20_000, attempts: 2, longestAnswer: 1000 },
    stream: name === "endless",
    backoff: { firstMs: 1, longestMs: 1, longestRetryAfterMs: 1000 },
  });
  said[name] = await model.answer([{ role: "user", content: "?" }]).then(
    ({ text, finish }) => `${text.length} characters, ${finish}`,
    // How a runtime words a broken connection is its own.
    (error: Error) => error.message.replace(baseUrl, "").replace(/(cannot be asked): .* \(/, "$1 ("),
  );
}
console.log(JSON.stringify(said));
