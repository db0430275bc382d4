import type { TensorProvider } from "../tensors.ts";
import type { DeviceName } from "./packages.ts";
import type { Traffic } from "./queue.ts";

/** A provider whose models live on a device. A process opens each at most once. */
export interface Device extends TensorProvider {
  readonly name: DeviceName;
  /** What was found, for people: "NVIDIA H200 (vulkan)". */
  readonly description: string;
  /** Else it computes on the CPU: TensorFlow without a GPU, or a driver that emulates one. */
  readonly isGpu: boolean;
  readonly traffic: Traffic;
  /** Arrays that TensorFlow.js holds right now. */
  arrays(): number;
  /** Lets the process end; models can no longer be used. */
  close(): void;
}

/** @throws DeviceUnavailableError saying what is missing and how to get it */
export async function openDevice(name: DeviceName): Promise<Device> {
  if (name === "webgpu") return (await import("./webgpu.ts")).webgpuDevice();
  return (await import("./tensorflow.ts")).tensorflowDevice();
}
