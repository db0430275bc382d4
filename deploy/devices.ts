/** The programs around the devices: installing their packages, compiling TensorFlow's addon, and opening a device to see that it works. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, extname, join, resolve } from "node:path";
import type { RunConfig } from "../learner/config.ts";
import { type Device, openDevice } from "../policy/tensor/tfjs/device.ts";
import {
  DEVICE_PACKAGES,
  type DeviceName,
  DeviceUnavailableError,
  deviceFolder,
  findPackage,
} from "../policy/tensor/tfjs/packages.ts";
import { builtAddon } from "../policy/tensor/tfjs/tensorflow.ts";

/**
 * The device that `wanted` asks for: to be tried at the first batch. With `auto` to have none is no error.
 * @throws DeviceUnavailableError
 */
export async function chooseDevice(
  wanted: RunConfig["device"],
  say: (message: string) => void,
): Promise<Device | undefined> {
  if (wanted === "cpu") return undefined;
  if (wanted !== "auto") {
    const device = await openDevice(wanted);
    announce(device, say);
    return device;
  }
  const reasons: string[] = [];
  let onTheCpu: Device | undefined;
  for (const name of ["tensorflow", "webgpu"] as const) {
    try {
      const device = await openDevice(name);
      if (device.isGpu) {
        announce(device, say);
        return device;
      }
      if (name === "tensorflow") onTheCpu = device;
      else device.close();
      reasons.push(`${name} found ${device.description}, which is no GPU`);
    } catch (error) {
      if (!(error instanceof DeviceUnavailableError)) throw error;
      reasons.push(error.message);
    }
  }
  say(`No GPU was found ('proxima doctor gpu' says more): ${reasons.join("; ")}.`);
  if (onTheCpu) announce(onTheCpu, say); // TensorFlow's kernels may still be faster than ours
  return onTheCpu;
}

function announce({ description, isGpu }: Device, say: (message: string) => void): void {
  say(`Device: ${description}${isGpu ? "" : " (no GPU)"}. The first batch is tried there and with our own kernels.`);
}

export const deviceNames = Object.keys(DEVICE_PACKAGES) as DeviceName[];

/** TypeScript in a checkout, JavaScript in the package. */
const deviceModule = new URL(`../policy/tensor/tfjs/device${extname(import.meta.url)}`, import.meta.url).href;

/** C headers of Node's addon interface, for compiling. */
const HEADERS = { "node-api-headers": "1.9.0" };

const LIBRARIES = ["libtensorflow_cc.so.2", "libtensorflow_framework.so.2"];

export class DeviceSetupError extends Error {
  override name = "DeviceSetupError";
}

interface Ended {
  status: number | null;
  output: string;
}

