import { type Device, openDevice } from "../device.ts";
import type { DeviceName } from "../packages.ts";
import { useSoftwareGpu } from "./software-gpu.ts";

const opened = new Map<DeviceName, Promise<Device | undefined>>();

/**
 * The device for tests: WebGPU on SwiftShader, TensorFlow on whatever its libraries find. Tests of one process share it. Undefined, with
 * a sentence that says why, where it is not installed: such tests are skipped.
 */
export function deviceForTests(name: DeviceName): Promise<Device | undefined> {
  let device = opened.get(name);
  if (device === undefined) {
    device = open(name);
    opened.set(name, device);
  }
  return device;
}

async function open(name: DeviceName): Promise<Device | undefined> {
  if (name === "webgpu") useSoftwareGpu();
  try {
    return await openDevice(name);
  } catch (error) {
    console.warn(`Skipping tests of device ${name}: ${(error as Error).message}`);
    return undefined;
  }
}
