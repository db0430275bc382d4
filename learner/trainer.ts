/**
 * What the learner computes with: the policy's model, the reference model, and whoever differentiates. It begins on the CPU;
 * where a device was opened, the first batch decides whether it moves there, and with `auto` a device that fails later sends it back.
 */
import type { Policy } from "../policy/policy.ts";
import type { Rows } from "../policy/rows.ts";
import type { Model, TensorProvider } from "../policy/tensor/tensors.ts";
import type { Device } from "../policy/tensor/tfjs/device.ts";
import { DeviceError } from "../policy/tensor/tfjs/queue.ts";
import { AGREEMENT, agrees, type Trial, tryDevice } from "./device-trial.ts";
import type { GradientEngine } from "./gradients.ts";
import type { PpoRows } from "./ppo.ts";
import { predict } from "./predict.ts";
import { type UpdateOptions, type UpdateStatistics, update } from "./update.ts";

/** Optimiser steps of the trial. */
const TRIAL_STEPS = 4;

export interface TrainerDependencies {
  policy: Policy;
  provider: TensorProvider;
  gradients(model: Model): GradientEngine;
  weights: Float32Array;
  /** Keep a model of the first weights, for the KL to them. */
  hasReference: boolean;
  device?: {
    device: Device;
    /** Stay on the CPU where that is faster, and go back to it when the device fails. */
    auto: boolean;
  };
  onNotice(message: string): void;
}

/** Everything that training changes. */
export interface TrainedState {
  weights: Float32Array;
  optimiser: { m: Float32Array; v: Float32Array; steps: number };
}

/** The device computes something else than the CPU. */
export class DisagreementError extends Error {
  override name = "DisagreementError";
}

interface Place {
  model: Model;
  reference?: Model;
  engine: GradientEngine;
}

export class Trainer {
  readonly #deps: TrainerDependencies;
  #place: Place;
  #referenceWeights: Float32Array;
  #traffic: Device["traffic"] = { uploads: 0, uploadedBytes: 0, downloads: 0, downloadedBytes: 0 };
  /** Not yet tried. */
  #untried: Device | undefined;
  /** Of a device: on its way from there, since the last update. */
  #state: Promise<TrainedState> | undefined;

  constructor(deps: TrainerDependencies) {
    this.#deps = deps;
    this.#untried = deps.device?.device;
    this.#referenceWeights = deps.weights;
    this.#place = this.#placeOn(deps.provider);
    this.#place.model.load(deps.weights);
  }

  #placeOn(provider: TensorProvider): Place {
    const { policy, hasReference, gradients } = this.#deps;
    const model = provider.model(policy.layout);
    const reference = hasReference ? provider.model(policy.layout) : undefined;
    reference?.load(this.#referenceWeights);
    return { model, reference, engine: gradients(model) };
  }

  /** The weights to start from; the reference is of them too. */
  startFrom(weights: Float32Array): void {
    this.#referenceWeights = weights;
    this.#place.model.load(weights);
    this.#place.reference?.load(weights);
  }

  restore({ weights, optimiser }: TrainedState): void {
    this.#place.model.load(weights);
    this.#place.model.loadOptimiser(optimiser);
  }

  /** As `predict`, with the weights as they are. */
  predict(rows: Rows, actions?: Int32Array | Float32Array): ReturnType<typeof predict> {
    return this.#onDevice(() => predict(this.#place.model, this.#deps.policy, rows, actions));
  }

