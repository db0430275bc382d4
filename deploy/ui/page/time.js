/** Where the learner's time goes, in words, as a bar, and over time. */
import { useState } from "preact/hooks";
import { duration, percent, plural } from "./format.js";
import { Charts } from "./progress.js";
import { html, Shares } from "./ui.js";

export function Time({ detail, shown, theme, given }) {
  const [range, setRange] = useState();
  const { sections, iterations, inWords } = detail.time;
  const parts = sections.map(({ label, ms, share }) => ({
    name: label,
    value: ms,
    text: `${percent(share)}, ${duration(ms / iterations)}`,
  }));
  const metrics = [
    "time/envStepsPerSecond",
    "time/iterationMs",
    ...sections.map(({ name }) => `time/${name}Ms`),
    "episode/staleness",
    "time/weightsLagVersions",
  ];
  return html`
    <p class="lead">${inWords}</p>
    ${
      parts.length > 0
        ? html`
            <section>
              <h3>An iteration, as a mean of the last ${plural(iterations, "iteration")}</h3>
              <${Shares} parts=${parts} label=${parts.map(({ name, text }) => `${name} ${text}`).join("; ")} />
            </section>
          `
        : null
    }
    ${range ? html`<button onClick=${() => setRange(undefined)}>Show all</button>` : null}
    <${Charts} metrics=${metrics.filter((name) => detail.metrics.includes(name))} shown=${shown} theme=${theme} axis=${given.get("axis") ?? "envSteps"} smooth=${given.get("smooth") ?? "10"} range=${range} onZoom=${setRange} />
  `;
}
