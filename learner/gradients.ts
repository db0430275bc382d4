/**
 * Who computes the gradient of a minibatch. The minibatch is cut into a fixed number of shards and the shards' gradients
 * are summed in order, so the result is the same bits whether one thread computes them or several.
 */
import type { Policy } from "../policy/policy.ts";
import type { Model } from "../policy/tensor/tensors.ts";
import { type LossInputs, type LossName, lossOf, type Objective, objective, type Scratch, scaleOf } from "./losses.ts";
import { passesOf, shardOf } from "./minibatches.ts";

export interface GradientReading {
  loss: number;
  /** By row of the minibatch, or by token of a language policy's, in its order: what the loss gives besides itself (`readingNames`). */
  rows: Record<string, Float32Array>;
}

export interface GradientEngine {
  /** Takes the rows of an update and the loss over them, PPO's unless told otherwise; minibatches then name rows by index. */
  load<L extends LossName = "ppo">(
    data: LossInputs[L]["data"],
    options: LossInputs[L]["options"],
    loss?: L,
  ): void | Promise<void>;
  /** Leaves the gradient of the minibatch in the model. */
  gradient(index: Uint32Array): Promise<GradientReading>;
  /** The update is over: threads may rest. */
  unload(): void;
  close(): void | Promise<void>;
}

/**
 * Adds the gradient of some rows of a minibatch to that of the model, pass by pass. A device is given all passes before the first wait.
 * @param scale `scaleOf` the whole minibatch
 */
export async function addGradient(
  policy: Policy,
  model: Model,
  work: Objective,
  rows: Uint32Array,
  scale: number,
  scratch: Scratch,
): Promise<GradientReading> {
  const passes = passesOf(work.data, rows, work.options).map((pass) =>
    model.differentiate((t) => lossOf(policy, t, work, pass, scale, scratch)),
  );
  const readings = (await Promise.all(passes)).map(splitReading);
  if (readings.length === 1) return readings[0]!;
  const { loss, rows: joined } = joinReadings(readings);
  return { loss: Math.fround(loss), rows: joined }; // as threads pass it on
}

/** All shards on the calling thread. */
export function inlineGradients(policy: Policy, model: Model, shards: number): GradientEngine {
  let work: Objective;
  const sum = new Float32Array(model.parameterCount);
  const scratch: Scratch = {};
  return {
    load(data, options, loss) {
      work = objective(loss ?? "ppo", data, options);
    },
    async gradient(index) {
      model.zeroGradients();
      const scale = scaleOf(work.data, index);
      if (shards === 1) return addGradient(policy, model, work, index, scale, scratch);
      const readings: GradientReading[] = [];
      sum.fill(0);
      for (let s = 0; s < shards; s++) {
        const shard = shardOf(work.data, index, s, shards);
        if (!shard.length) continue;
        model.zeroGradients();
        readings.push(await addGradient(policy, model, work, shard, scale, scratch));
        accumulate(sum, await model.gradients());
      }
      model.setGradients(sum);
      return joinReadings(readings);
    },
    unload() {},
    close() {},
  };
}

export function accumulate(sum: Float32Array, part: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + part[i]!;
}

function splitReading({ loss, ...rows }: Record<string, Float32Array>): GradientReading {
  return { loss: loss![0]!, rows };
}

export function joinReadings(readings: readonly GradientReading[]): GradientReading {
  const names = Object.keys(readings[0]?.rows ?? {});
  const join = (name: string) => {
    const parts = readings.map((r) => r.rows[name]!);
    const out = new Float32Array(parts.reduce((n, p) => n + p.length, 0));
    let at = 0;
    for (const part of parts) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  };
  return {
    loss: readings.reduce((sum, r) => sum + r.loss, 0),
    rows: Object.fromEntries(names.map((name) => [name, join(name)])),
  };
}
