/**
 * Any vendor's GPU through WebGPU: Dawn (npm `webgpu`) on Bun and Node, the runtime's own on Deno. Where TensorFlow.js has no
 * kernel that is exact and of one dispatch, a shader of ours goes through its backend.
 */
import { type AdamStep, BINARY, MOMENT_FLOOR, UNARY } from "../kernels.ts";
import { KernelModel } from "../model.ts";
import type { Device } from "./device.ts";
import type { Elementwise } from "./elementwise.ts";
import type { Segments } from "./kernels.ts";
import { TfjsLanguageKernels } from "./language.ts";
import { DeviceUnavailableError, requirePackages } from "./packages.ts";
import { BINARY_VALUES, FIRST_SLOPES, SECOND_SLOPES, UNARY_SLOPES, UNARY_VALUES } from "./shaders.ts";
import type { ArrayInfo, DeviceArray, Tfjs } from "./tfjs.ts";

/** What is used of WebGPU, which only Deno declares. */
interface Gpu {
  requestAdapter(options: object): Promise<Adapter | null>;
}
interface Adapter {
  readonly info: { vendor: string; architecture: string; device: string; description: string };
  readonly limits: Record<string, number>;
  requestDevice(options: object): Promise<GpuDevice>;
}
interface GpuDevice extends EventTarget {
  readonly lost: Promise<{ reason: string; message: string }>;
  destroy(): void;
}

type Uniforms = readonly { type: "float32"; data: readonly number[] }[];

interface WebGpuBackend {
  runWebGPUProgram(program: object, inputs: readonly DeviceArray[], type: "float32", uniforms?: Uniforms): ArrayInfo;
}

const LIMITS = [
  "maxComputeWorkgroupStorageSize",
  "maxComputeWorkgroupsPerDimension",
  "maxStorageBufferBindingSize",
  "maxBufferSize",
  "maxComputeWorkgroupSizeX",
  "maxComputeInvocationsPerWorkgroup",
];

/** @throws DeviceUnavailableError */
export async function webgpuDevice(): Promise<Device> {
  const require = requirePackages("webgpu");
  const gpu = runtimeGpu() ?? dawn(require);
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (adapter === null)
    throw new DeviceUnavailableError(
      "Device webgpu needs a graphics driver (Vulkan, Metal or Direct3D 12), and WebGPU found no adapter. Install the vendor's driver and, on Linux, the package libvulkan1; 'proxima doctor gpu' says what is there",
    );
  const { vendor, architecture, device: model, description } = adapter.info;
  const names = [description, vendor, architecture, model].filter(Boolean);
  if (names.some((name) => /null.?backend/i.test(name)))
    throw new DeviceUnavailableError(
      `Device webgpu found only "${names[0]}", which computes nothing: install a graphics driver`,
    );
  // Asked for here and not by TensorFlow.js, which nests its list of features so that Dawn refuses it.
  const requiredLimits = Object.fromEntries(LIMITS.map((limit) => [limit, adapter.limits[limit]]));
  const device = await adapter.requestDevice({ requiredLimits });

  const tf = require("@tensorflow/tfjs-core") as Tfjs;
  const { WebGPUBackend } = require("@tensorflow/tfjs-backend-webgpu") as {
    WebGPUBackend: new (device: GpuDevice, info: object) => WebGpuBackend;
  };
  const backend = new WebGPUBackend(device, adapter.info);
  tf.removeBackend("webgpu"); // the one that it registers by itself where it sees WebGPU
  tf.registerBackend("webgpu", () => backend);
  await tf.setBackend("webgpu");
  tf.env().set("WEBGPU_CPU_FORWARD", false); // small arrays would be computed on the host

  const kernels = new WebGpuKernels(tf, backend);
  let isClosed = false;
  device.addEventListener("uncapturederror", (event) =>
    kernels.queue.fail((event as unknown as { error: Error }).error),
  );
  device.lost.then(({ reason, message }) => {
    if (!isClosed) kernels.queue.fail(new Error(`the GPU was lost (${reason}): ${message}`));
  });
  return {
    name: "webgpu",
    description: names.join(", "),
    isGpu: !names.some((name) => /swiftshader|llvmpipe|software|basic render/i.test(name)),
    traffic: kernels.queue.traffic,
    model: (layout) => new KernelModel(kernels, layout),
    arrays: () => tf.memory().numTensors,
    close() {
      isClosed = true;
      device.destroy();
    },
  };
}

function runtimeGpu(): Gpu | undefined {
  return (globalThis.navigator as { gpu?: Gpu } | undefined)?.gpu;
}

/** Dawn, put where TensorFlow.js looks for a runtime's own. There it also outlives what it made. */
function dawn(require: NodeJS.Require): Gpu {
  const { create, globals } = require("webgpu") as { create(options: string[]): Gpu; globals: object };
  Object.assign(globalThis, globals);
  if (globalThis.navigator === undefined) Object.defineProperty(globalThis, "navigator", { value: {} });
  const gpu = create([]);
  Object.defineProperty(globalThis.navigator, "gpu", { value: gpu, configurable: true });
  return gpu;
}

const WORKGROUP = 64;

class WebGpuKernels extends TfjsLanguageKernels {
  readonly name = "webgpu";
  private readonly backend: WebGpuBackend;

  constructor(tf: Tfjs, backend: WebGpuBackend) {
    super(tf);
    this.backend = backend;
  }

