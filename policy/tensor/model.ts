import { KeyValueCache } from "./cache.ts";
import type { Handle, Kernels } from "./kernels.ts";
import { parameterCount, sizeOf } from "./layout.ts";
import { type Node, Tape } from "./tape.ts";
import type { AdamOptions, AttentionCache, Model, ParameterSpec, Tensor, Tensors } from "./tensors.ts";

interface Optimiser {
  m: Float32Array;
  v: Float32Array;
  steps: number;
}

/** A model on any provider's kernels. An actor's model is its weights only: gradients and moments are made on first use. */
export class KernelModel implements Model {
  readonly layout: readonly ParameterSpec[];
  readonly parameterCount: number;
  readonly isQueued: boolean;
  private readonly kernels: Kernels;
  private readonly tape: Tape;
  private readonly parameters: Node[] = [];
  private readonly weightsBuffer: Handle;
  private gradientsBuffer: Handle = 0;
  private m: Handle = 0;
  private v: Handle = 0;
  private steps = 0;
  private disposed = false;

  constructor(kernels: Kernels, layout: readonly ParameterSpec[]) {
    this.layout = layout;
    this.parameterCount = parameterCount(layout);
    this.kernels = kernels;
    this.isQueued = kernels.isQueued === true;
    this.tape = new Tape(kernels);
    this.weightsBuffer = kernels.allocate(this.parameterCount);
    this.forEachRegion(this.weightsBuffer, (region, spec) => {
      this.parameters.push(this.tape.addParameter(spec.name, spec.shape, region));
    });
  }

  private forEachRegion(buffer: Handle, visit: (region: Handle, spec: ParameterSpec, index: number) => void): void {
    let offset = 0;
    this.layout.forEach((spec, i) => {
      const size = sizeOf(spec.shape);
      visit(this.kernels.region(buffer, offset, size), spec, i);
      offset += size;
    });
  }

  private needGradients(): Handle {
    if (this.gradientsBuffer === 0) {
      this.gradientsBuffer = this.kernels.allocate(this.parameterCount);
      this.forEachRegion(this.gradientsBuffer, (region, _spec, i) => {
        this.parameters[i].grad = region;
      });
    }
    return this.gradientsBuffer;
  }

  private needMoments(): void {
    if (this.m !== 0) return;
    this.m = this.kernels.allocate(this.parameterCount);
    this.v = this.kernels.allocate(this.parameterCount);
  }

  private check(what: string, values?: Float32Array): void {
    if (this.disposed) throw new TypeError(`Cannot ${what}: the model was disposed`);
    if (values && values.length !== this.parameterCount) {
      throw new RangeError(
        `Cannot ${what} of ${values.length} values: the layout has ${this.parameterCount} parameters`,
      );
    }
  }

  load(weights: Float32Array): void {
    this.check("load weights", weights);
    this.kernels.write(this.weightsBuffer, weights);
  }

  weights(): Float32Array | Promise<Float32Array> {
    this.check("read weights");
    return this.kernels.read(this.weightsBuffer, this.parameterCount);
  }

  weightsInto(target: Float32Array): void | Promise<void> {
    this.check("read weights into a buffer", target);
    return this.kernels.readInto(this.weightsBuffer, target);
  }

  evaluate<K extends string>(
    body: (t: Tensors) => Record<K, Tensor>,
  ): Record<K, Float32Array> | Promise<Record<K, Float32Array>> {
    this.check("evaluate");
    this.tape.begin(false);
    try {
      return this.readAll(body(this.tape));
    } finally {
      this.tape.end();
    }
  }

  differentiate<K extends string>(
    body: (t: Tensors) => { loss: Tensor } & Record<K, Tensor>,
  ): Record<K | "loss", Float32Array> | Promise<Record<K | "loss", Float32Array>> {
    this.check("differentiate");
    this.needGradients();
    this.tape.begin(true);
    try {
      const outputs = body(this.tape);
      const values = this.readAll<K | "loss">(outputs);
      this.tape.backward(outputs.loss);
      return values;
    } finally {
      this.tape.end();
    }
  }

