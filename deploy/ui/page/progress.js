/** Curves of the shown runs, the numbers of the chosen one, and what it told people. */
import { useMemo, useState } from "preact/hooks";
import { Chart } from "./chart.js";
import { clock, decimal, percent, plural, short } from "./format.js";
import { Generations } from "./generations.js";
import { Choice, html, Problem, Tile, useAnswer } from "./ui.js";

/** Those worth looking at first; a run shows the ones it has. */
const main = {
  "episode/success": "Success",
  "episode/return": "Return",
  "episode/length": "Episode length, steps",
  "time/envStepsPerSecond": "Environment steps per second",
  "update/entropy": "Entropy, nats",
  "update/approxKl": "KL of the update, nats",
  "update/explainedVariance": "Explained variance",
  "credit/groupsWithoutSignal": "Groups without signal",
  "episode/staleness": "Staleness, versions",
  "imitation/loss": "Imitation loss",
  "imitation/heldOutAccuracy": "Held-out accuracy",
};
const titles = { ...main, "time/iterationMs": "Iteration, ms", "episode/invalidActions": "Refused actions" };
const MAX_CHARTS = 24;
const BUCKETS = 300;

/** Charts of some metrics for the shown runs, with the data they need. */
export function Charts({ metrics, shown, theme, axis, smooth = 0, range, onZoom }) {
  const key = JSON.stringify([metrics, shown.map(({ name, revision }) => [name, revision]), axis, smooth, range]);
  const parameters = {
    run: shown.map(({ name }) => name),
    metric: metrics,
    axis,
    smooth,
    buckets: BUCKETS,
    from: range?.[0],
    to: range?.[1],
  };
  const { answer, error } = useAnswer(metrics.length > 0 && shown.length > 0 ? key : undefined, "series", parameters);
  const slots = JSON.stringify(shown.map(({ name, slot }) => [name, slot]));
  // The same lines are the same object, so that a chart is drawn only for what is new.
  const lines = useMemo(() => linesByMetric(answer?.runs ?? [], new Map(JSON.parse(slots))), [answer, slots]);
  if (metrics.length === 0) return html`<p class="quiet">No metric is named like that.</p>`;
  if (error) return html`<${Problem}>${error}<//>`;
  if (!answer) return html`<p class="quiet">Loading …</p>`;
  return html`
    <div class="charts">
      ${metrics
        .filter((metric) => lines.has(metric))
        .map(
          (metric) =>
            html`<${Chart} key=${metric} title=${titles[metric] ?? metric} metric=${metric} lines=${lines.get(metric)} axis=${answer.axis} theme=${theme} onZoom=${onZoom} />`,
        )}
    </div>
  `;
}

function linesByMetric(runs, slots) {
  const lines = new Map();
  for (const { run, metrics } of runs) {
    if (!slots.has(run)) continue;
    for (const [metric, drawn] of Object.entries(metrics))
      lines.set(metric, [...(lines.get(metric) ?? []), { run, slot: slots.get(run), ...drawn }]);
  }
  return lines;
}

export function Progress({ detail, shown, theme, given, go }) {
  const [filter, setFilter] = useState("");
  const [range, setRange] = useState();
  const axis = given.get("axis") ?? "envSteps";
  const smooth = given.get("smooth") ?? "0";
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const metrics =
    words.length === 0
      ? Object.keys(main).filter((name) => detail.metrics.includes(name))
      : detail.metrics.filter((name) =>
          words.every((word) => `${name} ${titles[name] ?? ""}`.toLowerCase().includes(word)),
        );
  return html`
    <${Numbers} detail=${detail} />
    <${Notices} notices=${detail.notices} />
    <form class="controls" onSubmit=${(event) => event.preventDefault()}>
      <${Choice} label="Over" name="axis" value=${axis} options=${{ envSteps: "steps", iteration: "iterations", hours: "time" }}
        onChoose=${(value) => {
          setRange(undefined);
          go({ axis: value });
        }} />
      <${Choice} label="Smoothed over" name="smooth" value=${smooth} options=${{ 0: "nothing", 10: "10", 50: "50", 200: "200 iterations" }}
        onChoose=${(value) => go({ smooth: value })} />
      <label>Metrics <input type="search" list="metrics" placeholder="all: type to filter" value=${filter} onInput=${(e) => setFilter(e.target.value)} /></label>
      <datalist id="metrics">${detail.metrics.map((name) => html`<option value=${name} />`)}</datalist>
      ${range ? html`<button onClick=${() => setRange(undefined)}>Show all</button>` : null}
    </form>
    <${Charts} metrics=${metrics.slice(0, MAX_CHARTS)} shown=${shown} theme=${theme} axis=${axis} smooth=${smooth} range=${range} onZoom=${setRange} />
    ${words.length === 0 ? html`<${Generations} detail=${detail} theme=${theme} axis=${axis} smooth=${smooth} range=${range} onZoom=${setRange} />` : null}
    ${metrics.length > MAX_CHARTS ? html`<p class="quiet">and ${metrics.length - MAX_CHARTS} more: type more of the name</p>` : null}
  `;
}

/** A wait of a few seconds is how a run goes. */
const isStalled = (status) => status?.waiting && !(Date.now() - status.waitingSinceMs < 10_000);

function Numbers({ detail }) {
  const { latest, status, iterations, envSteps, config } = detail;
  const has = (name) => typeof latest[name] === "number";
  const ends = [
    config.totalEnvSteps > 0 ? `of ${short(config.totalEnvSteps)}` : "",
    config.iterations > 0 ? `of ${short(config.iterations)} iterations` : "",
  ].filter(Boolean);
  return html`
    <dl class="tiles">
      ${has("episode/success") ? html`<${Tile} label="Success" value=${percent(latest["episode/success"])} />` : null}
      ${has("episode/return") ? html`<${Tile} label="Return" value=${decimal(latest["episode/return"])} />` : null}
      <${Tile} label="Iterations" value=${short(iterations)} />
      <${Tile} label="Env steps" value=${short(envSteps)} about=${ends.join(", ")} />
      ${has("time/envStepsPerSecond") ? html`<${Tile} label="Steps per second" value=${short(latest["time/envStepsPerSecond"])} />` : null}
      ${status ? html`<${Tile} label="Actors" value=${status.actors.count} about=${status.actors.maxLag ? `up to ${status.actors.maxLag} versions behind` : "all up to date"} />` : null}
      ${status ? html`<${Tile} label="In flight" value=${short(status.episodesInFlight)} about="episodes" />` : null}
      ${has("run/weightsVersion") ? html`<${Tile} label="Weights" value=${`v${latest["run/weightsVersion"]}`} about=${has("episode/staleness") && latest["episode/staleness"] > 0 ? `episodes ${decimal(latest["episode/staleness"])} old` : "on-policy"} />` : null}
    </dl>
    ${isStalled(status) ? html`<p class="now" role="status">${status.waiting}</p>` : null}
  `;
}

function Notices({ notices }) {
  if (notices.length === 0) return null;
  const [newest, ...rest] = notices;
  const line = ({ atMs, message }) =>
    html`<li><time datetime=${new Date(atMs).toISOString()}>${clock(atMs)}</time> ${message}</li>`;
  return html`
    <section class="notices" aria-label="Notices">
      <ul>${line(newest)}</ul>
      ${rest.length > 0 ? html`<details><summary>${plural(rest.length, "earlier notice")}</summary><ul>${rest.map(line)}</ul></details>` : null}
    </section>
  `;
}
