/**
 * Gradients by several threads: shard 0 on the calling thread, the others on workers. Everything is exchanged through shared
 * memory; workers sleep on a counter, so a minibatch costs no messages. The sum is taken in the order of the shards, which makes
 * the result that of `inlineGradients` bit for bit.
 */
import { availableParallelism } from "node:os";
import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import type { Policy, PolicySpec } from "../policy/policy.ts";
import { shareRows } from "../policy/rows.ts";
import type { Model } from "../policy/tensor/tensors.ts";
import {
  accumulate,
  addGradient,
  type GradientEngine,
  type GradientReading,
  inlineGradients,
  joinReadings,
} from "./gradients.ts";
import { type Objective, objective, readingNames, type Scratch, scaleOf } from "./losses.ts";
import { itemCount, shardOf } from "./minibatches.ts";

/** What a worker is born with. */
export interface WorkerBirth {
  policy: PolicySpec;
  provider: string;
  shard: number;
  shards: number;
  /** int32: see `Slot`. */
  control: SharedArrayBuffer;
  /** float32 [P], written before each minibatch. */
  weights: SharedArrayBuffer;
  /** float32 [P], this worker's gradient. */
  gradient: SharedArrayBuffer;
}

/** What a worker is told before each update. */
export interface WorkerUpdate {
  type: "update";
  /** Its columns lie in shared memory. */
  objective: Objective;
  /** uint32: the rows of the minibatch under way. */
  index: SharedArrayBuffer;
  /** float32 [rows, or tokens, of the shard × readings], in the order of `readingNames`, after the loss. */
  readings: SharedArrayBuffer;
  readingNames: readonly string[];
  /** Counts the updates; a worker leaves this one once `Slot.ended` has reached it. */
  update: number;
  /** Minibatches asked for before this update. */
  generation: number;
}

/** Places in the control array. */
export const Slot = { generation: 0, done: 1, count: 2, failed: 3, ended: 4, size: 8 } as const;

/** Longest a thread may take for one shard before the update is given up. */
const SHARD_TIMEOUT_MS = 120_000;
const SPIN = 2_000;
/** TypeScript as this file, or JavaScript beside it in the package. */
const workerModule = new URL(`./gradient-worker${extname(import.meta.url)}`, import.meta.url);

/** One thread a shard where the machine has several; threads pay only when there is work for them; `shards` alone decides the result. */
export function gradientEngine(policy: Policy, model: Model, shards: number, provider: string): GradientEngine {
  if (model.isQueued) return inlineGradients(policy, model, 1); // a device needs no threads of ours
  return shards > 1 && availableParallelism() > 1
    ? threadedGradients(policy, model, shards, provider)
    : inlineGradients(policy, model, shards);
}

