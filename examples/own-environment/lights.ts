/** A row of lights: a switch turns over its own light and its neighbours. Put them all out. */
import { type EnvironmentDefinition, type EnvironmentSpec, oneTask, Random } from "proxima/environment";

const lights: EnvironmentDefinition = {
  id: "lights",
  summary: "Put out a row of lights, each switch of which also turns over its neighbours.",
  arguments: { lights: { default: 5, about: "Lights in the row." } },
  trainingDefaults: {
    estimator: "reinforce++",
    "credit.gamma": 0.8,
    groupSize: 1,
    groupsPerIteration: 128,
    learningRate: 0.003,
  },
  load({ lights }) {
    const n = Number(lights);
    const spec: EnvironmentSpec = {
      id: "lights",
      observation: { type: "box", shape: [n], low: 0, high: 1 },
      action: { type: "discrete", n },
      maxEpisodeSteps: 2 * n,
      hasSuccess: true,
    };
    return {
      spec,
      ...oneTask("row"),
      create() {
        const row = new Float32Array(n);
        let steps = 0;
        let over = true;
        const turnOver = (light: number) => {
          for (let i = Math.max(0, light - 1); i <= Math.min(n - 1, light + 1); i++) row[i] = 1 - row[i]!;
        };
        return {
          spec,
          reset({ seed }) {
            const random = new Random(seed);
            row.fill(0);
            steps = 0;
            over = false;
            // Found by turning switches from the dark row, so that every start can be solved.
            while (!row.includes(1)) for (let i = 0; i < n; i++) if (random.below(2)) turnOver(i);
            return { observation: row.slice() };
          },
          step(action) {
            if (over) throw new Error("The episode is over: reset first");
            if (!Number.isInteger(action) || Number(action) < 0 || Number(action) >= n)
              throw new RangeError(`There are switches 0 to ${n - 1}, found ${action}`);
            turnOver(Number(action));
            steps++;
            const terminated = !row.includes(1);
            const truncated = !terminated && steps === spec.maxEpisodeSteps;
            over = terminated || truncated;
            return {
              observation: row.slice(),
              reward: terminated ? 1 : 0,
              terminated,
              truncated,
              ...(over && { success: terminated }),
            };
          },
          close() {},
        };
      },
    };
  },
};

export default lights;
