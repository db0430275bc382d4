/**
 * NVIDIA GPUs (or the CPU) through TensorFlow's own kernels: the addon of `@tensorflow/tfjs-node`, either the one that came with
 * it or one that `proxima gpu build-addon` compiled against the libraries of a Python wheel.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { AdamStep } from "../kernels.ts";
import { KernelModel } from "../model.ts";
import type { Device } from "./device.ts";
import { composed, type Elementwise } from "./elementwise.ts";
import { ownersOf } from "./index-lists.ts";
import type { Segments } from "./kernels.ts";
import { TfjsLanguageKernels } from "./language.ts";
import { DeviceUnavailableError, deviceFolder, findPackage, requirePackages } from "./packages.ts";
import type { DeviceArray, Tfjs } from "./tfjs.ts";

/** Where `proxima gpu build-addon` puts the addon. */
export function builtAddon(): string {
  return join(deviceFolder(), "addon", "tfjs_binding.node");
}

/** The addon to load: the one built here, else the one that a package came with. */
export function findAddon(): string | undefined {
  if (existsSync(builtAddon())) return builtAddon();
  for (const name of ["@tensorflow/tfjs-node-gpu", "@tensorflow/tfjs-node"]) {
    const lib = join(findPackage(name)?.folder ?? "", "lib");
    if (!existsSync(lib)) continue;
    for (const abi of readdirSync(lib).sort().reverse()) {
      const path = join(lib, abi, "tfjs_binding.node");
      if (existsSync(path)) return path;
    }
  }
  return undefined;
}

interface Backend {
  isUsingGpuDevice: boolean;
  binding: { TF_Version: string; TF_ATTR_TYPE: number; TF_FLOAT: number };
  executeSingleOutput(name: string, attributes: object[], inputs: readonly DeviceArray[]): DeviceArray;
}

/** @throws DeviceUnavailableError */
export async function tensorflowDevice(): Promise<Device> {
  const require = requirePackages("tensorflow");
  const util = require("node:util") as { isNullOrUndefined?(x: unknown): boolean };
  util.isNullOrUndefined ??= (x) => x === null || x === undefined; // gone from Node 23 and Deno
  const addon = findAddon();
  if (addon === undefined)
    throw new DeviceUnavailableError(
      `Device tensorflow needs TensorFlow's addon, found none in ${builtAddon()} nor in @tensorflow/tfjs-node: run 'proxima gpu build-addon --tensorflow DIR', where DIR is the folder of Python's tensorflow package`,
    );
  let binding: object;
  try {
    binding = createRequire(import.meta.url)(addon);
  } catch (cause) {
    throw new DeviceUnavailableError(
      `Device tensorflow cannot load ${addon}: ${(cause as Error).message}. It was built against libraries that are not there (any more): run 'proxima gpu build-addon --tensorflow DIR' again`,
      { cause },
    );
  }
  const tf = require("@tensorflow/tfjs-core") as Tfjs;
  require("@tensorflow/tfjs-node/dist/register_all_kernels");
  const { NodeJSKernelBackend } = require("@tensorflow/tfjs-node/dist/nodejs_kernel_backend") as {
    NodeJSKernelBackend: new (binding: object, name: string) => Backend;
  };
  const backend = new NodeJSKernelBackend(binding, "@tensorflow/tfjs-node");
  tf.registerBackend("tensorflow", () => backend);
  await tf.setBackend("tensorflow");
  const kernels = new TensorFlowKernels(tf, backend);
  const place = backend.isUsingGpuDevice ? (gpuName() ?? "a GPU") : "the CPU";
  return {
    name: "tensorflow",
    description: `TensorFlow ${backend.binding.TF_Version} on ${place}`,
    isGpu: backend.isUsingGpuDevice,
    traffic: kernels.queue.traffic,
    model: (layout) => new KernelModel(kernels, layout),
    arrays: () => tf.memory().numTensors,
    close() {},
  };
}

function gpuName(): string | undefined {
  const { status, stdout } = spawnSync("nvidia-smi", ["--query-gpu=name", "--format=csv,noheader"], {
    encoding: "utf8",
  });
  return status === 0 ? stdout.trim().split("\n")[0] : undefined;
}

class TensorFlowKernels extends TfjsLanguageKernels {
  readonly name = "tensorflow";
  protected override readonly elementwise: Elementwise;
  private readonly backend: Backend;

  constructor(tf: Tfjs, backend: Backend) {
    super(tf);
    this.elementwise = composed(this.ops);
    this.backend = backend;
  }

  protected override segmentsOf(offsets: ArrayLike<number>): Segments {
    return { rows: offsets.length - 1, staged: this.queue.stageIntegers(ownersOf(offsets)) };
  }

  protected override sumSegments(
    x: DeviceArray,
    ids: DeviceArray | undefined,
    segments: Segments,
    weights: DeviceArray | undefined,
  ): DeviceArray {
    const { ops } = this;
    let items = ids ? ops.gather(x, ids) : x;
    if (weights) items = ops.mul(items, ops.reshape(weights, [weights.shape[0], 1]));
    const segmentIds = this.queue.staged(segments.staged);
    return ops.run("UnsortedSegmentSum", { x: items, segmentIds }, { numSegments: segments.rows });
  }

  protected override linearSum(a: DeviceArray, b: DeviceArray, bias: DeviceArray): DeviceArray {
    return this.ops.add(this.ops.run("BatchMatMul", { a, b }, { transposeA: false, transposeB: false }), bias);
  }

  /** x·y, but 0 where y is 0 even if x is not a number. */
  private mulNoNan(x: DeviceArray, y: DeviceArray): DeviceArray {
    const type = { name: "T", type: this.backend.binding.TF_ATTR_TYPE, value: this.backend.binding.TF_FLOAT };
    return this.backend.executeSingleOutput("MulNoNan", [type], [x, y]);
  }

  protected override adamStep(
    { weights, gradients, m, v }: Record<"weights" | "gradients" | "m" | "v", DeviceArray>,
    norm: DeviceArray,
    step: AdamStep,
  ): Record<"weights" | "m" | "v", DeviceArray> {
    const { ops } = this;
    const condition = ops.run("IsFinite", { x: norm });
    const number = (value: number) => ops.tf.tensor(Float32Array.of(value), [1], "float32");
    /** The first where the norm is finite, else the second. */
    const choose = (t: DeviceArray, e: number) => ops.run("Select", { condition, t, e: ops.constant(e) });
    const clip = choose(ops.min(ops.div(number(Math.min(step.maxGradNorm, 1e38)), ops.add(norm, 1e-6)), 1), 0);
    const g = this.mulNoNan(gradients, clip);
    const moment = (old: DeviceArray, now: DeviceArray, decay: number) =>
      ops.add(ops.mul(old, choose(ops.constant(decay), 1)), ops.mul(now, choose(ops.constant(1 - decay), 0)));
    const first = moment(m, g, step.beta1);
    const second = moment(v, ops.square(g), step.beta2);
    const rate = choose(number(step.learningRate / step.correction1), 0);
    const divisor = ops.add(ops.sqrt(ops.mul(second, number(1 / step.correction2))), step.epsilon);
    return { weights: ops.sub(weights, ops.div(ops.mul(first, rate), divisor)), m: first, v: second };
  }
}