  /** `value` of each element of `first`, the others by its index, b again and again. */
  private readonly each = (
    key: string,
    value: string,
    inputs: Readonly<Record<string, DeviceArray>>,
    numbers?: Readonly<Record<string, number>>,
  ): DeviceArray => {
    const [first] = Object.values(inputs);
    const elements = Object.keys(inputs).map(
      (name) => `let ${name} = ${name}In[index${name === "b" ? " % uniforms.bInShape" : ""}];`,
    );
    const constants = Object.keys(numbers ?? {}).map((name) => `let ${name} = uniforms.${name};`);
    const arrays = Object.fromEntries(Object.entries(inputs).map(([name, array]) => [`${name}In`, array]));
    return this.shade(
      key,
      first.shape,
      arrays,
      `${elements.join(" ")} ${constants.join(" ")} value = ${value};`,
      numbers,
    );
  };

  protected override readonly elementwise: Elementwise = {
    binary: (op, a, b) => this.each(`binary-${op}`, BINARY_VALUES[op], { a, b }),
    slopeOfFirst: (op, a, b, dy) => this.each(`first-${op}`, FIRST_SLOPES[op], { a, b, dy }),
    slopeOfSecond: (op, a, b, dy) =>
      op === BINARY.add ? dy : this.each(`second-${op}`, SECOND_SLOPES[op], { a, b, dy }),
    unary: (op, x, p, q) => (op === UNARY.none ? x : this.each(`unary-${op}`, UNARY_VALUES[op], { x }, { p, q })),
    slopeOfUnary: (op, x, y, dy, p, q) => {
      const { from, slope } = UNARY_SLOPES[op];
      return this.each(`slope-${op}`, slope, from === "x" ? { dy, x: x() } : { dy, y: y() }, { p, q });
    },
  };

  /** One thread an element of the output; `body` sees `index`, the inputs by name, and assigns `value`. */
  private shade(
    key: string,
    shape: readonly number[],
    inputs: Readonly<Record<string, DeviceArray>>,
    body: string,
    numbers: Readonly<Record<string, number>> = {},
  ): DeviceArray {
    const size = shape.reduce((product, n) => product * n, 1);
    const program = {
      variableNames: Object.keys(inputs),
      outputShape: shape,
      dispatchLayout: { x: shape.map((_, i) => i) },
      dispatch: [Math.ceil(size / WORKGROUP), 1, 1],
      workgroupSize: [WORKGROUP, 1, 1],
      shaderKey: `proxima-${key}`,
      size: true,
      uniforms: Object.keys(numbers)
        .map((name) => `${name} : f32, `)
        .join(""),
      getUserCode: () => `
        fn main(index : i32) {
          if (index < uniforms.size) {
            var value = 0.0;
            ${body}
            result[index] = value;
          }
        }`,
    };
    const uniforms = Object.values(numbers).map((value) => ({ type: "float32", data: [value] }) as const);
    const info = this.backend.runWebGPUProgram(program, Object.values(inputs), "float32", uniforms);
    return this.ops.tf.engine().makeTensorFromTensorInfo(info);
  }

  protected override segmentsOf(offsets: ArrayLike<number>): Segments {
    return { rows: offsets.length - 1, staged: this.queue.stageIntegers(offsets) };
  }

  protected override sumSegments(
    x: DeviceArray,
    ids: DeviceArray | undefined,
    segments: Segments,
    weights: DeviceArray | undefined,
  ): DeviceArray {
    const offsets = this.queue.staged(segments.staged);
    const body = `
      let width = uniforms.outShape[1];
      let row = index / width;
      let column = index % width;
      for (var k = offsets[row]; k < offsets[row + 1]; k = k + 1) {
        value = value + ${weights ? "weights[k] * " : ""}x[${ids ? "ids[k]" : "k"} * width + column];
      }`;
    const inputs = { x, offsets, ...(ids && { ids }), ...(weights && { weights }) };
    return this.shade(`segments-${Object.keys(inputs)}`, [segments.rows, x.shape[1]], inputs, body);
  }

  protected override linearSum(a: DeviceArray, b: DeviceArray, bias: DeviceArray): DeviceArray {
    return this.ops.run("_FusedMatMul", { a, b, bias }, { transposeA: false, transposeB: false, activation: "linear" });
  }

  protected override adamStep(
    { weights, gradients, m, v }: Record<"weights" | "gradients" | "m" | "v", DeviceArray>,
    norm: DeviceArray,
    step: AdamStep,
  ): Record<"weights" | "m" | "v", DeviceArray> {
    const { shape } = weights;
    // Told by its bits: shaders may assume that no number is infinite.
    const finite = "(bitcast<u32>(norm[0]) & 0x7f800000u) != 0x7f800000u";
    const clipped = "let g = gradients[index] * min(1.0, uniforms.most / (norm[0] + 1e-6));";
    const moment = (name: "m" | "v", old: DeviceArray, power: string, decay: number) =>
      this.shade(
        `adam-${name}`,
        shape,
        { old, gradients, norm },
        `value = old[index];
         if (${finite}) {
           ${clipped}
           value = value * uniforms.decay + ${power} * uniforms.rest;
           if (abs(value) < ${MOMENT_FLOOR}) { value = 0.0; }
         }`,
        { most: Math.min(step.maxGradNorm, 1e38), decay, rest: 1 - decay },
      );
    const first = moment("m", m, "g", step.beta1);
    const second = moment("v", v, "(g * g)", step.beta2);
    const stepped = this.shade(
      "adam-weights",
      shape,
      { weights, first, second, norm },
      `value = weights[index];
       if (${finite}) {
         value = value - uniforms.rate * first[index] / (sqrt(second[index] * uniforms.unbias) + uniforms.epsilon);
       }`,
      { rate: step.learningRate / step.correction1, unbias: 1 / step.correction2, epsilon: step.epsilon },
    );
    return { weights: stepped, m: first, v: second };
  }
}
