/**
 * `nats bench js`: publishers and a consumer in Go that move messages of one size through a stream. The program is built once into
 * `.cache/peers/nats`, where Go and its module proxy can be had.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { must } from "./program.ts";

export const NATS_CLI = "0.3.0";

const MODULE = `github.com/nats-io/natscli@v${NATS_CLI}`;
const program = join(import.meta.dirname, `../../.cache/peers/nats/nats-${NATS_CLI}`);
const LIMIT_MS = 120_000;

/** Builds the program where it is not there yet. Throws with what Go said when it cannot. */
export function installNats(): void {
  if (existsSync(program)) return;
  console.error(`Building ${MODULE}, once: some minutes`);
  const { Dir: source } = JSON.parse(must("go", ["mod", "download", "-json", MODULE]));
  // Not `go install`, which asks for every version there is: some proxies have only the one.
  must("go", ["build", "-C", source, "-mod=readonly", "-buildvcs=false", "-o", program, "./nats"]);
}

export interface NatsBench {
  url: string;
  /** Of one stream. */
  stream: string;
  /** Each message has a subject of its own below this one. */
  subject: string;
  count: number;
  bytes: number;
  publishers: number;
  /** Messages that a publisher sends before it waits until all of them are stored. */
  batch: number;
}

/** Messages a second that the slower end reports: publishers until all are stored, the consumer from its first message to its last. */
export async function natsBench({ url, stream, subject, count, bytes, publishers, batch }: NatsBench): Promise<number> {
  const common = ["--server", url, "--no-context", "--no-progress", "--stream", stream];
  const size = ["--msgs", String(count), "--size", String(bytes)];
  const consumer = new Told(["bench", "js", "consume", ...common, ...size]);
  try {
    await consumer.says(/expecting/);
    const how = ["--clients", String(publishers), "--batch", String(batch), "--dedup", "--multisubject"];
    const publisher = new Told(["bench", "js", "pub", "async", subject, ...common, ...size, ...how]);
    const rates = await Promise.all([publisher, consumer].map((end) => end.says(/stats: ([\d,]+) msgs\/sec/)));
    return Math.min(...rates.map(([, rate]) => Number(rate!.replaceAll(",", ""))));
  } finally {
    consumer.kill();
  }
}

/** The program, and what it has said so far on both outputs. */
class Told {
  readonly #child: ChildProcess;
  readonly #command: string;
  #said = "";
  #ended = false;
  #wake = () => {};

  constructor(args: readonly string[]) {
    this.#command = ["nats", ...args].join(" ");
    this.#child = spawn(program, args, {
      stdio: ["ignore", "pipe", "pipe"],
      timeout: LIMIT_MS,
      killSignal: "SIGKILL",
    });
    const hear = (said: unknown) => {
      this.#said += said;
      this.#wake();
    };
    for (const output of [this.#child.stdout!, this.#child.stderr!]) output.on("data", hear);
    this.#child.on("error", hear);
    this.#child.on("close", () => {
      this.#ended = true;
      this.#wake();
    });
  }

  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.#said);
      if (found) return found;
      if (this.#ended) throw new Error(`\`${this.#command}\` should say ${pattern}: ${this.#said.trim().slice(-1500)}`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}
