/**
 * One task played by a served model: an episode, and with Reflexion (Shinn et al. 2023, https://arxiv.org/abs/2303.11366) up to `trials`
 * of them, each told the lessons of those before. A failure of the environment or of the endpoint ends it as `noResult`, never as a score.
 */
import { withDeadline } from "../../actors/episode.ts";
import type { Environment, Transition, Turn } from "../../envs/environment.ts";
import { mix32 } from "../../envs/random.ts";
import { succeeded } from "../../learner/batch.ts";
import type { ChatMessage, LanguageAgents } from "../../policy/language/agent/index.ts";
import { type ServedAnswer, type ServedModel, ServedModelError } from "../../policy/language/served/index.ts";
import type { Outcome } from "../../proto/trajectory.ts";

export interface ServedStep {
  observation: string;
  admissible?: readonly string[];
  /** What the model said. */
  answer: string;
  /** Natural logarithm of its probability, where the endpoint was asked for it and says it. */
  logProb?: number;
  /** What the environment was told. */
  action: string;
  /** The answer kept to its form and the environment took the action. */
  valid: boolean;
  reward: number;
}

/** One episode. */
export interface Attempt {
  steps: ServedStep[];
  /** The observation that it ended with. */
  last?: string;
  outcome: Outcome;
  /** What the model made of its failure. */
  lesson?: string;
}

export interface Spent {
  requests: number;
  promptTokens: number;
  answerTokens: number;
  /** Requests whose tokens the endpoint did not count. */
  uncounted: number;
}

export interface PlayedTask {
  instruction?: string;
  /** At least one; the last decides. */
  attempts: Attempt[];
  spent: Spent;
}

export interface PlayOptions {
  /** Episodes at most; more than one reflects on failures in between. */
  trials: number;
  /** Of the model's sampling, where the endpoint takes seeds. */
  seed: number;
  stepTimeoutMs: number;
  signal?: AbortSignal;
  /** After each answer. */
  onAnswer?(answer: ServedAnswer): void;
}

/** More would crowd out the prompt: as in the paper. */
const LESSONS_KEPT = 3;

/** @throws ServedModelError when asking will never help; the signal's reason when it is aborted */
export async function playTask(
  environment: Environment,
  start: { task: string; seed: number },
  agents: LanguageAgents,
  model: ServedModel,
  options: PlayOptions,
): Promise<PlayedTask> {
  const { trials, seed, signal } = options;
  const spent: Spent = { requests: 0, promptTokens: 0, answerTokens: 0, uncounted: 0 };
  const played: PlayedTask = { attempts: [], spent };
  const lessons: string[] = [];
  for (let trial = 0; trial < trials; trial++) {
    const ask = async (messages: readonly ChatMessage[]): Promise<ServedAnswer> => {
      const answer = await model.answer(messages, { seed: mix32(seed, trial, spent.requests), signal });
      const { usage } = answer;
      spent.requests++;
      if (usage === undefined) spent.uncounted++;
      spent.promptTokens += usage?.promptTokens ?? 0;
      spent.answerTokens += usage?.answerTokens ?? 0;
      options.onAnswer?.(answer);
      return answer;
    };
    const agent = agents.begin(lessons.slice(-LESSONS_KEPT));
    const attempt: Attempt = { steps: [], outcome: { type: "noResult", reason: "not played" } };
    played.attempts.push(attempt);
    attempt.outcome = await fateOf(async () => {
      let turn = await step("reset", options, () => environment.reset(start));
      played.instruction ??= turn.instruction;
      for (let total = 0; ; ) {
        const { observation, admissible } = turn;
        const { text: answer, tokens } = await ask(agent.prompt(turn));
        const { action, valid } = agent.answered(answer);
        const next = await step("step", options, () => environment.step(spelled(action, environment)));
        if (!Number.isFinite(next.reward)) throw new RangeError(`step failed: the reward is ${next.reward}`);
        attempt.steps.push({
          observation: String(observation),
          ...(admissible === undefined ? {} : { admissible }),
          ...(tokens === undefined ? {} : { logProb: tokens.reduce((sum, { logProb }) => sum + logProb, 0) }),
          ...{ answer, action, valid: valid && next.valid !== false, reward: next.reward },
        });
        total += next.reward;
        if (next.terminated || next.truncated) return ended(attempt, next, total);
        turn = next;
      }
    }, signal);
    if (trial + 1 === trials || attempt.outcome.type === "noResult" || succeeded(attempt)) break;
    const failure = await fateOf(async () => {
      const { text } = await ask(agent.reflection(inWords(attempt)));
      attempt.lesson = text
        .replace(/<think>[\s\S]*?<\/think>/g, "")
        .trim()
        .slice(0, 1000);
      return undefined;
    }, signal);
    // Without a lesson the next trial would be none of Reflexion's.
    if (failure !== undefined) {
      attempt.outcome = failure;
      break;
    }
    lessons.push(attempt.lesson!);
  }
  return played;
}

function ended(attempt: Attempt, { observation, terminated, success }: Transition, total: number): Outcome {
  attempt.last = String(observation);
  return { type: terminated ? "finished" : "truncated", ...(success === undefined ? {} : { success }), return: total };
}

/** What a failure means: no result and why, or the end of everything. */
async function fateOf<T>(play: () => Promise<T>, signal: AbortSignal | undefined): Promise<T | Outcome> {
  try {
    return await play();
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof ServedModelError && error.isFinal) throw error;
    const message = error instanceof Error ? error.message : String(error);
    return { type: "noResult", reason: message.slice(0, 300) };
  }
}

async function step<T extends Turn>(
  what: string,
  { stepTimeoutMs }: PlayOptions,
  call: () => T | Promise<T>,
): Promise<T> {
  try {
    const value = call();
    return value instanceof Promise ? await withDeadline(value, stepTimeoutMs, what) : value;
  } catch (error) {
    throw new Error(`${what} failed: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}

/** A text space says how long an action may be. */
function spelled(action: string, { spec }: Environment): string {
  return spec.action.type === "text" ? action.slice(0, spec.action.maxLength).toWellFormed() : action;
}

function inWords({ outcome, steps }: Attempt): string {
  if (outcome.type === "truncated") return `it was cut after ${steps.length} steps`;
  return `it ended without success${outcome.type === "finished" && outcome.return !== 0 ? `, with a reward of ${outcome.return}` : ""}`;
}
