import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { number } from "../peers/side-by-side.ts";
import { COSTS, type Costs, heartbeatsPerSecond, network, type Run, secondsPerIteration, USED } from "./model.ts";

const run = (changes: Partial<Run> = {}): Run => ({
  cores: 2,
  actors: 50,
  envSteps: 183_000,
  ...network([4, 16, 16], 2, 4),
  ...changes,
});
const free = Object.fromEntries(Object.keys(COSTS).map((name) => [name, 0])) as unknown as Costs;

test("where actors cost nothing an iteration lasts as long as its steps, shared by the cores that work", () => {
  expect(secondsPerIteration(run(), { ...free, step: 20e-6 })).toBeCloseTo((183_000 * 20e-6) / (2 * USED), 9);
  expect(secondsPerIteration(run({ multiplyAdds: 1e6 }), { ...free, multiplyAdd: 1e-9 })).toBeCloseTo(91.5 / USED, 9);
});

test("an iteration lasts as long as all of its work, with a report of each actor or a hundred a second", () => {
  for (const [actors, envSteps, reports] of [
    [50, 183_000, (seconds: number) => 50 / seconds],
    [1000, 183_000, () => 100],
  ] as const) {
    const { multiplyAdds, weightsBytes } = run();
    const seconds = secondsPerIteration(run({ actors, envSteps }));
    const { step, multiplyAdd, version, weightsMegabyte, idleActor, heartbeat, report } = COSTS;
    const iteration = envSteps * (step + multiplyAdds * multiplyAdd);
    const versions = actors * (version + (weightsBytes / 1e6) * weightsMegabyte);
    const presence = actors * idleActor + heartbeatsPerSecond(actors) * heartbeat + reports(seconds) * report;
    expect(seconds * 2 * USED).toBeCloseTo(iteration + versions + seconds * presence, 9);
  }
});

test("heartbeats grow with a small fleet, stay at a hundred a second, and grow again with a very large one", () => {
  expect([50, 125, 500, 1500, 3000].map(heartbeatsPerSecond)).toEqual([40, 100, 100, 100, 200]);
});

test("actors whose presence takes all cores leave nothing for an iteration", () => {
  expect(secondsPerIteration(run({ actors: 100_000 }))).toBe(Number.POSITIVE_INFINITY);
});

test("a network counts a pass forward and three for each epoch, of policy and critic", () => {
  const weights = 4 * 16 + 16 * 16 + 16 * 2 + (4 * 16 + 16 * 16 + 16);
  expect(network([4, 16, 16], 2, 4)).toEqual({ multiplyAdds: 13 * weights, weightsBytes: 4 * weights });
});

test("the page says what the model says", () => {
  const page = readFileSync(join(import.meta.dirname, "../../docs/scaling.md"), "utf8");
  const table = page.slice(page.indexOf("## What it says"), page.indexOf("## Ten thousand actors"));
  const rows = [...table.matchAll(/^\| ([\d,]+) +\| ([\d,]+) +\| ([\d.]+) +\|$/gm)];
  expect(rows.length).toBe(6);
  const rate = (actors: number) => 183_000 / secondsPerIteration(run({ actors }));
  for (const [, actors, steps, share] of rows) {
    const mine = rate(Number(actors!.replaceAll(",", "")));
    expect(steps).toBe(number(mine));
    expect(Number(share)).toBeCloseTo(mine / rate(50), 2);
  }
});
