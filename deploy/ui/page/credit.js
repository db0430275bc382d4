/** Who got how much credit in an iteration, and why: group, episode, step, side by side for two estimators. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Account } from "./account.js";
import { decimal, percent, plural, signed } from "./format.js";
import { html, Problem, useAnswer } from "./ui.js";

export function Credit({ detail, given, go }) {
  const { name, kept } = detail;
  const newest = kept.at(-1);
  const iteration = kept.includes(Number(given.get("iteration"))) ? Number(given.get("iteration")) : newest;
  const [estimator, options] = [given.get("with") ?? "", given.get("options") ?? ""];
  const at = (key) => (given.get(key) === null ? undefined : Number(given.get(key)));
  const [group, member, step] = [at("group"), at("member"), at("step")];
  const common = { run: name, iteration, estimator, options };
  const key = (...parts) => JSON.stringify([name, iteration, estimator, options, ...parts]);
  const overview = useAnswer(newest === undefined ? undefined : key(), "credit", common);
  const members = useAnswer(group === undefined || newest === undefined ? undefined : key(group), "credit", {
    ...common,
    group,
  });
  const episode = useAnswer(member === undefined || newest === undefined ? undefined : key(group, member), "credit", {
    ...common,
    group,
    member,
  });
  if (newest === undefined)
    return html`<p class="quiet">No trajectories of this run are kept: train it with <code>--keepTrajectories 20</code> or more.</p>`;
  const isOf = ({ answer }) => answer?.group === group && answer?.member === member;
  return html`
    <${Question} kept=${kept} iteration=${iteration} estimator=${estimator} options=${options} needs=${overview.answer} go=${go} />
    ${overview.error ? html`<${Problem}>${overview.error}<//>` : null}
    ${overview.answer ? html`<${Summary} overview=${overview.answer} />` : html`<p class="quiet">Computing …</p>`}
    <div class="credit">
      ${overview.answer ? html`<${Groups} groups=${overview.answer.groups} chosen=${group} onChoose=${(chosen) => go({ group: chosen, member: undefined, step: undefined })} />` : null}
      <div>
        ${members.error ? html`<${Problem}>${members.error}<//>` : null}
        ${group === undefined ? html`<p class="quiet">Choose a group to see its episodes.</p>` : null}
        ${group !== undefined && members.answer?.members?.[0].group === group ? html`<${Members} answer=${members.answer} chosen=${member} onChoose=${(chosen) => go({ member: chosen, step: undefined })} />` : null}
        ${episode.error ? html`<${Problem}>${episode.error}<//>` : null}
        ${member !== undefined && isOf(episode) ? html`<${Transcript} episode=${episode.answer} common=${common} step=${step} go=${go} />` : null}
      </div>
    </div>
  `;
}

function Question({ kept, iteration, estimator, options, go }) {
  const { answer } = useAnswer("estimators", "estimators", {});
  const [written, write] = useState(options);
  const chosen = answer?.estimators.find(({ name }) => name === estimator);
  const hint = chosen?.options.map((option) => `${option.name}=${option.default}`).join(" ") ?? "";
  return html`
    <form class="controls" onSubmit=${(event) => {
      event.preventDefault();
      go({ options: written.trim() });
    }}>
      <label>Iteration <select value=${iteration} onChange=${(e) => go({ iteration: e.target.value, group: undefined, member: undefined, step: undefined })}>
        ${[...kept].reverse().map((each) => html`<option value=${each} selected=${each === iteration}>${each}</option>`)}
      </select></label>
      <label>Beside it <select value=${estimator} onChange=${(e) => {
        write("");
        go({ with: e.target.value, options: undefined });
      }}>
        <option value="" selected=${estimator === ""}>nothing</option>
        ${answer?.estimators.map(({ name, summary }) => html`<option value=${name} title=${summary} selected=${name === estimator}>${name}</option>`)}
      </select></label>
      ${estimator ? html`<label class="wide">Its options <input value=${written} placeholder=${hint} onInput=${(e) => write(e.target.value)} /></label><button>Compute</button>` : null}
    </form>
  `;
}

function Summary({ overview }) {
  const { labels, episodes, envSteps, groups, recomputedWithin, comparison } = overview;
  return html`
    <p class="lead">
      ${labels[0]} on ${plural(episodes, "episode")} in ${plural(groups.length, "group")}, ${plural(envSteps, "step")};
      ${recomputedWithin === 0 ? " the same to the last bit as what was trained on." : ` within ${recomputedWithin.toExponential(1)} of what was trained on.`}
      ${
        comparison
          ? html` Against ${comparison.b}: correlation <strong>${decimal(comparison.correlation)}</strong>, opposite signs on <strong>${percent(comparison.signFlips)}</strong> of steps.`
          : null
      }
    </p>
  `;
}

function Groups({ groups, chosen, onChoose }) {
  return html`
    <section>
      <h3 id="groups">Groups</h3>
      <div class="scroll tall" role="region" aria-labelledby="groups" tabindex="0">
        <table class="pick">
          <thead><tr><th scope="col">Group</th><th scope="col" class="number">Won</th><th scope="col" class="number">Mean |A|</th></tr></thead>
          <tbody>
            ${groups.map(
              ({ group, task, successes, members, meanAbsAdvantage }) => html`
                <tr key=${group} class=${group === chosen ? "chosen" : ""}>
                  <th scope="row"><button aria-pressed=${group === chosen} onClick=${() => onChoose(group)}>${group} <span class="quiet">${task}</span></button></th>
                  <td class="number">${successes}/${members}</td>
                  <td class="number">${meanAbsAdvantage.toFixed(3)}</td>
                </tr>
              `,
            )}
          </tbody>
        </table>
      </div>
    </section>
  `;
}

function Members({ answer, chosen, onChoose }) {
  const [{ group, task }] = answer.members;
  return html`
    <section>
      <h3>Group ${group}: <span class="task">${task}</span></h3>
      <ul class="members" aria-label="Episodes of the group">
        ${answer.members.map(
          ({ member, success, outcome, return: total, envSteps, meanAdvantages }) => html`
            <li key=${member}>
              <button aria-pressed=${member === chosen} onClick=${() => onChoose(member)}>
                <strong>${member}</strong> <span class=${success ? "won" : "lost"}>${success ? "won" : outcome === "truncated" ? "ran out" : "lost"}</span>
                <span class="quiet">return ${decimal(total)}, ${plural(envSteps, "step")}</span>
                <span class="quiet">mean A ${meanAdvantages.map(signed).join(" | ")}</span>
              </button>
            </li>
          `,
        )}
      </ul>
    </section>
  `;
}

/** The episode as it was played, each step in the colour of its advantage. */
function Transcript({ episode, common, step, go }) {
  const { labels, scale, steps, group, member, success, outcome, return: total } = episode;
  const chosen = useRef();
  useEffect(() => chosen.current?.scrollIntoView({ block: "nearest" }), [group, member, step]);
  return html`
    <section class="transcript">
      <h3>Episode ${member}: ${success ? "a success" : outcome}, return ${decimal(total)}</h3>
      <div class="labels" aria-hidden="true"><span>Step</span><span></span>${labels.map((label) => html`<span>${label}</span>`)}</div>
      <ol>
        ${steps.map(({ step: number, observation, action, reward, valid, advantages }) => {
          const isOpen = number === step;
          return html`
            <li key=${number} class=${isOpen ? "chosen" : ""} ref=${isOpen ? chosen : null}>
              <button class="step" aria-expanded=${isOpen} onClick=${() => go({ step: isOpen ? undefined : number })}>
                <span class="count">${number}</span>
                <span class="text">
                  <span class="observation">${observation}</span>
                  <span class="action"><span aria-hidden="true">› </span>${action}${valid ? null : html` <em>(refused)</em>`}${reward ? html` <em>reward ${decimal(reward)}</em>` : null}</span>
                </span>
                ${advantages.map((value, side) => html`<${Advantage} value=${value} scale=${scale[side]} label=${labels[side]} />`)}
              </button>
              ${isOpen ? html`<${Accounts} common=${common} group=${group} member=${member} step=${number} go=${go} />` : null}
            </li>
          `;
        })}
      </ol>
    </section>
  `;
}

/** Never by colour alone: the sign and the number stand in it. */
function Advantage({ value, scale, label }) {
  const strength = Math.round(Math.min(1, Math.abs(value) / scale) * 46);
  const background = `color-mix(in srgb, var(${value < 0 ? "--bad" : "--good"}) ${strength}%, transparent)`;
  return html`<span class="advantage" style=${{ background }}><span class="sr">advantage by ${label} </span>${signed(value)}</span>`;
}

function Accounts({ common, group, member, step, go }) {
  const key = JSON.stringify([common, group, member, step]);
  const { answer, error } = useAnswer(key, "credit", { ...common, group, member, step });
  if (error) return html`<${Problem}>${error}<//>`;
  if (!answer) return html`<p class="quiet">Computing …</p>`;
  return html`
    <div class="accounts">
      ${answer.accounts.map((account, side) => html`<${Account} account=${account} label=${answer.labels[side]} onGo=${(place) => go({ group: place.group, member: place.member, step: place.step })} />`)}
    </div>
  `;
}
