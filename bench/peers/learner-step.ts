/**
 * Proxima's side of bench/learner.ts, a process of its own: `learner-step.ts WORK THREADS SECONDS` makes one update from the initial
 * weights, whose loss tells whether both sides compute the same, and then measures.
 */
import { gradientEngine } from "../../learner/gradient-threads.ts";
import { update } from "../../learner/update.ts";
import { type Rows, takeRows } from "../../policy/rows.ts";
import { simdProvider } from "../../policy/tensor/simd/provider.ts";
import { FORWARD_ROWS, learnerWork, type WorkName } from "./learner-work.ts";

const [name, threads, seconds] = process.argv.slice(2);
const { policy, weights, data, rows, options, seed } = await learnerWork(name as WorkName);
const model = simdProvider().model(policy.layout);
model.load(weights);
const engine = gradientEngine(policy, model, Number(threads), "simd");
const steps = (options.epochs * rows.length) / options.minibatch;

/** The shortest time of a call until the time is over: what the call costs when nobody else is on the core. */
async function fastest(call: () => unknown): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  const until = performance.now() + 1000 * Number(seconds);
  for (let calls = 0; calls < 10 || performance.now() < until; calls++) {
    const startedAt = performance.now();
    await call();
    least = Math.min(least, performance.now() - startedAt);
  }
  return least;
}

const { loss } = await update(model, engine, data, rows, options, seed);
const updateMs = (await fastest(() => update(model, engine, data, rows, options, seed))) / steps;
const few: Rows = takeRows(data.rows, rows.subarray(0, FORWARD_ROWS));
const repeats = 100;
const forwardUs = await fastest(async () => {
  for (let i = 0; i < repeats; i++) await model.evaluate((t) => ({ logits: policy.forward(few, t).logits }));
});
console.log(JSON.stringify({ type: "measured", loss, updateMs, forwardUs: (1000 * forwardUs) / repeats }));
await engine.close();
