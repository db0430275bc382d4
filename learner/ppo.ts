/**
 * The PPO loss (Schulman et al. 2017, arXiv:1707.06347, eq. 7 and 9) over the rows of a minibatch, with clip-higher (DAPO,
 * arXiv:2503.14476), dual clip (arXiv:1912.09729), KL to a reference policy (Schulman, "Approximating KL divergence":
 * k1, k2, k3) and the decoupled objective for stale data (Hilton et al. 2021, arXiv:2110.00641).
 * B = rows; every per-row array below is float32 [B]. Of a language policy, what is a row here is a token of the answers: each has
 * the advantage of its step.
 */
import { actionTerms } from "../policy/distribution.ts";
import type { Policy } from "../policy/policy.ts";
import type { Rows } from "../policy/rows.ts";
import type { Tensor, Tensors } from "../policy/tensor/tensors.ts";
import type { PackingOptions } from "./minibatches.ts";

export interface PpoOptions extends PackingOptions {
  clipLow: number;
  clipHigh: number;
  /** c of the dual clip: for A < 0 the objective is no lower than c·A. 0 switches it off. */
  dualClip: number;
  klCoefficient: number;
  klEstimator: "k1" | "k2" | "k3";
  entropyCoefficient: number;
  valueCoefficient: number;
  /** Largest change of a value prediction that still improves its loss; 0 switches clipping off. */
  valueClip: number;
}

export interface PpoRows {
  rows: Rows;
  /** Of a language policy: the tokens of row i are items[i] … items[i+1] of every column below. */
  items?: Uint32Array;
  /** How much each token counts, where tokens of long answers count less: 1 / (tokens of the answer). */
  weights?: Float32Array;
  actions: Int32Array | Float32Array;
  advantages: Float32Array;
  /** log π of the policy that the ratio is taken against: behaviour, or proximal when decoupled. */
  oldLogProbs: Float32Array;
  /** Truncated importance weights π_proximal / π_behaviour, when decoupled. */
  importance?: Float32Array;
  /** log π_ref, when klCoefficient > 0. */
  referenceLogProbs?: Float32Array;
  /** With a critic: what the value should be, and what it was before the update. */
  valueTargets?: Float32Array;
  oldValues?: Float32Array;
}

/**
 * Sums over the rows divided by `scale` (the size of the whole minibatch, so that its parts add up).
 * @returns loss [1], and per row: logRatio [B], entropy [B], valueError [B] (with a critic), kl [B] (with a reference).
 */
export function ppoLoss(
  policy: Policy,
  t: Tensors,
  batch: PpoRows,
  scale: number,
  options: PpoOptions,
): { loss: Tensor } & Record<string, Tensor> {
  const count = batch.advantages.length;
  const column = (values: Float32Array) => t.input(values, [count]);
  const output = policy.forward(batch.rows, t);
  const { logProb, entropy } = actionTerms(t, output, batch.actions);

  const advantages = column(batch.advantages);
  const logRatio = t.sub(logProb, column(batch.oldLogProbs));
  const ratio = t.exp(logRatio);
  const clipped = t.clamp(ratio, 1 - options.clipLow, 1 + options.clipHigh);
  let objective = t.minimum(t.mul(ratio, advantages), t.mul(clipped, advantages));
  if (options.dualClip > 0) {
    const floor = batch.advantages.map((a) => (a < 0 ? options.dualClip * a : -1e30));
    objective = t.maximum(objective, column(floor));
  }
  if (batch.importance) objective = t.mul(objective, column(batch.importance));

  const weights = batch.weights && column(batch.weights);
  const sum = (each: Tensor) => t.sum(weights ? t.mul(each, weights) : each);
  let loss = t.affine(sum(objective), -1 / scale);
  if (options.entropyCoefficient !== 0) {
    loss = t.add(loss, t.affine(sum(entropy), -options.entropyCoefficient / scale));
  }
  const perRow: Record<string, Tensor> = { logRatio, entropy };
  if (batch.referenceLogProbs) {
    const kl = klDivergence(t, t.sub(logProb, column(batch.referenceLogProbs)), options.klEstimator);
    loss = t.add(loss, t.affine(sum(kl), options.klCoefficient / scale));
    perRow.kl = kl;
  }
  if (output.value && batch.valueTargets) {
    const targets = column(batch.valueTargets);
    let error = t.square(t.sub(output.value, targets));
    if (options.valueClip > 0 && batch.oldValues) {
      const old = column(batch.oldValues);
      const near = t.add(old, t.clamp(t.sub(output.value, old), -options.valueClip, options.valueClip));
      error = t.maximum(error, t.square(t.sub(near, targets)));
    }
    loss = t.add(loss, t.affine(t.sum(error), (0.5 * options.valueCoefficient) / scale));
    perRow.valueError = error;
  }
  return { loss, ...perRow };
}

/** k1 = log π − log π_ref. k3 is unbiased like k1 and never negative like k2. */
function klDivergence(t: Tensors, k1: Tensor, estimator: "k1" | "k2" | "k3"): Tensor {
  if (estimator === "k1") return k1;
  if (estimator === "k2") return t.affine(t.square(k1), 0.5);
  return t.add(t.exp(t.affine(k1, -1)), t.affine(k1, 1, -1));
}
