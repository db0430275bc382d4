/** Trains at full load and watches what it takes: memory, open files, what the broker keeps, and how quickly it answers. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { connectNats } from "../../proto/bus/index.ts";
import { subjects } from "../../proto/subjects.ts";

const proxima = join(import.meta.dirname, "../../deploy/proxima.ts");
const RUN = "soak";

export interface SoakOptions {
  seconds: number;
  sampleSeconds: number;
  env: string;
  actors: number;
  onSample?(sample: Sample): void;
}

/** One look at everything. */
export interface Sample {
  atSeconds: number;
  iterations: number;
  envSteps: number;
  /** By process: learner, broker, actors (the sum of all). */
  rssBytes: Record<string, number>;
  files: Record<string, number>;
  /** Stored in the streams of the run. */
  streamBytes: number;
  streamMessages: number;
  /** Median time in which the broker tells the state of a stream. */
  brokerMs: number;
  /** Median of the iterations since the sample before; NaN without any. */
  iterationMs: number;
}

interface Event {
  type: string;
  [field: string]: unknown;
}

/** Linux only: reads /proc. Needs a nats-server that `proxima dev` can find. Rejects when the training ends before its time. */
export async function soak({ seconds, sampleSeconds, env, actors, onSample }: SoakOptions): Promise<Sample[]> {
  const folder = mkdtempSync(join(tmpdir(), "proxima-soak-"));
  const settings = { env, actors, run: RUN, iterations: 1_000_000_000, totalEnvSteps: 0 };
  const args = Object.entries(settings).flatMap(([key, value]) => [`--${key}`, String(value)]);
  const learner = spawn(process.execPath, [proxima, "dev", ...args, "--json"], {
    cwd: folder,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const training = watch(learner);
  try {
    await training.until(() => training.iterations > 0);
    const broker = brokerOf(join(folder, "runs", RUN, "broker"));
    const bus = await connectNats({ servers: broker.url, name: "soak" });
    const samples: Sample[] = [];
    const { taskStream, trajectoryStream, deadLetterStream } = subjects(RUN);
    const begin = performance.now();
    try {
      for (let next = sampleSeconds; next <= seconds; next += sampleSeconds) {
        await Promise.race([sleep(begin + next * 1000 - performance.now()), training.ended]);
        const pids = { learner: [learner.pid!], broker: [broker.pid], actors: [...training.actors.values()] };
        const times: number[] = [];
        for (let i = 0; i < 9; i++) {
          const asked = performance.now();
          await bus.streamState(taskStream);
          times.push(performance.now() - asked);
        }
        const states = await Promise.all(
          [taskStream, trajectoryStream, deadLetterStream].map((s) => bus.streamState(s)),
        );
        const sample: Sample = {
          atSeconds: Math.round((performance.now() - begin) / 1000),
          iterations: training.iterations,
          envSteps: training.envSteps,
          rssBytes: ofEach(pids, rssBytes),
          files: ofEach(pids, openFiles),
          streamBytes: states.reduce((n, { bytes }) => n + bytes, 0),
          streamMessages: states.reduce((n, { messages }) => n + messages, 0),
          brokerMs: median(times),
          iterationMs: median(training.takeIterationMs()),
        };
        samples.push(sample);
        onSample?.(sample);
      }
    } finally {
      await bus.close();
    }
    return samples;
  } finally {
    learner.kill("SIGINT");
    await training.exited;
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What the training says of itself. */
function watch(child: ChildProcess) {
  const actors = new Map<string, number>();
  let iterationMs: number[] = [];
  const listeners = new Set<() => void>();
  const exited = once(child, "close");
  const watched = {
    actors,
    iterations: 0,
    envSteps: 0,
    exited,
    ended: exited.then(([code]) => Promise.reject(new Error(`The training ended too early, with code ${code}`))),
    takeIterationMs() {
      const taken = iterationMs;
      iterationMs = [];
      return taken;
    },
    /** Until the condition holds. */
    until: (holds: () => boolean) =>
      Promise.race([
        new Promise<void>((resolve) => {
          const look = () => {
            if (holds()) resolve();
          };
          listeners.add(look);
          look();
        }),
        watched.ended,
      ]),
  };
  watched.ended.catch(() => {}); // also when it ends because it was asked to
  createInterface({ input: child.stdout! }).on("line", (line) => {
    const event = JSON.parse(line) as Event;
    if (event.type === "actor") actors.set(event.name as string, event.pid as number);
    if (event.type === "iteration") {
      watched.iterations++;
      watched.envSteps = event.envSteps as number;
      iterationMs.push((event.values as Record<string, number>)["time/iterationMs"]!);
    }
    for (const listener of listeners) listener();
  });
  return watched;
}

function brokerOf(folder: string): { pid: number; url: string } {
  const ports = join(folder, "ports");
  const file = existsSync(ports) && readdirSync(ports).find((name) => name.endsWith(".ports"));
  if (!file)
    throw new Error("Soaking needs a nats-server: 'proxima dev' found none and keeps everything in one process");
  const [url] = JSON.parse(readFileSync(join(ports, file), "utf8")).nats as [string];
  return { url, pid: Number(/_(\d+)\.ports$/.exec(file)![1]) };
}

const rssBytes = (pid: number) => {
  const [, kibibytes = "0"] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kibibytes) * 1024;
};

const openFiles = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;

function ofEach(pids: Record<string, number[]>, measure: (pid: number) => number): Record<string, number> {
  return Object.fromEntries(
    Object.entries(pids).map(([name, own]) => [name, own.reduce((n, pid) => n + measure(pid), 0)]),
  );
}

export interface Trend {
  what: string;
  unit: string;
  /** Medians of the second and of the last fifth of the time: the first is for warming up. */
  early: number;
  late: number;
}

export function trends(samples: readonly Sample[]): Trend[] {
  const fifth = Math.max(1, Math.floor(samples.length / 5));
  const early = samples.slice(fifth, 2 * fifth);
  const late = samples.slice(-fifth);
  const of = (what: string, unit: string, value: (sample: Sample) => number): Trend => {
    const middle = (some: readonly Sample[]) => median(some.map(value).filter(Number.isFinite));
    return { what, unit, early: middle(early), late: middle(late) };
  };
  const processes = Object.keys(samples[0]?.rssBytes ?? {});
  return [
    ...processes.map((name) => of(`RSS of ${name}`, "MiB", ({ rssBytes }) => rssBytes[name]! / 2 ** 20)),
    ...processes.map((name) => of(`open files of ${name}`, "", ({ files }) => files[name]!)),
    of("stored in JetStream", "MiB", ({ streamBytes }) => streamBytes / 2 ** 20),
    of("messages in JetStream", "", ({ streamMessages }) => streamMessages),
    of("broker's answer", "ms", ({ brokerMs }) => brokerMs),
    of("iteration", "ms", ({ iterationMs }) => iterationMs),
  ];
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? sorted[sorted.length >> 1]! : Number.NaN;
}
