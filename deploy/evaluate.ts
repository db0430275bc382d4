/** How well a policy does on a split: plays episodes side by side in this process, as an actor does. */
import { Episode } from "../actors/episode.ts";
import { Table } from "../actors/play.ts";
import type { EnvironmentSource } from "../envs/environment.ts";
import { mix32 } from "../envs/random.ts";
import type { Policy } from "../policy/policy.ts";
import type { Model } from "../policy/tensor/tensors.ts";

export interface EvaluationOptions {
  split: string;
  episodes: number;
  seed: number;
  /** The most probable action instead of a draw. */
  greedy: boolean;
  stepTimeoutMs?: number;
  signal?: AbortSignal;
  onProgress?(done: number): void;
}

export interface Rate {
  successes: number;
  episodes: number;
}

export interface Evaluation {
  split: string;
  greedy: boolean;
  /** Episodes with a result; the means are over these. */
  episodes: number;
  /** Failures of the environment by reason: no result is not a score of 0. */
  noResults: Record<string, number>;
  /** Absent where success has no meaning. */
  success?: Rate;
  meanReturn: number;
  returnStandardError: number;
  meanLength: number;
  /** By class of task, where the environment has classes. */
  byType: Record<string, Rate>;
}

/** Keeps evaluation's randomness apart from training's. */
export const EVALUATION = 0xe7a1;
/** Episodes side by side: enough to batch inference, few enough to hold in memory. */
const sideBySide = 128;

export async function evaluate(
  policy: Policy,
  model: Model,
  source: EnvironmentSource,
  options: EvaluationOptions,
): Promise<Evaluation> {
  const { split, episodes, seed, greedy, signal } = options;
  const tasks = source.tasks(split);
  const seats = Math.min(sideBySide, source.maxSideBySide ?? sideBySide);
  const indices = taskIndices(episodes, tasks.size, EVALUATION);
  const table = new Table(policy, model, { greedy });
  const playing = new Map<Episode, { task: string; environment: ReturnType<EnvironmentSource["create"]> }>();
  const idle: ReturnType<EnvironmentSource["create"]>[] = [];
  const returns: number[] = [];
  const lengths: number[] = [];
  const noResults: Record<string, number> = {};
  const success: Rate = { successes: 0, episodes: 0 };
  const byType: Record<string, Rate> = {};

  const finish = (episode: Episode) => {
    const { task, environment } = playing.get(episode)!;
    playing.delete(episode);
    idle.push(environment);
    const { outcome, steps } = episode.finish();
    options.onProgress?.(returns.length + 1);
    if (outcome.type === "noResult") {
      noResults[outcome.reason] = (noResults[outcome.reason] ?? 0) + 1;
      return;
    }
    returns.push(outcome.return);
    lengths.push(steps!.count);
    if (!source.spec.hasSuccess) return;
    const rates = [success];
    if (source.taskType) {
      const type = source.taskType(task);
      byType[type] ??= { successes: 0, episodes: 0 };
      rates.push(byType[type]);
    }
    for (const rate of rates) {
      rate.episodes++;
      if (outcome.success) rate.successes++;
    }
  };

  try {
    for (let next = 0; next < episodes || table.live > 0; ) {
      signal?.throwIfAborted();
      for (; next < episodes && table.live < seats; next++) {
        const task = tasks.at(indices.next().value!);
        const environment = idle.pop() ?? source.create();
        const lineage = { runSeed: mix32(seed, EVALUATION), iteration: 0, group: next, member: 0 };
        const episode = new Episode(environment, policy, lineage, {
          stepTimeoutMs: options.stepTimeoutMs ?? 30_000,
        });
        playing.set(episode, { task, environment });
        await episode.reset({ task, seed: mix32(seed, EVALUATION, next) });
        if (episode.ended) finish(episode);
        else table.seat(episode);
      }
      if (table.live > 0) for (const episode of await table.tick()) finish(episode);
      await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    for (const environment of [...idle, ...[...playing.values()].map((each) => each.environment)])
      await environment.close();
  }
  return {
    split,
    greedy,
    episodes: returns.length,
    noResults,
    success: source.spec.hasSuccess ? success : undefined,
    meanReturn: mean(returns),
    returnStandardError: standardError(returns),
    meanLength: mean(lengths),
    byType,
  };
}

/**
 * Which tasks are played: all of a split over and over, or, of one that is larger than `episodes`, the same random part every time. Not every n-th: splits often go through their classes in turn.
 */
export function* taskIndices(episodes: number, size: number, seed: number): Generator<number> {
  if (!Number.isFinite(size)) for (let i = 0; i < episodes; i++) yield i;
  else if (episodes >= size) for (let i = 0; i < episodes; i++) yield i % size;
  else {
    // The first steps of a Fisher-Yates shuffle of 0 … size-1, of which only what has moved is kept.
    const moved = new Map<number, number>();
    for (let i = 0; i < episodes; i++) {
      const j = i + (mix32(seed, i) % (size - i));
      yield moved.get(j) ?? j;
      moved.set(j, moved.get(i) ?? i);
    }
  }
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

function standardError(values: readonly number[]): number {
  if (values.length < 2) return Number.NaN;
  const centre = mean(values);
  const variance = values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1);
  return Math.sqrt(variance / values.length);
}

/** Wilson's score interval at 95 %: honest also near 0 and 1, where the textbook one has width 0. */
export function wilsonInterval({ successes, episodes }: Rate): [low: number, high: number] {
  if (episodes === 0) return [0, 1];
  const z = 1.96;
  const p = successes / episodes;
  const scale = 1 + z ** 2 / episodes;
  const centre = (p + z ** 2 / (2 * episodes)) / scale;
  const half = (z / scale) * Math.sqrt((p * (1 - p)) / episodes + z ** 2 / (4 * episodes ** 2));
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}
