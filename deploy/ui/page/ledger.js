/** What became of every episode. */
import { useState } from "preact/hooks";
import { percent, short } from "./format.js";
import { Charts } from "./progress.js";
import { html, Shares } from "./ui.js";

export function Ledger({ detail, shown, theme, given }) {
  const [range, setRange] = useState();
  const { started, trained, dropped, inFlight, reasons } = detail.ledger;
  if (!started) return html`<p class="quiet">No iteration has been settled yet.</p>`;
  const balanced = started === trained + dropped + inFlight;
  const parts = [
    { name: "trained", value: trained },
    { name: "dropped", value: dropped },
    { name: "in flight", value: inFlight },
  ].map((part) => ({ ...part, text: `${part.value.toLocaleString("en")} (${percent(part.value / started)})` }));
  const metrics = [
    "ledger/trained",
    "ledger/dropped",
    "ledger/inFlight",
    ...reasons.slice(0, 12).map(([reason]) => `dropped/${reason}`),
  ];
  return html`
    <p class="lead">
      ${started.toLocaleString("en")} episodes started = ${trained.toLocaleString("en")} trained + ${dropped.toLocaleString("en")} dropped + ${inFlight.toLocaleString("en")} in flight${balanced ? "." : ": that does not add up, which is a defect worth reporting."}
    </p>
    <${Shares} parts=${parts} label=${parts.map(({ name, text }) => `${name} ${text}`).join("; ")} />
    ${
      reasons.length > 0
        ? html`
            <section>
              <h3>Why episodes were dropped</h3>
              <div class="scroll" role="region" aria-label="Reasons" tabindex="0">
                <table>
                  <thead><tr><th scope="col">Reason</th><th scope="col" class="number">Episodes</th><th scope="col" class="number">Of those started</th></tr></thead>
                  <tbody>${reasons.map(([reason, count]) => html`<tr><th scope="row">${reasonsInWords[reason] ?? reason}</th><td class="number">${short(count)}</td><td class="number">${percent(count / started)}</td></tr>`)}</tbody>
                </table>
              </div>
            </section>
          `
        : null
    }
    ${range ? html`<button onClick=${() => setRange(undefined)}>Show all</button>` : null}
    <${Charts} metrics=${metrics.filter((name) => detail.metrics.includes(name))} shown=${shown} theme=${theme} axis=${given.get("axis") ?? "envSteps"} range=${range} onZoom=${setRange} />
  `;
}

const reasonsInWords = {
  noSignal: "no signal: all members of the group ended alike",
  malformed: "malformed: the message was no trajectory of this run",
};