export function threadedGradients(policy: Policy, model: Model, shards: number, provider: string): GradientEngine {
  const size = model.parameterCount;
  const shared = (elements: number) => new SharedArrayBuffer(Math.max(1, elements) * 4);
  const control = new Int32Array(shared(Slot.size));
  const weights = new Float32Array(shared(size));
  const sum = new Float32Array(size);
  const scratch: Scratch = {};
  const workers = Array.from({ length: shards - 1 }, (_, w) => {
    const gradient = new Float32Array(shared(size));
    const birth: WorkerBirth = {
      policy: policy.spec,
      provider,
      shard: w + 1,
      shards,
      control: control.buffer,
      weights: weights.buffer,
      gradient: gradient.buffer,
    };
    const worker = new Worker(workerModule, { workerData: birth });
    const state = { worker, gradient, readings: new Float32Array(shared(0)), failure: undefined as string | undefined };
    worker.on("message", (message: { failure: string }) => {
      state.failure = message.failure;
    });
    worker.on("error", (error: Error) => {
      state.failure = error.message;
      Atomics.store(control, Slot.failed, 1);
    });
    worker.unref();
    return state;
  });
  let work: Objective;
  let index: Uint32Array<SharedArrayBuffer>;
  let names: string[] = [];
  let update = 0;

  return {
    load(data, options, loss) {
      work = sharedObjective(objective(loss ?? "ppo", data, options));
      const { count } = work.data.rows;
      index = new Uint32Array(shared(count));
      names = readingNames(work);
      update++;
      for (const state of workers) {
        state.readings = new Float32Array(shared(1 + (work.data.items?.[count] ?? count) * names.length));
        state.worker.postMessage({
          type: "update",
          objective: work,
          index: index.buffer,
          readings: state.readings.buffer,
          readingNames: names,
          update,
          generation: Atomics.load(control, Slot.generation),
        } satisfies WorkerUpdate);
      }
    },

    async gradient(minibatch) {
      await model.weightsInto(weights);
      index.set(minibatch);
      control[Slot.count] = minibatch.length;
      Atomics.store(control, Slot.done, 0);
      Atomics.add(control, Slot.generation, 1);
      Atomics.notify(control, Slot.generation);

      const own = shardOf(work.data, minibatch, 0, shards);
      const readings: GradientReading[] = [];
      model.zeroGradients();
      if (own.length)
        readings.push(await addGradient(policy, model, work, own, scaleOf(work.data, minibatch), scratch));
      waitFor(control, workers.length, () => workers.find((w) => w.failure)?.failure);
      await model.gradientsInto(sum);
      for (const [w, state] of workers.entries()) {
        const shard = shardOf(work.data, minibatch, w + 1, shards);
        if (!shard.length) continue;
        readings.push(readShard(state.readings, names, itemCount(work.data, shard)));
        accumulate(sum, state.gradient);
      }
      model.setGradients(sum);
      return joinReadings(readings);
    },

    unload() {
      Atomics.store(control, Slot.ended, update);
      Atomics.add(control, Slot.generation, 1);
      Atomics.notify(control, Slot.generation);
    },

    async close() {
      this.unload();
      await Promise.all(workers.map(({ worker }) => worker.terminate()));
    },
  };
}

function waitFor(control: Int32Array, workers: number, failure: () => string | undefined): void {
  for (let i = 0; i < SPIN; i++) if (Atomics.load(control, Slot.done) === workers) return;
  const deadline = performance.now() + SHARD_TIMEOUT_MS;
  for (;;) {
    const done = Atomics.load(control, Slot.done);
    if (done === workers) break;
    if (Atomics.load(control, Slot.failed))
      throw new Error(`A gradient thread failed: ${failure() ?? "see its message above"}`);
    if (performance.now() > deadline) throw new Error(`A gradient thread has not answered for ${SHARD_TIMEOUT_MS} ms`);
    Atomics.wait(control, Slot.done, done, 100);
  }
  if (Atomics.load(control, Slot.failed))
    throw new Error(`A gradient thread failed: ${failure() ?? "see its message above"}`);
}

function readShard(shared: Float32Array, names: readonly string[], length: number): GradientReading {
  const rows = Object.fromEntries(names.map((name, i) => [name, shared.slice(1 + i * length, 1 + (i + 1) * length)]));
  return { loss: shared[0]!, rows };
}

const isColumn = (values: unknown): values is Float32Array | Int32Array | Uint32Array => ArrayBuffer.isView(values);

/** The same with its rows and columns copied to shared memory, where a thread finds them without a message. */
function sharedObjective(given: Objective): Objective {
  const columns = Object.entries(given.data).map(([name, values]) => {
    if (name === "rows") return [name, shareRows(given.data.rows)];
    if (!isColumn(values)) return [name, values];
    const type = values.constructor as new (buffer: SharedArrayBuffer) => typeof values;
    const copy = new type(new SharedArrayBuffer(values.byteLength));
    copy.set(values);
    return [name, copy];
  });
  return { ...given, data: Object.fromEntries(columns) } as Objective;
}
