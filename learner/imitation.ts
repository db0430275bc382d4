/**
 * Learning by imitation before reinforcement learning: epochs of minibatches over the steps of demonstrations, each one step of
 * Adam on the loss of `imitation-loss.ts`. Some tasks are held out; training ends when the policy no longer gets better at them,
 * and the weights that were best at them are kept. Every random choice hashes the seed.
 */
import { mix32 } from "../envs/random.ts";
import { actionTerms } from "../policy/distribution.ts";
import type { Policy } from "../policy/policy.ts";
import { mostProbable } from "../policy/sampling.ts";
import type { Model, Tensor } from "../policy/tensor/tensors.ts";
import type { Trajectory } from "../proto/trajectory.ts";
import { assembleBatch, type Batch } from "./batch.ts";
import type { Side, TakeSteps } from "./device-trial.ts";
import type { GradientReading } from "./gradients.ts";
import type { ImitationRows } from "./imitation-loss.ts";
import { type Scratch, takeLossRows } from "./losses.ts";
import { itemCount, minibatches, type PackingOptions, shuffle } from "./minibatches.ts";
import { chunksOf } from "./predict.ts";
import { DivergedError } from "./update.ts";

export interface ImitationSettings extends PackingOptions {
  /** At most so many passes over the demonstrations. */
  epochs: number;
  /** End after so many epochs without a smaller held-out loss. */
  patience: number;
  /** Share of the tasks that is held out, at least one. */
  heldOut: number;
  /** Step rows per optimiser step. */
  minibatch: number;
  learningRate: number;
  adamBeta1: number;
  adamBeta2: number;
  adamEpsilon: number;
  maxGradNorm: number;
  valueCoefficient: number;
  /** Discount of the returns that a critic learns. */
  gamma: number;
  seed: number;
}

/** Losses are means over step rows, or over the tokens of a language policy's answers, in nats; those of epoch 0 are from before training. */
export interface ImitationEpoch {
  epoch: number;
  /** Rows trained on since the beginning. */
  steps: number;
  /** Mean -log π(demonstrated action) over the epoch, while the weights changed. */
  loss?: number;
  gradNorm?: number;
  heldOutLoss: number;
  /** Share of held-out steps at which the most probable action is the demonstrated one; categorical policies only. */
  heldOutAccuracy?: number;
  /** ½ mean squared error of the critic, where there is one. */
  valueLoss?: number;
  heldOutValueLoss?: number;
}

export interface Imitation {
  /** The epoch whose weights the model holds now. */
  best: ImitationEpoch;
  epochs: readonly ImitationEpoch[];
  /** Of demonstrations: trained on and held out. */
  trained: number;
  heldOut: number;
}

/**
 * Trains the side's model on demonstrations and leaves the best weights in it, wherever it was trained. An abort ends it after
 * the minibatch under way; what was best until then counts.
 * @throws RangeError when the demonstrations are of fewer than two tasks and seeds, DivergedError when a loss is not finite
 */
