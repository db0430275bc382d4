import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { CheckpointStore } from "../../learner/checkpoint.ts";
import { runSchema } from "../../learner/config.ts";
import { readWeights, writeWeights } from "../../learner/weights-file.ts";
import { hasTokens } from "../../policy/policy.ts";
import { ConfigError, defineConfig, resolveConfig } from "../../proto/config.ts";
import { type Command, exitCodes } from "../command.ts";
import { givenLayers, readConfigFile } from "../config-file.ts";
import { policyOf } from "../evaluate-run.ts";
import { onlyRun, readRunFolder } from "../run-folder.ts";

const schema = defineConfig({
  title: "export",
  fields: {
    run: { section: "export", type: "text", default: "", about: "Name of the run; the only one in runs/ when empty." },
    checkpoint: {
      section: "export",
      type: "integer",
      default: -1,
      min: -1,
      about: "Iterations trained when it was written; -1: the newest.",
    },
    out: { section: "export", type: "text", default: "", about: "Folder to write to: new, or empty." },
    whole: {
      section: "export",
      type: "flag",
      default: false,
      about: "Of a language model with adapters: work them into its weights and write the whole model.",
    },
  },
});

export const command: Command = {
  usage: "proxima export [--run NAME] --out FOLDER [--checkpoint N] [--whole]",
  about:
    "Writes the weights of a run for other programs: adapters of a language model as PEFT, vLLM and SGLang load them, a whole language model as a Hugging Face folder, and the weights of any other policy as safetensors.",
  schema,
  examples: ["proxima export --run alfworld-1 --out adapters", "proxima export --run alfworld-1 --out model --whole"],
  async run({ arguments: given, output }) {
    const { config } = resolveConfig(schema, givenLayers(given, schema));
    if (config.out === "") throw new ConfigError(["--out is missing: the folder to write to"]);
    if (existsSync(config.out) && readdirSync(config.out).length > 0)
      throw new ConfigError([`${config.out} is not empty: name another folder with --out`]);
    const folder = readRunFolder("runs", config.run || onlyRun("runs"));
    const run = resolveConfig(runSchema, [readConfigFile(folder.config, runSchema)]).config;
    const { policy } = await policyOf(run);
    const checkpoint = config.checkpoint < 0 ? undefined : config.checkpoint;
    const weights =
      checkpoint === undefined && existsSync(folder.weights) // of an imitation
        ? await readWeights(folder.weights, policy)
        : (await new CheckpointStore(folder.checkpoints, policy, 1).read(checkpoint)).weights;
    mkdirSync(config.out, { recursive: true });
    let wrote = "weights.safetensors";
    if (hasTokens(policy) && policy.save) wrote = policy.save(config.out, weights, config.whole);
    else await writeWeights(join(config.out, wrote), policy, weights);
    output.event("exported", { run: folder.name, folder: config.out, wrote });
    output.say(`Wrote to ${config.out}: ${wrote}.`);
    return exitCodes.ok;
  },
};
