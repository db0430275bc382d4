/**
 * The loss of imitation (behaviour cloning; Pomerleau 1991): the negative log-likelihood of the demonstrated action, and with a
 * critic the squared error to the discounted return that followed it. B = rows; every per-row array is float32 [B], or by token of
 * a language policy's answers.
 */
import { actionTerms } from "../policy/distribution.ts";
import type { Policy } from "../policy/policy.ts";
import type { Rows } from "../policy/rows.ts";
import type { Tensor, Tensors } from "../policy/tensor/tensors.ts";
import type { PackingOptions } from "./minibatches.ts";

export interface ImitationOptions extends PackingOptions {
  /** Weight of the critic's loss. */
  valueCoefficient: number;
}

export interface ImitationRows {
  rows: Rows;
  /** Of a language policy: the tokens of row i are items[i] … items[i+1] of what is given by row. */
  items?: Uint32Array;
  /** int32 [B] or float32 [B, D]: what the demonstrator did; of a language policy empty, as the answers are in the rows. */
  actions: Int32Array | Float32Array;
  /** With a critic. */
  valueTargets?: Float32Array;
}

/**
 * Sums over the rows divided by `scale` (the size of the whole minibatch, so that its parts add up).
 * @returns loss [1], and per row: logProb [B], valueError [B] (with a critic).
 */
export function imitationLoss(
  policy: Policy,
  t: Tensors,
  batch: ImitationRows,
  scale: number,
  options: ImitationOptions,
): { loss: Tensor } & Record<string, Tensor> {
  const output = policy.forward(batch.rows, t);
  const { logProb } = actionTerms(t, output, batch.actions);
  const loss = t.affine(t.sum(logProb), -1 / scale);
  if (!output.value || !batch.valueTargets) return { loss, logProb };
  const valueError = t.square(t.sub(output.value, t.input(batch.valueTargets, [batch.rows.count])));
  const critic = t.affine(t.sum(valueError), (0.5 * options.valueCoefficient) / scale);
  return { loss: t.add(loss, critic), logProb, valueError };
}
