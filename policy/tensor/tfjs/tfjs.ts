/**
 * The part of TensorFlow.js (4.22) that serves as a device: its backends' kernels, called by name. Its operations, gradients and
 * variables are not used; `Tape` does that. Declared here because the packages are optional and may be absent.
 */

export interface DeviceArray {
  readonly shape: readonly number[];
  readonly dataId: object;
  readonly dtype: string;
  /** Survives the scope it was made in. */
  readonly kept: boolean;
  data(): Promise<Float32Array | Int32Array>;
  dispose(): void;
}

export interface ArrayInfo {
  dataId: object;
  shape: readonly number[];
  dtype: string;
}

export interface Engine {
  runKernel(
    name: string,
    inputs: Record<string, DeviceArray> | readonly DeviceArray[],
    attributes?: object,
  ): DeviceArray;
  makeTensorFromTensorInfo(info: ArrayInfo): DeviceArray;
  startScope(): void;
  /** Frees what was made since, but for what is kept. */
  endScope(): void;
  keep(array: DeviceArray): DeviceArray;
}

export interface Tfjs {
  engine(): Engine;
  tensor(values: Float32Array | Int32Array, shape: readonly number[], type: "float32" | "int32"): DeviceArray;
  memory(): { numTensors: number; numBytes: number };
  registerBackend(name: string, make: () => unknown): boolean;
  getBackend(): string;
  /** At once, for a backend that was set before. */
  setBackend(name: string): Promise<boolean>;
  removeBackend(name: string): void;
  env(): { set(flag: string, value: unknown): void };
}

type Inputs = Parameters<Engine["runKernel"]>[1];

const MAX_CONSTANTS = 256;

/** Short names for the kernels that both backends have. Shapes broadcast as in NumPy. */
export class Operations {
  readonly tf: Tfjs;
  private readonly engine: Engine;
  private readonly constants = new Map<number, DeviceArray>();

  constructor(tf: Tfjs) {
    this.tf = tf;
    this.engine = tf.engine();
  }

  run(name: string, inputs: Inputs, attributes?: object): DeviceArray {
    return this.engine.runKernel(name, inputs, attributes);
  }

  /** A number on the device, [1]. Those used last stay there. */
  constant(value: number): DeviceArray {
    let array = this.constants.get(value);
    this.constants.delete(value);
    array ??= this.engine.keep(this.tf.tensor(Float32Array.of(value), [1], "float32"));
    this.constants.set(value, array);
    if (this.constants.size > MAX_CONSTANTS) {
      const [oldest] = this.constants.keys();
      this.constants.get(oldest)!.dispose();
      this.constants.delete(oldest);
    }
    return array;
  }

  add(a: DeviceArray, b: DeviceArray | number): DeviceArray {
    return this.run("Add", { a, b: this.operand(b) });
  }
  sub(a: DeviceArray | number, b: DeviceArray): DeviceArray {
    return this.run("Sub", { a: this.operand(a), b });
  }
  mul(a: DeviceArray, b: DeviceArray | number): DeviceArray {
    return this.run("Multiply", { a, b: this.operand(b) });
  }
  div(a: DeviceArray | number, b: DeviceArray): DeviceArray {
    return this.run("RealDiv", { a: this.operand(a), b });
  }
  min(a: DeviceArray, b: DeviceArray | number): DeviceArray {
    return this.run("Minimum", { a, b: this.operand(b) });
  }
  /** 1 where the comparison holds, else 0. */
  holds(name: "LessEqual" | "GreaterEqual" | "Less" | "Greater", a: DeviceArray, b: DeviceArray | number): DeviceArray {
    return this.run("Cast", { x: this.run(name, { a, b: this.operand(b) }) }, { dtype: "float32" });
  }
  private operand(value: DeviceArray | number): DeviceArray {
    return typeof value === "number" ? this.constant(value) : value;
  }

  tanh(x: DeviceArray): DeviceArray {
    return this.run("Tanh", { x });
  }
  sigmoid(x: DeviceArray): DeviceArray {
    return this.run("Sigmoid", { x });
  }
  exp(x: DeviceArray): DeviceArray {
    return this.run("Exp", { x });
  }
  sqrt(x: DeviceArray): DeviceArray {
    return this.run("Sqrt", { x });
  }
  square(x: DeviceArray): DeviceArray {
    return this.run("Square", { x });
  }
  sum(x: DeviceArray, axis: number, keepDims = false): DeviceArray {
    return this.run("Sum", { x }, { axis: [axis], keepDims });
  }
  reshape(x: DeviceArray, shape: readonly number[]): DeviceArray {
    const same = x.shape.length === shape.length && x.shape.every((size, i) => size === shape[i]);
    return same ? x : this.run("Reshape", { x }, { shape });
  }
  slice(x: DeviceArray, begin: readonly number[], size: readonly number[]): DeviceArray {
    return this.run("Slice", { x }, { begin, size });
  }
  concat(parts: readonly DeviceArray[], axis: number): DeviceArray {
    return this.run("Concat", parts, { axis });
  }
  fill(shape: readonly number[], value: number): DeviceArray {
    return this.run("Fill", {}, { shape, value, dtype: "float32" });
  }
  gather(x: DeviceArray, indices: DeviceArray): DeviceArray {
    return this.run("GatherV2", { x, indices }, { axis: 0, batchDims: 0 });
  }
}
