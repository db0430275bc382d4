/**
 * What simple rules score on WebShop's held-out goals, to compare a trained policy with.
 *
 *   bun bench/webshop-rule.ts [DATA_FOLDER]
 */
import { resolveArguments } from "../envs/arguments.ts";
import type { Turn } from "../envs/environment.ts";
import { Random } from "../envs/random.ts";
import { Shopper } from "../envs/webshop/shopper.ts";
import webshop from "../envs/webshop/webshop.ts";

/** Makes what plays an episode. */
const rules: Record<string, () => (turn: Turn) => string> = {
  "random admissible actions": () => (turn) => random.pick(turn.admissible as string[]),
  "search the instruction, buy the first result": () => {
    const shopper = new Shopper(1);
    return (turn) => (turn.admissible?.includes("click[buy now]") ? "click[buy now]" : shopper.next(turn));
  },
  "the same, choosing options named in the instruction": () => {
    const shopper = new Shopper(1);
    return (turn) => shopper.next(turn);
  },
  "the same, looking at up to four results for one that has those options": () => {
    const shopper = new Shopper();
    return (turn) => shopper.next(turn);
  },
};

const random = new Random(1);
const source = await webshop.load(resolveArguments(webshop, { data: process.argv[2] ?? "" }));
const tasks = source.tasks("eval");
for (const [name, player] of Object.entries(rules)) {
  const env = source.create();
  let [sum, wins] = [0, 0];
  for (let i = 0; i < tasks.size; i++) {
    const rule = player();
    let turn: Turn = await env.reset({ task: tasks.at(i), seed: 0 });
    for (;;) {
      const next = await env.step(rule(turn));
      if (next.terminated || next.truncated) {
        sum += next.reward;
        wins += next.success === true ? 1 : 0;
        break;
      }
      turn = next;
    }
  }
  console.log(
    `${name}: score ${((100 * sum) / tasks.size).toFixed(1)}, success ${((100 * wins) / tasks.size).toFixed(1)} % of ${tasks.size} eval goals`,
  );
}
