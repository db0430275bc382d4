/** Training from a program: learner and actors in this process. */
import { train } from "proxima";

const success: number[] = [];
const { balance } = await train(
  { env: "./lights.ts", policy: "./two-layers.ts", iterations: 40, seed: 1 },
  {
    actors: 2,
    onIteration({ iteration, values }) {
      success.push(values["episode/success"]!);
      console.log(`iteration ${iteration}: ${success.at(-1)}`);
    },
  },
);
console.log(JSON.stringify({ success, balance }));
