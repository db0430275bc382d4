/**
 * Work for a device, in order. Commands are recorded as they come and run together at `flush`: all that they take from the host
 * travels in one piece before them, all that was asked to be read in one piece after them.
 */
import type { DeviceArray, Operations } from "./tfjs.ts";

/** What crossed between host and device. A transfer of numbers and one of indices count apart. */
export interface Traffic {
  uploads: number;
  uploadedBytes: number;
  downloads: number;
  downloadedBytes: number;
}

/** The device went away, ran out of memory or refused a command; what it held is lost. */
export class DeviceError extends Error {
  override name = "DeviceError";
}

/** A part of what is uploaded. */
export interface Staged {
  at: number;
  length: number;
  from: Staging<Float32Array | Int32Array>;
  /** Once it was taken, until the flush ends. */
  array?: DeviceArray;
}

/** Recorded host memory is bounded: beyond so many bytes the commands so far are run. */
const MAX_STAGED_BYTES = 64 * 2 ** 20;

class Staging<A extends Float32Array | Int32Array> {
  length = 0;
  array: DeviceArray | undefined;
  readonly taken: DeviceArray[] = [];
  private readonly type: "float32" | "int32";
  private readonly chunks: A[] = [];

  constructor(type: "float32" | "int32") {
    this.type = type;
  }

  add(values: A): Staged {
    this.chunks.push(values);
    this.length += values.length;
    return { at: this.length - values.length, length: values.length, from: this };
  }

  upload(ops: Operations): void {
    if (this.length === 0) return;
    let [all] = this.chunks;
    if (this.chunks.length > 1) {
      all = (this.type === "float32" ? new Float32Array(this.length) : new Int32Array(this.length)) as A;
      let at = 0;
      for (const chunk of this.chunks) {
        all.set(chunk, at);
        at += chunk.length;
      }
    }
    this.array = ops.tf.engine().keep(ops.tf.tensor(all, [this.length], this.type));
    this.chunks.length = 0;
  }
}

interface Reading {
  array?: DeviceArray;
  length: number;
  resolve(values: Float32Array): void;
  reject(error: Error): void;
}

export class DeviceQueue {
  readonly traffic: Traffic = { uploads: 0, uploadedBytes: 0, downloads: 0, downloadedBytes: 0 };
  private readonly ops: Operations;
  private readonly backend: string;
  private commands: (() => void)[] = [];
  private readings: Reading[] = [];
  private floats = new Staging<Float32Array>("float32");
  private integers = new Staging<Int32Array>("int32");
  private failure: DeviceError | undefined;
  private isScheduled = false;

  /** For the backend that is set now. */
  constructor(ops: Operations) {
    this.ops = ops;
    this.backend = ops.tf.getBackend();
  }

  push(command: () => void): void {
    this.commands.push(command);
  }

  /** Copies the values now; they are on the device when the commands run that are recorded until the next flush. */
  stage(values: Float32Array): Staged {
    return this.floats.add(values.slice());
  }

  stageIntegers(values: ArrayLike<number>): Staged {
    return this.integers.add(Int32Array.from(values));
  }

  /** Between two runs of a tape: nothing staged before is used after. */
  boundary(): void {
    if ((this.floats.length + this.integers.length) * 4 >= MAX_STAGED_BYTES) this.flush();
  }

  /** Within a command: the staged values as an array of one dimension. Those that several commands take are taken out once. */
  staged(staged: Staged): DeviceArray {
    const { at, length, from } = staged;
    if (length === from.length) return from.array!;
    if (staged.array === undefined) {
      staged.array = this.ops.tf.engine().keep(this.ops.slice(from.array!, [at], [length]));
      from.taken.push(staged.array);
    }
    return staged.array;
  }

  /** Queues a reading of what `array` gives when its turn comes. */
  read(length: number, array: () => DeviceArray): Promise<Float32Array> {
    const promise = new Promise<Float32Array>((resolve, reject) => {
      const reading: Reading = { length, resolve, reject };
      this.readings.push(reading);
      this.push(() => {
        reading.array = this.ops.tf.engine().keep(this.ops.run("Identity", { x: this.ops.reshape(array(), [length]) }));
      });
    });
    promise.catch(() => {}); // whoever waits hears of it; whoever does not must not end the process
    if (!this.isScheduled) {
      this.isScheduled = true;
      queueMicrotask(() => {
        this.isScheduled = false;
        this.flush();
      });
    }
    return promise;
  }

  /** Runs everything recorded. */
  flush(): void {
    const { commands, readings, floats, integers } = this;
    this.commands = [];
    this.readings = [];
    this.floats = new Staging("float32");
    this.integers = new Staging("int32");
    if (this.failure !== undefined) {
      for (const { reject } of readings) reject(this.failure);
      return;
    }
    const { tf } = this.ops;
    if (tf.getBackend() !== this.backend) void tf.setBackend(this.backend);
    const engine = tf.engine();
    try {
      for (const staging of [floats, integers]) {
        staging.upload(this.ops);
        if (staging.length > 0) this.traffic.uploads++;
        this.traffic.uploadedBytes += 4 * staging.length;
      }
      for (const command of commands) {
        if (this.failure !== undefined) throw this.failure;
        engine.startScope();
        try {
          command();
        } finally {
          engine.endScope();
        }
      }
      if (readings.length > 0) void this.download(readings);
    } catch (cause) {
      this.fail(cause);
      for (const { reject } of readings) reject(this.failure!);
    } finally {
      for (const { array, taken } of [floats, integers]) for (const each of [array, ...taken]) each?.dispose();
    }
  }

  /** From now on every reading fails with this cause. */
  fail(cause: unknown): void {
    const reason = (cause as Partial<Error> | null)?.message ?? String(cause); // WebGPU's errors are not of class Error
    if (cause instanceof DeviceError) return;
    this.failure ??= new DeviceError(`The device failed: ${reason}`, { cause });
  }

  private async download(readings: readonly Reading[]): Promise<void> {
    const arrays = readings.map(({ array }) => array!);
    const all = arrays.length === 1 ? arrays[0] : this.ops.tf.engine().keep(this.ops.concat(arrays, 0));
    try {
      const values = (await all.data()) as Float32Array;
      if (this.failure !== undefined) throw this.failure;
      this.traffic.downloads++;
      let at = 0;
      for (const { length, resolve } of readings) {
        this.traffic.downloadedBytes += 4 * length;
        resolve(values.slice(at, at + length));
        at += length;
      }
    } catch (cause) {
      this.fail(cause);
      for (const { reject } of readings) reject(this.failure!);
    } finally {
      for (const array of new Set([...arrays, all])) array.dispose();
    }
  }
}
