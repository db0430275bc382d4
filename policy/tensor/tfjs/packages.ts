/**
 * The packages behind the devices. They are large and optional, so nothing installs them by default: `proxima gpu install` puts
 * them into the cache folder, and a project that has them in its own node_modules is taken first.
 */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { cacheFolder } from "../../../proto/cache-folder.ts";

/** What each device imports, at the versions that the tests ran with. */
export const DEVICE_PACKAGES = {
  webgpu: {
    "@tensorflow/tfjs-core": "4.22.0",
    "@tensorflow/tfjs-backend-webgpu": "4.22.0",
    webgpu: "0.6.2",
  },
  tensorflow: {
    "@tensorflow/tfjs-core": "4.22.0",
    "@tensorflow/tfjs-node": "4.22.0",
  },
} as const satisfies Record<string, Record<string, string>>;

export type DeviceName = keyof typeof DEVICE_PACKAGES;

/** There is no such device here, or what it needs is missing. The message says what was looked for, and what to do. */
export class DeviceUnavailableError extends Error {
  override name = "DeviceUnavailableError";
}

/** Where `proxima gpu install` and `proxima gpu build-addon` put things. */
export function deviceFolder(): string {
  return join(cacheFolder(), "gpu");
}

export interface Package {
  name: string;
  folder: string;
  version: string;
}

/**
 * The package in the node_modules of this project or of a folder above it, or in the cache. Looked for by hand: Bun's resolver
 * fetches what it does not find.
 */
export function findPackage(name: string): Package | undefined {
  const roots: string[] = [];
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder)) roots.push(folder);
  for (const root of [...roots, deviceFolder()]) {
    const folder = join(root, "node_modules", name);
    const path = join(folder, "package.json");
    if (existsSync(path)) return { name, folder, version: JSON.parse(readFileSync(path, "utf8")).version };
  }
  return undefined;
}

/** A `require` that finds what a device needs. Throws DeviceUnavailableError when it is absent or of another version. */
export function requirePackages(device: DeviceName): NodeJS.Require {
  let from: string | undefined;
  for (const [name, wanted] of Object.entries(DEVICE_PACKAGES[device])) {
    const found = findPackage(name);
    if (found?.version !== wanted)
      throw new DeviceUnavailableError(
        `Device ${device} needs ${name} ${wanted}, found ${found ? `${found.version} in ${found.folder}` : "none"}: run 'proxima gpu install ${device}'`,
      );
    from ??= found.folder;
  }
  return createRequire(join(from!, "package.json"));
}
