/** The directory of nodes: what each offers, what is taken of it, and the actors that it holds. */
import { duration, plural } from "./format.js";
import { html, useAnswer } from "./ui.js";

const gigabytes = (bytes) => (bytes / 1e9).toFixed(1);

/** @param poll asked for again whenever this differs */
export function NodeDirectory({ run, poll }) {
  const { answer } = useAnswer(`${run} ${poll}`, "nodes", { run });
  if (answer?.silence) return html`<p class="quiet">The node directory cannot be read: ${answer.silence}</p>`;
  if (!answer || answer.nodes.length + answer.unplaced.length === 0) return null;
  const { nodes, unplaced } = answer;
  return html`
    <section>
      <h3 id="directory">Node directory</h3>
      <div class="scroll" role="region" aria-labelledby="directory" tabindex="0">
        <table>
          <thead><tr><th scope="col">Node</th><th scope="col">Host</th><th scope="col" class="number">CPUs taken</th><th scope="col" class="number">Memory taken, GB</th><th scope="col">Labels</th><th scope="col">Actors</th><th scope="col" class="number">Heard</th></tr></thead>
          <tbody>
            ${nodes.map(
              (node) => html`
                <tr key=${node.name}>
                  <th scope="row">${node.name}${node.draining ? html` <small>leaves</small>` : null}</th>
                  <td>${node.host}</td>
                  <td class="number">${node.cpusUsed} of ${node.cpus}</td>
                  <td class="number">${gigabytes(node.memoryUsed)} of ${gigabytes(node.memory)}</td>
                  <td>${Object.entries(node.labels)
                    .map(([name, value]) => `${name}=${value}`)
                    .join(", ")}</td>
                  <td><${Held} actors=${node.actors} /></td>
                  <td class="number">${duration(node.heardMs)} ago</td>
                </tr>
              `,
            )}
          </tbody>
        </table>
      </div>
      ${
        unplaced.length > 0
          ? html`<p class="unplaced">${plural(unplaced.length, "actor")} without a node:</p><ul class="held">${unplaced.map(line)}</ul>`
          : null
      }
    </section>
  `;
}

function Held({ actors }) {
  if (actors.length === 0) return "none";
  return html`<details><summary>${plural(actors.length, "actor")}</summary><ul class="held">${actors.map(line)}</ul></details>`;
}

const line = ({ name, kind, state, because, restarts }) => html`
  <li key=${name}><strong>${name}</strong> ${kind}, ${state}${restarts > 0 ? `, started again ${restarts === 1 ? "once" : `${restarts} times`}` : ""}${because ? `: ${because}` : ""}</li>
`;
