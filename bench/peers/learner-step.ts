/**
 * Proxima's side of bench/learner.ts, a process of its own: `learner-step.ts WORK THREADS SECONDS` makes one update from the initial
 * weights, whose loss tells whether both sides compute the same, and then measures.
 */
import { gradientEngine } from "../../learner/gradient-threads.ts";
import { update } from "../../learner/update.ts";
import type { Rows } from "../../policy/rows.ts";
import { takeRows } from "../../policy/rows.ts";
import { simdProvider } from "../../policy/tensor/simd/provider.ts";
import { median } from "../credit-assignment/statistics.ts";
import { FORWARD_ROWS, learnerWork, type WorkName } from "./learner-work.ts";

const [name, threads, seconds] = process.argv.slice(2);
const { policy, weights, data, rows, options, seed } = await learnerWork(name as WorkName);
const model = simdProvider().model(policy.layout);
model.load(weights);
const engine = gradientEngine(policy, model, Number(threads), "simd");
const steps = (options.epochs * rows.length) / options.minibatch;

/** Median of the times of a call until the time is over. */
async function measure(call: () => unknown): Promise<number> {
  const times: number[] = [];
  for (const until = performance.now() + 1000 * Number(seconds); performance.now() < until || times.length < 5; ) {
    const startedAt = performance.now();
    await call();
    times.push(performance.now() - startedAt);
  }
  return median(times.slice(times.length >> 2)); // the first quarter warms up
}

const { loss } = await update(model, engine, data, rows, options, seed);
const updateMs = (await measure(() => update(model, engine, data, rows, options, seed))) / steps;
const few: Rows = takeRows(data.rows, rows.subarray(0, FORWARD_ROWS));
const repeats = 100;
const forwardUs = await measure(async () => {
  for (let i = 0; i < repeats; i++) await model.evaluate((t) => ({ logits: policy.forward(few, t).logits }));
});
console.log(JSON.stringify({ type: "measured", loss, updateMs, forwardUs: (1000 * forwardUs) / repeats }));
await engine.close();
