/**
 * Relays between a learner and 1,000 subscribers: `bun bench/relay.ts [--quick]`.
 *   1. Simulated: seconds until the last of 1,000 machines on 1 Gbit/s holds a version, by fan-out.
 *   2. On this machine, where all share its cores: 256 KiB to 1,000 subscribers, directly and through 32 relays.
 *   3. Milliseconds that each level adds: one subscriber behind 0 to 3 relays, 4 MiB.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { weightsServer } from "../learner/weights-server.ts";
import { median } from "./credit-assignment/statistics.ts";
import { broadcastSeconds, tree } from "./relay/tree.ts";

const quick = process.argv.includes("--quick");
const PROCESSES = 4;
const rounds = quick ? 3 : 10;

/** A process that prints a line for each event of interest; it ends with its standard input. */
class Lines {
  readonly #child: ChildProcess;
  readonly lines: string[] = [];
  #wake = () => {};

  constructor(script: string, ...args: (string | number)[]) {
    const path = new URL(`testing/${script}`, import.meta.url).pathname;
    this.#child = spawn(process.execPath, [path, ...args.map(String)], { stdio: ["pipe", "pipe", "inherit"] });
    createInterface({ input: this.#child.stdout! }).on("line", (line) => {
      this.lines.push(line);
      this.#wake();
    });
  }

  async reached(count: number): Promise<string[]> {
    while (this.lines.length < count) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.lines;
  }

  async stop(): Promise<void> {
    this.#child.stdin!.end();
    if (this.#child.exitCode === null) await once(this.#child, "exit");
  }
}

/** Median milliseconds from publish to the last subscriber's verification. `levels`: relays on each level, learner's side first. */
async function measure(bytes: number, subscribers: number, levels: readonly number[]): Promise<number> {
  const server = await weightsServer({ run: "bench" });
  const weights = Float32Array.from({ length: bytes / 4 }, () => Math.random());
  server.publish({ counter: 0, weights });
  const processes: Lines[] = [];
  let sources = [server.address];
  for (const relays of levels) {
    const level = Array.from({ length: Math.min(PROCESSES, relays) }, (_, i) => {
      const share = Math.floor((relays + i) / Math.min(PROCESSES, relays));
      return { share, lines: new Lines("relays.ts", share, sources.join(",")) };
    });
    processes.push(...level.map(({ lines }) => lines));
    sources = (await Promise.all(level.map(({ share, lines }) => lines.reached(share)))).flat();
  }
  const groups = Array.from({ length: Math.min(PROCESSES, subscribers) }, (_, i) => {
    const share = Math.floor((subscribers + i) / Math.min(PROCESSES, subscribers));
    return { share, lines: new Lines("subscribers.ts", "weights", sources.join(","), share, bytes) };
  });
  processes.push(...groups.map(({ lines }) => lines));
  const times: number[] = [];
  for (let counter = 0; counter <= rounds; counter++) {
    weights[0] = counter;
    const begin = performance.now();
    if (counter > 0) server.publish({ counter, weights });
    await Promise.all(groups.map(({ share, lines }) => lines.reached((counter + 1) * share)));
    if (counter > 0) times.push(performance.now() - begin);
  }
  for (const each of processes.reverse()) await each.stop();
  await server.close(0);
  return median(times);
}

const network = { linkBytesPerSecond: 125e6, latencySeconds: 0.0005, handleBytesPerSecond: 400e6 };
for (const megabytes of [1, 100]) {
  const bytes = megabytes * 1e6;
  for (const fanOut of [1000, 32, 10, 5, 3]) {
    const shape = tree(1000, fanOut);
    const seconds = broadcastSeconds(shape, { ...network, bytes });
    const [first] = shape.levels;
    console.log(
      `simulated, ${megabytes} MB to 1,000 machines on 1 Gbit/s, fan-out ${fanOut}: ${shape.relays} relays, ${shape.levels.length} levels, ` +
        `the learner sends ${first! * megabytes} MB, the last one has it after ${seconds.toFixed(2)} s`,
    );
  }
}
const direct = await measure(256 << 10, 1000, []);
const relayed = await measure(256 << 10, 1000, [32]);
console.log(
  `256 KiB to 1,000 subscribers on this machine: directly ${direct.toFixed(0)} ms, through 32 relays ${relayed.toFixed(0)} ms ` +
    `(ratio ${(relayed / direct).toFixed(2)})`,
);
const depths: number[] = [];
for (let depth = 0; depth <= 3; depth++) depths.push(await measure(4 << 20, 1, Array(depth).fill(1)));
console.log(
  `4 MiB to one subscriber behind 0, 1, 2, 3 relays: ${depths.map((ms) => ms.toFixed(0)).join(", ")} ms, ` +
    `${((depths[3]! - depths[0]!) / 3).toFixed(0)} ms a level`,
);