  /** log π_ref of the actions [R]; undefined without a reference. */
  async referenceLogProbs(rows: Rows, actions: Int32Array | Float32Array): Promise<Float32Array | undefined> {
    if (!this.#place.reference) return undefined;
    return this.#onDevice(
      async () => (await predict(this.#place.reference!, this.#deps.policy, rows, actions)).logProbs,
    );
  }

  async update(data: PpoRows, rows: Uint32Array, options: UpdateOptions, seed: number): Promise<UpdateStatistics> {
    const { policy } = this.#deps;
    if (this.#untried) await this.#tryDevice(this.#untried, { policy, data, rows, options, seed });
    const statistics = await this.#onDevice(() =>
      update(this.#place.model, this.#place.engine, data, rows, options, seed),
    );
    this.#state = undefined;
    return statistics;
  }

  get isOnDevice(): boolean {
    return this.#place.model.isQueued;
  }

  /** A copy of the weights after the last update. */
  async weights(): Promise<Float32Array> {
    return this.isOnDevice ? (await this.state()).weights : this.#place.model.weights();
  }

  /** A copy of the state after the last update. From a device it comes once, however often it is asked for. */
  state(): Promise<TrainedState> {
    const { model } = this.#place;
    if (!this.isOnDevice) return stateOf(model);
    this.#state ??= stateOf(model);
    this.#state.catch(() => {}); // thrown to whoever waits for it, and by the next update
    return this.#state;
  }

  async close(): Promise<void> {
    await closePlace(this.#place);
    this.#deps.device?.device.close();
  }

  /** What crossed between host and device since the last call: `deviceUploads`, `deviceUploadedBytes` and so on; nothing on the CPU. */
  trafficLap(): Record<string, number> {
    if (!this.isOnDevice) return {};
    const now = { ...this.#deps.device!.device.traffic };
    const lap = Object.entries(now).map(([name, count]) => [
      `device${name[0]!.toUpperCase()}${name.slice(1)}`,
      count - this.#traffic[name as keyof typeof now],
    ]);
    this.#traffic = now;
    return Object.fromEntries(lap);
  }

  /** Moves to the device, or says why not. */
  async #tryDevice(device: Device, work: Parameters<typeof tryDevice>[2]): Promise<void> {
    const { auto } = this.#deps.device!;
    const { onNotice, provider } = this.#deps;
    const ours = provider.name;
    this.#untried = undefined;
    const there = this.#placeOn(device);
    let trial: Trial;
    try {
      trial = await tryDevice(this.#place, there, work, TRIAL_STEPS);
    } catch (error) {
      if (!auto || !(error instanceof DeviceError)) return this.#explain(error);
      onNotice(`Trains with ${ours}: ${device.description} failed when tried. ${error.message}`);
      return;
    }
    if (!agrees(trial)) {
      const found = `${device.description} does not compute what ${ours} computes: after ${trial.steps} steps the loss differs by ${trial.lossDifference.toExponential(1)} (allowed ${AGREEMENT.loss}) and the weights by ${trial.weightsDifference.toExponential(1)} of their norm (allowed ${AGREEMENT.weights})`;
      await closePlace(there);
      if (!auto)
        throw new DisagreementError(
          `Refused to train with --device ${device.name}: ${found}. Nothing was trained on it. NVIDIA's TF32 rounds products to 10 bits: set NVIDIA_TF32_OVERRIDE=0; otherwise train with --device cpu`,
        );
      onNotice(`Trains with ${ours}: ${found}.`);
      return;
    }
    const times = `${trial.steps} steps of the first batch took ${trial.deviceMs.toFixed(1)} ms there and ${trial.hostMs.toFixed(1)} ms with ${ours}`;
    const agreement = `weights agree to ${trial.weightsDifference.toExponential(1)}`;
    if (auto && trial.hostMs <= trial.deviceMs) {
      await closePlace(there);
      onNotice(`Trains with ${ours}, which is faster than ${device.description}: ${times}.`);
      return;
    }
    await closePlace(this.#place);
    this.#place = there;
    onNotice(`Trains on ${device.description}: ${times}; ${agreement}.`);
  }

  /**
   * Does work that may be on a device. When that fails: with `auto` it is done again on the CPU, from the state after the last
   * update; otherwise the error says how to go on.
   */
  async #onDevice<T>(work: () => Promise<T>): Promise<T> {
    if (!this.isOnDevice) return work();
    const before = await this.state().catch(this.#explain);
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof DeviceError) || !this.#deps.device!.auto) return this.#explain(error);
      this.#deps.onNotice(`${error.message}. Goes on with the CPU, from where the device was last intact.`);
      this.#state = undefined;
      this.#place = this.#placeOn(this.#deps.provider);
      this.restore(before);
      return work();
    }
  }

  readonly #explain = (error: unknown): never => {
    if (!(error instanceof DeviceError)) throw error;
    throw new DeviceError(
      `${error.message}. The last checkpoint is intact, and what was played since is stored: go on with --resume, and with --device cpu if the device does not come back`,
      { cause: error },
    );
  };
}

/** Both are read before anything else can change them. */
async function stateOf(model: Model): Promise<TrainedState> {
  const [weights, optimiser] = await Promise.all([model.weights(), model.optimiser()]);
  return { weights, optimiser };
}

async function closePlace({ model, reference, engine }: Place): Promise<void> {
  await engine.close();
  model.dispose();
  reference?.dispose();
}
