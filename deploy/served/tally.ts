/** What came of the tasks that a served model played. */
import { succeeded } from "../../learner/batch.ts";
import type { Rate } from "../evaluate.ts";
import type { Attempt, Spent } from "./play.ts";
import type { TranscriptLine } from "./transcripts.ts";

export interface Tally {
  /** Tasks with a result; all means are over these. */
  episodes: number;
  /** Failures of environment and endpoint by reason: no result is not a score of 0. */
  noResults: Record<string, number>;
  success: Rate;
  byType: Record<string, Rate>;
  /** After the first trial alone, where there were several. */
  firstTrial: Rate;
  meanReturn: number;
  /** Steps of the deciding episode. */
  meanLength: number;
  /** Share of steps whose answer was out of form or whose action the environment refused. */
  invalidActions: number;
  /** Of everything that was asked, tasks without a result included. */
  spent: Spent;
}

/** @param superseded what tasks had cost that were played again */
export function tally(lines: Iterable<TranscriptLine>, superseded: readonly Spent[] = []): Tally {
  const noResults: Record<string, number> = {};
  const [success, firstTrial]: Rate[] = [rate(), rate()];
  const byType: Record<string, Rate> = {};
  const spent: Spent = { requests: 0, promptTokens: 0, answerTokens: 0, uncounted: 0 };
  const spend = (more: Spent) => {
    for (const key of Object.keys(spent) as (keyof Spent)[]) spent[key] += more[key];
  };
  superseded.forEach(spend);
  let [returns, length, steps, invalid] = [0, 0, 0, 0];
  for (const { attempts, spent: own, type } of lines) {
    spend(own);
    const last = attempts.at(-1)!;
    if (last.outcome.type === "noResult") {
      const { reason } = last.outcome;
      noResults[reason] = (noResults[reason] ?? 0) + 1;
      continue;
    }
    if (type !== undefined) byType[type] ??= rate();
    for (const each of [success, ...(type === undefined ? [] : [byType[type]!])]) count(each, last);
    count(firstTrial, attempts[0]!);
    returns += last.outcome.return;
    length += last.steps.length;
    for (const attempt of attempts) {
      steps += attempt.steps.length;
      invalid += attempt.steps.filter(({ valid }) => !valid).length;
    }
  }
  const { episodes } = success;
  return {
    ...{ episodes, noResults, success, byType, firstTrial, spent },
    ...{ meanReturn: returns / episodes, meanLength: length / episodes, invalidActions: invalid / steps },
  };
}

const rate = (): Rate => ({ successes: 0, episodes: 0 });

function count(rate: Rate, attempt: Attempt): void {
  rate.episodes++;
  if (succeeded(attempt)) rate.successes++;
}
