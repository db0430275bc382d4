import { existsSync } from "node:fs";
import { relative, resolve, sep } from "node:path";
import { runSchema } from "../../learner/config.ts";
import { ConfigError, defineConfig, type Layer, resolveConfig } from "../../proto/config.ts";
import { type Command, exitCodes } from "../command.ts";
import { givenLayers, readConfigFile } from "../config-file.ts";
import { evaluateRun, evaluateWeights, renderEvaluation } from "../evaluate-run.ts";
import { onlyRun, readRunFolder } from "../run-folder.ts";
import { evaluateServed, settingsOf } from "../served/evaluation.ts";
import { servedFields } from "../served/settings.ts";

const schema = defineConfig({
  title: "eval",
  fields: {
    run: {
      section: "evaluation",
      type: "text",
      default: "",
      about: "Name of the run; the only one in runs/ when empty.",
    },
    checkpoint: {
      section: "evaluation",
      type: "integer",
      default: -1,
      min: -1,
      about: "Iterations trained when it was written; -1: the newest.",
    },
    weights: {
      section: "evaluation",
      type: "text",
      default: "",
      about:
        "Safetensors file of weights to play instead of a checkpoint; its run is the one whose folder it lies in, or --run.",
    },
    split: { section: "evaluation", type: "text", default: "eval", about: "Tasks to play." },
    episodes: {
      section: "evaluation",
      type: "integer",
      default: 0,
      min: 0,
      max: 1_000_000,
      about: "Once sampled and once greedy; 0: as the run's evalEpisodes. Of a served language model once; 0: 100.",
    },
    seed: { section: "evaluation", type: "integer", default: 0, min: 0, max: 0xffff_ffff, about: "Of the episodes." },
    envArguments: {
      section: "evaluation",
      type: "options",
      prefix: "env",
      about: "Arguments of the environment that differ from training.",
    },
    ...servedFields,
  },
});

const ownFields = ["run", "checkpoint", "weights"];

export const command: Command = {
  usage: "proxima eval [--run NAME | --weights FILE | --policy openai:MODEL --env ID] [--episodes N] [--split SPLIT]",
  about:
    "Plays a checkpoint's policy on the eval tasks, once drawing actions as in training and once taking the most probable ones, and gives the success rate with its 95 % interval. With --policy openai:MODEL it plays a served language model instead, and gives its success by type of task, its tokens and its cost; transcripts are kept, and an evaluation that stopped goes on with --resume.",
  schema,
  examples: [
    "proxima eval --run cartpole-1 --episodes 1000",
    "proxima eval --weights runs/imitation-scavenger-1/weights.safetensors",
    "proxima eval --policy openai:Qwen/Qwen2.5-7B-Instruct --base-url http://127.0.0.1:8000/v1 --env alfworld --agent react",
  ],
  async run(context) {
    const { arguments: given, output, signal } = context;
    const { resume } = given.settings;
    const { config, origins } = resolveConfig(schema, [
      ...(resume === undefined ? [] : [{ source: resume, values: settingsOf(resume, given.settings) }]),
      ...givenLayers(given, schema),
    ]);
    const isServed = config.policy !== "";
    const misplaced = Object.keys(origins).filter((key) =>
      isServed ? ownFields.includes(key) : Object.hasOwn(servedFields, key),
    );
    if (misplaced.length > 0)
      throw new ConfigError(
        misplaced.map((key) =>
          isServed
            ? `${key} belongs to a policy of ours, and --policy ${config.policy} is a served language model`
            : `${key} is for served language models only, and there is no --policy openai:MODEL`,
        ),
      );
    if (isServed) {
      const { run: _, checkpoint: __, weights: ___, ...rest } = config;
      return evaluateServed(rest, context);
    }
    const folder = readRunFolder("runs", config.run || runAround(config.weights) || onlyRun("runs"));
    const stored = readConfigFile(folder.config, runSchema);
    const overrides: Layer = {
      source: "command line",
      values: Object.fromEntries(Object.entries(config.envArguments).map(([name, value]) => [`env.${name}`, value])),
      parse: true,
    };
    const run = resolveConfig(runSchema, [stored, overrides]).config;
    const options = {
      split: config.split,
      episodes: config.episodes || run.evalEpisodes,
      seed: config.seed,
      signal,
    };
    const isImitation = config.checkpoint < 0 && existsSync(folder.weights);
    const weights = config.weights || (isImitation ? relative(process.cwd(), folder.weights) : "");
    const evaluation = weights
      ? await evaluateWeights(run, weights, options)
      : await evaluateRun(run, folder, {
          ...options,
          checkpoint: config.checkpoint < 0 ? undefined : config.checkpoint,
        });
    output.event("evaluation", evaluation);
    output.say(renderEvaluation(evaluation));
    return exitCodes.ok;
  },
};

/** Name of the run in whose folder a file lies; nothing where it lies elsewhere. */
function runAround(file: string): string {
  const [root, name, ...rest] = relative(process.cwd(), resolve(file)).split(sep);
  return file !== "" && root === "runs" && rest.length > 0 ? name! : "";
}