  private readAll<K extends string>(
    outputs: Record<K, Tensor>,
  ): Record<K, Float32Array> | Promise<Record<K, Float32Array>> {
    const values = {} as Record<K, Float32Array>;
    const pending: Promise<void>[] = [];
    for (const name in outputs) {
      const node = this.tape.own(outputs[name]);
      const value = this.kernels.read(node.value, node.size);
      if (value instanceof Float32Array) values[name] = value;
      else
        pending.push(
          value.then((later) => {
            values[name] = later;
          }),
        );
    }
    return pending.length === 0 ? values : Promise.all(pending).then(() => values);
  }

  cache(layers: number, width: number): AttentionCache {
    this.check("make a cache");
    if (this.isQueued) {
      throw new TypeError(
        `Cannot generate on the device ${this.kernels.name}: a cache of keys is kept by the CPU's kernels alone`,
      );
    }
    return new KeyValueCache(this.kernels, layers, width);
  }

  zeroGradients(): void {
    this.check("clear gradients");
    if (this.gradientsBuffer !== 0) this.kernels.fill(this.gradientsBuffer, this.parameterCount, 0);
  }

  gradients(): Float32Array | Promise<Float32Array> {
    this.check("read gradients");
    return this.kernels.read(this.needGradients(), this.parameterCount);
  }

  gradientsInto(target: Float32Array): void | Promise<void> {
    this.check("read gradients into a buffer", target);
    return this.kernels.readInto(this.needGradients(), target);
  }

  setGradients(gradients: Float32Array): void {
    this.check("set gradients", gradients);
    this.kernels.write(this.needGradients(), gradients);
  }

  adam(options: AdamOptions): number | Promise<number> {
    this.check("take an Adam step");
    const { learningRate, beta1, beta2, epsilon, maxGradNorm } = options;
    if (!(epsilon > 0 && beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1 && maxGradNorm >= 0)) {
      throw new RangeError(
        `Cannot take an Adam step: expected epsilon > 0, betas in [0, 1) and maxGradNorm >= 0, found ${JSON.stringify(options)}`,
      );
    }
    const gradients = this.needGradients();
    this.needMoments();
    const steps = this.steps + 1;
    const norm = this.kernels.adam(this.weightsBuffer, gradients, this.m, this.v, this.parameterCount, {
      learningRate,
      beta1,
      beta2,
      epsilon,
      maxGradNorm,
      correction1: 1 - integerPower(beta1, steps),
      correction2: 1 - integerPower(beta2, steps),
    });
    if (typeof norm === "number") {
      if (Number.isFinite(norm)) this.steps = steps;
      return norm;
    }
    this.steps = steps; // the next step may be recorded before this one's norm is known
    return norm.then((value) => {
      if (!Number.isFinite(value)) this.steps--;
      return value;
    });
  }

  optimiser(): Optimiser | Promise<Optimiser> {
    this.check("read the optimiser");
    this.needMoments();
    const steps = this.steps;
    const m = this.kernels.read(this.m, this.parameterCount);
    const v = this.kernels.read(this.v, this.parameterCount);
    if (m instanceof Float32Array && v instanceof Float32Array) return { m, v, steps };
    return Promise.all([m, v]).then(([first, second]) => ({ m: first, v: second, steps }));
  }

  loadOptimiser(state: Optimiser): void {
    this.check("load the first moments", state.m);
    this.check("load the second moments", state.v);
    if (!Number.isSafeInteger(state.steps) || state.steps < 0) {
      throw new RangeError(`Cannot load an optimiser: expected a step count, found ${state.steps}`);
    }
    this.needMoments();
    this.kernels.write(this.m, state.m);
    this.kernels.write(this.v, state.v);
    this.steps = state.steps;
  }

  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    for (const buffer of [this.weightsBuffer, this.gradientsBuffer, this.m, this.v]) {
      if (buffer !== 0) this.kernels.free(buffer);
    }
  }
}

/** base^exponent by repeated squaring: unlike Math.pow the same on every runtime. */
function integerPower(base: number, exponent: number): number {
  let result = 1;
  let square = base;
  for (let rest = exponent; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result *= square;
    square *= square;
  }
  return result;
}
