/**
 * Whether a device computes what the CPU computes, and how long it takes: a few steps of the training at hand, on both, from the
 * same weights. Nothing is trained by it.
 */
import type { Model } from "../policy/tensor/tensors.ts";
import type { Device } from "../policy/tensor/tfjs/device.ts";
import type { GradientEngine } from "./gradients.ts";
import type { PpoRows } from "./ppo.ts";
import { DivergedError, type UpdateOptions, update } from "./update.ts";

export interface Side {
  model: Model;
  engine: GradientEngine;
}

/** Takes the first so many optimiser steps of the training at hand, at most an epoch of them. @returns their mean loss */
export type TakeSteps = (side: Side, steps: number) => Promise<{ loss: number; steps: number }>;

/** Those of PPO. */
export function updateSteps(data: PpoRows, rows: Uint32Array, options: UpdateOptions, seed: number): TakeSteps {
  const once = { ...options, epochs: 1, targetKl: 0 };
  return async ({ model, engine }, steps) => {
    const first = rows.subarray(0, steps * options.minibatch);
    const { loss, learnerSteps } = await update(model, engine, data, first, once, seed);
    return { loss, steps: learnerSteps };
  };
}

/** The device computes something else than the CPU. */
export class DisagreementError extends Error {
  override name = "DisagreementError";
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

/** Optimiser steps of a trial. */
export const TRIAL_STEPS = 4;

/** Largest differences at which two providers count as the same. Rounding alone gives 1e-7 and 1e-6. */
export const AGREEMENT = { loss: 1e-5, weights: 1e-4 } as const;

export function agrees({ lossDifference, weightsDifference }: Trial): boolean {
  return lossDifference <= AGREEMENT.loss && weightsDifference <= AGREEMENT.weights;
}

/** Both sides start from the host's state, and have it again afterwards. A step before those that are timed compiles. */
export async function tryDevice(host: Side, device: Side, take: TakeSteps, steps: number): Promise<Trial> {
  const weights = await host.model.weights();
  const optimiser = await host.model.optimiser();
  const pass = async (side: Side, wanted: number) => {
    const { model } = side;
    model.load(weights);
    model.loadOptimiser(optimiser);
    const startedAt = performance.now();
    const taken = await take(side, wanted);
    const ms = performance.now() - startedAt;
    return { ...taken, ms, weights: await model.weights() };
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
    steps: here.steps,
    lossDifference: Math.abs(there.loss - here.loss) / Math.max(1, Math.abs(here.loss)),
    weightsDifference: relativeDistance(there.weights, here.weights),
    hostMs: here.ms,
    deviceMs: there.ms,
  };
}

/**
 * Whether the training moves to the device, and what to tell of it. With `auto` it moves where that is faster.
 * @param host name of the provider it is on
 * @throws DisagreementError without `auto`, where the two do not compute the same
 */
export function verdict(trial: Trial, device: Device, host: string, auto: boolean): { moves: boolean; notice: string } {
  const { steps, lossDifference, weightsDifference, deviceMs, hostMs } = trial;
  if (!agrees(trial)) {
    const found = `${device.description} does not compute what ${host} computes: after ${steps} steps the loss differs by ${lossDifference.toExponential(1)} (allowed ${AGREEMENT.loss}) and the weights by ${weightsDifference.toExponential(1)} of their norm (allowed ${AGREEMENT.weights})`;
    if (auto) return { moves: false, notice: `Trains with ${host}: ${found}.` };
    throw new DisagreementError(
      `Refused to train with --device ${device.name}: ${found}. Nothing was trained on it. NVIDIA's TF32 rounds products to 10 bits: set NVIDIA_TF32_OVERRIDE=0; otherwise train with --device cpu`,
    );
  }
  const times = `${steps} steps of the first batch took ${deviceMs.toFixed(1)} ms there and ${hostMs.toFixed(1)} ms with ${host}`;
  if (auto && hostMs <= deviceMs)
    return { moves: false, notice: `Trains with ${host}, which is faster than ${device.description}: ${times}.` };
  return {
    moves: true,
    notice: `Trains on ${device.description}: ${times}; weights agree to ${weightsDifference.toExponential(1)}.`,
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
