/** Who plays: nodes, actors, which weights they hold and how far behind they are. */
import { useRef, useState } from "preact/hooks";
import { control } from "./api.js";
import { duration, percent, plural } from "./format.js";
import { NodeDirectory } from "./nodes.js";
import { html, Problem, Tile, useAnswer } from "./ui.js";

const PAGE = 100;

export function Actors({ detail }) {
  const { status } = detail;
  const [filter, setFilter] = useState("");
  const [count, setCount] = useState(PAGE);
  // Asked for again with each poll of the details, which are a new object every time.
  const [polls] = useState({ last: undefined, number: 0 });
  if (polls.last !== detail) {
    polls.last = detail;
    polls.number++;
  }
  const { answer, error } = useAnswer(status ? `${detail.name} ${polls.number}` : undefined, "actors", {
    run: detail.name,
  });
  if (!status)
    return html`<p class="quiet">No learner is alive, so nothing is known of its actors. The lag that was is in <code>time/weightsLagVersions</code> under Time.</p>`;
  if (error) return html`<${Problem}>${error}<//>`;
  const actors = answer?.actors ?? [];
  const wanted = filter.toLowerCase();
  const found = actors.filter(({ actor, node }) => `${actor} ${node}`.toLowerCase().includes(wanted));
  const { environment, weights } = status;
  return html`
    <dl class="tiles">
      <${Tile} label="Actors" value=${status.actors.count.toLocaleString("en")} about=${plural(nodesOf(actors).length, "node")} />
      <${Tile} label="Furthest behind" value=${status.actors.maxLag} about="versions" />
      <${Tile} label="Newest weights" value=${`v${weights.counter}`} about=${weights.sha256.slice(0, 12)} />
      <${Tile} label="Environment" value=${environment.id} about=${`generation ${environment.generation}${environment.canaryShare < 1 ? `, tried on ${Math.round(100 * environment.canaryShare)} % of groups` : ""}`} />
      ${detail.latest["time/actorsSuggested"] > 0 ? html`<${Tile} label="Suggested" value=${detail.latest["time/actorsSuggested"]} about=${`actors; ${percent(detail.latest["time/idleShare"])} of slots idle`} />` : null}
      ${status.actors.refused > 0 ? html`<${Tile} label="Refused" value=${status.actors.refused} about="weights versions" />` : null}
    </dl>
    <${Swap} run=${detail.name} environment=${environment} />
    <${NodeDirectory} run=${detail.name} poll=${polls.number} />
    <${Lags} actors=${actors} />
    <div class="beside">
      <section>
        <h3 id="actors">Actors</h3>
        <label class="filter">Filter <input type="search" value=${filter} onInput=${(e) => setFilter(e.target.value)} placeholder="name or node" /></label>
        <div class="scroll" role="region" aria-labelledby="actors" tabindex="0">
          <table>
            <thead><tr><th scope="col">Actor</th><th scope="col">Node</th><th scope="col" class="number">Holds</th><th scope="col" class="number">Behind</th><th scope="col" class="number">Here for</th><th scope="col">Refused</th></tr></thead>
            <tbody>
              ${found.slice(0, count).map(
                ({ actor, node, held, lag, connectedSinceMs, refused, refusedReason }) => html`
                  <tr>
                    <th scope="row">${actor}</th>
                    <td>${node}</td>
                    <td class="number">${held === undefined ? "none" : `v${held}`}</td>
                    <td class="number">${lag}</td>
                    <td class="number">${connectedSinceMs ? duration(Date.now() - connectedSinceMs) : "–"}</td>
                    <td>${refused ? `${refused}: ${refusedReason}` : ""}</td>
                  </tr>
                `,
              )}
            </tbody>
          </table>
        </div>
        ${found.length > count ? html`<button onClick=${() => setCount(count + 10 * PAGE)}>Show more (${found.length - count})</button>` : null}
      </section>
      <section>
        <h3 id="nodes">Nodes</h3>
        <div class="scroll" role="region" aria-labelledby="nodes" tabindex="0">
          <table>
            <thead><tr><th scope="col">Node</th><th scope="col" class="number">Actors</th><th scope="col" class="number">Furthest behind</th></tr></thead>
            <tbody>
              ${nodesOf(actors)
                .slice(0, 200)
                .map(
                  ([node, { count: number, lag }]) =>
                    html`<tr><th scope="row">${node}</th><td class="number">${number}</td><td class="number">${lag}</td></tr>`,
                )}
            </tbody>
          </table>
        </div>
      </section>
    </div>
  `;
}

