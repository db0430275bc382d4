/** The experiment's tables and figures from its results. */
import { type Curve, figure } from "./figure.ts";
import type { RunResult } from "./run.ts";
import { interval, meanSuccess, median, stepsTo, successAt } from "./statistics.ts";
import { figures, settings, variants } from "./variants.ts";

const levels = [0.5, 0.8, 0.9];
/** Variants that the others are held against, seed by seed; where there is none of them, the first is. */
const baselines = ["grpo", "proxmo-omega-4"];

export interface Report {
  markdown: string;
  /** By file name. */
  svgs: Record<string, string>;
}

export function report(setting: string, results: readonly RunResult[], command: string): Report {
  const of = (variant: string) => results.filter((result) => result.variant === variant);
  const present = Object.keys(variants).filter((variant) => of(variant).length > 0);
  const { totalEnvSteps, evalEpisodes, finalEpisodes } = results[0];
  const lines = [
    `Environment \`${settings[setting].env}\`: ${settings[setting].about}; ${short(totalEnvSteps)} steps a run, produced by`,
    "",
    "```sh",
    command,
    "```",
    "",
    `Success is that of the sampling policy on the held-out \`eval\` split: ${evalEpisodes} episodes an evaluation, ` +
      `${finalEpisodes} after the last iteration. ± is the half width of the 95 % interval of the mean over seeds (Student's t); ` +
      "of the steps to a level the median is given, with the smallest and the largest and how many seeds got there.",
    "",
    ...successTable(present, of),
    "",
    ...speedTable(present, of),
    "",
    "Each seed with the same seed of the other: difference of the mean success over the run in points, and ratio of the steps to " +
      "80 % (geometric mean). An interval that holds 0, or 1, decides nothing; with so many intervals about one in twenty misses " +
      "by chance.",
    "",
    ...pairedTable(present, of),
    "",
    ...diagnosticsTable(present, of),
  ];
  const svgs: Record<string, string> = {};
  for (const name of settings[setting].figures) {
    const { title, variants: shown } = figures[name];
    const curves = shown.filter((variant) => of(variant).length > 0).map((variant) => curveOf(variant, of(variant)));
    if (curves.length < 2) continue;
    const file = `credit-assignment-${setting}-${name}.svg`;
    svgs[file] = figure(`${title}: held-out success, ${setting}`, curves, totalEnvSteps);
    lines.push("", `![${title}: held-out success against environment steps](${file})`);
  }
  return { markdown: lines.join("\n"), svgs };
}

type ByVariant = (variant: string) => RunResult[];

function successTable(present: readonly string[], of: ByVariant): string[] {
  const rows = present.map((variant) => {
    const runs = of(variant);
    return [
      variants[variant].label,
      String(runs.length),
      percent(runs.map((run) => run.final.sampled)),
      percent(runs.map((run) => run.final.greedy)),
      percent(runs.map(gained)),
    ];
  });
  return markdownTable(
    ["", "seeds", "final success, sampled", "final success, greedy", "mean success over the run"],
    rows,
  );
}

function speedTable(present: readonly string[], of: ByVariant): string[] {
  const rows = present.map((variant) => {
    const runs = of(variant);
    const cells = levels.map((level) => {
      const steps = runs.flatMap((run) => stepsTo(level, run.curve) ?? []);
      if (steps.length === 0) return `none of ${runs.length}`;
      const range = `${short(median(steps))} (${short(Math.min(...steps))}–${short(Math.max(...steps))})`;
      return steps.length === runs.length ? range : `${range}, ${steps.length} of ${runs.length}`;
    });
    return [variants[variant].label, ...cells];
  });
  return markdownTable(["", ...levels.map((level) => `steps to ${100 * level} %`)], rows);
}

function pairedTable(present: readonly string[], of: ByVariant): string[] {
  const known = baselines.filter((name) => present.includes(name));
  const others = known.length > 0 ? known : present.slice(0, 1);
  const rows = present.map((variant) => [
    variants[variant].label,
    ...others.flatMap((name) => (name === variant ? ["–", "–"] : paired(of(variant), of(name)))),
  ]);
  const heads = others.flatMap((name) => [`points over ${variants[name].label}`, "ratio of steps"]);
  return markdownTable(["", ...heads], rows);
}

