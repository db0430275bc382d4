/** What the current weights say about rows already played: values for the critic's estimators, log-probabilities for the ratios. */
import { actionTerms } from "../policy/distribution.ts";
import { answersOf } from "../policy/language/answer-rows.ts";
import { hasTokens, type Policy } from "../policy/policy.ts";
import { type Rows, takeRows } from "../policy/rows.ts";
import type { Model, Tensor } from "../policy/tensor/tensors.ts";
import { itemCount, passesOf } from "./minibatches.ts";

// Bound the memory of a forward pass; a row's result does not depend on the rows it is with.
const CHUNK_ROWS = 1024;
const PASS_TOKENS = 8192;

/** All rows in order, so many at once as a forward pass may have; `items`: see `Batch`. */
export function chunksOf(rows: Rows, index: Uint32Array, items?: Uint32Array): Uint32Array[] {
  if (items) return passesOf({ rows, items }, index, { passTokens: PASS_TOKENS });
  const count = Math.ceil(index.length / CHUNK_ROWS);
  return Array.from({ length: count }, (_, k) => index.subarray(k * CHUNK_ROWS, (k + 1) * CHUNK_ROWS));
}

/**
 * @returns values [R] when the policy has a critic; logProbs [R] of `actions` when they are given, or [n] of every token of a
 *   language policy's answers.
 */
export async function predict(
  model: Model,
  policy: Policy,
  rows: Rows,
  actions?: Int32Array | Float32Array,
): Promise<{ values?: Float32Array; logProbs?: Float32Array }> {
  const items = hasTokens(policy) ? answersOf(rows).offsets : undefined;
  const all = Uint32Array.from({ length: rows.count }, (_, row) => row);
  const values = policy.hasValue ? new Float32Array(rows.count) : undefined;
  const logProbs = actions && new Float32Array(itemCount({ rows, items }, all));
  const width = actions ? actions.length / Math.max(1, rows.count) : 0;
  for (const index of chunksOf(rows, all, items)) {
    const [from, to] = [index[0]!, index[0]! + index.length];
    const chunk = takeRows(rows, index);
    const read = await model.evaluate((t) => {
      const output = policy.forward(chunk, t);
      const wanted: Record<string, Tensor> = {};
      if (values) wanted.values = output.value!;
      if (actions) wanted.logProbs = actionTerms(t, output, actions.subarray(from * width, to * width)).logProb;
      return wanted;
    });
    values?.set(read.values!, from);
    logProbs?.set(read.logProbs!, items ? items[from] : from);
  }
  return { values, logProbs };
}
