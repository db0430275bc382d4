/** A learner with everything around it: the run's folder, its metrics and what is shown of them. Used by `dev` and `learner`. */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import type { RunConfig } from "../learner/config.ts";
import { metricsFile } from "../learner/metrics/metrics-file.ts";
import { combineSinks, type MetricsSink } from "../learner/metrics/sink.ts";
import { tensorBoardFile } from "../learner/metrics/tensorboard.ts";
import { type ReadyInfo, type RunDependencies, runLearner } from "../learner/run.ts";
import { tensorProvider } from "../policy/tensor/provider.ts";
import type { Bus } from "../proto/bus/index.ts";
import type { ServerSecurity } from "../proto/grpc.ts";
import { chooseDevice } from "./devices.ts";
import { announceLearner } from "./learner-link.ts";
import { keepNotice } from "./notices.ts";
import type { Output } from "./output.ts";
import { colours, liveView, noColours, ProgressState, type ProgressView, plainView } from "./progress-view.ts";
import type { RunFolder } from "./run-folder.ts";
import { secretFiles } from "./secrets/layout.ts";
import { secretsFolder } from "./secrets/role-secrets.ts";
import type { Ui } from "./ui/server.ts";
import { serveUiBeside } from "./ui/ui-thread.ts";

export interface TrainRunOptions {
  config: RunConfig;
  folder: RunFolder;
  bus: Bus;
  security?: ServerSecurity;
  output: Output;
  signal: AbortSignal;
  /** The learner, possibly with actors around it. Default: alone. */
  learn?: Learn;
}

export type Learn = (config: RunConfig, deps: RunDependencies, signal: AbortSignal) => ReturnType<typeof runLearner>;

/** Trains until the configured end; rejects with the signal's reason when that aborts. */
export async function trainRun(options: TrainRunOptions) {
  const { config, folder, bus, security, output, signal, learn = runLearner } = options;
  let sinks: MetricsSink | undefined;
  let view: ProgressView | undefined;
  let status: ReadyInfo["status"] | undefined;
  let silence: (() => void) | undefined;
  let ui: Ui | undefined;
  const note = (message: string) => {
    keepNotice(folder, message);
    output.event("notice", { message });
    if (view) view.note(message);
    else output.say(message);
  };
  const announceStop = () => note("Stopping in order; once more to stop at once.");
  signal.addEventListener("abort", announceStop);
  try {
    return await learn(
      config,
      {
        bus,
        security,
        provider: tensorProvider(config.provider),
        device: await chooseDevice(config.device, note),
        checkpointsFolder: folder.checkpoints,
        trajectoriesFolder: folder.trajectories,
        onReady: async (info) => {
          const { resumedFrom } = info;
          const metrics = metricsFile(folder.metrics, {
            resumeAfter: resumedFrom === undefined ? -1 : resumedFrom - 1,
          });
          const state = new ProgressState({
            run: folder.name,
            how: `${config.estimator} · ${config.policy} · ${config.mode}`,
            folder: folder.path,
            hasSuccess: info.environment.hasSuccess,
            totalEnvSteps: config.totalEnvSteps,
            iterations: config.iterations,
          });
          status = info.status;
          silence = announceLearner(folder.path, info.weightsAddress);
          state.watch(() => status?.());
          for (const { iteration, envSteps, values } of metrics.kept) state.restore(iteration, envSteps, values);
          const resumeAfterEnvSteps = resumedFrom === undefined ? undefined : state.envSteps;
          const shown = output.json ? jsonSink(output) : state;
          sinks = combineSinks([metrics, tensorBoardFile(folder.events, { resumeAfterEnvSteps }), shown]);
          output.event("ready", {
            run: folder.name,
            folder: folder.path,
            weightsAddress: info.weightsAddress,
            parameters: info.parameterCount,
            resumedFrom,
          });
          if (resumedFrom !== undefined) note(`Resumes at iteration ${resumedFrom}.`);
          if (config.ui) ui = await servePage(folder, config.uiPort, security && viewerSecrets(config.secrets), output);
          if (!output.json) view = viewOf(state, output);
        },
        onIteration: ({ iteration, envSteps, values, timing, lag }) => {
          const times = { ...timing, actors: lag.actors, weightsLagVersions: lag.maxVersions };
          const timed = Object.fromEntries(Object.entries(times).map(([name, value]) => [`time/${name}`, value]));
          sinks!.write(iteration, envSteps, { ...values, ...timed });
        },
        onNotice: note,
      },
      signal,
    );
  } finally {
    signal.removeEventListener("abort", announceStop);
    status = undefined;
    silence?.();
    await ui?.close();
    view?.close();
    sinks?.flush();
    sinks?.close();
  }
}

/** A page that cannot be served is no reason not to train. */
async function servePage(
  folder: RunFolder,
  port: number,
  secrets: string | undefined,
  output: Output,
): Promise<Ui | undefined> {
  try {
    const ui = await serveUiBeside({ root: dirname(folder.path), run: folder.name, port, secrets });
    output.event("ui", { url: ui.url });
    output.say(`Watch it at ${ui.url}`);
    return ui;
  } catch (error) {
    output.event("notice", { message: (error as Error).message });
    output.say(`${(error as Error).message} (--uiPort); the run goes on without.`);
    return undefined;
  }
}

/** The folder with the viewer's files, where this machine has them: the learner's own let nobody ask a learner. */
function viewerSecrets(given: string): string | undefined {
  const root = secretsFolder(given);
  return root !== undefined && existsSync(secretFiles(root).of("viewer").folder) ? root : undefined;
}

function viewOf(state: ProgressState, output: Output): ProgressView {
  const { stdout } = process;
  if (!stdout.isTTY || process.env.TERM === "dumb") return plainView(state, output.say);
  const terminal = {
    write: (text: string) => void stdout.write(text),
    columns: () => stdout.columns || 80,
    rows: () => stdout.rows || 24,
  };
  return liveView(state, terminal, process.env.NO_COLOR ? noColours : colours);
}

function jsonSink(output: Output): MetricsSink {
  return {
    write: (iteration, envSteps, values) => output.event("iteration", { iteration, envSteps, values }),
    flush() {},
    close() {},
  };
}
