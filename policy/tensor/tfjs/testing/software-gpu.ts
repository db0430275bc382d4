/** A graphics driver without graphics: SwiftShader, which comes with Debian's chromium. */
import { dlopen } from "bun:ffi";
import { existsSync } from "node:fs";
import { join } from "node:path";

const folder = "/usr/lib/chromium";
const driver = join(folder, "vk_swiftshader_icd.json");

/** The same for a process that is yet to be started. */
export const softwareGpuEnvironment = { LD_LIBRARY_PATH: folder, VK_ICD_FILENAMES: driver, VK_DRIVER_FILES: driver };

/**
 * Makes this process see SwiftShader and no other driver, so that tests compute the same on every machine. False where it is not
 * installed.
 */
export function useSoftwareGpu(): boolean {
  const loader = join(folder, "libvulkan.so.1");
  if (!existsSync(loader) || !existsSync(driver)) return false;
  // The loader asks the C library for its environment, of which `process.env` is a copy.
  const { symbols } = dlopen("libc.so.6", { setenv: { args: ["cstring", "cstring", "int"], returns: "int" } });
  for (const name of ["VK_ICD_FILENAMES", "VK_DRIVER_FILES"])
    symbols.setenv(Buffer.from(`${name}\0`), Buffer.from(`${driver}\0`), 1);
  dlopen(loader, { vkGetInstanceProcAddr: { args: ["ptr", "ptr"], returns: "ptr" } }); // found by its name from now on
  return true;
}
