/** The configuration of the shown runs side by side. */
import { useEffect, useState } from "preact/hooks";
import { ask } from "./api.js";
import { html, Problem } from "./ui.js";

export function Settings({ detail, shown }) {
  const [all, setAll] = useState(false);
  const [{ runs, error }, setFound] = useState({ runs: [detail] });
  const names = shown.map(({ name }) => name).join(",");
  useEffect(() => {
    const stop = new AbortController();
    Promise.all(shown.map(({ name }) => ask("run", { run: name }, stop))).then(
      (found) => setFound({ runs: found }),
      (failed) => {
        if (!stop.signal.aborted) setFound({ runs: [detail], error: failed.message });
      },
    );
    return () => stop.abort();
  }, [names]);
  const keys = [...new Set(runs.flatMap(({ config }) => Object.keys(config)))];
  const differs = (key) => new Set(runs.map(({ config }) => String(config[key] ?? ""))).size > 1;
  const listed = runs.length > 1 && !all ? keys.filter(differs) : keys;
  return html`
    ${error ? html`<${Problem}>${error}<//>` : null}
    ${runs.length > 1 ? html`<label class="check"><input type="checkbox" checked=${all} onChange=${() => setAll(!all)} /> also what is the same</label>` : null}
    <div class="scroll" role="region" aria-label="Settings" tabindex="0">
      <table>
        <thead><tr><th scope="col">Setting</th>${runs.map(({ name }) => html`<th scope="col">${name}</th>`)}</tr></thead>
        <tbody>
          ${listed.map(
            (key) => html`
              <tr class=${all && differs(key) ? "differs" : ""}>
                <th scope="row"><code>${key}</code></th>
                ${runs.map(({ config }) => html`<td><code>${String(config[key] ?? "–")}</code></td>`)}
              </tr>
            `,
          )}
        </tbody>
      </table>
    </div>
    ${listed.length === 0 ? html`<p class="quiet">All settings are the same.</p>` : null}
  `;
}
