/** Small parts that every view uses. */
import htm from "htm";
import { h } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ask } from "./api.js";

export const html = htm.bind(h);

/**
 * The answer to a question, asked again whenever `key` differs; the one before stays until the next is there. One question at a
 * time: a server slower than the changes is asked about the last of them, not about each.
 */
export function useAnswer(key, what, parameters) {
  const [state, setState] = useState({});
  const asked = useRef({});
  asked.current.wanted = { key, what, parameters };
  useEffect(() => {
    const { current } = asked;
    if (current.busy) return;
    const next = () => {
      const { wanted } = current;
      if (current.gone || wanted.key === undefined || wanted.key === current.key) return;
      current.key = wanted.key;
      current.busy = true;
      ask(wanted.what, wanted.parameters)
        .then(
          (answer) => setState({ answer }),
          (error) => setState({ error: error.message }),
        )
        .finally(() => {
          current.busy = false;
          next();
        });
    };
    next();
  }, [key]);
  useEffect(() => {
    asked.current.gone = false;
    return () => {
      asked.current.gone = true;
    };
  }, []);
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
