import { expect, setDefaultTimeout, test } from "bun:test";
import { fuzz } from "./fuzzing/fuzz.ts";
import { targets } from "./fuzzing/targets.ts";

setDefaultTimeout(60_000); // for machines that do much else at the same time

for (const target of targets) {
  test(`${target.name}: good inputs are taken, damaged ones decoded or refused, none crashes`, async () => {
    for (const seed of target.seeds) await target.decode(seed);
    const inputs = 400 * Math.min(10, target.weight);
    // How long each takes, and memory, are judged by `bun bench/fuzz.ts`, where nothing else runs.
    const { accepted, refused, problems } = await fuzz(target, inputs, 7, Number.POSITIVE_INFINITY);
    expect(problems).toEqual([]);
    expect(accepted + refused).toBe(inputs);
    expect(refused).toBeGreaterThan(inputs / 20);
  });
}
