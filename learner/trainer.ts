/**
 * What the learner computes with: the policy's model, the reference model, and whoever differentiates. It begins on the CPU;
 * where a device was opened, the first batch decides whether it moves there, and with `auto` a device that fails later sends it back.
 */
import type { Policy } from "../policy/policy.ts";
import type { Rows } from "../policy/rows.ts";
import type { Model, TensorProvider } from "../policy/tensor/tensors.ts";
import type { Device } from "../policy/tensor/tfjs/device.ts";
import { DeviceError } from "../policy/tensor/tfjs/queue.ts";
import { type Side, type TakeSteps, TRIAL_STEPS, type Trial, tryDevice, updateSteps, verdict } from "./device-trial.ts";
import type { GradientEngine } from "./gradients.ts";
import type { PpoRows } from "./ppo.ts";
import { predict } from "./predict.ts";
import { type UpdateOptions, type UpdateStatistics, update } from "./update.ts";

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

interface Place extends Side {
  reference?: Model;
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
  /** Of a device: the update whose result it alone has. */
  #again: { before: TrainedState; take(): Promise<unknown> } | undefined;

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
    if (this.#untried) await this.#tryDevice(this.#untried, updateSteps(data, rows, options, seed));
    const take = () => update(this.#place.model, this.#place.engine, data, rows, options, seed);
    const before = this.isOnDevice ? await this.state() : undefined;
    const statistics = await this.#onDevice(take);
    this.#state = undefined;
    this.#again = before && { before, take };
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
    this.#state ??= this.#download();
    this.#state.catch(() => {}); // thrown to whoever waits for it, and by the next update
    return this.#state;
  }

  /** With `auto` a device that is lost on the way costs the update that nobody has seen the result of: it is done again. */
  async #download(): Promise<TrainedState> {
    try {
      const state = await stateOf(this.#place.model);
      this.#again = undefined;
      return state;
    } catch (error) {
      if (!this.#again) return this.#explain(error);
      const { before, take } = this.#again;
      this.#leaveDevice(error, before);
      await take();
      return stateOf(this.#place.model);
    }
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
  async #tryDevice(device: Device, take: TakeSteps): Promise<void> {
    const { auto } = this.#deps.device!;
    const { onNotice, provider } = this.#deps;
    this.#untried = undefined;
    const there = this.#placeOn(device);
    let trial: Trial;
    try {
      trial = await tryDevice(this.#place, there, take, TRIAL_STEPS);
    } catch (error) {
      if (!auto || !(error instanceof DeviceError)) return this.#explain(error);
      onNotice(`Trains with ${provider.name}: ${device.description} failed when tried. ${error.message}`);
      return;
    }
    const { moves, notice } = verdict(trial, device, provider.name, auto);
    await closePlace(moves ? this.#place : there);
    if (moves) this.#place = there;
    onNotice(notice);
  }

  /**
   * Does work that may be on a device. When that fails: with `auto` it is done again on the CPU, from the state after the last
   * update; otherwise the error says how to go on.
   */
  async #onDevice<T>(work: () => Promise<T>): Promise<T> {
    if (!this.isOnDevice) return work();
    const before = await this.state();
    if (!this.isOnDevice) return work(); // left it while the state was on its way
    try {
      return await work();
    } catch (error) {
      this.#leaveDevice(error, before);
      return work();
    }
  }

  /** @throws whatever is no failure of a device, or of one that was chosen by name */
  #leaveDevice(error: unknown, before: TrainedState): void {
    if (!(error instanceof DeviceError) || !this.#deps.device!.auto) throw this.#explain(error);
    this.#deps.onNotice(`${error.message}. Goes on with the CPU, from where the device was last intact.`);
    this.#state = undefined;
    this.#again = undefined;
    this.#place = this.#placeOn(this.#deps.provider);
    this.restore(before);
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
