/** Runs on one page of HTML that stands for itself: no script, no request, and it prints. */
import { decimal, duration, percent, short } from "../quantities.ts";
import { type Curve, curveChart, dotChart, escapeHtml } from "./curve-chart.ts";
import { type Interval, interval } from "./interval.ts";
import { differences, type RunFigures, seedGroups } from "./run-figures.ts";

const charts: readonly [metric: string, title: string][] = [
  ["episode/success", "Success"],
  ["episode/return", "Return"],
  ["episode/length", "Episode length, steps"],
  ["update/entropy", "Entropy, nats"],
  ["update/approxKl", "KL of the update, nats"],
  ["credit/groupsWithoutSignal", "Groups without signal"],
  ["time/envStepsPerSecond", "Environment steps per second"],
  ["episode/staleness", "Age of episodes, versions"],
];

/** @param runs the one that the report is about first */
export function renderReport(runs: readonly RunFigures[], { madeAt = new Date() } = {}): string {
  const [main] = runs as [RunFigures];
  const title =
    runs.length === 1
      ? main.name
      : `${main.name} beside ${runs
          .slice(1)
          .map(({ name }) => name)
          .join(", ")}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)} · Proxima</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
<p class="quiet">${escapeHtml(String(main.config.env ?? ""))}, as of ${madeAt.toISOString().slice(0, 16).replace("T", " ")} UTC</p>
${outcome(runs)}
${seeds(runs)}
${curves(runs)}
${tradeOff(runs)}
${settings(runs)}
</main>
</body>
</html>
`;
}

function outcome(runs: readonly RunFigures[]): string {
  const rows = runs.map((run, slot) => [
    nameOf(run, slot),
    withInterval(run.final["episode/success"], (value) => `${(100 * value).toFixed(1)} %`),
    withInterval(run.final["episode/return"], decimal),
    String(run.iterations),
    short(run.envSteps),
    duration(run.hours * 3_600_000),
    `${short(run.ledger.trained)} of ${short(run.ledger.started)}`,
  ]);
  const [{ finalIterations }] = runs as [RunFigures];
  const head = ["Run", "Success", "Return", "Iterations", "Env steps", "Time", "Episodes trained"];
  return section(
    "What came out",
    `${table("What came out", head, rows)}<p class="quiet">Success and return are means over the last tenth of the iterations (${finalIterations} of ${escapeHtml(runs[0]!.name)}), while the policy sampled its actions, ± half the 95 % interval of that mean over iterations. An evaluation on other tasks is <code>proxima eval</code>'s.</p>`,
  );
}

function seeds(runs: readonly RunFigures[]): string {
  const rows = seedGroups(runs).flatMap((group) => {
    const across = (metric: string) => {
      const values = group.flatMap(({ final }) => (final[metric] ? [final[metric].mean] : []));
      return values.length > 1 ? interval(values) : undefined;
    };
    return [
      [
        group.map(({ name }) => escapeHtml(name)).join(", "),
        String(group.length),
        withInterval(across("episode/success"), (value) => `${(100 * value).toFixed(1)} %`),
        withInterval(across("episode/return"), decimal),
      ],
    ];
  });
  if (rows.length === 0) return "";
  return section(
    "Over seeds",
    `${table("Over seeds", ["Runs that differ in their seed alone", "Seeds", "Success", "Return"], rows)}<p class="quiet">± half the 95 % interval of the mean over seeds (Student's t).</p>`,
  );
}

function curves(runs: readonly RunFigures[]): string {
  const figures = charts.flatMap(([metric, title]) => {
    const drawn: Curve[] = runs.flatMap((run, slot) => (run.has(metric) ? [run.curve(metric, slot)] : []));
    if (drawn.length === 0) return [];
    const legend = drawn.map(({ label, slot }) => `<span class="s${slot}">${escapeHtml(label)}</span>`).join(" ");
    const chart = curveChart({ title, across: "environment steps trained on" }, drawn);
    return [`<figure><figcaption>${escapeHtml(title)}</figcaption>${chart}<p class="legend">${legend}</p></figure>`];
  });
  return section(
    "Curves",
    `<p class="quiet">A point is the mean of at least five neighbouring iterations, its band the 95 % interval of that mean.</p><div class="charts">${figures.join("\n")}</div>`,
  );
}

function tradeOff(runs: readonly RunFigures[]): string {
  const rows = runs.map((run, slot) => [
    nameOf(run, slot),
    `${escapeHtml(String(run.config.mode ?? "–"))}${run.config.mode === "async" ? ` (at most ${escapeHtml(String(run.config.maxStaleness))})` : ""}`,
    Number.isFinite(run.envStepsPerSecond) ? short(run.envStepsPerSecond) : "–",
    Number.isFinite(run.staleness) ? decimal(run.staleness) : "–",
    String(run.stalenessMax),
    shareOf(run, "wait"),
    shareOf(run, "update"),
  ]);
  const words = runs.map(
    (run) =>
      `<p>${runs.length > 1 ? `<strong>${escapeHtml(run.name)}.</strong> ` : ""}${escapeHtml(run.bottleneck)}</p>`,
  );
  const dots = runs.flatMap((run, slot) =>
    Number.isFinite(run.envStepsPerSecond + run.staleness)
      ? [{ label: run.name, slot, x: run.staleness, y: run.envStepsPerSecond }]
      : [],
  );
  const across = "mean age of episodes, versions";
  const dotted =
    new Set(dots.map(({ x }) => x)).size > 1
      ? `<figure><figcaption>Environment steps per second</figcaption>${dotChart(across, "environment steps per second", dots)}</figure>`
      : "";
  const sections = runs.map((run) => [
    escapeHtml(run.name),
    run.sections.map(({ label, share }) => `${escapeHtml(label)} ${percent(share)}`).join(", "),
  ]);
  const head = ["Run", "Mode", "Steps per second", "Mean age", "Oldest", "Waiting", "Update"];
  return section(
    "Throughput, age of episodes, and what holds it up",
    `${words.join("\n")}${table("Throughput", head, rows)}<div class="charts">${dotted}</div>${table("Where time went", ["Run", "Where the learner's time went"], sections)}`,
  );
}

