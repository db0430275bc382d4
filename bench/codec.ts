/**
 * Trajectory codec against JSON with gzip, in one run: `bun bench/codec.ts`. Median µs per trajectory and bytes.
 */
import { gunzipSync, gzipSync } from "node:zlib";
import { decodeTrajectory, encodeTrajectory } from "../proto/codec.ts";
import { languageTrajectory, textTrajectory, vectorTrajectory } from "../proto/testing/trajectories.ts";
import type { Trajectory } from "../proto/trajectory.ts";

/** JSON has no typed arrays: they become plain ones, and are made again. */
const toJson = (t: Trajectory) =>
  gzipSync(JSON.stringify(t, (_, value) => (ArrayBuffer.isView(value) ? Array.from(value as Float64Array) : value)));

function fromJson(bytes: Uint8Array): Trajectory {
  const t = JSON.parse(gunzipSync(bytes).toString());
  const { observations, actions, admissible } = t.steps;
  if (observations.type === "text") observations.index = Uint32Array.from(observations.index);
  else observations.values = Float32Array.from(observations.values);
  if (actions.type === "text") actions.index = Uint32Array.from(actions.index);
  else actions.values = Int32Array.from(actions.values);
  if (admissible)
    t.steps.admissible = { offsets: Uint32Array.from(admissible.offsets), index: Uint32Array.from(admissible.index) };
  t.steps.logProbs = Float32Array.from(t.steps.logProbs);
  if (t.steps.tokens) {
    const { offsets, values, logProbs } = t.steps.tokens;
    t.steps.tokens = {
      offsets: Uint32Array.from(offsets),
      values: Int32Array.from(values),
      logProbs: Float32Array.from(logProbs),
    };
  }
  t.steps.rewards = Float64Array.from(t.steps.rewards);
  t.steps.valid = Uint8Array.from(t.steps.valid);
  return t;
}

function medianMicroseconds(act: () => unknown, rounds = 400): number {
  for (let i = 0; i < rounds / 2; i++) act();
  const times = Array.from({ length: rounds }, () => {
    const begin = performance.now();
    act();
    return (performance.now() - begin) * 1000;
  });
  return times.sort((a, b) => a - b)[rounds >> 1];
}

const rows = [
  ["text, 50 steps", textTrajectory(50)],
  ["language, 50 steps", languageTrajectory(50)],
  ["cart-pole, 500 steps", vectorTrajectory(500)],
] as const;

for (const [name, trajectory] of rows) {
  const ours = encodeTrajectory(trajectory);
  const json = toJson(trajectory);
  const measured = {
    encode: [medianMicroseconds(() => encodeTrajectory(trajectory)), medianMicroseconds(() => toJson(trajectory))],
    decode: [medianMicroseconds(() => decodeTrajectory(ours)), medianMicroseconds(() => fromJson(json))],
  };
  console.log(`${name}: ${ours.length} bytes, JSON+gzip ${json.length} (${(json.length / ours.length).toFixed(2)}×)`);
  for (const [what, [codec, peer]] of Object.entries(measured)) {
    console.log(`  ${what} ${codec.toFixed(0)} µs, JSON+gzip ${peer.toFixed(0)} µs (${(peer / codec).toFixed(1)}×)`);
  }
}
