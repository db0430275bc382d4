/**
 * Whether a device computes what the CPU computes, and how long it takes: a few steps of the update at hand, on both, from the
 * same weights. Nothing is trained by it.
 */
import type { Policy } from "../policy/policy.ts";
import type { Model } from "../policy/tensor/tensors.ts";
import type { GradientEngine } from "./gradients.ts";
import type { PpoRows } from "./ppo.ts";
import { DivergedError, type UpdateOptions, update } from "./update.ts";

export interface Side {
  model: Model;
  engine: GradientEngine;
}

/** What an update is given. */
export interface Work {
  policy: Policy;
  data: PpoRows;
  rows: Uint32Array;
  options: UpdateOptions;
  seed: number;
}

export interface Trial {
  /** Optimiser steps taken on each side. */
  steps: number;
  /** |device − host| of the mean loss, and ‖device − host‖ / ‖host‖ of the weights after the steps. */
  lossDifference: number;
  weightsDifference: number;
  hostMs: number;
  deviceMs: number;
}

/** Largest differences at which two providers count as the same. Rounding alone gives 1e-7 and 1e-6. */
export const AGREEMENT = { loss: 1e-5, weights: 1e-4 } as const;

export function agrees({ lossDifference, weightsDifference }: Trial): boolean {
  return lossDifference <= AGREEMENT.loss && weightsDifference <= AGREEMENT.weights;
}

/**
 * Both sides start from the host's state, and have it again afterwards. A step before those that are timed compiles.
 * @param steps optimiser steps, at most one epoch
 */
export async function tryDevice(host: Side, device: Side, work: Work, steps: number): Promise<Trial> {
  const weights = await host.model.weights();
  const optimiser = await host.model.optimiser();
  const options = { ...work.options, epochs: 1, targetKl: 0 };
  const pass = async ({ model, engine }: Side, minibatches: number) => {
    const rows = work.rows.subarray(0, minibatches * work.options.minibatch);
    model.load(weights);
    model.loadOptimiser(optimiser);
    const startedAt = performance.now();
    const { loss, learnerSteps } = await update(model, engine, work.data, rows, options, work.seed);
    const ms = performance.now() - startedAt;
    return { loss, ms, learnerSteps, weights: await model.weights() };
  };
  await pass(host, 1);
  const here = await pass(host, steps);
  let there: Awaited<ReturnType<typeof pass>>;
  try {
    await pass(device, 1);
    there = await pass(device, steps);
  } catch (error) {
    if (!(error instanceof DivergedError)) throw error;
    // What the host can learn from and the device cannot is no number there.
    there = { ...here, loss: Number.NaN, weights: weights.map(() => Number.NaN) };
  }
  for (const { model } of [host, device]) {
    model.load(weights);
    model.loadOptimiser(optimiser);
  }
  return {
    steps: here.learnerSteps,
    lossDifference: Math.abs(there.loss - here.loss) / Math.max(1, Math.abs(here.loss)),
    weightsDifference: relativeDistance(there.weights, here.weights),
    hostMs: here.ms,
    deviceMs: there.ms,
  };
}

/** ‖a − b‖ / ‖b‖ */
function relativeDistance(a: Float32Array, b: Float32Array): number {
  let [distance, length] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    distance += (a[i]! - b[i]!) ** 2;
    length += b[i]! ** 2;
  }
  return Math.sqrt(distance / length);
}
