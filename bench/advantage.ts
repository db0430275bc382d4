/**
 * The advantages of ProxMO, GiGPO and GRPO beside the published formulations (scikit-learn and PyTorch) on the same batch: 16
 * groups of 8 household episodes, 3,304 step rows. Both sides must give the same values.
 *   bun bench/advantage.ts [--quick] [--rounds N] [--only ESTIMATOR]
 * Milliseconds for the batch, the median of several estimates in one process. Then how ProxMO's time grows from 1 to 1,024 groups.
 */
import { spawnSync } from "node:child_process";
import { gigpo, gigpoTerms } from "../learner/advantage/gigpo.ts";
import { grpo, grpoAdvantages } from "../learner/advantage/grpo.ts";
import { resolveEstimatorOptions } from "../learner/advantage/options.ts";
import { proxmo, proxmoTerms } from "../learner/advantage/proxmo.ts";
import { maxError } from "../learner/advantage/testing.ts";
import { household } from "./advantage/household.ts";
import { median } from "./credit-assignment/statistics.ts";
import { peerPython, peerScript, pinned } from "./peers/python.ts";
import { benchOptions, type Comparison, sideBySide } from "./peers/side-by-side.ts";

const TOLERANCE = 1e-4;
const options = benchOptions("advantage", { rounds: 5, quickRounds: 1 });

function timesMs(work: () => void, repeats: number): number[] {
  return Array.from({ length: repeats }, () => {
    const start = performance.now();
    work();
    return performance.now() - start;
  });
}

const groups = household(1);
const { episodeOffsets, groupOffsets } = groups;
const rows = groups.rewards.length;
const asPublished = resolveEstimatorOptions(proxmo, { preset: "reference" });
const gigpoOptions = resolveEstimatorOptions(gigpo, { preset: "reference" });
const grpoOptions = resolveEstimatorOptions(grpo, {});
const { returns, scores, step } = proxmoTerms(groups, asPublished);

/** The number of the slice that each row is in. */
function slices(offsets: ArrayLike<number>): number[] {
  const of = new Array<number>(rows);
  for (let i = 0; i < offsets.length - 1; i++) of.fill(i, offsets[i], offsets[i + 1]);
  return of;
}
const batch = {
  anchors: Array.from(groups.anchors!.index, (i) => groups.anchors!.strings[i]),
  groups: slices(groupOffsets.map((e) => episodeOffsets[e]!)),
  episodes: slices(episodeOffsets),
  scores: [...scores],
  returns: [...returns],
  tau: asPublished.tau,
  epsilon: grpoOptions.epsilon,
  repeats: options.quick ? 3 : 9,
};

/** @param expected what the peer must give as well */
function beside(estimator: string, estimate: (on: typeof groups) => unknown, expected: Float64Array): Comparison {
  return {
    name: `${estimator}, ${rows.toLocaleString("en")} steps`,
    peer: `as published, scikit-learn ${pinned("credit", "scikit-learn")}, PyTorch ${pinned("credit", "torch")}`,
    measures: [{ figure: "ms", unit: "ms", better: "less", goal: 20 }],
    async ours() {
      // Compiled before it is measured, as in any iteration but the first few.
      for (let warmUp = 0; warmUp < 10; warmUp++) estimate(household(2 + warmUp));
      return { ms: median(timesMs(() => estimate(groups), 25)) };
    },
    async theirs() {
      const input = JSON.stringify({ ...batch, estimator: estimator.toLowerCase() });
      const run = spawnSync(peerPython("credit"), [peerScript("advantage.py")], { input, maxBuffer: 1 << 28 });
      if (run.status !== 0) throw new Error(`The peer failed: ${run.stderr}`);
      const { medianMs, values }: { medianMs: number; values: number[] } = JSON.parse(run.stdout.toString());
      const differs = maxError(expected, values);
      if (!(differs < TOLERANCE)) throw new Error(`${estimator} differs from the peer by ${differs}`);
      return { ms: medianMs };
    },
  };
}

await sideBySide(options, [
  beside("ProxMO", (on) => proxmo.estimate(on, asPublished), step),
  beside("GiGPO", (on) => gigpo.estimate(on, gigpoOptions), gigpoTerms(groups, gigpoOptions).advantages),
  beside("GRPO", (on) => grpo.estimate(on, grpoOptions), grpoAdvantages(groups, grpoOptions)),
]);

if (!options.quick && !options.only) {
  console.log("\nProxMO\ngroups    rows        ms  µs/row");
  for (let count = 1; count <= 1024; count *= 2) {
    const larger = household(3, { groups: count, members: 8, steps: Math.round(206.5 * count) });
    const ms = median(timesMs(() => proxmo.estimate(larger, asPublished), count > 128 ? 3 : 9));
    const perRow = (1000 * ms) / larger.rewards.length;
    console.log(
      `${String(count).padStart(6)}  ${String(larger.rewards.length).padStart(6)}  ${ms.toFixed(2).padStart(8)}  ${perRow.toFixed(2).padStart(6)}`,
    );
  }
}
