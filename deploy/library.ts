/**
 * Training from a program instead of the command line: learner and actors in this process, the same classes as on a cluster.
 *
 *   import { train } from "proxima";
 *   const { counters, iterations } = await train(
 *     { env: "./guess.ts", iterations: 20 },
 *     { onIteration: ({ iteration, values }) => console.log(iteration, values["episode/success"]) },
 *   );
 *
 * Environments, policies and estimators have entries of their own (`proxima/environment`, `proxima/policy`,
 * `proxima/estimator`), so that an actor that loads one does not load the learner.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runSchema } from "../learner/config.ts";
import type { IterationRecord } from "../learner/learner.ts";
import { tensorProvider } from "../policy/tensor/provider.ts";
import { memoryBus } from "../proto/bus/index.ts";
import { trainInProcess } from "./in-process.ts";
import { resolveRunConfig } from "./run-config.ts";

export { ConfigError } from "../proto/config.ts";
export type { IterationRecord };

export interface TrainOptions {
  /** Actors in this process. Default 1. */
  actors?: number;
  /** Where checkpoints are kept; in a temporary folder, until training ends, when absent. */
  checkpointsFolder?: string;
  onIteration?(record: IterationRecord): void;
  /** Told what a person would want to know: a failed episode, a checkpoint restored. */
  onNotice?(message: string): void;
  signal?: AbortSignal;
}

export interface TrainResult {
  counters: { iteration: number; envSteps: number };
  /** Where every episode went: started = trained + dropped + inFlight. */
  balance: { started: number; trained: number; dropped: number; inFlight: number };
  iterations: IterationRecord[];
}

/**
 * Trains one run to its end. Settings are those of `proxima learner`, flat: `{ env: "cartpole", "policy.hidden": "16,16" }`;
 * what is not given has the environment's default.
 * @throws ConfigError for settings that do not exist or do not fit; the signal's reason when it aborts
 */
export async function train(
  settings: Readonly<Record<string, string | number | boolean>>,
  options: TrainOptions = {},
): Promise<TrainResult> {
  const { actors = 1, onIteration, onNotice = () => {}, signal = new AbortController().signal } = options;
  const given = Object.fromEntries(Object.entries({ run: "library", ...settings }).map(([k, v]) => [k, String(v)]));
  const { config } = await resolveRunConfig(
    runSchema,
    { words: [], settings: given, help: false, json: false },
    "runs",
  );
  const temporary =
    options.checkpointsFolder === undefined ? await mkdtemp(join(tmpdir(), "proxima-checkpoints-")) : undefined;
  const iterations: IterationRecord[] = [];
  const bus = memoryBus();
  try {
    const { counters, balance } = await trainInProcess(
      config,
      {
        bus,
        provider: tensorProvider(config.provider),
        actors,
        checkpointsFolder: options.checkpointsFolder ?? temporary!,
        onIteration(record) {
          iterations.push(record);
          onIteration?.(record);
        },
        onNotice,
        log: () => {},
      },
      signal,
    );
    return { counters, balance, iterations };
  } finally {
    await bus.close();
    if (temporary !== undefined) await rm(temporary, { recursive: true, force: true });
  }
}