export async function imitate(
  policy: Policy,
  side: Side,
  demonstrations: readonly Trajectory[],
  settings: ImitationSettings,
  watch: {
    signal?: AbortSignal;
    onEpoch?(epoch: ImitationEpoch): void;
    /** Asked once, before training: where to train, given what takes the first steps on either side. */
    choose?(take: TakeSteps): Promise<Side>;
  } = {},
): Promise<Imitation> {
  const batch = assembleBatch(policy, demonstrations);
  const data: ImitationRows = {
    rows: batch.rows,
    items: batch.items,
    actions: batch.actions,
    valueTargets: policy.hasValue ? discountedReturns(batch, settings.gamma) : undefined,
  };
  const isHeldOut = holdOut(batch, settings);
  const trained = rowsOf(batch, (episode) => !isHeldOut[episode]);
  const shuffled = minibatches(data, trained, settings.minibatch);
  const heldOutRows = rowsOf(batch, (episode) => isHeldOut[episode] === 1);
  const { model, engine } = (await watch.choose?.(firstSteps(data, trained, settings))) ?? side;
  const epochs: ImitationEpoch[] = [];
  let best: { epoch: ImitationEpoch; weights: Float32Array } | undefined;
  const finish = async (epoch: ImitationEpoch) => {
    epochs.push(epoch);
    watch.onEpoch?.(epoch);
    if (best === undefined || epoch.heldOutLoss < best.epoch.heldOutLoss)
      best = { epoch, weights: await model.weights() };
  };

  await finish({ epoch: 0, steps: 0, ...(await judge(policy, model, data, heldOutRows)) });
  await engine.load(data, settings, "imitation");
  try {
    for (let epoch = 1; epoch <= settings.epochs && epoch - best!.epoch.epoch <= settings.patience; epoch++) {
      const sums = new EpochSums();
      for (const minibatch of shuffled(mix32(settings.seed, epoch))) {
        await new Promise((resolve) => setImmediate(resolve)); // lets an abort in: nothing else here waits for the outside
        if (watch.signal?.aborted) break;
        const reading = await engine.gradient(minibatch);
        const gradNorm = await step(model, settings);
        if (!Number.isFinite(reading.loss) || !Number.isFinite(gradNorm))
          throw new DivergedError(
            `Imitation diverged in epoch ${epoch}: loss ${reading.loss}, gradient norm ${gradNorm}. Try a smaller learningRate (now ${settings.learningRate}) or maxGradNorm (now ${settings.maxGradNorm}).`,
          );
        sums.add(reading, gradNorm);
      }
      if (watch.signal?.aborted) break;
      const steps = epoch * trained.length;
      await finish({ epoch, steps, ...sums.finish(), ...(await judge(policy, model, data, heldOutRows)) });
    }
  } finally {
    engine.unload();
  }
  side.model.load(best!.weights);
  const heldOut = isHeldOut.reduce((n, held) => n + held, 0);
  return { best: best!.epoch, epochs, trained: isHeldOut.length - heldOut, heldOut };
}

function firstSteps(data: ImitationRows, rows: Uint32Array, settings: ImitationSettings): TakeSteps {
  return async ({ model, engine }, steps) => {
    const first = [...minibatches(data, rows, settings.minibatch)(settings.seed)].slice(0, steps);
    let loss = 0;
    await engine.load(data, settings, "imitation");
    try {
      for (const minibatch of first) {
        loss += (await engine.gradient(minibatch)).loss;
        await step(model, settings);
      }
    } finally {
      engine.unload();
    }
    return { loss: loss / first.length, steps: first.length };
  };
}

function step(model: Model, settings: ImitationSettings): number | Promise<number> {
  return model.adam({
    learningRate: settings.learningRate,
    beta1: settings.adamBeta1,
    beta2: settings.adamBeta2,
    epsilon: settings.adamEpsilon,
    maxGradNorm: settings.maxGradNorm || Infinity,
  });
}

/** Means over the rows, or tokens, of an epoch, summed in float64. */
class EpochSums {
  #rows = 0;
  #steps = 0;
  #loss = 0;
  #gradNorm = 0;
  #valueError: number | undefined;

  add({ rows: { logProb, valueError } }: GradientReading, gradNorm: number): void {
    this.#rows += logProb!.length;
    this.#steps++;
    this.#gradNorm += gradNorm;
    for (const l of logProb!) this.#loss -= l;
    for (const e of valueError ?? []) this.#valueError = (this.#valueError ?? 0) + e;
  }