function nodesOf(actors) {
  const nodes = new Map();
  for (const { node, lag } of actors) {
    const known = nodes.get(node) ?? { count: 0, lag: 0 };
    nodes.set(node, { count: known.count + 1, lag: Math.max(known.lag, lag) });
  }
  return [...nodes].sort(([, a], [, b]) => b.count - a.count);
}

/** How many actors are how many versions behind. */
function Lags({ actors }) {
  if (actors.length === 0)
    return html`<p class="quiet">No actor has asked for weights yet. One joins by <code>proxima actor --run …</code></p>`;
  const limits = [0, 1, 2, 3, 4, 8, 16, Number.POSITIVE_INFINITY];
  const bins = limits.map((limit, i) => {
    const from = i === 0 ? 0 : limits[i - 1] + 1;
    const count = actors.filter(({ lag }) => lag >= from && lag <= limit).length;
    return {
      name: limit === from ? String(from) : Number.isFinite(limit) ? `${from}–${limit}` : `over ${from - 1}`,
      count,
    };
  });
  const most = Math.max(...bins.map(({ count }) => count));
  const last = bins.findLastIndex(({ count }) => count > 0);
  return html`
    <section>
      <h3>Versions behind</h3>
      <table class="bars">
        <thead class="sr"><tr><th scope="col">Versions behind</th><th scope="col">Actors</th></tr></thead>
        <tbody>
          ${bins.slice(0, last + 1).map(({ name, count }) => html`<tr><th scope="row">${name}</th><td><span class="length" style=${{ width: `${(80 * count) / most}%` }}></span> ${count.toLocaleString("en")}</td></tr>`)}
        </tbody>
      </table>
    </section>
  `;
}

/** Assigns another environment, unless somebody else has done so meanwhile. */
function Swap({ run, environment }) {
  const dialog = useRef();
  const [said, setSaid] = useState("");
  const request = async (event) => {
    event.preventDefault();
    const { name, bundle, options, share } = Object.fromEntries(new FormData(event.target));
    try {
      const swap = {
        environment: name,
        bundle,
        options,
        canaryShare: share / 100,
        expectedGeneration: environment.generation,
      };
      const { generation } = await control(run, "swap", { swap });
      setSaid(`Generation ${generation} is assigned; actors take it up at their next group.`);
      dialog.current.close();
    } catch (error) {
      setSaid(error.message);
    }
  };
  return html`
    <p class="swap"><button onClick=${() => dialog.current.showModal()}>Swap environment …</button> <span role="status">${said}</span></p>
    <dialog ref=${dialog} aria-labelledby="swap-title">
      <form onSubmit=${request}>
        <h2 id="swap-title">Another environment for ${run}</h2>
        <p>It takes the place of generation ${environment.generation}. A group never mixes generations.</p>
        <label>Environment <input name="name" required maxlength="200" value=${environment.id} /></label>
        <label>Bundle, as SHA-256; empty for a built-in one <input name="bundle" pattern="[0-9a-f]{64}" /></label>
        <label>Its options <input name="options" maxlength="1000" placeholder="difficulty=2" /></label>
        <label>Percent of groups that play it <input name="share" type="number" min="1" max="100" value="100" required /></label>
        <p role="alert">${said}</p>
        <div class="actions"><button class="main">Swap</button><button type="button" onClick=${() => dialog.current.close()}>Cancel</button></div>
      </form>
    </dialog>
  `;
}
