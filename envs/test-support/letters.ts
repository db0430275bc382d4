/**
 * Say the letter that is asked for: three turns, each worth a point when the first letter of the answer is right. Takes any text, and
 * demonstrates. Its actions are free text or, with `listed`, admissible words.
 */
import type { EnvironmentDefinition, EnvironmentSource, EnvironmentSpec, Transition, Turn } from "../environment.ts";
import { mix32 } from "../random.ts";

const TURNS = 3;
const WORDS = ["alpha", "beta", "gamma", "delta"];

const definition: EnvironmentDefinition = {
  id: "letters",
  summary: "Say the letter that is asked for.",
  arguments: {
    listed: { default: false, about: "List the words." },
    words: { default: WORDS.length, about: "How many words there are." },
  },
  load({ listed, words }): EnvironmentSource {
    const known = WORDS.slice(0, Number(words));
    const wanted = (task: string, step: number) => known[mix32(Number(task), step) % known.length]!;
    const spec: EnvironmentSpec = {
      id: "letters",
      observation: { type: "text", maxLength: 100 },
      action: listed ? { type: "admissible" } : { type: "text", maxLength: 20 },
      maxEpisodeSteps: TURNS,
      hasSuccess: true,
    };
    return {
      spec,
      splits: ["train", "eval"],
      tasks: () => ({ size: 40, at: (index) => String(index) }),
      create() {
        let task = "";
        let step = 0;
        let won = 0;
        const turn = (): Turn => ({
          observation: `say ${wanted(task, step)[0]}`,
          instruction: "say what is asked for",
          ...(listed ? { admissible: known } : {}),
        });
        return {
          spec,
          reset(start) {
            [task, step, won] = [start.task, 0, 0];
            return turn();
          },
          step(action): Transition {
            if (typeof action !== "string" || (spec.action.type === "text" && action.length > spec.action.maxLength))
              throw new TypeError(`expected a short text, found ${String(action).length} characters`);
            const right = action[0] === wanted(task, step)[0];
            if (right) won++;
            const terminated = ++step === TURNS;
            const verdict = terminated ? { success: won === TURNS } : {};
            return {
              ...turn(),
              reward: right ? 1 : 0,
              terminated,
              truncated: false,
              valid: known.includes(action),
              ...verdict,
            };
          },
          close() {},
        };
      },
      demonstrate: ({ task }) => Array.from({ length: TURNS }, (_, step) => wanted(task, step)),
    };
  },
};

export default definition;