  finish(): Pick<ImitationEpoch, "loss" | "gradNorm" | "valueLoss"> {
    const means = { loss: this.#loss / this.#rows, gradNorm: this.#gradNorm / this.#steps };
    return this.#valueError === undefined ? means : { ...means, valueLoss: (0.5 * this.#valueError) / this.#rows };
  }
}

/**
 * Which demonstrations are held out. Those of one task stay together, so that nothing is judged by what was trained on; where all
 * are of one task, those from one seed.
 * @returns uint8 [E]
 */
function holdOut({ episodes }: Batch, { heldOut, seed }: ImitationSettings): Uint8Array {
  const tasks = new Set(episodes.map(({ lineage }) => lineage.task));
  const nameOf = ({ lineage }: Trajectory) => (tasks.size > 1 ? lineage.task : String(lineage.seed));
  const names = [...new Set(episodes.map(nameOf))];
  if (names.length < 2)
    throw new RangeError(
      `Cannot imitate ${episodes.length} demonstrations of ${names.length} ${tasks.size > 1 ? "tasks" : "starts"}: one is held out to tell when to stop, so there must be at least two`,
    );
  const order = Uint32Array.from(names.keys());
  shuffle(order, mix32(seed, HOLD_OUT));
  const count = Math.min(names.length - 1, Math.max(1, Math.round(heldOut * names.length)));
  const held = new Set(Array.from(order.subarray(0, count), (i) => names[i]!));
  return Uint8Array.from(episodes, (episode) => (held.has(nameOf(episode)) ? 1 : 0));
}

/** Keeps the choice of what is held out apart from the order of the rows. */
const HOLD_OUT = 0x401d;

function rowsOf({ groups: { episodeOffsets } }: Batch, wanted: (episode: number) => boolean): Uint32Array {
  const rows: number[] = [];
  for (let e = 0; e + 1 < episodeOffsets.length; e++)
    if (wanted(e)) for (let row = episodeOffsets[e]!; row < episodeOffsets[e + 1]!; row++) rows.push(row);
  return Uint32Array.from(rows);
}

/** R_t = Σ γ^k r_{t+k} up to the end of the record: what follows a truncation is not known, and no critic can tell yet. */
function discountedReturns({ groups: { rewards, episodeOffsets } }: Batch, gamma: number): Float32Array {
  const returns = new Float32Array(rewards.length);
  for (let e = 0; e + 1 < episodeOffsets.length; e++) {
    let next = 0;
    for (let row = episodeOffsets[e + 1]! - 1; row >= episodeOffsets[e]!; row--) {
      next = rewards[row]! + gamma * next;
      returns[row] = next;
    }
  }
  return returns;
}

/** How the model does on rows it is not trained on. */
async function judge(
  policy: Policy,
  model: Model,
  data: ImitationRows,
  index: Uint32Array,
): Promise<Pick<ImitationEpoch, "heldOutLoss" | "heldOutAccuracy" | "heldOutValueLoss">> {
  const scratch: Scratch = {};
  let [loss, correct, valueError] = [0, 0, 0];
  for (const chunk of chunksOf(data.rows, index, data.items)) {
    const { rows, actions, valueTargets } = takeLossRows(data, chunk, scratch);
    let offsets: Uint32Array | undefined;
    const read = await model.evaluate((t) => {
      const output = policy.forward(rows, t);
      offsets = output.offsets;
      const wanted: Record<string, Tensor> = {
        logits: output.logits,
        logProb: actionTerms(t, output, actions).logProb,
      };
      if (output.value) wanted.value = output.value;
      return wanted;
    });
    for (const l of read.logProb!) loss -= l;
    if (offsets)
      for (let i = 0; i < rows.count; i++)
        if (mostProbable(read.logits!, offsets[i]!, offsets[i + 1]!) - offsets[i]! === actions[i]) correct++;
    if (valueTargets) for (let i = 0; i < rows.count; i++) valueError += (read.value![i]! - valueTargets[i]!) ** 2;
  }
  return {
    heldOutLoss: loss / itemCount(data, index),
    ...(policy.head === "categorical" ? { heldOutAccuracy: correct / index.length } : {}),
    ...(data.valueTargets ? { heldOutValueLoss: (0.5 * valueError) / index.length } : {}),
  };
}
