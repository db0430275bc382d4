import type { Space, Turn } from "../envs/environment.ts";
import type { Trajectory } from "../proto/trajectory.ts";
import type { Policy, PolicyOutput } from "./policy.ts";
import type { Rows, RowsBuilder } from "./rows.ts";
import { gaussianLogProb, mostProbable, sampleCategorical, sampleNormal } from "./sampling.ts";
import { exp } from "./tensor/portable-math.ts";
import type { Model, Tensor, Tensors } from "./tensor/tensors.ts";

/** What was decided for a batch of B rows (not of a language policy: its `writer` decides). */
export interface Decisions {
  /** categorical: [B], position among the row's choices. */
  choices?: Int32Array;
  /** gaussian: [B, D], not clipped to the bounds of the action space. */
  vectors?: Float32Array;
  /** [B], of the actions as returned, natural log. */
  logProbs: Float32Array;
  /** [B], when asked for and the policy has a critic. */
  values?: Float32Array;
}

export interface ActOptions {
  /** The most probable action (the mean) instead of a draw; `uniforms` are not looked at. */
  greedy?: boolean;
  values?: boolean;
}

/** How many uniform numbers one decision takes. */
export function drawsPerRow(policy: Policy): number {
  const { action } = policy.spec;
  return policy.head === "gaussian" && action.type === "box" ? action.shape.reduce((n, size) => n * size, 1) : 1;
}

/**
 * Decides for every row of a batch. A row's decision depends on the row, the weights and its own uniforms only, never on the
 * rest of the batch.
 * @param uniforms float64 [B, drawsPerRow(policy)], each in [0, 1) (see `stepUniforms`)
 */
export function act(
  model: Model,
  policy: Policy,
  rows: Rows,
  uniforms: Float64Array,
  options: ActOptions = {},
): Decisions | Promise<Decisions> {
  const greedy = options.greedy === true;
  const needed = rows.count * drawsPerRow(policy);
  if (!greedy && uniforms.length < needed)
    throw new RangeError(`Acting on ${rows.count} rows takes ${needed} uniform numbers, found ${uniforms.length}`);
  let offsets: Uint32Array | undefined;
  const read = model.evaluate((t) => {
    const output = policy.forward(rows, t);
    offsets = output.offsets;
    return distributionOf(t, output, options.values === true);
  });
  const decide = (numbers: Partial<Record<string, Float32Array>>): Decisions => {
    const decisions =
      offsets === undefined
        ? decideVectors(numbers.mean!, numbers.logStd!, uniforms, greedy)
        : decideChoices(numbers.logProbs!, offsets, uniforms, greedy);
    if (numbers.value !== undefined) decisions.values = numbers.value;
    return decisions;
  };
  return read instanceof Promise ? read.then(decide) : decide(read);
}

function distributionOf(t: Tensors, output: PolicyOutput, withValue: boolean): Record<string, Tensor> {
  const read: Record<string, Tensor> =
    output.offsets !== undefined
      ? { logProbs: t.segmentLogSoftmax(output.logits, t.indices(output.offsets)) }
      : { mean: output.logits, logStd: output.logStd! };
  if (withValue && output.value !== undefined) read.value = output.value;
  return read;
}

function decideChoices(all: Float32Array, offsets: Uint32Array, uniforms: Float64Array, greedy: boolean): Decisions {
  const count = offsets.length - 1;
  const choices = new Int32Array(count);
  const logProbs = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const from = offsets[i];
    const to = offsets[i + 1];
    const chosen = greedy ? mostProbable(all, from, to) : sampleCategorical(all, from, to, uniforms[i]);
    choices[i] = chosen - from;
    logProbs[i] = all[chosen];
  }
  return { choices, logProbs };
}

function decideVectors(mean: Float32Array, logStd: Float32Array, uniforms: Float64Array, greedy: boolean): Decisions {
  const dimensions = logStd.length;
  const count = mean.length / dimensions;
  const vectors = new Float32Array(mean);
  if (!greedy)
    for (let k = 0; k < vectors.length; k++)
      vectors[k] = mean[k] + exp(logStd[k % dimensions]) * sampleNormal(uniforms[k]);
  const logProbs = new Float32Array(count);
  for (let i = 0; i < count; i++) logProbs[i] = gaussianLogProb(vectors, mean, logStd, i);
  return { vectors, logProbs };
}

/**
 * The vector with each element within the bounds of its box, as an environment may demand. What is recorded and trained on is
 * the vector before: its log-probability is the one that is known.
 */
export function clampToBox(vector: Float32Array, box: Space & { type: "box" }): Float32Array {
  const { low, high } = box;
  return vector.map((x, i) => {
    const least = typeof low === "number" ? low : low[i];
    const most = typeof high === "number" ? high : high[i];
    return Math.min(Math.max(x, least), most);
  });
}

/** An action in words as an environment that limits their length takes it. */
export function wordsFor(action: string, space: Space): string {
  return (space.type === "text" ? action.slice(0, space.maxLength) : action).toWellFormed();
}

/**
 * Replays a recorded episode through the policy's encoder, which gives bit for bit the rows that the actor decided on: one for
 * each of the T steps and, with `finalRow`, one more for where the episode ended (a critic needs it to bootstrap through a
 * truncation). Returns the number of rows appended. Throws TypeError on a trajectory without steps.
 */
export function encodeTrajectory(
  policy: Pick<Policy, "encoder">,
  trajectory: Trajectory,
  into: RowsBuilder,
  options: { finalRow?: boolean } = {},
): number {
  const { steps, lineage } = trajectory;
  if (steps === undefined)
    throw new TypeError(
      `Cannot encode member ${lineage.member} of group ${lineage.group}: it has no steps (${trajectory.outcome.type})`,
    );
  const encoder = policy.encoder();
  const rows = options.finalRow ? steps.count + 1 : steps.count;
  for (let step = 0; step < rows; step++) {
    const turn = turnOf(steps, step);
    encoder.encode(turn, into);
    if (step === steps.count) break;
    const { actions, tokens } = steps;
    if (actions.type === "choice") {
      const choice = actions.values[step];
      encoder.acted(choice, turn.admissible?.[choice]);
    } else if (actions.type === "vector") {
      encoder.acted(actions.values.subarray(step * actions.width, (step + 1) * actions.width));
    } else {
      const text = steps.strings[actions.index[step]];
      encoder.acted(text, text, tokens?.values.subarray(tokens.offsets[step], tokens.offsets[step + 1]));
    }
  }
  return rows;
}

/** Turn number `step` as the environment gave it. After the last step there is nothing to choose from. */
export function turnOf(steps: NonNullable<Trajectory["steps"]>, step: number): Turn {
  const { observations, admissible, actionMask, strings } = steps;
  const turn: Turn = {
    observation:
      observations.type === "text"
        ? strings[observations.index[step]]
        : observations.values.subarray(step * observations.width, (step + 1) * observations.width),
  };
  if (steps.instruction !== undefined) turn.instruction = steps.instruction;
  if (admissible !== undefined) {
    const list: string[] = [];
    if (step < steps.count)
      for (let k = admissible.offsets[step]; k < admissible.offsets[step + 1]; k++)
        list.push(strings[admissible.index[k]]);
    turn.admissible = list;
  }
  if (actionMask !== undefined && step < steps.count) {
    const choices = actionMask.length / steps.count;
    turn.actionMask = actionMask.subarray(step * choices, (step + 1) * choices);
  }
  return turn;
}
