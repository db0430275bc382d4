/** The account of one step's advantage under one estimator: the parts that it is the sum of. */
import { decimal, plural, signed } from "./format.js";
import { html } from "./ui.js";

const MAX_ROWS = 12;

export function Account({ account, label, onGo }) {
  const Body = { proxmo: Proxmo, gigpo: Gigpo, episode: Episode, sum: Sum }[account.type];
  return html`
    <section class="account" aria-label=${`Account by ${label}`}>
      <h4>${label}: ${signed(account.advantage)}</h4>
      <${Body} account=${account} onGo=${onGo} />
    </section>
  `;
}

/** Signed parts around a common zero. */
function Terms({ terms }) {
  const most = Math.max(...terms.map(({ value }) => Math.abs(value)), 1e-9);
  return html`
    <dl class="terms">
      ${terms.map(({ name, value, how }) => {
        const width = `${(50 * Math.abs(value)) / most}%`;
        return html`
          <div>
            <dt>${name}</dt>
            <dd>
              <span class="around" aria-hidden="true"><span class=${value < 0 ? "bad" : "good"} style=${value < 0 ? { right: "50%", width } : { left: "50%", width }}></span></span>
              <strong>${signed(value)}</strong> <span class="quiet">${how}</span>
            </dd>
          </div>
        `;
      })}
    </dl>
  `;
}

const episodeTerm = ({ value, w, z, success, score, p, members }) => ({
  name: "Episode term",
  value,
  how: `= w ${decimal(w)} × A^E ${signed(z)}: ${success ? "success" : "no success"} with score ${decimal(score)}, where ${decimal(p)} of ${plural(members, "member")} succeed`,
});

function Proxmo({ account: { episode, stepTerm }, onGo }) {
  if (!stepTerm) return html`<${Terms} terms=${[episodeTerm(episode)]} /><p class="quiet">There is no step term.</p>`;
  const {
    omega,
    value,
    return: total,
    baseline,
    sampleSize,
    selfWeight,
    selfWeightExcluded,
    neighbours,
    all,
  } = stepTerm;
  const step = {
    name: "Step term",
    value: omega * value,
    how: `= ω ${decimal(omega)} × (return ${decimal(total)} − baseline ${decimal(baseline)})`,
  };
  return html`
    <${Terms} terms=${[episodeTerm(episode), step]} />
    <p class="quiet">The baseline is worth ${decimal(sampleSize)} equal neighbours; the step's own weight is ${decimal(selfWeight)}${selfWeightExcluded ? ", left out" : ""}.</p>
    <${Rows} caption=${`Neighbours, the heaviest ${Math.min(MAX_ROWS, neighbours.length)} of ${all}`} rows=${neighbours} total=${all} onGo=${onGo}
      columns=${[["Weight", ({ weight }) => html`<span class="weight" style=${{ width: `${48 * weight}px` }} aria-hidden="true"></span>${weight.toFixed(3)}`], ["Similar", ({ similarity }) => similarity.toFixed(3)], ["Return", (row) => decimal(row.return)]]} />
  `;
}

function Gigpo({ account: { episode, stepTerm }, onGo }) {
  const { omega, value, return: total, mean, scale, alike } = stepTerm;
  const step = {
    name: "Step term",
    value: omega * value,
    how: `= ω ${decimal(omega)} × (return ${decimal(total)} − mean ${decimal(mean)}) / ${decimal(scale)}`,
  };
  return html`
    <${Terms} terms=${[episodeTerm(episode), step]} />
    ${alike.length === 0 ? html`<p class="quiet">No other step of the group was in the same state, so there is nothing to compare with.</p>` : html`<${Rows} caption=${`Steps in the same state, ${alike.length}`} rows=${alike} onGo=${onGo} columns=${[["Return", (row) => decimal(row.return)]]} />`}
  `;
}

function Episode({ account: { score, baseline, scale, scores, advantage, group, member: own }, onGo }) {
  return html`
    <${Terms} terms=${[{ name: "Whole episode", value: advantage, how: `= (score ${decimal(score)} − baseline ${decimal(baseline)}) / ${decimal(scale)}, the same for all its steps` }]} />
    <${Rows} caption="Scores of the group" rows=${scores.map((each) => ({ ...each, group, step: undefined }))} own=${own} onGo=${onGo} columns=${[["Score", (row) => decimal(row.score)]]} />
  `;
}

function Sum({ account: { of, parts, sum, normalisation }, onGo }) {
  const how = normalisation
    ? `= sum; less the mean ${decimal(normalisation.mean)}, by the deviation ${decimal(normalisation.deviation)}`
    : "= sum of weight × part";
  return html`
    <${Terms} terms=${[{ name: of === "delta" ? "Sum of weighted surprises" : "Sum of weighted rewards", value: sum, how }]} />
    <${Rows} caption=${`This step and those after it, ${parts.length}`} rows=${parts} onGo=${onGo}
      columns=${[
        ["Weight", ({ weight }) => weight.toFixed(3)],
        ["Reward", ({ reward }) => decimal(reward)],
        ...(of === "delta"
          ? [
              ["δ", ({ delta }) => decimal(delta)],
              ["V", ({ value }) => decimal(value)],
            ]
          : []),
      ]} />
  `;
}

function Rows({ caption, rows, columns, own, total = rows.length, onGo }) {
  return html`
    <div class="scroll">
      <table>
        <caption>${caption}</caption>
        <thead><tr>${columns.map(([title]) => html`<th scope="col" class="number">${title}</th>`)}<th scope="col">Where</th></tr></thead>
        <tbody>
          ${rows.slice(0, MAX_ROWS).map(
            (row) => html`
              <tr class=${row.member === own ? "chosen" : ""}>
                ${columns.map(([, text]) => html`<td class="number">${text(row)}</td>`)}
                <td>
                  <button class="link" onClick=${() => onGo(row)}>episode ${row.member}${row.step === undefined ? "" : `, step ${row.step}`}</button>
                  ${row.anchor ? html`<span class="anchor quiet">${row.anchor}</span>` : null}
                </td>
              </tr>
            `,
          )}
        </tbody>
      </table>
    </div>
    ${total > MAX_ROWS ? html`<p class="quiet">and ${total - MAX_ROWS} more</p>` : null}
  `;
}
