/** Plays a served language model on tasks, side by side, and tells what came of it. Every task that ended is on disk at once. */
import { basename, join } from "node:path";
import type { Environment, EnvironmentSource } from "../../envs/environment.ts";
import { mix32 } from "../../envs/random.ts";
import { loadEnvironment } from "../../envs/registry.ts";
import { succeeded } from "../../learner/batch.ts";
import { type LanguageAgents, languageAgents } from "../../policy/language/agent/index.ts";
import { type ServedAnswer, ServedModel, type ServedModelOptions } from "../../policy/language/served/index.ts";
import { ConfigError, type Options } from "../../proto/config.ts";
import { type CommandContext, exitCodes } from "../command.ts";
import { EVALUATION, taskIndices } from "../evaluate.ts";
import { everyFewSeconds } from "../every-few-seconds.ts";
import { invocation } from "../invocation.ts";
import type { Output } from "../output.ts";
import { duration, short } from "../quantities.ts";
import { adapterName, loadAdapter } from "./adapter.ts";
import { playTask } from "./play.ts";
import { keepSuccesses } from "./recording.ts";
import { renderServed, type ServedEvaluation } from "./render.ts";
import { agentOptions, modelOptions, type ServedConfig, templateText } from "./settings.ts";
import { tally } from "./tally.ts";
import { freeFolder, type Settings, Transcripts } from "./transcripts.ts";

export interface ServedEvaluationConfig extends ServedConfig {
  split: string;
  /** 0: a hundred. */
  episodes: number;
  seed: number;
  envArguments: Options;
}

/** What may differ when an evaluation goes on: it changes what an answer costs, not what it is. */
const MAY_CHANGE = [
  "baseUrl",
  "apiKeyVariable",
  "stream",
  "concurrency",
  "requestTimeoutMs",
  "attempts",
  "priceIn",
  "priceOut",
  "episodes",
];
/** In WebShop a language model types its searches, as in the paper. */
const LANGUAGE_ARGUMENTS: Readonly<Record<string, Options>> = { webshop: { actions: "text" } };
const STEP_TIMEOUT_MS = 60_000;
/** An endpoint that answers nobody is not asked for the rest. */
const FAILURES_IN_A_ROW = 10;
const EPISODES = 100;

/** The settings of an evaluation that stopped. @param given anew @throws ConfigError where they would change what is measured */
export function settingsOf(folder: string, given: Readonly<Record<string, string>>): Settings {
  const { settings } = Transcripts.open(folder);
  const changed = Object.keys(given).filter(
    (key) => key !== "resume" && !MAY_CHANGE.includes(key) && given[key] !== String(settings[key]),
  );
  if (changed.length === 0) return settings;
  const differences = changed.map((key) => `--${key} (there: ${settings[key] ?? "not set"})`).join(", ");
  throw new ConfigError([`the evaluation in ${folder} goes on as it began, without ${differences}`]);
}

export async function evaluateServed(config: ServedEvaluationConfig, context: CommandContext): Promise<number> {
  const { output, signal } = context;
  const subject = await prepare(config);
  const episodes = config.episodes || EPISODES;
  const transcripts = openTranscripts(config, subject.template);
  const { folder, played } = transcripts;
  output.say(`Transcripts go to ${folder}${played.size > 0 ? `, where ${played.size} tasks lie` : ""}.`);

  const waiting = unplayed(subject.source, config.split, episodes, transcripts);
  const adapter = await loadAdapter(config, subject.served);
  const model = new ServedModel({ ...subject.served, ...(adapter && { model: adapter.model }) });
  const failure = await playAll(subject, model, config, waiting, transcripts, context);
  await adapter?.unload().catch((error: Error) => output.say(`The adapter stays on the server: ${error.message}`));
  const evaluation = summary(config, transcripts, subject.source.spec.id, episodes);
  output.event("evaluation", evaluation);
  if (played.size > 0) output.say(`\n${renderServed(evaluation)}`);
  const trajectories = join(folder, "trajectories");
  const { source, digest } = subject;
  const kept = await keepSuccesses(played.values(), {
    ...{ folder: trajectories, environment: config.env, spec: source.spec, digest, name: basename(folder) },
  });
  if (kept > 0)
    output.say(`\nImitate what it got right (${kept} episodes) with:\n  ${imitation(config, trajectories)}`);
  if (failure === undefined && !signal.aborted) return exitCodes.ok;
  output.event("stopped", { folder });
  if (failure !== undefined) output.error(`Stopped: ${failure.message}`);
  output.say(`\nGo on with:\n  ${invocation()} eval --resume ${folder}`);
  return failure === undefined ? exitCodes.interrupted : exitCodes.failure;
}

interface Subject {
  source: EnvironmentSource;
  digest: string;
  agents: LanguageAgents;
  served: ServedModelOptions;
  /** As it is kept: a built-in's name, or the text of a file. */
  template: string;
}

/** Whatever can be refused is refused before anything is paid for. */
async function prepare(config: ServedEvaluationConfig): Promise<Subject> {
  const { source, digest } = await loadEnvironment(config.env, environmentArguments(config));
  const { id, observation, action } = source.spec;
  if (observation.type !== "text" || (action.type !== "text" && action.type !== "admissible"))
    throw new ConfigError([
      `a language model plays environments of text: '${id}' has ${observation.type} observations and ${action.type} actions`,
    ]);
  const template = templateText(config.template);
  try {
    const agents = languageAgents(agentOptions({ ...config, template }, id));
    const served = modelOptions(config, process.env);
    new ServedModel(served); // refuses what cannot be one
    return { source, digest, agents, served, template };
  } catch (error) {
    throw new ConfigError([(error as Error).message]);
  }
}

