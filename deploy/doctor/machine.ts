/** What a machine needs to train on, or to play for, a run. */
import { existsSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { availableParallelism, freemem, totalmem } from "node:os";
import { dirname, join, resolve } from "node:path";
import { findData } from "../../envs/alfworld/data.ts";
import { findDataFiles } from "../../envs/webshop/data-files.ts";
import packageJson from "../../package.json" with { type: "json" };
import { cacheFolder } from "../../proto/cache-folder.ts";
import { findBroker } from "../broker.ts";
import type { Check, Finding } from "./check.ts";

const GIBIBYTE = 2 ** 30;
/** A checkpoint is some megabytes, the broker's streams up to a gibibyte a run. */
const MIN_DISK_BYTES = 2 * GIBIBYTE;
/** A learner and two actors of the built-in policies take about half of it. */
const MIN_MEMORY_BYTES = GIBIBYTE;

const gibibytes = (bytes: number) => `${(bytes / GIBIBYTE).toFixed(1)} GiB`;

const runtime: Check = {
  name: "runtime",
  run() {
    const expected = `Bun ${packageJson.engines.bun}`;
    const { bun } = process.versions;
    const ok = bun !== undefined && Bun.semver.satisfies(bun, packageJson.engines.bun);
    return { ok, found: `Bun ${bun ?? "none"}`, expected, fix: "npm install -g bun@1.4" };
  },
};

const broker: Check = {
  name: "broker",
  async run() {
    const tried: string[] = [];
    const finding = await findBroker({ offline: true, progress: (line) => tried.push(line) });
    return {
      ok: finding !== undefined,
      found: finding?.description ?? tried.join("; "),
      expected: "nats-server 2.9 or newer on the PATH or in the cache",
      fix: "'proxima dev' fetches one into the cache by itself; or install your system's nats-server",
    };
  },
};

const ports: Check = {
  name: "ports",
  async run() {
    const problem = await new Promise<Error | undefined>((done) => {
      const server = createServer();
      server.once("error", done);
      server.listen(0, "127.0.0.1", () => server.close(() => done(undefined)));
    });
    return {
      ok: problem === undefined,
      found: problem ? `cannot listen on 127.0.0.1: ${problem.message}` : "programs can listen on 127.0.0.1",
      expected: "a free port on loopback, for the broker and the weights server",
      fix: "is the loopback interface up ('ip link set lo up'), or the number of open files too low ('ulimit -n')?",
    };
  },
};

/** Whether files can be written there, or the folder can be made. */
function writable(name: string, folder: string): Check {
  const path = resolve(folder);
  return {
    name,
    run(): Finding {
      const expected = "a folder that can be written to";
      const probe = join(nearest(path), `.doctor-${process.pid}`);
      try {
        writeFileSync(probe, "x");
        rmSync(probe);
        return { ok: true, found: path, expected };
      } catch (error) {
        const fix = "start from another folder, free some space, or mend its owner and mode";
        return { ok: false, found: `${path}: ${(error as Error).message}`, expected, fix };
      }
    },
  };
}

/** The folder, or the first above it that exists. */
const nearest = (path: string): string => (existsSync(path) ? path : nearest(dirname(path)));

const disk: Check = {
  name: "disk",
  run() {
    const { bavail, bsize } = statfsSync(".");
    return {
      ok: bavail * bsize >= MIN_DISK_BYTES,
      found: `${gibibytes(bavail * bsize)} free in ${resolve(".")}`,
      expected: `${gibibytes(MIN_DISK_BYTES)} free, for checkpoints and the broker's store`,
      fix: "free some space, or start from a folder on another disk",
    };
  },
};

const memory: Check = {
  name: "memory",
  run() {
    const available = availableMemory();
    return {
      ok: available >= MIN_MEMORY_BYTES,
      found: `${gibibytes(available)} of ${gibibytes(totalmem())} available, ${availableParallelism()} cores`,
      expected: `${gibibytes(MIN_MEMORY_BYTES)} available`,
      fix: "end other programs, or use fewer --actors",
    };
  },
};

/** What programs can have without swapping; on Linux that is more than what is free. */
function availableMemory(): number {
  try {
    const kibibytes = /^MemAvailable:\s+(\d+) kB/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1];
    if (kibibytes) return Number(kibibytes) * 1024;
  } catch {
    // Not Linux.
  }
  return freemem();
}

/** Nothing is wrong without them: it is only told what `--env` would play. */
const data: Check = {
  name: "data",
  run() {
    const games = findData("");
    const alfworld = games ? `alfworld's games in ${games}` : "no games of alfworld (it makes up its own)";
    return {
      ok: true,
      found: `${alfworld}, ${shopFiles()}`,
      expected: "data folders that can be read, where there are any",
    };
  },
};

function shopFiles(): string {
  try {
    return `webshop's products in ${findDataFiles("", "small").items}`;
  } catch {
    return "no products of webshop (docs/webshop.md tells where to get them)";
  }
}

export const checks: readonly Check[] = [
  runtime,
  broker,
  ports,
  writable("runs", "runs"),
  writable("cache", cacheFolder()),
  disk,
  memory,
  data,
];
