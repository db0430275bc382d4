/** What a report says of one run: its numbers, its curves, and how it differs from others. */
import { bottleneckInWords, type Section, sectionsOf } from "../bottleneck.ts";
import type { WatchedRun } from "../ui/watched-run.ts";
import type { Curve } from "./curve-chart.ts";
import { type Interval, interval } from "./interval.ts";

/** Points of a curve, and the iterations that each is the mean of at least: an interval of fewer says nothing. */
const POINTS = 100;
const LEAST_MEAN_OF = 5;
/** What a run has learnt is read off its last iterations: this share of them, and at least so many. */
const FINAL_SHARE = 0.1;
const FINAL_LEAST = 5;

export interface RunFigures {
  name: string;
  config: Readonly<Record<string, unknown>>;
  iterations: number;
  envSteps: number;
  hours: number;
  /** Over the last iterations, as the mean over iterations; by metric. */
  final: Readonly<Record<string, Interval>>;
  finalIterations: number;
  /** Median over all iterations; NaN where it was not measured. */
  envStepsPerSecond: number;
  staleness: number;
  stalenessMax: number;
  sections: readonly Section[];
  bottleneck: string;
  ledger: { started: number; trained: number; dropped: number };
  has(metric: string): boolean;
  curve(metric: string, slot: number): Curve;
}

const finalMetrics = ["episode/success", "episode/return", "episode/length"];

/** Reads all of the run's metrics; nothing where it has none yet. */
export async function figuresOf(run: WatchedRun): Promise<RunFigures | undefined> {
  const { series, config, folder } = run;
  await series.refresh();
  const { rows, latest } = series;
  if (!latest) return undefined;
  const finalIterations = Math.min(rows, Math.max(FINAL_LEAST, Math.round(FINAL_SHARE * rows)));
  const finite = (metric: string, last = rows) =>
    [...(series.column(metric)?.subarray(-last) ?? [])].filter(Number.isFinite);
  const final = finalMetrics.flatMap((metric) => {
    const values = finite(metric, finalIterations);
    return values.length > 0 ? [[metric, interval(values)] as const] : [];
  });
  const sections = sectionsOf(series.names.map((name) => [name, series.total(name)] as const));
  const staleness = finite("episode/staleness");
  const x = series.axis("envSteps");
  return {
    name: folder.name,
    config,
    iterations: rows,
    envSteps: latest.envSteps,
    hours: series.axis("hours").at(-1)!,
    final: Object.fromEntries(final),
    finalIterations,
    envStepsPerSecond: median(finite("time/envStepsPerSecond")),
    staleness: staleness.length > 0 ? interval(staleness).mean : Number.NaN,
    stalenessMax: finite("episode/stalenessMax").reduce((most, value) => Math.max(most, value), 0),
    sections,
    bottleneck: bottleneckInWords(sections, String(config.mode ?? "")),
    ledger: {
      started: latest.values["ledger/started"] ?? 0,
      trained: latest.values["ledger/trained"] ?? 0,
      dropped: latest.values["ledger/dropped"] ?? 0,
    },
    has: (metric) => finite(metric).length > 0,
    curve: (metric, slot) => ({ label: folder.name, slot, points: runningMeans(x, series.column(metric)) }),
  };
}

/** Means of neighbouring iterations, each with the 95 % interval of the mean over them. */
function runningMeans(x: Float64Array, values: Float64Array | undefined): Curve["points"] {
  if (!values) return [];
  const rows = [...values.keys()].filter((row) => Number.isFinite(values[row]));
  const count = Math.min(POINTS, rows.length);
  const width = Math.min(rows.length, Math.max(LEAST_MEAN_OF, Math.ceil(rows.length / count)));
  return Array.from({ length: count }, (_, point) => {
    const centre = Math.floor(((point + 0.5) * rows.length) / count);
    const from = Math.max(0, Math.min(rows.length - width, centre - (width >> 1)));
    const { mean, half } = interval(rows.slice(from, from + width).map((row) => values[row]!));
    return { x: x[rows[centre]!]!, mean, low: mean - half, high: mean + half };
  });
}

/** Settings that say where and how a run was watched, not what was trained. */
const incidental = new Set([
  "run",
  "resume",
  "resumeFrom",
  "nats",
  "natsCredentials",
  "weightsHost",
  "weightsPort",
  "ui",
  "uiPort",
  "traces",
  "keepCheckpoints",
  "keepTrajectories",
  "stallTimeoutMs",
  "evalEpisodes",
]);

/** Settings in which the runs differ, each with its value by run. */
export function differences(runs: readonly RunFigures[]): { key: string; values: string[] }[] {
  const keys = [...new Set(runs.flatMap(({ config }) => Object.keys(config)))].filter((key) => !incidental.has(key));
  return keys
    .map((key) => ({ key, values: runs.map(({ config }) => String(config[key] ?? "–")) }))
    .filter(({ values }) => new Set(values).size > 1);
}

/** Runs that are the same but for their seed, where there are at least two. */
export function seedGroups(runs: readonly RunFigures[]): RunFigures[][] {
  const groups = new Map<string, RunFigures[]>();
  for (const run of runs) {
    const settings = Object.entries(run.config).filter(([key]) => !incidental.has(key) && key !== "seed");
    const key = JSON.stringify(settings.sort(([a], [b]) => (a < b ? -1 : 1)));
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  return [...groups.values()].filter((group) => group.length > 1);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
