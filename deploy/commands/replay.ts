import { checkGolden } from "../../learner/advantage/index.ts";
import { ArchiveError, keptIterations, readIteration } from "../../learner/archive.ts";
import { runSchema } from "../../learner/config.ts";
import { ConfigError, type ConfigOf, defineConfig, resolveConfig } from "../../proto/config.ts";
import { type Command, type CommandContext, exitCodes } from "../command.ts";
import { givenLayers, readConfigFile } from "../config-file.ts";
import type { Output } from "../output.ts";
import {
  Replay,
  renderComparison,
  renderEpisode,
  renderGroup,
  renderOverview,
  renderStep,
  type Side,
} from "../replay.ts";
import { onlyRun, readRunFolder } from "../run-folder.ts";

const schema = defineConfig({
  title: "replay",
  fields: {
    run: {
      section: "what to replay",
      type: "text",
      default: "",
      about: "Name of the run; the only one in runs/ when empty.",
    },
    iteration: {
      section: "what to replay",
      type: "integer",
      default: -1,
      min: -1,
      about: "One of those that --keepTrajectories kept; -1: the newest.",
    },
    group: {
      section: "what to replay",
      type: "integer",
      default: -1,
      min: -1,
      about: "Show the members of one group; -1: all groups.",
    },
    member: {
      section: "what to replay",
      type: "integer",
      default: -1,
      min: -1,
      about: "Show the steps of one member of the group; -1: all members.",
    },
    step: {
      section: "what to replay",
      type: "integer",
      default: -1,
      min: -1,
      about: "Account for the advantage of one step of the member; -1: all steps.",
    },
    top: {
      section: "what to replay",
      type: "integer",
      default: 20,
      min: 1,
      max: 100_000,
      about: "Lines of a table of groups, differences or neighbours.",
    },
    estimator: {
      section: "compared with",
      type: "text",
      default: "",
      about: "Compare with this estimator; with the run's own when empty and options are given.",
    },
    creditOptions: {
      section: "compared with",
      type: "options",
      prefix: "credit",
      about: "Options of that estimator; those of the run where it is the run's own.",
    },
    golden: {
      section: "golden files",
      type: "text",
      default: "",
      about: "Instead of a run, check the estimators against recorded cases; more files may follow.",
    },
  },
});

type ReplayConfig = ConfigOf<typeof schema>;

export const command: Command = {
  usage: "proxima replay [--run NAME] [--iteration K] [--key value]… | proxima replay --golden FILE…",
  about:
    "Computes the credit of an iteration again from its kept trajectories: as a table, against another estimator, or as the full account of a single step. With --golden, holds the estimators against recorded cases and ends with 0 only if all agree.",
  takesWords: true,
  schema,
  examples: [
    "proxima replay --run alfworld-1 --iteration 12 --estimator gigpo",
    "proxima replay --run alfworld-1 --group 3 --member 5 --step 2",
  ],
  async run({ arguments: given, output }) {
    const { config } = resolveConfig(schema, givenLayers(given, schema));
    if (config.golden !== "") return checkFiles([config.golden, ...given.words], output);
    refuseIncomplete(config, given.words);
    const replay = new Replay(await readKept(config));
    const compared = config.estimator !== "" || Object.keys(config.creditOptions).length > 0;
    const sides = [replay.own, ...(compared ? [replay.side(config.estimator, config.creditOptions)] : [])];
    show(replay, sides, config, output);
    return exitCodes.ok;
  },
};

function refuseIncomplete({ group, member, step }: ReplayConfig, words: readonly string[]): void {
  const problems: string[] = [];
  if (words.length > 0)
    problems.push(`'${words[0]}' is no setting: a run is named by --run, files of recorded cases by --golden`);
  if (member >= 0 && group < 0) problems.push("--member needs the --group that it is a member of");
  if (step >= 0 && member < 0) problems.push("--step needs the --member (and its --group) that took it");
  if (problems.length > 0) throw new ConfigError(problems);
}

async function readKept(config: ReplayConfig) {
  const folder = readRunFolder("runs", config.run || onlyRun("runs"));
  const { env } = resolveConfig(runSchema, [readConfigFile(folder.config, runSchema)]).config;
  const newest = (await keptIterations(folder.trajectories)).at(-1) ?? 0;
  try {
    return await readIteration(folder.trajectories, config.iteration < 0 ? newest : config.iteration, env);
  } catch (error) {
    if (error instanceof ArchiveError && error.reason === "missing") throw new ConfigError([error.message]);
    throw error;
  }
}

function show(replay: Replay, sides: readonly Side[], config: ReplayConfig, output: Output): void {
  const { group, member, step, top } = config;
  const estimators = sides.map(({ label }) => label);
  if (step >= 0) {
    for (const side of sides) {
      const account = replay.account(group, member, step, side);
      output.event("step", { estimator: side.label, options: side.options, account });
      output.say(renderStep(replay, account, side, top));
    }
  } else if (member >= 0) {
    const episode = replay.episode(group, member, sides);
    output.event("episode", { estimators, ...episode });
    output.say(renderEpisode(episode, sides));
  } else if (group >= 0) {
    const episodes = replay.group(group, sides);
    output.event("group", { estimators, episodes });
    output.say(renderGroup(episodes, sides));
  } else if (sides.length > 1) {
    const comparison = replay.compare(sides[1]!, top);
    output.event("comparison", comparison);
    output.say(renderComparison(comparison));
  } else {
    const overview = replay.overview();
    output.event("iteration", overview);
    output.say(renderOverview(overview, top));
  }
}

function checkFiles(files: readonly string[], output: CommandContext["output"]): number {
  let agree = true;
  for (const file of files) {
    const { table, ok, results } = readGolden(file);
    agree &&= ok;
    output.event("golden", { file, ok, results });
    output.say(`${file}\n${table}`);
  }
  return agree ? exitCodes.ok : exitCodes.failure;
}

function readGolden(file: string): ReturnType<typeof checkGolden> {
  try {
    return checkGolden(file);
  } catch (error) {
    throw new ConfigError([`cannot check the recorded cases in ${file}: ${(error as Error).message}`]);
  }
}
