/** Runs and learners for the tests of the page: long ones, large ones, and a browser to look at them. */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runSchema } from "../../learner/config.ts";
import { type LearnerControls, learnerService } from "../../learner/learner-service.ts";
import { formatMetrics } from "../../learner/metrics/metrics-file.ts";
import { weightsServer } from "../../learner/weights-server.ts";
import { defaultProvider } from "../../policy/tensor/provider.ts";
import { memoryBus } from "../../proto/bus/memory.ts";
import { formatConfig, resolveConfig } from "../../proto/config.ts";
import { Phase } from "../../proto/gen/proxima/v1/learner_pb.ts";
import { StatusError, status } from "../../proto/grpc.ts";
import { trainInProcess } from "../in-process.ts";
import { announceLearner } from "../learner-link.ts";
import { createRunFolder, storeConfig } from "../run-folder.ts";

/** A browser of this machine; undefined, and said so, when there is none. */
export function chromium(wantedFor: string): string | undefined {
  const found = ["chromium", "chromium-browser", "google-chrome"].find((name) => {
    try {
      execFileSync(name, ["--version"], { stdio: "ignore" });
      return true;
    } catch {
      return false;
    }
  });
  if (!found) process.stderr.write(`${wantedFor}: the tests in a browser are skipped, there is no Chromium\n`);
  return found && execFileSync("which", [found], { encoding: "utf8" }).trim();
}

/** A line of metrics as a run of 40 columns would have it. */
export function metricsLine(iteration: number, changes: Record<string, number> = {}): string {
  const values: Record<string, number> = {
    "episode/success": Math.min(1, iteration / 5000) * (0.9 + 0.1 * Math.sin(iteration)),
    "episode/return": 10 * Math.min(1, iteration / 5000),
    "ledger/started": 128 * (iteration + 2),
    "ledger/trained": 128 * iteration,
    "ledger/dropped": 128,
    "ledger/inFlight": 128,
    "dropped/noSignal": 120,
    "dropped/malformed": 8,
    "run/weightsVersion": iteration + 1,
    "time/iterationMs": 100,
    "time/waitMs": 70,
    "time/updateMs": 30,
    "time/envStepsPerSecond": 12_800,
    "time/tasksQueued": 4,
    "time/idleShare": 0.1,
    "time/actorsSuggested": 12,
    ...changes,
  };
  for (let i = 0; i < 27; i++) values[`credit/number${i}`] = Math.cos(iteration * i);
  return formatMetrics(iteration, 1280 * (iteration + 1), values);
}

/** A run of many iterations that nobody had to wait for. */
export function longRun(
  root: string,
  name: string,
  iterations: number,
  settings: Record<string, unknown> = {},
  changes: (iteration: number) => Record<string, number> = () => ({}),
): string {
  const path = join(root, name);
  mkdirSync(path, { recursive: true });
  const values = { run: name, env: "scavenger", estimator: "proxmo", policy: "candidates", ...settings };
  storeConfig(
    { path, config: join(path, "config.toml") },
    formatConfig(runSchema, resolveConfig(runSchema, [{ source: "test", values }])),
  );
  const lines = Array.from({ length: iterations }, (_, iteration) => metricsLine(iteration, changes(iteration)));
  writeFileSync(join(path, "metrics.jsonl"), lines.join(""));
  return path;
}

/** A real run of a few iterations with kept trajectories. */
export async function trainedRun(root: string, name: string): Promise<string> {
  const values = {
    env: "scavenger",
    "env.difficulty": 1,
    policy: "candidates",
    estimator: "proxmo",
    groupsPerIteration: 6,
    groupSize: 6,
    iterations: 3,
    learnerThreads: 1,
    seed: 3,
    run: name,
  };
  const resolved = resolveConfig(runSchema, [{ source: "test", values }]);
  const folder = createRunFolder(root, { name, env: "scavenger" });
  storeConfig(folder, formatConfig(runSchema, resolved));
  const lines: string[] = [];
  const bus = memoryBus();
  try {
    await trainInProcess(
      resolved.config,
      {
        bus,
        provider: defaultProvider(),
        actors: 1,
        checkpointsFolder: folder.checkpoints,
        trajectoriesFolder: folder.trajectories,
        onIteration: ({ iteration, envSteps, values: metrics }) =>
          lines.push(formatMetrics(iteration, envSteps, metrics)),
        onNotice: () => {},
        log: () => {},
      },
      AbortSignal.timeout(60_000),
    );
  } finally {
    await bus.close();
    folder.release();
  }
  writeFileSync(folder.metrics, lines.join(""));
  return folder.path;
}

/** Answers for the run in `folder` as a learner with many actors would, and remembers what it was asked. */
export async function testingLearner(folder: string, actors: number) {
  const asked: string[] = [];
  let pausedReason = "";
  let generation = 2;
  const controls: LearnerControls = {
    status: () => ({
      phase: pausedReason ? Phase.PAUSED : Phase.COLLECTING,
      pausedReason,
      waiting: { what: "Iteration 40 has waited 62 s for 24 episodes.", advice: "Start another actor." },
      weightsCounter: 41n,
      weightsSha256: new Uint8Array(32).fill(0xab),
      episodes: { inFlight: 128n },
      environment: { generation: BigInt(generation), environmentId: "scavenger", canaryShare: 1 },
      subscribers: Array.from({ length: actors }, (_, i) => ({
        actor: `actor-${i}`,
        peer: `10.0.0.${i % 20}:${4000 + i}`,
        heldCounter: BigInt(41 - (i % 3)),
        lagVersions: BigInt(i % 3),
      })),
    }),
    pause(reason) {
      asked.push(`pause ${reason}`);
      pausedReason = reason;
      return 40;
    },
    resume() {
      asked.push("resume");
      pausedReason = "";
      return 40;
    },
    async checkpoint() {
      asked.push("checkpoint");
      return { path: "runs/long/checkpoints/41", iteration: 41, weightsCounter: 41 };
    },
    swapEnvironment({ environmentId, expectedGeneration, arguments: given, ...rest }) {
      if (expectedGeneration !== generation)
        throw new StatusError(status.FAILED_PRECONDITION, `run long is at generation ${generation} of its environment`);
      generation++;
      asked.push(`swap ${environmentId} ${JSON.stringify(given)}`);
      return { environmentId, arguments: given, ...rest, generation };
    },
  };
  const server = await weightsServer({ run: "long", services: [learnerService(controls)] });
  const silence = announceLearner(folder, server.address);
  return {
    asked,
    async close() {
      silence();
      await server.close(0);
    },
  };
}
