/** A gradient thread: computes its shard of every minibatch of an update, then waits for the next update. */
import { parentPort, workerData } from "node:worker_threads";
import { createPolicy } from "../policy/registry.ts";
import { tensorProvider } from "../policy/tensor/provider.ts";
import { Slot, type WorkerBirth, type WorkerUpdate } from "./gradient-threads.ts";
import { addGradient } from "./gradients.ts";
import { type Scratch, scaleOf } from "./losses.ts";
import { itemCount, shardOf } from "./minibatches.ts";

const birth = workerData as WorkerBirth;
const control = new Int32Array(birth.control);
const weights = new Float32Array(birth.weights);
const gradient = new Float32Array(birth.gradient);
const scratch: Scratch = {};
const SPIN = 20_000;

const policy = await createPolicy(birth.policy);
const model = tensorProvider(birth.provider).model(policy.layout);

parentPort!.on("message", (message: WorkerUpdate) => {
  run(message).catch((error: Error) => {
    parentPort!.postMessage({ failure: error.stack ?? error.message });
    Atomics.store(control, Slot.failed, 1);
    finished();
  });
});

async function run({ objective, index, readings, readingNames, update, generation }: WorkerUpdate): Promise<void> {
  const minibatch = new Uint32Array(index);
  const out = new Float32Array(readings);
  for (let seen = generation; ; ) {
    seen = next(seen);
    if (Atomics.load(control, Slot.ended) >= update) return;
    const whole = minibatch.subarray(0, control[Slot.count]);
    const shard = shardOf(objective.data, whole, birth.shard, birth.shards);
    if (shard.length) {
      model.load(weights);
      model.zeroGradients();
      const scale = scaleOf(objective.data, whole);
      const reading = await addGradient(policy, model, objective, shard, scale, scratch);
      const length = itemCount(objective.data, shard);
      await model.gradientsInto(gradient);
      out[0] = reading.loss;
      for (const [i, name] of readingNames.entries()) out.set(reading.rows[name]!, 1 + i * length);
    }
    finished();
  }
}

/** Waits until the generation has moved on from the one seen last. */
function next(seen: number): number {
  for (let i = 0; i < SPIN; i++) {
    const now = Atomics.load(control, Slot.generation);
    if (now !== seen) return now;
  }
  while (Atomics.load(control, Slot.generation) === seen) Atomics.wait(control, Slot.generation, seen);
  return Atomics.load(control, Slot.generation);
}

function finished(): void {
  Atomics.add(control, Slot.done, 1);
  Atomics.notify(control, Slot.done);
}