function settings(runs: readonly RunFigures[]): string {
  if (runs.length === 1) {
    const [{ config }] = runs as [RunFigures];
    const rows = Object.entries(config).map(([key, value]) => [
      `<code>${escapeHtml(key)}</code>`,
      escapeHtml(String(value)),
    ]);
    return section(
      "Settings",
      `<details><summary>All ${rows.length}</summary>${table("Settings", ["Setting", "Value"], rows)}</details>`,
    );
  }
  const differing = differences(runs);
  if (differing.length === 0) return section("Settings", "<p>The runs were trained with the same settings.</p>");
  const rows = differing.map(({ key, values }) => [`<code>${escapeHtml(key)}</code>`, ...values.map(escapeHtml)]);
  return section(
    "Settings that differ",
    table("Settings", ["Setting", ...runs.map(({ name }) => escapeHtml(name))], rows),
  );
}

const nameOf = ({ name }: RunFigures, slot: number) => `<span class="s${slot}">${escapeHtml(name)}</span>`;

const shareOf = ({ sections }: RunFigures, wanted: string) =>
  percent(sections.find(({ name }) => name === wanted)?.share ?? 0);

function withInterval(found: Interval | undefined, text: (value: number) => string): string {
  if (!found) return "–";
  return Number.isFinite(found.half) ? `${text(found.mean)} ± ${text(found.half)}` : text(found.mean);
}

const section = (title: string, content: string) => `<section>\n<h2>${title}</h2>\n${content}\n</section>`;

/** @param name said to those who do not see it @param cells HTML */
function table(name: string, head: readonly string[], cells: readonly (readonly string[])[]): string {
  const [first, ...rest] = head;
  const row = ([name, ...values]: readonly string[]) =>
    `<tr><th scope="row">${name}</th>${values.map((value) => `<td>${value}</td>`).join("")}</tr>`;
  return `<div class="scroll" tabindex="0" role="region" aria-label="${name}"><table><thead><tr>${[first, ...rest].map((title) => `<th scope="col">${title}</th>`).join("")}</tr></thead><tbody>${cells.map(row).join("")}</tbody></table></div>`;
}

const colours: readonly [light: string, dark: string][] = [
  ["#1d5fc4", "#74b0ff"],
  ["#c9480d", "#ff9a5c"],
  ["#0c8577", "#48cdbb"],
  ["#8a3fd1", "#c79bff"],
  ["#96690a", "#e3bb4e"],
  ["#be1c5e", "#ff86b3"],
  ["#4d7c0f", "#a3d65c"],
  ["#5b6676", "#b3c0d0"],
];

/** As many runs as there are colours. */
export const MAX_REPORTED = colours.length;

const style = `
:root { color-scheme: light dark; --ink: light-dark(#1a1f25, #e6e9ec); --muted: light-dark(#566069, #9ba6b2); --line: light-dark(#e2e5e9, #2a3038); --paper: light-dark(#fff, #12161a); font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
body { margin: 0; background: var(--paper); color: var(--ink); }
main { max-width: 1180px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin: 2.2rem 0 0.6rem; }
p { max-width: 62rem; margin: 0.5rem 0; } .quiet { color: var(--muted); font-size: 0.88rem; }
.scroll { overflow-x: auto; margin: 0.6rem 0; } table { border-collapse: collapse; font-size: 0.9rem; width: 100%; }
th, td { text-align: left; font-weight: 400; padding: 0.35rem 1rem 0.35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { color: var(--muted); font-size: 0.82rem; white-space: nowrap; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 25rem), 1fr)); gap: 1.5rem; }
figure { margin: 0; break-inside: avoid; } figcaption { font-weight: 600; font-size: 0.92rem; } .legend { font-size: 0.85rem; margin: 0; }
.legend span { margin-right: 1.2rem; } span[class^="s"]::before { content: ""; display: inline-block; width: 0.7rem; height: 0.7rem; border-radius: 3px; margin-right: 0.4rem; background: var(--c); }
svg { width: 100%; height: auto; display: block; } svg text { font-size: 11px; fill: var(--muted); } svg line { stroke: var(--line); }
svg polyline { fill: none; stroke: var(--c); stroke-width: 1.8; } svg polygon { fill: var(--c); opacity: 0.14; } svg circle { fill: var(--c); }
${colours.map(([light, dark], i) => `.s${i} { --c: light-dark(${light}, ${dark}); }`).join(" ")}
code { font: 0.88em ui-monospace, Menlo, monospace; }
@media print { main { padding: 0; max-width: none; } }
`;
