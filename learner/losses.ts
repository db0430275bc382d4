/** The losses that a gradient engine can differentiate, by name, so that a gradient thread can be told which. */
import type { Policy } from "../policy/policy.ts";
import { type Rows, takeRows } from "../policy/rows.ts";
import type { Tensor, Tensors } from "../policy/tensor/tensors.ts";
import { type ImitationOptions, type ImitationRows, imitationLoss } from "./imitation-loss.ts";
import { itemCount } from "./minibatches.ts";
import { type PpoOptions, type PpoRows, ppoLoss } from "./ppo.ts";

/** What each loss is computed from. */
export interface LossInputs {
  ppo: { data: PpoRows; options: PpoOptions };
  imitation: { data: ImitationRows; options: ImitationOptions };
}
export type LossName = keyof LossInputs;

/** A loss with its rows and options. */
export type Objective = { [L in LossName]: { loss: L } & LossInputs[L] }[LossName];

/** Engines declare which rows and options belong to which loss. */
export function objective(loss: LossName, data: Objective["data"], options: Objective["options"]): Objective {
  return { loss, data, options } as Objective;
}

/** The gathered rows of the minibatch before, whose memory the next one uses again. One for each thread. */
export interface Scratch {
  rows?: Rows;
}

/** What the loss of a minibatch is divided by: its rows, or its tokens where each of them counts the same. */
export function scaleOf(data: Objective["data"], minibatch: Uint32Array): number {
  return "weights" in data && data.weights ? minibatch.length : itemCount(data, minibatch);
}

/** The loss of a part of a minibatch. @param scale `scaleOf` the whole minibatch */
export function lossOf(
  policy: Policy,
  t: Tensors,
  { loss, data, options }: Objective,
  part: Uint32Array,
  scale: number,
  scratch: Scratch,
): { loss: Tensor } & Record<string, Tensor> {
  return loss === "ppo"
    ? ppoLoss(policy, t, takeLossRows(data, part, scratch), scale, options)
    : imitationLoss(policy, t, takeLossRows(data, part, scratch), scale, options);
}

/** The readings by row, or by token, that `lossOf` gives besides the loss. */
export function readingNames({ loss, data }: Objective): string[] {
  return [
    ...(loss === "ppo" ? ["logRatio", "entropy"] : ["logProb"]),
    ...(loss === "ppo" && data.referenceLogProbs ? ["kl"] : []),
    ...(data.valueTargets ? ["valueError"] : []),
  ];
}

/** The rows of a minibatch, or of a part of one, with every column of theirs. */
export function takeLossRows<D extends Objective["data"]>(data: D, index: Uint32Array, scratch: Scratch = {}): D {
  const { rows, items } = data;
  scratch.rows = takeRows(rows, index, scratch.rows);
  const taken = Object.entries(data).map(([name, column]) => {
    if (name === "rows") return [name, scratch.rows];
    if (name === "items") return [name, items && offsetsOf(items, index)];
    if (items && column instanceof Float32Array) return [name, gatherItems(column, index, items)];
    if (column instanceof Int32Array) return [name, gather(column, index, column.length / rows.count, Int32Array)];
    if (column instanceof Float32Array) return [name, gather(column, index, column.length / rows.count, Float32Array)];
    return [name, column];
  });
  return Object.fromEntries(taken) as D;
}

function offsetsOf(items: Uint32Array, index: Uint32Array): Uint32Array {
  const offsets = new Uint32Array(index.length + 1);
  for (let i = 0; i < index.length; i++) offsets[i + 1] = offsets[i]! + items[index[i]! + 1]! - items[index[i]!]!;
  return offsets;
}

function gatherItems(values: Float32Array, index: Uint32Array, items: Uint32Array): Float32Array {
  const offsets = offsetsOf(items, index);
  const out = new Float32Array(offsets[index.length]!);
  for (let i = 0; i < index.length; i++) out.set(values.subarray(items[index[i]!], items[index[i]! + 1]), offsets[i]);
  return out;
}

function gather<A extends Float32Array | Int32Array>(
  values: A,
  index: Uint32Array,
  width: number,
  Type: new (length: number) => A,
): A {
  const out = new Type(index.length * width);
  for (let i = 0; i < index.length; i++) {
    for (let d = 0; d < width; d++) out[i * width + d] = values[index[i]! * width + d]!;
  }
  return out;
}
