/** What each generation of the environment made of an iteration, once there is more than one. */
import { type PlayedTrajectory, succeeded } from "./batch.ts";
import type { Generations, OpenIteration } from "./generations.ts";

/** Call before the iteration is closed. Functions of the trajectories, never of the clock. */
export function generationMetrics(
  generations: Generations,
  open: OpenIteration,
  episodes: readonly PlayedTrajectory[],
): Record<string, number> {
  const { newest, records } = generations;
  if (records.length < 2) return {};
  const values: Record<string, number> = {
    "environment/generation": newest.record.generation,
    "environment/canaryShare": newest.record.canaryShare,
  };
  for (const { generation } of records) {
    const own = episodes.filter(({ lineage }) => lineage.environment.generation === generation);
    const mean = (of: (episode: PlayedTrajectory) => number) => own.reduce((sum, e) => sum + of(e), 0) / own.length;
    const prefix = `generation/${generation}`;
    values[`${prefix}/noResult`] = generations.noResultShare(generation, open);
    if (own.length === 0) continue;
    values[`${prefix}/episodes`] = own.length;
    values[`${prefix}/return`] = mean(({ outcome }) => (outcome.type === "noResult" ? 0 : outcome.return));
    values[`${prefix}/success`] = mean((episode) => (succeeded(episode) ? 1 : 0));
    values[`${prefix}/length`] = mean(({ steps }) => steps.count);
  }
  return Object.fromEntries(Object.entries(values).filter(([, value]) => Number.isFinite(value)));
}
