/** The table that papers give of a language model as an agent, and what it cost. */
import { TASK_TYPES } from "../../envs/alfworld/task-type.ts";
import { type Rate, wilsonInterval } from "../evaluate.ts";
import { decimal, short } from "../quantities.ts";
import { left, right, table } from "../table.ts";
import type { Tally } from "./tally.ts";

export interface ServedEvaluation extends Tally {
  model: string;
  agent: string;
  environment: string;
  split: string;
  /** Tasks that were to be played. */
  planned: number;
  /** In the currency of the prices, where there were any. */
  cost?: number;
  /** Where the transcripts are. */
  folder: string;
}

/** More classes than fit on a line are left to --json. */
const MAX_TYPES = 8;

export function renderServed(evaluation: ServedEvaluation): string {
  const { model, agent, environment, split, planned, episodes, meanReturn, meanLength, invalidActions } = evaluation;
  const lines = [
    `${model} (${agent}) on '${split}' of ${environment}, ${episodes} of ${planned} episodes with a result`,
  ];
  if (episodes > 0) {
    const [low, high] = wilsonInterval(evaluation.success);
    lines.push(
      "",
      resultsTable(evaluation),
      "",
      `Success ${share(evaluation.success)} % (95 %: ${(100 * low).toFixed(0)}–${(100 * high).toFixed(0)}), return ${decimal(meanReturn)}, ` +
        `${decimal(meanLength)} steps an episode, ${(100 * invalidActions).toFixed(1)} % of actions invalid.`,
    );
    if (agent === "reflexion") lines.push(`After the first trial alone: ${share(evaluation.firstTrial)} %.`);
  }
  lines.push(renderSpent(evaluation));
  for (const [reason, count] of Object.entries(evaluation.noResults))
    lines.push(`${count} had no result and do not count: ${reason}`);
  return lines.join("\n");
}

/** ALFWorld: success by type of task, and of all. WebShop: score (100 × mean reward) and success. Others: what they have of both. */
function resultsTable({ environment, agent, model, byType, success, meanReturn }: ServedEvaluation): string {
  const types = Object.keys(byType);
  const inOrder = environment === "alfworld" ? TASK_TYPES.filter((type) => types.includes(type)) : types.sort();
  const isShop = environment === "webshop";
  const columns: [string, string][] = isShop
    ? [["Score", (100 * meanReturn).toFixed(1)]]
    : inOrder.length <= MAX_TYPES
      ? inOrder.map((type) => [type, share(byType[type]!)])
      : [];
  columns.push([isShop ? "Success" : "All", share(success)]);
  return table(
    [left("model"), left("agent"), ...columns.map(([title]) => right(title))],
    [[model, agent, ...columns.map(([, value]) => value)]],
  );
}

function renderSpent({ spent, cost, episodes }: ServedEvaluation): string {
  const { requests, promptTokens, answerTokens, uncounted } = spent;
  const unknown = uncounted > 0 ? `, and those of ${uncounted} that the endpoint did not count` : "";
  const price =
    cost === undefined ? "" : `; cost ${money(cost)}${episodes > 0 ? `, ${money(cost / episodes)} an episode` : ""}`;
  return `${short(requests)} requests: ${short(promptTokens)} tokens in, ${short(answerTokens)} out${unknown}${price}.`;
}

const share = ({ successes, episodes }: Rate) => ((100 * successes) / episodes).toFixed(1);

const money = (value: number) => String(Number(value.toPrecision(3)));
