/** An environment for tests: action 0 ends the episode, action 1 goes on to a step that may never come back. */
import type { EnvironmentDefinition, EnvironmentSpec } from "../../envs/environment.ts";

const spec: EnvironmentSpec = {
  id: "dawdling",
  observation: { type: "box", shape: [1], low: 0, high: 1 },
  action: { type: "discrete", n: 2 },
  maxEpisodeSteps: 50,
  hasSuccess: true,
};

const definition: EnvironmentDefinition = {
  id: "dawdling",
  summary: "Whoever does not leave at once is held up.",
  arguments: { hangs: { default: false, about: "Whether the second step never ends; else the episode just goes on." } },
  load: (args) => ({
    spec,
    splits: ["train", "eval"],
    tasks: () => ({ size: 1, at: () => "leave" }),
    create() {
      let steps = 0;
      return {
        spec,
        reset() {
          steps = 0;
          return { observation: Float32Array.of(0) };
        },
        step(action) {
          steps++;
          if (steps > 1 && args.hangs) return new Promise(() => {});
          const success = action === 0;
          const truncated = !success && steps === spec.maxEpisodeSteps;
          return { observation: Float32Array.of(1), reward: success ? 1 : 0, terminated: success, truncated, success };
        },
        close() {},
      };
    },
  }),
};
export default definition;
