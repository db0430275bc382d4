/** `proxima pause`, `resume` and `checkpoint`: what the page of `proxima ui` can ask of a learner, from the command line. */
import { type ConfigOf, defineConfig, resolveConfig } from "../../proto/config.ts";
import { type Command, exitCodes } from "../command.ts";
import { givenLayers } from "../config-file.ts";
import { answerOf, type LearnerLink, linkToRun } from "../learner-link.ts";
import { onlyRun } from "../run-folder.ts";

const schema = defineConfig({
  title: "control",
  fields: {
    run: {
      section: "learner",
      type: "text",
      default: "",
      pattern: /^([A-Za-z0-9_-]{1,64})?$/,
      expects: "at most 64 letters, digits, - or _",
      about: "Name of the run; the only one in runs/ when empty.",
    },
    nats: {
      section: "learner",
      type: "text",
      default: "",
      about: "Broker that knows the run, for a learner whose folder is on another machine.",
    },
    natsCredentials: {
      section: "learner",
      type: "text",
      default: "",
      about: "Path of a NATS credentials file.",
    },
    secrets: {
      section: "learner",
      type: "text",
      default: "",
      about: "Folder made by `proxima secure init`, with the operator's files; PROXIMA_SECRETS when empty.",
    },
    timeoutMs: {
      section: "learner",
      type: "integer",
      default: 60_000,
      min: 100,
      unit: "ms",
      about: "How long its answer is waited for; a checkpoint waits for the update under way.",
    },
  },
});

const pauseSchema = defineConfig({
  title: "pause",
  fields: {
    ...schema.fields,
    reason: {
      section: "learner",
      type: "text",
      default: "paused from the command line",
      about: "Shown to whoever watches the run.",
    },
  },
});

export const pause: Command = {
  usage: "proxima pause [--run NAME] [--reason TEXT]",
  about: "Asks a run's learner to stop after the iteration under way, and to keep everything. Actors stay and wait.",
  schema: pauseSchema,
  examples: ['proxima pause --run alfworld-1 --reason "the machine is needed until noon"'],
  async run({ arguments: given, output }) {
    const { config } = resolveConfig(pauseSchema, givenLayers(given, pauseSchema));
    const { run, answer } = await ask(config, ({ client }, until) => client.pause({ reason: config.reason }, until));
    output.event("paused", { run, iteration: Number(answer.iteration) });
    output.say(`Run ${run} pauses after iteration ${answer.iteration}; 'proxima resume --run ${run}' lets it go on.`);
    return exitCodes.ok;
  },
};

export const resume: Command = {
  usage: "proxima resume [--run NAME]",
  about: "Lets a paused run go on. (A run whose learner has ended goes on with 'proxima dev --run NAME --resume'.)",
  schema,
  examples: ["proxima resume --run alfworld-1"],
  async run({ arguments: given, output }) {
    const { config } = resolveConfig(schema, givenLayers(given, schema));
    const { run, answer } = await ask(config, ({ client }, until) => client.resume({}, until));
    output.event("resumed", { run, iteration: Number(answer.iteration) });
    output.say(`Run ${run} goes on after ${answer.iteration} iterations.`);
    return exitCodes.ok;
  },
};

export const checkpoint: Command = {
  usage: "proxima checkpoint [--run NAME]",
  about: "Asks a run's learner for a checkpoint now, and answers when it is on disk.",
  schema,
  examples: ["proxima checkpoint --run alfworld-1"],
  async run({ arguments: given, output }) {
    const { config } = resolveConfig(schema, givenLayers(given, schema));
    const { run, answer } = await ask(config, ({ client }, until) => client.checkpoint({}, until));
    output.event("checkpoint", { run, path: answer.path, iteration: Number(answer.iteration) });
    output.say(`Checkpoint of run ${run} after ${answer.iteration} iterations: ${answer.path}`);
    return exitCodes.ok;
  },
};

async function ask<T>(
  { run: named, nats, natsCredentials, secrets, timeoutMs }: ConfigOf<typeof schema>,
  call: (link: LearnerLink, until: { timeoutMs: number }) => Promise<T>,
): Promise<{ run: string; answer: T }> {
  const run = named || onlyRun("runs");
  const link = await linkToRun("runs", run, { nats, natsCredentials, secrets });
  try {
    return { run, answer: await answerOf(run, call(link, { timeoutMs })) };
  } finally {
    link.close();
  }
}
