import { describe, expect, test } from "bun:test";
import { RUN_NAME } from "../../proto/check.ts";
import { fillIn, report } from "./report.ts";
import { keyOf, type RunRequest, type RunResult, runName, runOnce } from "./run.ts";
import { interval, meanSuccess, median, stepsTo, successAt } from "./statistics.ts";
import { variants } from "./variants.ts";

const request: RunRequest = {
  setting: "scavenger",
  variant: "proxmo",
  seed: 0,
  totalEnvSteps: 3_000,
  evalEvery: 1,
  evalEpisodes: 8,
  finalEpisodes: 8,
};

describe("the statistics of the experiment", () => {
  test("give Student's interval of a mean", () => {
    const { mean, half } = interval([1, 2, 3, 4, 5]);
    expect(mean).toBe(3);
    expect(half).toBeCloseTo(2.776 * Math.sqrt(2.5 / 5), 9);
    expect(interval([7])).toEqual({ mean: 7, half: Number.NaN, count: 1 });
  });

  test("find where a curve first reaches a level", () => {
    const curve = [
      { envSteps: 100, success: 0.2 },
      { envSteps: 200, success: 0.6 },
      { envSteps: 300, success: 0.4 },
      { envSteps: 400, success: 1 },
    ];
    expect(stepsTo(0.1, curve)).toBe(100);
    expect(stepsTo(0.5, curve)).toBeCloseTo(175, 9);
    expect(stepsTo(0.7, curve)).toBeCloseTo(350, 9);
    expect(stepsTo(1.1, curve)).toBeUndefined();
    expect(successAt(0, curve)).toBe(0.2);
    expect(successAt(150, curve)).toBeCloseTo(0.4, 9);
    expect(successAt(999, curve)).toBe(1);
    expect(meanSuccess([{ envSteps: 50, success: 0.25 }], 100)).toBeCloseTo(0.25, 9);
    expect(median([3, 1, 2, 10])).toBe(2.5);
  });
});

describe("the experiment", () => {
  test("trains a variant, plays held-out tasks and repeats itself bit for bit", async () => {
    const [once, again] = [await runOnce(request), await runOnce(request)];
    expect(once.curve.length).toBeGreaterThan(0);
    expect(once.curve.at(-1)!.envSteps).toBeGreaterThanOrEqual(3_000);
    expect(again.training).toEqual(once.training);
    expect(again.curve).toEqual(once.curve);
    expect(once.diagnostics["credit/selfWeightMean"]).toBeGreaterThan(0);
    const grpo = { ...once, variant: "grpo" };
    const { markdown, svgs } = report("scavenger", [once, grpo], "bun bench/credit-assignment.ts");
    expect(markdown).toContain(`| ${variants.proxmo.label} `);
    expect(Object.keys(svgs)).toEqual(["credit-assignment-scavenger-estimators.svg"]); // one curve alone is no figure
    for (const svg of Object.values(svgs)) expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  }, 30_000);

  test("calls the run of every variant by a name that runs may have", () => {
    for (const variant of Object.keys(variants)) expect(runName({ ...request, variant })).toMatch(RUN_NAME);
  });

  test("names runs by what decides their outcome", async () => {
    const key = await keyOf(request);
    expect(await keyOf({ ...request })).toBe(key);
    for (const change of [{ seed: 1 }, { variant: "proxmo-paper" }, { totalEnvSteps: 4_000 }, { evalEpisodes: 9 }])
      expect(await keyOf({ ...request, ...change })).not.toBe(key);
  });

  test("compares seeds pairwise and says how many got there", () => {
    const runOf = (variant: string, seed: number, steps: number) =>
      ({
        ...request,
        variant,
        seed,
        totalEnvSteps: 100,
        curve: [
          { envSteps: 0, success: 0 },
          { envSteps: steps, success: 1 },
        ],
        final: { sampled: 1, greedy: 1 },
        diagnostics: {},
        creditShare: 0.1,
      }) as unknown as RunResult;
    const results = [1, 2, 3].flatMap((seed) => [runOf("grpo", seed, 40 * seed), runOf("gigpo", seed, 20 * seed)]);
    const { markdown } = report("scavenger", results, "…");
    expect(markdown).toMatch(/GiGPO .*\| 0\.50 \(0\.50–0\.50\)/);
  });

  test("writes only between its markers", () => {
    const page = "before\n<!-- x: made by bench/credit-assignment.ts -->old<!-- end of x -->\nafter";
    const filled = fillIn(page, "x", "new");
    expect(filled).toBe("before\n<!-- x: made by bench/credit-assignment.ts -->\n\nnew\n\n<!-- end of x -->\nafter");
    expect(fillIn(filled, "x", "new")).toBe(filled);
    const appended = fillIn(page, "y", "more");
    expect(appended).toStartWith(`${page}\n\n## Appendix: y\n`);
    expect(fillIn(appended, "y", "more")).toBe(appended);
    expect(() => fillIn(page.replace("<!-- end of x -->", ""), "x", "new")).toThrow("after it no");
  });
});
