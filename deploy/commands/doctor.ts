import { ConfigError, defineConfig } from "../../proto/config.ts";
import { type Command, exitCodes } from "../command.ts";
import { renderResult, runChecks } from "../doctor/check.ts";
import { topics } from "../doctor/topics.ts";

export const command: Command = {
  usage: `proxima doctor ${Object.keys(topics).join("|")}`,
  about: `Looks at this machine and says what was found, what was expected and what to do. ${Object.entries(topics)
    .map(([name, { summary }]) => `Topic ${name}: ${summary}.`)
    .join(" ")}`,
  schema: defineConfig({ title: "doctor", fields: {} }),
  takesWords: true,
  examples: ["proxima doctor gpu"],
  async run({ arguments: { words }, output }) {
    const [topic = "", ...rest] = words;
    if (rest.length || !Object.hasOwn(topics, topic))
      throw new ConfigError([`expected '${command.usage}', found 'doctor ${words.join(" ")}'`]);
    const results = await runChecks((await topics[topic]!.load()).checks);
    for (const result of results) {
      output.event("check", result);
      output.say(renderResult(result));
    }
    return results.every(({ ok }) => ok) ? exitCodes.ok : exitCodes.failure;
  },
};
