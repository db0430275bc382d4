/**
 * The metrics of the watched runs in Prometheus' text format, in base units and by its rules for names:
 * https://prometheus.io/docs/practices/naming/. What counts since a run began is read from its metrics, so counters go on where
 * they were after a restart. docs/watching.md lists them.
 */
import packageJson from "../../package.json" with { type: "json" };
import { sectionsOf } from "../bottleneck.ts";
import type { RunDetail, WatchedRun } from "./watched-run.ts";
import type { WatchedRuns } from "./watched-runs.ts";

type Labels = Readonly<Record<string, string>>;

interface Family {
  name: string;
  type: "counter" | "gauge" | "summary";
  help: string;
  samples: { suffix?: string; labels: Labels; value: number }[];
}

/** Metrics that are passed on as they are: [name, type, metric of docs/metrics.md, help]. */
const plain: readonly (readonly [string, Family["type"], string, string])[] = [
  ["proxima_learner_steps_total", "counter", "run/learnerSteps", "Optimiser steps since the run began."],
  ["proxima_episodes_started_total", "counter", "ledger/started", "Episodes asked for since the run began."],
  ["proxima_episodes_trained_total", "counter", "ledger/trained", "Episodes trained on since the run began."],
  ["proxima_weights_version", "gauge", "run/weightsVersion", "Counter of the newest weights version."],
  ["proxima_episode_return", "gauge", "episode/return", "Mean undiscounted return of the newest iteration."],
  [
    "proxima_episode_success_ratio",
    "gauge",
    "episode/success",
    "Share of successful episodes of the newest iteration.",
  ],
  ["proxima_episode_length_steps", "gauge", "episode/length", "Mean steps of an episode in the newest iteration."],
  [
    "proxima_episode_invalid_actions_ratio",
    "gauge",
    "episode/invalidActions",
    "Share of steps whose action was refused.",
  ],
  ["proxima_staleness_versions", "gauge", "episode/staleness", "Mean age of the newest iteration's episodes."],
  ["proxima_staleness_versions_max", "gauge", "episode/stalenessMax", "Age of the oldest of those episodes."],
  ["proxima_groups_without_signal_ratio", "gauge", "credit/groupsWithoutSignal", "Share of groups without advantages."],
  ["proxima_policy_entropy_nats", "gauge", "update/entropy", "Mean entropy of the policy."],
  ["proxima_policy_kl_nats", "gauge", "update/approxKl", "How far the newest update moved the policy."],
  ["proxima_clipped_ratio", "gauge", "update/clipFraction", "Share of rows that PPO clipped."],
  ["proxima_gradient_norm", "gauge", "update/gradNorm", "Norm of the gradient before clipping."],
  ["proxima_explained_variance_ratio", "gauge", "update/explainedVariance", "What the critic explains, at most 1."],
  ["proxima_tasks_queued", "gauge", "time/tasksQueued", "Group tasks that no actor had taken, on average."],
  ["proxima_actor_idle_ratio", "gauge", "time/idleShare", "Share of the actors' slots that was free."],
  ["proxima_actors_suggested", "gauge", "time/actorsSuggested", "How many actors would suit the learner."],
  ["proxima_learning_rate", "gauge", "update/learningRate", "Step size of the newest optimiser step."],
];

export async function prometheusText(runs: WatchedRuns): Promise<string> {
  const families = new Map<string, Family>();
  const add = (name: string, type: Family["type"], help: string, labels: Labels, value: number, suffix?: string) => {
    const family = families.get(name) ?? { name, type, help, samples: [] };
    families.set(name, family);
    family.samples.push({ labels, value, suffix });
  };
  add("proxima_build_info", "gauge", "Version of this program.", { version: packageJson.version }, 1);
  for (const name of runs.names()) {
    const run = runs.load(name)!;
    addRun(add, run, await run.detail());
  }
  return [...families.values()].map(familyText).join("");
}

function addRun(
  add: (name: string, type: Family["type"], help: string, labels: Labels, value: number, suffix?: string) => void,
  { series }: WatchedRun,
  { name: run, latest, iterations, envSteps, ledger, status, live }: RunDetail,
): void {
  add("proxima_learner_up", "gauge", "1 while the run's learner answers.", { run }, status ? 1 : 0);
  add(
    "proxima_learner_paused",
    "gauge",
    "1 while somebody has paused it.",
    { run },
    status?.phase === "paused" ? 1 : 0,
  );
  add("proxima_iterations_total", "counter", "Iterations trained since the run began.", { run }, iterations);
  add("proxima_env_steps_total", "counter", "Environment steps trained on since the run began.", { run }, envSteps);
  for (const [name, type, metric, help] of plain)
    if (Object.hasOwn(latest, metric)) add(name, type, help, { run }, latest[metric]!);
  for (const [reason, count] of ledger.reasons)
    add("proxima_episodes_dropped_total", "counter", "Episodes dropped, by reason.", { run, reason }, count);
  const inFlight = status?.episodesInFlight ?? (live ? ledger.inFlight : 0);
  add("proxima_episodes_in_flight", "gauge", "Episodes asked for and not yet settled.", { run }, inFlight);
  const duration = ["proxima_iteration_duration_seconds", "summary", "How long iterations took."] as const;
  add(...duration, { run }, series.total("time/iterationMs") / 1000, "_sum");
  add(...duration, { run }, iterations, "_count");
  const totals = series.names.map((metric) => [metric, series.total(metric)] as const);
  for (const { name: section, ms } of sectionsOf(totals))
    add(
      "proxima_learner_seconds_total",
      "counter",
      "Time of the learner, by what it did.",
      { run, section },
      ms / 1000,
    );
  if (!status) return;
  const { actors, environment } = status;
  add("proxima_actors", "gauge", "Actors that receive weights.", { run }, actors.count);
  add("proxima_actor_lag_versions_max", "gauge", "Versions the slowest actor is behind.", { run }, actors.maxLag);
  add("proxima_environment_generation", "gauge", "Which assignment is played.", { run }, environment.generation);
}

function familyText({ name, type, help, samples }: Family): string {
  const lines = samples.map(({ suffix = "", labels, value }) => {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`);
    return `${name}${suffix}{${pairs.join(",")}} ${numberText(value)}`;
  });
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines, ""].join("\n");
}

const escapeLabel = (text: string) => text.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");

function numberText(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  return String(value);
}
