/** The metrics of one iteration: everything here is a function of the trajectories and the update, never of the clock. */
import type { Credit } from "./advantage/index.ts";
import { type Batch, succeeded } from "./batch.ts";
import type { Counters } from "./checkpoint.ts";
import type { RunConfig } from "./config.ts";
import type { Ledger } from "./ledger.ts";
import type { UpdateStatistics } from "./update.ts";

export interface Summarised {
  config: Pick<RunConfig, "overSample" | "completionRatio" | "interruptAfter">;
  /** Steps of episodes that were not awaited. */
  lateLengths: readonly number[];
  batch: Batch;
  credit: Credit;
  statistics: UpdateStatistics | undefined;
  counters: Counters;
  ledger: Ledger;
  learningRate: number;
}

export function summarise({
  config,
  lateLengths,
  batch,
  credit,
  statistics,
  counters,
  ledger,
  learningRate,
}: Summarised): Record<string, number> {
  const { episodes } = batch;
  const returns = episodes.map((e) => (e.outcome.type === "noResult" ? 0 : e.outcome.return));
  const updated = counters.iteration - 1; // the version that these episodes were used to update
  const staleness = episodes.map((e) => updated - e.lineage.weights.counter);
  const balance = ledger.balance();
  const values: Record<string, number> = {
    "run/episodes": counters.episodes,
    "run/learnerSteps": counters.learnerSteps,
    "run/weightsVersion": counters.iteration,
    "episode/return": mean(returns),
    "episode/returnMin": Math.min(...returns, Infinity),
    "episode/returnMax": Math.max(...returns, -Infinity),
    "episode/success": mean(episodes.map((e) => (succeeded(e) ? 1 : 0))),
    "episode/length": mean(episodes.map((e) => e.steps.count)),
    "episode/invalidActions": 1 - mean(Array.from(batch.groups.valid)),
    "episode/staleness": mean(staleness),
    "episode/stalenessMax": Math.max(...staleness, 0),
    "ledger/started": balance.started,
    "ledger/trained": balance.trained,
    "ledger/dropped": balance.dropped,
    "ledger/inFlight": balance.inFlight,
  };
  if (config.interruptAfter > 0) {
    values["episode/interrupted"] = mean(episodes.map((e) => (isInterrupted(e) ? 1 : 0)));
  }
  if (config.overSample > 0 || config.completionRatio < 1) {
    values["straggler/heard"] = lateLengths.length;
    values["straggler/length"] = mean(lateLengths);
    values["straggler/lengthBias"] = mean(lateLengths) - mean(episodes.map((e) => e.steps.count));
  }
  for (const [reason, count] of Object.entries(balance.reasons)) values[`dropped/${reason}`] = count;
  for (const [name, value] of Object.entries(credit.diagnostics)) values[`credit/${name}`] = value;
  if (statistics) {
    for (const [name, value] of Object.entries(statistics))
      if (name !== "learnerSteps") values[`update/${name}`] = value;
    values["update/learningRate"] = learningRate;
  }
  if (batch.groups.values && credit.valueTargets) {
    values["update/explainedVariance"] = explainedVariance(batch.groups.values, credit.valueTargets);
  }
  return Object.fromEntries(Object.entries(values).filter(([, value]) => Number.isFinite(value)));
}

const isInterrupted = ({ outcome }: Batch["episodes"][number]) =>
  outcome.type === "truncated" && outcome.interrupted === true;

/** 1 − Var(target − value) / Var(target); 1 is a perfect critic, 0 no better than a constant. */
function explainedVariance(values: Float32Array, targets: Float32Array): number {
  const spread = variance(targets);
  return spread === 0 ? Number.NaN : 1 - variance(targets.map((t, i) => t - values[i]!)) / spread;
}

function variance(x: Float32Array): number {
  const m = mean(x);
  let sum = 0;
  for (const v of x) sum += (v - m) ** 2;
  return sum / x.length;
}

function mean(x: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]!;
  return sum / x.length;
}