/** Runs a program to its end. Throws DeviceSetupError when it cannot be started. */
function run(program: string, args: readonly string[], cwd?: string): Promise<Ended> {
  return new Promise((done, fail) => {
    const child = spawn(program, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
    child.once("error", (cause) => fail(new DeviceSetupError(`Cannot run ${program}: ${cause.message}`, { cause })));
    child.once("close", (status) => done({ status, output: output.trim() }));
  });
}

const lastLines = (text: string) => text.split("\n").slice(-12).join("\n  ");

/** Installs the packages of devices into the cache, beside those that are there. None of them runs a script. */
export async function installPackages(devices: readonly DeviceName[]): Promise<string> {
  const folder = deviceFolder();
  const path = join(folder, "package.json");
  const before = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")).dependencies : {};
  const wanted = devices.map((device) => ({ ...DEVICE_PACKAGES[device], ...(device === "tensorflow" && HEADERS) }));
  mkdirSync(folder, { recursive: true });
  writeFileSync(path, JSON.stringify({ private: true, dependencies: Object.assign({}, before, ...wanted) }, null, 2));
  const { status, output } = await run(process.execPath, ["install", "--ignore-scripts", "--no-progress"], folder);
  if (status !== 0)
    throw new DeviceSetupError(
      `Cannot install ${devices.join(" and ")} into ${folder}:\n  ${lastLines(output)}\nThey come from the npm registry: set a proxy (HTTPS_PROXY) or a mirror where it cannot be reached.`,
    );
  return folder;
}

/** What the addon was compiled against. */
export interface BuiltAddon {
  path: string;
  tensorflow: string;
}

/** Where `buildAddon` notes its libraries. */
const note = () => join(dirname(builtAddon()), "built.json");

export function readBuiltAddon(): BuiltAddon | undefined {
  return existsSync(note()) ? JSON.parse(readFileSync(note(), "utf8")) : undefined;
}

/**
 * Compiles the addon of @tensorflow/tfjs-node, as it is, against TensorFlow's libraries in a Python package.
 * @param tensorflow folder of the package: holds the libraries and include/
 */
export async function buildAddon(tensorflow: string): Promise<BuiltAddon> {
  const libraries = resolve(tensorflow);
  for (const wanted of [...LIBRARIES, "include/tensorflow/c/c_api.h"]) {
    if (!existsSync(join(libraries, wanted)))
      throw new DeviceSetupError(
        `Cannot build the addon against ${libraries}: expected ${wanted} in it, found none. Name the folder of Python's tensorflow package; 'python3 -c "import importlib.util as u; print(u.find_spec(\\"tensorflow\\").submodule_search_locations[0])"' prints it`,
      );
  }
  const [addon, headers] = ["@tensorflow/tfjs-node", "node-api-headers"].map((name) => {
    const folder = findPackage(name)?.folder;
    if (folder === undefined)
      throw new DeviceSetupError(`Cannot build the addon without ${name}: run 'proxima gpu install tensorflow' first`);
    return folder;
  });
  const sources = readdirSync(join(addon!, "binding"))
    .filter((name) => name.endsWith(".cc"))
    .map((name) => join(addon!, "binding", name));
  const path = builtAddon();
  mkdirSync(dirname(path), { recursive: true });
  const partial = `${path}.${process.pid}`;
  const { status, output } = await run("g++", [
    ...["-shared", "-fPIC", "-O2", "-std=c++17", "-DNAPI_VERSION=8", "-w"],
    ...[`-I${join(headers!, "include")}`, `-I${join(libraries, "include")}`],
    ...sources,
    ...["-o", partial, `-L${libraries}`, `-Wl,-rpath,${libraries}`],
    ...LIBRARIES.map((name) => `-l:${name}`),
  ]);
  if (status !== 0) throw new DeviceSetupError(`Cannot compile the addon:\n  ${lastLines(output)}`);
  renameSync(partial, path);
  const built = { path, tensorflow: libraries };
  writeFileSync(note(), JSON.stringify(built));
  return built;
}

export interface OpenedDevice {
  description: string;
  isGpu: boolean;
}

/** Opens the device in a process of its own, so that a driver that crashes takes nothing with it. Throws with its reason. */
export async function probeDevice(name: DeviceName): Promise<OpenedDevice> {
  const script = `
    const { openDevice } = await import(${JSON.stringify(deviceModule)});
    const say = (answer) => console.log("\\nanswer " + JSON.stringify(answer));
    try {
      const { description, isGpu } = await openDevice(${JSON.stringify(name)});
      say({ description, isGpu });
    } catch (error) {
      say({ problem: error.message });
    }
    process.exit(0);`;
  const { status, output } = await run(process.execPath, ["-e", script]);
  const answer = /^answer (.*)$/m.exec(output)?.[1];
  if (answer === undefined)
    throw new DeviceSetupError(`Opening device ${name} ended with status ${status}:\n  ${lastLines(output)}`);
  const { problem, ...opened } = JSON.parse(answer);
  if (problem !== undefined) throw new DeviceSetupError(problem);
  return opened;
}
