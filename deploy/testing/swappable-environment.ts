/** An environment for tests: guess a coin a few times. Its kind says what is wrong with it. */
import type { EnvironmentDefinition, EnvironmentSpec } from "../../envs/environment.ts";

const spec: EnvironmentSpec = {
  id: "coins",
  observation: { type: "box", shape: [1], low: 0, high: 1 },
  action: { type: "discrete", n: 2 },
  maxEpisodeSteps: 5,
  hasSuccess: false,
};

const definition: EnvironmentDefinition = {
  id: "coins",
  summary: "Says which of two actions is right, five times.",
  arguments: {
    reward: { default: 1, about: "For a right guess." },
    throws: { default: 0, about: "Share of the episodes whose third step throws." },
    hangs: { default: 0, about: "Share of the episodes whose third step never returns." },
    width: { default: 1, about: "Elements of the observation." },
  },
  trainingDefaults: {
    policy: "mlp",
    "policy.hidden": "8",
    estimator: "grpo",
    groupSize: 4,
    groupsPerIteration: 8,
    minibatch: 64,
  },
  load(args) {
    const shaped = { ...spec, observation: { ...spec.observation, shape: [Number(args.width)] } } as EnvironmentSpec;
    return {
      spec: shaped,
      splits: ["train", "eval"],
      tasks: (split) => ({ size: Number.POSITIVE_INFINITY, at: (index) => `${split}-${index}` }),
      create() {
        let seed = 0;
        let steps = 0;
        const coin = () => (seed >>> steps) & 1;
        const look = () => new Float32Array(Number(args.width)).fill(coin());
        return {
          spec: shaped,
          reset(start) {
            seed = start.seed;
            steps = 0;
            return { observation: look() };
          },
          step(action) {
            const share = (seed >>> 8) / 2 ** 24;
            if (steps === 2 && share < Number(args.throws)) throw new Error("the coin rolled away");
            if (steps === 2 && share > 1 - Number(args.hangs)) for (;;);
            const reward = action === coin() ? Number(args.reward) : 0;
            steps++;
            return { observation: look(), reward, terminated: steps === spec.maxEpisodeSteps, truncated: false };
          },
          close() {},
        };
      },
    };
  },
};
export default definition;
