/** What training on a GPU needs: for `--device webgpu` any vendor's driver, for `--device tensorflow` NVIDIA's, CUDA, cuDNN and the addon. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { DEVICE_PACKAGES, type DeviceName, deviceFolder, findPackage } from "../../policy/tensor/tfjs/packages.ts";
import { builtAddon, findAddon } from "../../policy/tensor/tfjs/tensorflow.ts";
import { probeDevice, readBuiltAddon } from "../devices.ts";
import type { Check, Finding } from "./check.ts";

function packagesOf(device: DeviceName): Check {
  return {
    name: `${device}: packages`,
    run() {
      const wanted = Object.entries(DEVICE_PACKAGES[device]);
      const found = wanted.map(([name]) => `${name} ${findPackage(name)?.version ?? "missing"}`).join(", ");
      const expected = wanted.map(([name, version]) => `${name} ${version}`).join(", ");
      const fix = `proxima gpu install ${device} (into ${deviceFolder()})`;
      return { ok: found === expected, found, expected, fix };
    },
  };
}

const adapter: Check = {
  name: "webgpu: adapter",
  run: () =>
    opened(
      "webgpu",
      "a GPU",
      "install the vendor's driver and, on Linux, libvulkan1; 'vulkaninfo --summary' lists what it sees",
    ),
};

const tensorflowDevice: Check = {
  name: "tensorflow: device",
  run: () =>
    opened(
      "tensorflow",
      "TensorFlow on a GPU",
      "see the checks above: with driver, CUDA and cuDNN in place TensorFlow takes the GPU by itself; a wheel 'tensorflow-cpu' never does",
    ),
};

async function opened(device: DeviceName, expected: string, fix: string): Promise<Finding> {
  try {
    const { description, isGpu } = await probeDevice(device);
    return { ok: isGpu, found: description, expected, fix };
  } catch (error) {
    return { ok: false, found: (error as Error).message, expected, fix };
  }
}

const driver: Check = {
  name: "tensorflow: NVIDIA driver",
  run() {
    const query = ["--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"];
    const { status, stdout, error } = spawnSync("nvidia-smi", query, { encoding: "utf8" });
    return {
      ok: status === 0,
      found:
        status === 0 ? stdout.trim().replaceAll("\n", "; ") : `nvidia-smi: ${error?.message ?? `status ${status}`}`,
      expected: "a driver that nvidia-smi can ask",
      fix: "install NVIDIA's driver (Debian: nvidia-driver); in a container start it with '--gpus all'. GPUs of others work with --device webgpu",
    };
  },
};

/** Libraries that TensorFlow's GPU wheels since 2.18 load when they look for a GPU. */
const CUDA = ["libcudart.so.12", "libcublas.so.12", "libcusolver.so.11"];
const CUDNN = ["libcudnn.so.9"];

function libraries(name: string, wanted: readonly string[], fix: string): Check {
  return {
    name: `tensorflow: ${name}`,
    run() {
      const places = wanted.map((library) => ({ library, place: placeOf(library) }));
      const missing = places.filter(({ place }) => place === undefined).map(({ library }) => library);
      return {
        ok: missing.length === 0,
        found: missing.length === 0 ? places.map(({ place }) => place).join(", ") : `no ${missing.join(", ")}`,
        expected: `${wanted.join(", ")} where the loader looks, or in pip's nvidia packages beside tensorflow`,
        fix,
      };
    },
  };
}

/** Where the loader finds a library: its own list, LD_LIBRARY_PATH, or the packages that a wheel names in its search path. */
function placeOf(library: string): string | undefined {
  const { tensorflow } = readBuiltAddon() ?? {};
  const packages = tensorflow ? join(dirname(tensorflow), "nvidia") : "";
  const folders = [
    ...(process.env.LD_LIBRARY_PATH ?? "").split(delimiter).filter(Boolean),
    ...(existsSync(packages) ? readdirSync(packages).map((name) => join(packages, name, "lib")) : []),
  ];
  const folder = folders.find((each) => existsSync(join(each, library)));
  if (folder) return join(folder, library);
  const { stdout } = spawnSync("ldconfig", ["-p"], { encoding: "utf8" });
  return stdout
    ?.split("\n")
    .find((line) => line.trim().startsWith(`${library} `))
    ?.split("=> ")[1];
}

const withCuda =
  "pip install 'tensorflow[and-cuda]' brings both beside the wheel; then run 'proxima gpu build-addon' again";

const addon: Check = {
  name: "tensorflow: addon",
  run() {
    const path = findAddon();
    const against = path === builtAddon() ? ` against ${readBuiltAddon()?.tensorflow ?? "unknown libraries"}` : "";
    return {
      ok: path !== undefined,
      found: path ? `${path}${against}` : "none",
      expected: `${builtAddon()}, or the one that @tensorflow/tfjs-node-gpu came with (which wants CUDA 11.2)`,
      fix: "pip install 'tensorflow[and-cuda]', then proxima gpu build-addon --tensorflow DIR, the folder of that package",
    };
  },
};

const precision: Check = {
  name: "tensorflow: full precision",
  run() {
    const value = process.env.NVIDIA_TF32_OVERRIDE;
    return {
      ok: value === "0",
      found: `NVIDIA_TF32_OVERRIDE is ${value ?? "not set"}`,
      expected:
        "NVIDIA_TF32_OVERRIDE=0: TensorFlow else rounds the factors of products to 10 bits, and the trial at the first batch refuses it",
      fix: "export NVIDIA_TF32_OVERRIDE=0",
    };
  },
};

export const checks: readonly Check[] = [
  packagesOf("webgpu"),
  adapter,
  driver,
  libraries("CUDA", CUDA, withCuda),
  libraries("cuDNN", CUDNN, withCuda),
  packagesOf("tensorflow"),
  addon,
  precision,
  tensorflowDevice,
];
