/** Names of modules that mean the same on every machine, where the module belongs to this package. */
import { isAbsolute, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(import.meta.dirname, "../..");
const PACKAGE = "proxima:";

/** @param url a module's `import.meta.url`. Throws TypeError when it is no file. */
export function moduleReference(url: string): string {
  let path: string;
  try {
    path = fileURLToPath(url);
  } catch (cause) {
    throw new TypeError(
      `The module of a kind must be its import.meta.url, a file, found ${JSON.stringify(url)?.slice(0, 80)}.`,
      {
        cause,
      },
    );
  }
  return isInside(root, path) ? PACKAGE + relative(root, path).split(sep).join("/") : path;
}

/**
 * The file that a reference means here. Whoever may spawn chooses what runs, so only modules of this package and of the
 * given folders are taken. Throws RangeError for others.
 */
export function modulePath(reference: string, folders: readonly string[]): string {
  const inPackage = reference.startsWith(PACKAGE);
  const path = inPackage ? resolve(root, reference.slice(PACKAGE.length)) : reference;
  const allowed = inPackage ? [root] : folders;
  if (isAbsolute(path) && allowed.some((folder) => isInside(resolve(folder), path))) return path;
  throw new RangeError(
    `This node does not load ${reference.slice(0, 200)}: it takes kinds from Proxima itself and from ${folders.join(", ") || "nowhere else"}. Start it with --modules FOLDER to allow another folder.`,
  );
}

function isInside(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way !== "" && !way.startsWith("..") && !isAbsolute(way);
}