const environmentArguments = ({ env, envArguments }: ServedEvaluationConfig): Options => ({
  ...LANGUAGE_ARGUMENTS[env],
  ...envArguments,
});

function openTranscripts(config: ServedEvaluationConfig, template: string): Transcripts {
  if (config.resume !== "") return Transcripts.open(config.resume);
  const name = [config.env, config.policy.slice("openai:".length), config.agent]
    .map((part) => basename(part))
    .join("-");
  const folder = config.out || freeFolder("evaluations", name.replace(/[^\w.-]+/g, "_"));
  const { envArguments, resume: _, out: __, ...settings } = config;
  const prefixed = Object.entries(environmentArguments(config)).map(([key, value]) => [`env.${key}`, value]);
  return Transcripts.create(folder, { ...settings, ...Object.fromEntries(prefixed), template });
}

interface Start {
  episode: number;
  task: string;
}

/** Tasks without a result are played again. */
function unplayed(source: EnvironmentSource, split: string, episodes: number, { played }: Transcripts): Start[] {
  const tasks = source.tasks(split);
  return [...taskIndices(episodes, tasks.size, EVALUATION)].flatMap((index, episode) => {
    const known = played.get(episode)?.attempts.at(-1)?.outcome.type;
    return known === undefined || known === "noResult" ? [{ episode, task: tasks.at(index) }] : [];
  });
}

/** Returns why it stopped early, unless that was asked for. */
async function playAll(
  { source, agents }: Subject,
  model: ServedModel,
  config: ServedEvaluationConfig,
  waiting: Start[],
  transcripts: Transcripts,
  { output, signal }: CommandContext,
): Promise<Error | undefined> {
  const stop = new AbortController();
  const ends = AbortSignal.any([signal, stop.signal]);
  const trials = config.agent === "reflexion" ? config.trials : 1;
  const onAnswer = progress(transcripts, waiting.length, output);
  let failuresInARow = 0;

  const play = async (environment: Environment, { episode, task }: Start) => {
    const seed = mix32(config.seed, EVALUATION, episode);
    const options = { trials, seed, stepTimeoutMs: STEP_TIMEOUT_MS, signal: ends, onAnswer };
    const played = await playTask(environment, { task, seed }, agents, model, options);
    const type = source.taskType?.(task);
    transcripts.append({ episode, task, seed, ...(type === undefined ? {} : { type }), ...played });
    const { outcome, steps } = played.attempts.at(-1)!;
    const { spent } = played;
    output.event("episode", {
      episode,
      task,
      taskType: type,
      outcome,
      success: succeeded({ outcome }),
      envSteps: steps.length,
      spent,
    });
    failuresInARow = outcome.type === "noResult" ? failuresInARow + 1 : 0;
    if (outcome.type === "noResult" && failuresInARow >= FAILURES_IN_A_ROW)
      throw new Error(`${failuresInARow} episodes in a row had no result, the last because: ${outcome.reason}`);
  };
  const player = async () => {
    const environment = source.create();
    try {
      for (let next = waiting.shift(); next && !ends.aborted; next = waiting.shift()) await play(environment, next);
    } catch (error) {
      stop.abort(error); // the first reason stays
    } finally {
      await environment.close();
    }
  };
  const seats = Math.min(config.concurrency, waiting.length, source.maxSideBySide ?? Number.POSITIVE_INFINITY);
  await Promise.all(Array.from({ length: seats }, player));
  return signal.aborted ? undefined : (stop.signal.reason as Error | undefined);
}

/** Of this sitting; to be told each answer, as a slow model may take minutes to end its first episode. */
function progress({ played }: Transcripts, planned: number, output: Output): (answer: ServedAnswer) => void {
  const startedAt = performance.now();
  const before = played.size;
  let [answers, promptTokens, answerTokens] = [0, 0, 0];
  const say = everyFewSeconds(() => {
    const { episodes, success } = tally(played.values());
    const done = played.size - before;
    const left = Math.max(0, planned - done);
    const leftMs = ((performance.now() - startedAt) / done) * left;
    output.event("progress", {
      done: played.size,
      left,
      successes: success.successes,
      answers,
      promptTokens,
      answerTokens,
    });
    output.say(
      `  ${played.size} played, ${success.successes} of ${episodes} won; ${short(answers)} answers, ${short(promptTokens)} tokens in, ` +
        `${short(answerTokens)} out; ${left} left${done > 0 ? `, about ${duration(leftMs)}` : ""}`,
    );
  });
  return ({ usage }) => {
    answers++;
    promptTokens += usage?.promptTokens ?? 0;
    answerTokens += usage?.answerTokens ?? 0;
    say();
  };
}

function summary(
  config: ServedEvaluationConfig,
  { played, superseded, folder }: Transcripts,
  environment: string,
  planned: number,
): ServedEvaluation {
  const { policy, agent, split, priceIn, priceOut } = config;
  const counted = tally(
    [...played.values()].filter(({ episode }) => episode < planned),
    superseded,
  );
  const { promptTokens, answerTokens } = counted.spent;
  const cost = (promptTokens * priceIn + answerTokens * priceOut) / 1e6;
  const model = policy.slice("openai:".length) + (config.adapter === "" ? "" : ` + ${adapterName(config.adapter)}`);
  return { model, agent, environment, split, planned, ...counted, ...(priceIn + priceOut > 0 ? { cost } : {}), folder };
}

/** The same environment with the same arguments. */
function imitation(config: ServedEvaluationConfig, trajectories: string): string {
  const given = Object.entries(environmentArguments(config)).map(([name, value]) => `--env.${name} ${value}`);
  return [`${invocation()} imitate --env ${config.env}`, ...given, `--from ${trajectories}`].join(" ");
}
