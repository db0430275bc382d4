/**
 * What the chaos run trains on: walk to the end of a corridor that a light points to. Deterministic like any environment; but the
 * file that PROXIMA_CHAOS names can order it to throw, to hang or to leak memory, once. A share of the seeds always throws.
 */
import { readFileSync, rmSync } from "node:fs";
import process from "node:process";
import type { EnvironmentDefinition, EnvironmentSpec } from "../../envs/environment.ts";
import { mix32 } from "../../envs/random.ts";

/** What the next steps are ordered to do. */
export interface Orders {
  /** So many steps throw. */
  throws?: number;
  /** So many steps never come back. */
  hangs?: number;
  leakMiB?: number;
}

const HALF = 5;
const LOOK_EVERY_MS = 50;
const BAD_SEEDS = 1 / 512;

const spec: EnvironmentSpec = {
  id: "chaos-corridor",
  observation: { type: "box", shape: [3], low: -1, high: 1 },
  action: { type: "discrete", n: 2 },
  maxEpisodeSteps: 24,
  hasSuccess: true,
};

const leaked: Uint8Array[] = [];
let orders: Orders = {};
let lookedAt = 0;

/** Takes up new orders, if there are any. */
function look(): void {
  const file = process.env.PROXIMA_CHAOS;
  if (!file || performance.now() - lookedAt < LOOK_EVERY_MS) return;
  lookedAt = performance.now();
  try {
    orders = JSON.parse(readFileSync(file, "utf8")) as Orders;
    rmSync(file, { force: true });
  } catch {
    return; // none
  }
  if (orders.leakMiB) leaked.push(new Uint8Array(orders.leakMiB * 2 ** 20).fill(1));
}

const definition: EnvironmentDefinition = {
  id: "chaos-corridor",
  summary: "A corridor with a light at its better end, in which things go wrong when they are told to.",
  arguments: {},
  load: () => ({
    spec,
    splits: ["train", "eval"],
    tasks: () => ({ size: 1, at: () => "corridor" }),
    create() {
      let seed = 0;
      let position = 0;
      let steps = 0;
      const light = () => (seed & 1 ? 1 : -1);
      const observation = () => Float32Array.of(light(), position / HALF, steps / spec.maxEpisodeSteps);
      return {
        spec,
        reset(start) {
          look();
          seed = start.seed;
          position = (mix32(seed, 1) % 5) - 2;
          steps = 0;
          return { observation: observation() };
        },
        step(action) {
          if ((seed >>> 8) / 2 ** 24 < BAD_SEEDS) throw new Error("the corridor has collapsed");
          if (orders.throws) {
            orders.throws--;
            throw new Error("ordered to throw");
          }
          if (orders.hangs) {
            orders.hangs--;
            return new Promise(() => {});
          }
          // The floor is slippery: every fourth step or so goes the other way.
          steps++;
          const slips = mix32(seed, steps, position + HALF) % 4 === 0;
          position += (action === 1) !== slips ? 1 : -1;
          const terminated = Math.abs(position) >= HALF;
          const success = terminated && position * light() > 0;
          const truncated = !terminated && steps === spec.maxEpisodeSteps;
          return { observation: observation(), reward: success ? 1 : 0, terminated, truncated, success };
        },
        close() {},
      };
    },
  }),
};
export default definition;
