/** Where the broker of a run is, for commands that steer a run that somebody else has started. */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { runSchema } from "../learner/config.ts";
import { decodeRunState, type RunState, runStateKey } from "../policy/run-state.ts";
import { type Bus, openBus } from "../proto/bus/index.ts";
import { ConfigError } from "../proto/config.ts";
import { runsBucket, subjects } from "../proto/subjects.ts";
import { readConfigFile } from "./config-file.ts";
import { onlyRun, readRunFolder, runNames } from "./run-folder.ts";

const fileIn = (folder: string) => join(folder, "broker.url");

/** `dev` starts its broker at any free port: leaves the address in the run's folder. Returns how to take it away. */
export function announceBroker(folder: string, url: string): () => void {
  writeFileSync(fileIn(folder), `${url}\n`);
  return () => rmSync(fileIn(folder), { force: true });
}

export interface WantedRun {
  /** The only one in runs/ when empty. */
  run: string;
  /** Where the run's folder on this machine says when empty. */
  nats: string;
  natsCredentials: string;
}

/** Opens the broker and finds the run there. Throws ConfigError when there is no such run. */
export async function openRun(
  { run, nats, natsCredentials }: WantedRun,
  signal: AbortSignal,
): Promise<{ bus: Bus; run: string; state: RunState }> {
  const name = run || onlyRun("runs");
  const url = nats || brokerOf("runs", name);
  const credentials = natsCredentials === "" ? undefined : await readFile(natsCredentials, "utf8");
  const bus = await openBus(url, { name: `proxima env for ${name}`, credentials, timeoutMs: 10_000, signal });
  try {
    // Looked for among the runs first, as asking for a bucket would make it.
    const runs = await (await bus.keyValue(runsBucket)).keys();
    const entry = runs.includes(name)
      ? await (await bus.keyValue(subjects(name).stateBucket)).get(runStateKey)
      : undefined;
    if (!entry)
      throw new ConfigError([
        `there is no run '${name}' at ${url}: ${runs.length ? `it knows ${runs.sort().join(", ")}` : "it knows none"}`,
      ]);
    return { bus, run: name, state: decodeRunState(entry.value) };
  } catch (error) {
    await bus.close();
    throw error;
  }
}

function brokerOf(root: string, run: string): string {
  if (!runNames(root).includes(run))
    throw new ConfigError([
      `there is no run '${run}' in ${root}/: say where its broker is with --nats nats://host:4222`,
    ]);
  const folder = readRunFolder(root, run);
  if (existsSync(fileIn(folder.path))) return readFileSync(fileIn(folder.path), "utf8").trim();
  const { nats } = readConfigFile(folder.config, runSchema).values;
  if (typeof nats === "string" && nats !== "" && nats !== "memory") return nats;
  throw new ConfigError([
    `run '${run}' has no broker that other processes can reach: it is over, or runs in one process. Is it to go on, with --resume?`,
  ]);
}
