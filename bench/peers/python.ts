/**
 * Python environments for the peers, made on first use from `requirements/<name>.txt` in `.cache/peers/<name>`: nobody who uses
 * or tests Proxima needs them. A list that has changed makes its environment anew.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { must } from "./program.ts";

const root = join(import.meta.dirname, "../..");

const listOf = (name: string) => join(import.meta.dirname, "requirements", `${name}.txt`);

/** Path of an interpreter that has the packages of `requirements/<name>.txt`. Throws with what pip said when they cannot be had. */
export function peerPython(name: string): string {
  const list = listOf(name);
  const wanted = readFileSync(list, "utf8");
  const folder = join(root, ".cache/peers", name);
  const installed = join(folder, "installed.txt");
  const interpreter = join(folder, "bin/python");
  if (read(installed) !== wanted) {
    console.error(`Installing Python packages for the peers, once: ${list}`);
    mkdirSync(folder, { recursive: true });
    must(process.env.PROXIMA_PEERS_PYTHON ?? "python3", ["-m", "venv", "--clear", folder]);
    must(interpreter, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", list]);
    writeFileSync(installed, wanted);
  }
  return interpreter;
}

/** The version of a package in that list. */
export function pinned(name: string, distribution: string): string {
  const line = readFileSync(listOf(name), "utf8")
    .split("\n")
    .find((each) => each.split(/[=[]/)[0] === distribution);
  if (!line) throw new Error(`Cannot tell the version of ${distribution}: ${listOf(name)} does not name it`);
  return line.split("==")[1]!;
}

/** Path of a script of ours in this folder. */
export const peerScript = (file: string): string => join(import.meta.dirname, file);

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
