/** Small parts that every view uses. */
import htm from "htm";
import { h } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ask } from "./api.js";

export const html = htm.bind(h);

/** The answer to a question, asked again whenever `key` differs; the one before stays until the next is there. */
export function useAnswer(key, what, parameters) {
  const [state, setState] = useState({});
  useEffect(() => {
    if (key === undefined) return;
    const stop = new AbortController();
    ask(what, parameters, stop).then(
      (answer) => setState({ answer }),
      (error) => {
        if (!stop.signal.aborted) setState({ error: error.message });
      },
    );
    return () => stop.abort();
  }, [key]);
  return state;
}

export const Tile = ({ label, value, about }) => html`
  <div class="tile">
    <dt>${label}</dt>
    <dd>${value}${about ? html`<small>${about}</small>` : null}</dd>
  </div>
`;

export const Problem = ({ children }) => html`<p class="problem" role="alert">${children}</p>`;

/** A choice among few, as a row of radio buttons. */
export function Choice({ label, name, value, options, onChoose }) {
  return html`
    <fieldset class="choice">
      <legend>${label}</legend>
      ${Object.entries(options).map(
        ([option, text]) => html`
          <label>
            <input type="radio" name=${name} value=${option} checked=${option === value} onChange=${() => onChoose(option)} />
            <span>${text}</span>
          </label>
        `,
      )}
    </fieldset>
  `;
}

/** Which part of a whole each thing is, as a bar with a legend that says the same in words. */
export function Shares({ parts, label }) {
  const total = parts.reduce((sum, { value }) => sum + value, 0);
  return html`
    <div class="shares">
      <div class="bar" role="img" aria-label=${label}>
        ${parts.map(({ value }, i) => html`<span class=${`part part-${i % 8}`} style=${{ flexGrow: total ? value / total : 0 }}></span>`)}
      </div>
      <ul>
        ${parts.map(
          ({ name, text }, i) =>
            html`<li><span class=${`swatch part-${i % 8}`}></span>${name} <strong>${text}</strong></li>`,
        )}
      </ul>
    </div>
  `;
}
