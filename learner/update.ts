/**
 * The update of one iteration: epochs of shuffled minibatches, each a gradient of the PPO loss and one step of Adam. The order
 * of the rows comes from hashing (run seed, iteration, epoch), so the update is a function of its arguments.
 */
import { mix32 } from "../envs/random.ts";
import type { Model } from "../policy/tensor/tensors.ts";
import type { GradientEngine, GradientReading } from "./gradients.ts";
import { minibatches } from "./minibatches.ts";
import type { PpoOptions, PpoRows } from "./ppo.ts";

export interface UpdateOptions extends PpoOptions {
  epochs: number;
  /** Rows per optimiser step. */
  minibatch: number;
  learningRate: number;
  adamBeta1: number;
  adamBeta2: number;
  adamEpsilon: number;
  maxGradNorm: number;
  /** Stop once the approximate KL of an epoch exceeds it; 0 never stops. */
  targetKl: number;
}

export interface UpdateStatistics {
  loss: number;
  /** Mean of ρ − 1 − log ρ over the last epoch: Schulman's k3 estimate of KL(old ‖ new). */
  approxKl: number;
  /** Of rows, or of a language policy's tokens: share whose ratio lies outside the clip range, last epoch. */
  clipFraction: number;
  entropy: number;
  /** Mean norm of the gradient before clipping. */
  gradNorm: number;
  /** ½ mean squared error of the critic. */
  valueLoss?: number;
  /** KL to the reference policy. */
  referenceKl?: number;
  epochs: number;
  learnerSteps: number;
}

export class DivergedError extends Error {
  override name = "DivergedError";
}

/** @param rows which rows of `data` to train on */
export async function update(
  model: Model,
  engine: GradientEngine,
  data: PpoRows,
  rows: Uint32Array,
  options: UpdateOptions,
  seed: number,
): Promise<UpdateStatistics> {
  const totals = { loss: 0, gradNorm: 0, steps: 0 };
  let sums = new EpochSums(options);
  let last = sums.finish();
  let epoch = 0;
  let summed = 0;
  const pending: Promise<Step>[] = [];
  /** Takes in the steps so far; sums begin anew with each epoch. */
  const settle = async () => {
    for (const { reading, gradNorm, ofEpoch } of await Promise.all(pending)) {
      if (ofEpoch !== summed) sums = new EpochSums(options);
      summed = ofEpoch;
      if (!Number.isFinite(reading.loss) || !Number.isFinite(gradNorm)) {
        throw new DivergedError(
          `The update diverged in epoch ${ofEpoch}: loss ${reading.loss}, gradient norm ${gradNorm}. The last checkpoint is intact. Try a smaller learningRate (now ${options.learningRate}) or maxGradNorm (now ${options.maxGradNorm}).`,
        );
      }
      totals.loss += reading.loss;
      totals.gradNorm += gradNorm;
      totals.steps++;
      sums.add(reading.rows);
    }
    pending.length = 0;
    last = sums.finish();
  };
  const shuffled = minibatches(data, rows, options.minibatch);
  await engine.load(data, options);
  while (epoch < options.epochs) {
    for (const minibatch of shuffled(mix32(seed, epoch))) {
      pending.push(takeStep(model, engine, minibatch, options, epoch));
      if (!model.isQueued) await settle();
    }
    epoch++;
    if (options.targetKl > 0) await settle();
    if (options.targetKl > 0 && last.approxKl > options.targetKl) break;
  }
  await settle();
  engine.unload();
  const steps = Math.max(1, totals.steps);
  return {
    ...last,
    loss: totals.loss / steps,
    gradNorm: totals.gradNorm / steps,
    epochs: epoch,
    learnerSteps: totals.steps,
  };
}

interface Step {
  reading: GradientReading;
  gradNorm: number;
  ofEpoch: number;
}

/** One gradient and one step of Adam. On a device both are recorded before the first wait. */
async function takeStep(
  model: Model,
  engine: GradientEngine,
  minibatch: Uint32Array,
  options: UpdateOptions,
  ofEpoch: number,
): Promise<Step> {
  const gradient = engine.gradient(minibatch);
  if (!model.isQueued) await gradient;
  const step = model.adam({
    learningRate: options.learningRate,
    beta1: options.adamBeta1,
    beta2: options.adamBeta2,
    epsilon: options.adamEpsilon,
    maxGradNorm: options.maxGradNorm || Infinity,
  });
  const [reading, gradNorm] = await Promise.all([gradient, step]);
  return { reading, gradNorm, ofEpoch };
}

type EpochStatistics = Pick<UpdateStatistics, "approxKl" | "clipFraction" | "entropy" | "valueLoss" | "referenceKl">;

/** Sums the readings of one epoch, by row or by token, in float64. */
class EpochSums {
  #count = 0;
  #kl = 0;
  #clipped = 0;
  #entropy = 0;
  #valueError = 0;
  #referenceKl = 0;
  #has = { value: false, reference: false };
  readonly #low: number;
  readonly #high: number;

  constructor(options: PpoOptions) {
    this.#low = 1 - options.clipLow;
    this.#high = 1 + options.clipHigh;
  }

  add(rows: Record<string, Float32Array>): void {
    const { logRatio, entropy, valueError, kl } = rows as { logRatio: Float32Array; entropy: Float32Array } & Partial<
      typeof rows
    >;
    for (let i = 0; i < logRatio.length; i++) {
      const ratio = Math.exp(logRatio[i]!);
      this.#kl += ratio - 1 - logRatio[i]!;
      if (ratio < this.#low || ratio > this.#high) this.#clipped++;
      this.#entropy += entropy[i]!;
    }
    this.#count += logRatio.length;
    if (valueError) {
      this.#has.value = true;
      for (const e of valueError) this.#valueError += e;
    }
    if (kl) {
      this.#has.reference = true;
      for (const k of kl) this.#referenceKl += k;
    }
  }

  finish(): EpochStatistics {
    const n = Math.max(1, this.#count);
    return {
      approxKl: this.#kl / n,
      clipFraction: this.#clipped / n,
      entropy: this.#entropy / n,
      ...(this.#has.value ? { valueLoss: (0.5 * this.#valueError) / n } : {}),
      ...(this.#has.reference ? { referenceKl: this.#referenceKl / n } : {}),
    };
  }
}
