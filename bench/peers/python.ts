/**
 * Python environments for the peers, made on first use from `requirements/<name>.txt` in `.cache/peers/<name>`: nobody who uses
 * or tests Proxima needs them. A list that has changed makes its environment anew.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");

export interface PeerPython {
  interpreter: string;
  /** Installed version of a package; throws when it is absent. */
  version(distribution: string): string;
}

/** @param name of a file in `requirements/`, without `.txt`. Throws with what pip said when the packages cannot be had. */
export function peerPython(name: string): PeerPython {
  const list = join(import.meta.dirname, "requirements", `${name}.txt`);
  const wanted = readFileSync(list, "utf8");
  const folder = join(root, ".cache/peers", name);
  const installed = join(folder, "installed.txt");
  const interpreter = join(folder, "bin/python");
  if (read(installed) !== wanted) {
    console.error(`Installing Python packages for the peers once: ${list}`);
    mkdirSync(folder, { recursive: true });
    const base = process.env.PROXIMA_PEERS_PYTHON ?? "python3";
    ask(base, ["-m", "venv", "--clear", folder]);
    ask(interpreter, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", list]);
    writeFileSync(installed, wanted);
  }
  return {
    interpreter,
    version: (distribution) =>
      ask(interpreter, ["-c", `import importlib.metadata as m; print(m.version(${JSON.stringify(distribution)}))`]),
  };
}

/** Path of a script of ours in this folder. */
export const peerScript = (file: string): string => join(import.meta.dirname, file);

function ask(command: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8", maxBuffer: 2 ** 26 });
  if (error ?? status !== 0)
    throw new Error(`\`${[command, ...args].join(" ")}\` failed: ${error ?? stderr.trim().slice(-1500)}`);
  return stdout.trim();
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
