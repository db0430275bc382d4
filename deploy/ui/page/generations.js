/** What each generation of the environment makes of a run, one line each in the same charts. */
import { useMemo } from "preact/hooks";
import { Chart } from "./chart.js";
import { html, useAnswer } from "./ui.js";

const quantities = {
  success: "Success",
  return: "Return",
  length: "Episode length, steps",
  noResult: "Without result",
};
/** As many as have colours of their own; the newest. */
const MAX_GENERATIONS = 8;
const BUCKETS = 300;

export function Generations({ detail, theme, axis, smooth, range, onZoom }) {
  const generations = generationsIn(detail.metrics);
  const metrics = generations.flatMap((generation) =>
    Object.keys(quantities).map((quantity) => `generation/${generation}/${quantity}`),
  );
  const key = JSON.stringify([detail.name, detail.revision, metrics, axis, smooth, range]);
  const parameters = {
    run: [detail.name],
    metric: metrics,
    axis,
    smooth,
    buckets: BUCKETS,
    from: range?.[0],
    to: range?.[1],
  };
  const { answer } = useAnswer(metrics.length > 0 ? key : undefined, "series", parameters);
  const charts = useMemo(() => chartsOf(answer?.runs[0]?.metrics ?? {}), [answer]);
  if (charts.length === 0) return null;
  return html`
    <section>
      <h3>By generation of the environment</h3>
      <div class="charts">
        ${charts.map(
          ({ quantity, lines }) =>
            html`<${Chart} key=${quantity} title=${`${quantities[quantity]} by generation`} metric=${`generation/*/${quantity}`} lines=${lines} axis=${answer.axis} theme=${theme} onZoom=${onZoom} />`,
        )}
      </div>
    </section>
  `;
}

function generationsIn(metrics) {
  const found = metrics.map((name) => /^generation\/(\d+)\/return$/.exec(name)?.[1]).filter(Boolean);
  return [...new Set(found.map(Number))].sort((a, b) => a - b).slice(-MAX_GENERATIONS);
}

function chartsOf(drawn) {
  return Object.keys(quantities).flatMap((quantity) => {
    const lines = Object.entries(drawn).flatMap(([metric, points]) => {
      const [, generation, what] = metric.split("/");
      return what === quantity
        ? [{ run: `generation ${generation}`, slot: generation % MAX_GENERATIONS, ...points }]
        : [];
    });
    return lines.length > 0 ? [{ quantity, lines }] : [];
  });
}