/** Over the seeds that both sides have; the ratio over those of them that got there. */
function paired(runs: readonly RunResult[], others: readonly RunResult[]): [points: string, ratio: string] {
  const pairs = runs.flatMap((run) => {
    const other = others.find(({ seed }) => seed === run.seed);
    return other ? [[run, other] as const] : [];
  });
  const points = interval(pairs.map(([run, other]) => 100 * (gained(run) - gained(other))));
  const logs = pairs.flatMap(([run, other]) => {
    const [a, b] = [stepsTo(0.8, run.curve), stepsTo(0.8, other.curve)];
    return a && b ? [Math.log(a / b)] : [];
  });
  const { mean, half, count } = interval(logs);
  return [
    points.count < 2 ? "–" : `${points.mean < 0 ? "" : "+"}${points.mean.toFixed(1)} ± ${points.half.toFixed(1)}`,
    count < 2
      ? "–"
      : `${Math.exp(mean).toFixed(2)} (${Math.exp(mean - half).toFixed(2)}–${Math.exp(mean + half).toFixed(2)})`,
  ];
}

const gained = (run: RunResult) => meanSuccess(run.curve, run.totalEnvSteps);

/** What the estimators saw and did, as means over iterations and seeds. */
function diagnosticsTable(present: readonly string[], of: ByVariant): string[] {
  const columns: [string, (run: RunResult) => number | undefined, (value: number) => string][] = [
    ["groups without signal", (run) => run.diagnostics["credit/groupsWithoutSignal"], share],
    ["steps whose state is unique", (run) => run.diagnostics["credit/singletonShare"], share],
    ["own weight", (run) => run.diagnostics["credit/selfWeightMean"], share],
    ["baseline worth", (run) => run.diagnostics["credit/baselineSampleSize"], (value) => value.toFixed(1)],
    ["share of the learner's time", (run) => run.creditShare, share],
  ];
  const rows = present.map((variant) => [
    variants[variant].label,
    ...columns.map(([, read, show]) => {
      const values = of(variant).flatMap((run) => read(run) ?? []);
      return values.length ? show(values.reduce((sum, value) => sum + value, 0) / values.length) : "–";
    }),
  ]);
  return markdownTable(["", ...columns.map(([name]) => name)], rows);
}

function curveOf(variant: string, runs: readonly RunResult[]): Curve {
  const budget = runs[0].totalEnvSteps;
  const pieces = 60;
  const points = Array.from({ length: pieces + 1 }, (_, i) => {
    const envSteps = (i / pieces) * budget;
    const { mean, half } = interval(runs.map((run) => successAt(envSteps, run.curve)));
    return { envSteps, mean, low: mean - half, high: mean + half };
  });
  const { label } = variants[variant];
  return { label: `${label} (${runs.length} seed${runs.length === 1 ? "" : "s"})`, points };
}

export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((_, i) => Math.max(3, ...[head, ...rows].map((cells) => cells[i].length)));
  const line = (cells: readonly string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i])).join(" | ")} |`;
  return [line(head), `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...rows.map(line)];
}

/** Replaces what stands between the markers of `name`; a page without them gets a section of its own at its end. */
export function fillIn(page: string, name: string, content: string): string {
  const [start, end] = [`<!-- ${name}: made by bench/credit-assignment.ts -->`, `<!-- end of ${name} -->`];
  const [from, to] = [page.indexOf(start), page.indexOf(end)];
  if (from < 0) return `${page.trimEnd()}\n\n## Appendix: ${name}\n\n${start}\n\n${content}\n\n${end}\n`;
  if (to < from) throw new Error(`Cannot fill in ${name}: the page has '${start}' but after it no '${end}'`);
  return `${page.slice(0, from + start.length)}\n\n${content}\n\n${page.slice(to)}`;
}

const share = (value: number) => `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %`;
const short = (steps: number) => `${Math.round(steps / 1000)} k`;

function percent(values: readonly number[]): string {
  const { mean, half } = interval(values);
  const error = Number.isFinite(half) ? ` ± ${(100 * half).toFixed(1)}` : "";
  return `${(100 * mean).toFixed(1)}${error} %`;
}
