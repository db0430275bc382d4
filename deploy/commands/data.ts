import { resolve } from "node:path";
import { createInterface } from "node:readline/promises";
import { ConfigError, type ConfigOf, defineConfig, resolveConfig, suggestion } from "../../proto/config.ts";
import { type Command, type CommandContext, exitCodes } from "../command.ts";
import { givenLayers } from "../config-file.ts";
import { type Dataset, datasets } from "../data/datasets.ts";
import { fetchDataset, gigabytes, type Plan, type Progress, plan } from "../data/fetch.ts";
import { everyFewSeconds } from "../every-few-seconds.ts";
import { invocation } from "../invocation.ts";
import { duration, percent } from "../quantities.ts";

const schema = defineConfig({
  title: "data",
  fields: {
    split: {
      section: "data",
      type: "text",
      default: "",
      about:
        "Splits, separated by commas, or all; of webshop small (if empty) or full, of alfworld every one (if empty).",
    },
    dir: {
      section: "data",
      type: "text",
      default: "",
      about: "Folder to put it into; where the environment looks first when empty.",
    },
    from: {
      section: "data",
      type: "text",
      default: "",
      about: "File, folder or address to take it from (zip, tar.gz, tar.xz), instead of the project's own offer.",
    },
    unverified: {
      section: "data",
      type: "flag",
      default: false,
      about: "With --from: takes files that bear an original's name and are others.",
    },
    yes: { section: "data", type: "flag", default: false, about: "Does not ask before a download." },
  },
});

type DataConfig = ConfigOf<typeof schema>;

export const command: Command = {
  usage: "proxima data list | proxima data fetch alfworld|webshop [--split NAME] [--from FILE|FOLDER|URL] [--yes]",
  about:
    "Lists the data sets that environments play and where they are; or fetches one to where its environment looks, taking up what an earlier attempt left and checking every byte against known SHA-256 sums.",
  schema,
  takesWords: true,
  examples: [
    "proxima data fetch alfworld --yes",
    "proxima data fetch webshop --split full",
    "proxima data fetch alfworld --from ~/Downloads/json_2.1.3_tw-pddl.zip",
  ],
  async run(context) {
    const { words } = context.arguments;
    const [what, id, ...rest] = words;
    const config = resolveConfig(schema, givenLayers(context.arguments, schema)).config;
    if (what === "list" && id === undefined) return list(context);
    if (what !== "fetch" || id === undefined || rest.length > 0)
      throw new ConfigError([`expected ${command.usage}; found 'data ${words.join(" ")}'`]);
    const dataset = datasets.find((each) => each.id === id);
    if (dataset === undefined) {
      const ids = datasets.map((each) => each.id);
      const hint = suggestion(id, ids).replace(/; see --help.*/, "");
      throw new ConfigError([`there is no data set '${id}'${hint} (there are ${ids.join(" and ")})`]);
    }
    return bring(dataset, splitsOf(dataset, config.split), config, context);
  },
};

function splitsOf(dataset: Dataset, given: string): readonly string[] {
  if (given === "") return dataset.defaultSplits;
  if (given === "all") return dataset.splits;
  const wanted = given.split(",").map((name) => name.trim());
  const unknown = wanted.find((name) => !dataset.splits.includes(name));
  if (unknown !== undefined)
    throw new ConfigError([`split: ${dataset.id} has ${dataset.splits.join(", ")} and all, found '${unknown}'`]);
  return dataset.splits.filter((name) => wanted.includes(name));
}

function list({ output }: CommandContext): number {
  for (const dataset of datasets) {
    const home = dataset.home();
    output.say(`${dataset.id}: ${dataset.about}`);
    for (const split of dataset.splits) {
      const folder = dataset.found(split);
      const amount = folder && dataset.amount(folder, split);
      const bytes = dataset.files([split]).reduce((sum, file) => sum + file.bytes, 0);
      output.event("data", { dataset: dataset.id, split, folder, amount, downloadBytes: bytes, home });
      output.say(
        amount
          ? `  ${split.padEnd(12)} ${amount} in ${folder}`
          : `  ${split.padEnd(12)} not here; ${gigabytes(bytes)} to fetch: ${invocation()} data fetch ${dataset.id}${dataset.defaultSplits.includes(split) ? "" : ` --split ${split}`}`,
      );
    }
    output.say(`  new files go to ${home}`);
  }
  return exitCodes.ok;
}

async function bring(
  dataset: Dataset,
  splits: readonly string[],
  { dir, from, unverified, yes }: DataConfig,
  context: CommandContext,
): Promise<number> {
  const { output, signal } = context;
  const folder = dir === "" ? dataset.home() : resolve(dir);
  const planned = plan(dataset, { splits, folder, from });
  if (planned.downloadBytes > 0 && !yes && !(await agreed(planned, folder, context))) return exitCodes.interrupted;
  const startedAt = performance.now();
  const onProgress = everyFewSeconds(({ file, bytes, of, files }: Progress) => {
    output.event("progress", { file, bytes, of, files });
    const share = bytes !== undefined && of !== undefined ? ` of ${gigabytes(of)} (${percent(bytes / of)})` : "";
    output.say(`  ${file}: ${bytes === undefined ? `${files} files unpacked` : `${gigabytes(bytes)}${share}`}`);
  });
  const result = await fetchDataset(dataset, { splits, folder, from, unverified, signal, onProgress });
  const seconds = (performance.now() - startedAt) / 1000;
  output.event("fetched", { dataset: dataset.id, ...result, seconds });
  for (const [split, amount] of Object.entries(result.present))
    output.say(`${split}: ${amount} in ${folder} already; remove them there to fetch them anew.`);
  for (const [split, amount] of Object.entries(result.fetched)) output.say(`${split}: ${amount} in ${folder}`);
  if (Object.keys(result.fetched).length > 0) output.say(`Done in ${duration(seconds * 1000)}.`);
  if (result.unverified.length > 0)
    output.say(`Not verified: ${result.unverified.join(", ")} (no known original; taken at your word).`);
  if (result.absent.length > 0) {
    output.error(`The source has nothing of ${result.absent.join(", ")}.`);
    if (Object.keys(result.fetched).length === 0) return exitCodes.failure;
  }
  const elsewhere = folder !== dataset.home() ? ` --env.data ${folder}` : "";
  const full = dataset.id === "webshop" && !splits.includes("small") ? " --env.catalogue full --env.goals human" : "";
  output.say(`Train on it with: ${invocation()} dev --env ${dataset.id}${full}${elsewhere}`);
  return exitCodes.ok;
}

async function agreed({ downloadBytes, diskBytes, sources }: Plan, folder: string, { output, signal }: CommandContext) {
  const question = `Download ${gigabytes(downloadBytes)} (${sources.map(({ name }) => name).join(", ")}; ${gigabytes(diskBytes)} on disk) to ${folder}?`;
  if (output.json || !process.stdin.isTTY) throw new ConfigError([`${question} There is nobody to ask: add --yes`]);
  const ask = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return /^(y|yes)?$/i.test((await ask.question(`${question} [Y/n] `, { signal })).trim());
  } finally {
    ask.close();
  }
}
