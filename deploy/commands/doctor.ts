import { ConfigError, defineConfig, resolveConfig, suggestion } from "../../proto/config.ts";
import { type Command, exitCodes } from "../command.ts";
import { givenLayers } from "../config-file.ts";
import { renderResult, runChecks } from "../doctor/check.ts";
import { runChecks as checksOfRun } from "../doctor/run.ts";
import { topics } from "../doctor/topics.ts";

const schema = defineConfig({
  title: "doctor",
  fields: {
    run: {
      section: "run",
      type: "text",
      default: "",
      pattern: /^([A-Za-z0-9_-]{1,64})?$/,
      expects: "at most 64 letters, digits, - or _",
      about: "Look at this run instead: who waits for whom, since when, and what to try.",
    },
    nats: {
      section: "run",
      type: "text",
      default: "",
      about: "Broker that knows the run, for a learner whose folder is on another machine.",
    },
    natsCredentials: { section: "run", type: "text", default: "", about: "Path of a NATS credentials file." },
    secrets: {
      section: "run",
      type: "text",
      default: "",
      about: "Folder made by `proxima secure init`, with the operator's files; PROXIMA_SECRETS when empty.",
    },
  },
});

export const command: Command = {
  usage: `proxima doctor [${Object.keys(topics).join("|")}] | proxima doctor --run NAME [--nats URL]`,
  about: `Looks at this machine, or at a run that is being trained, and says what was found, what was expected and what to do. ${Object.entries(
    topics,
  )
    .map(([name, { summary }]) => `Topic ${name}: ${summary}.`)
    .join(" ")}`,
  schema,
  takesWords: true,
  examples: ["proxima doctor", "proxima doctor --run alfworld-1"],
  async run({ arguments: given, output }) {
    const { config } = resolveConfig(schema, givenLayers(given, schema));
    const [topic, ...rest] = given.words;
    if (rest.length || (topic !== undefined && config.run))
      throw new ConfigError([`expected ${command.usage}; found 'doctor ${given.words.join(" ")}'`]);
    const results = await runChecks(config.run ? checksOfRun("runs", config.run, config) : await checksOf(topic));
    for (const result of results) {
      output.event("check", result);
      output.say(renderResult(result));
    }
    return results.every(({ ok }) => ok) ? exitCodes.ok : exitCodes.failure;
  },
};

async function checksOf(topic = "machine") {
  if (!Object.hasOwn(topics, topic)) {
    throw new ConfigError([
      `there is no topic '${topic}'${suggestion(topic, Object.keys(topics)).replace(/; see --help.*/, "")}`,
    ]);
  }
  return (await topics[topic]!.load()).checks;
}
