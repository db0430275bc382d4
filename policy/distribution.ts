/**
 * Distributions over actions as differentiable tensors, for losses. B = rows, N = all rows' choices one after the other,
 * D = dimensions of a box action. Natural logarithms throughout.
 */
import type { PolicyOutput } from "./policy.ts";
import type { Indices, Tensor, Tensors } from "./tensor/tensors.ts";

const HALF_LOG_TWO_PI = 0.9189385332046727;

/** log π(a|s) of the actions taken and the entropy of π(·|s), both [B]; of a language model, of each token of the answers, both [n]. */
export interface ActionTerms {
  logProb: Tensor;
  entropy: Tensor;
}

/**
 * @param actions int32 [B], position among the row's choices (categorical); float32 [B, D] (gaussian); tokens: not looked at, the
 *   answers are in the rows
 * Throws RangeError when a choice lies outside its row, TypeError when the actions are of the other kind.
 */
export function actionTerms(t: Tensors, output: PolicyOutput, actions: Int32Array | Float32Array): ActionTerms {
  if (output.tokens !== undefined) return { logProb: output.logits, entropy: output.tokens.entropy };
  if (output.offsets !== undefined && actions instanceof Int32Array)
    return categorical(t, output.logits, output.offsets, actions);
  if (output.logStd !== undefined && actions instanceof Float32Array)
    return gaussian(t, output.logits, output.logStd, actions);
  throw new TypeError(
    `Categorical policies take Int32Array choices and Gaussian ones Float32Array vectors; found a ` +
      `${output.offsets ? "categorical" : "Gaussian"} output and ${actions.constructor.name}`,
  );
}

function categorical(t: Tensors, logits: Tensor, offsets: Uint32Array, choices: Int32Array): ActionTerms {
  const rows = offsets.length - 1;
  if (choices.length !== rows) throw new RangeError(`Expected ${rows} choices, one a row; found ${choices.length}`);
  const taken = new Uint32Array(rows);
  for (let i = 0; i < rows; i++) {
    const offered = offsets[i + 1] - offsets[i];
    if (!(choices[i] >= 0 && choices[i] < offered))
      throw new RangeError(`Row ${i} offers ${offered} choices; found choice ${choices[i]}`);
    taken[i] = offsets[i] + choices[i];
  }
  const segments = t.indices(offsets);
  const logProbs = t.segmentLogSoftmax(logits, segments);
  return { logProb: t.gather(logProbs, t.indices(taken)), entropy: expectation(t, logProbs, logProbs, segments, -1) };
}

/** factor · Σ p·x within each row, where p = exp(logProbs). */
function expectation(t: Tensors, logProbs: Tensor, x: Tensor, segments: Indices, factor: number): Tensor {
  return t.affine(t.segmentSum(t.mul(t.exp(logProbs), x), segments), factor);
}

/** [1] repeated for each of `rows` rows. */
function everyRow(t: Tensors, scalar: Tensor, rows: number): Tensor {
  return t.add(t.input(new Float32Array(rows), [rows]), scalar);
}

function gaussian(t: Tensors, mean: Tensor, logStd: Tensor, actions: Float32Array): ActionTerms {
  const [rows, dimensions] = mean.shape;
  if (actions.length !== rows * dimensions)
    throw new RangeError(`Expected actions [${rows}, ${dimensions}], found ${actions.length} numbers`);
  const inverseStd = t.exp(t.affine(logStd, -1));
  const z = t.mul(t.sub(t.input(actions, [rows, dimensions]), mean), inverseStd);
  const sumLogStd = t.sum(logStd);
  const logNormaliser = t.affine(sumLogStd, -1, -dimensions * HALF_LOG_TWO_PI);
  return {
    logProb: t.add(t.affine(t.sumRows(t.square(z)), -0.5), logNormaliser),
    entropy: everyRow(t, t.affine(sumLogStd, 1, dimensions * (0.5 + HALF_LOG_TWO_PI)), rows),
  };
}

/** KL(p ‖ q) of each row [B], in closed form. Both outputs come from the same rows. */
export function klDivergence(t: Tensors, p: PolicyOutput, q: PolicyOutput): Tensor {
  if (p.offsets !== undefined) {
    const segments = t.indices(p.offsets);
    const logP = t.segmentLogSoftmax(p.logits, segments);
    return expectation(t, logP, t.sub(logP, t.segmentLogSoftmax(q.logits, segments)), segments, 1);
  }
  if (p.logStd === undefined || q.logStd === undefined) throw new TypeError("Gaussian outputs carry logStd");
  const [rows, dimensions] = p.logits.shape;
  const logRatio = t.sub(q.logStd, p.logStd);
  // ½ Σ ( (μp − μq)²/σq² + σp²/σq² − 1 ) + Σ log σq/σp
  const shift = t.sumRows(t.square(t.mul(t.sub(p.logits, q.logits), t.exp(t.affine(q.logStd, -1)))));
  const spread = t.sum(t.exp(t.affine(logRatio, -2)));
  const perRow = t.add(t.affine(shift, 0.5), t.affine(spread, 0.5, -0.5 * dimensions));
  return t.add(perRow, everyRow(t, t.sum(logRatio), rows));
}
