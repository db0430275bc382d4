import { describe, expect, test } from "bun:test";
import { bottleneckInWords, sectionsOf } from "./bottleneck.ts";

const sections = (ms: Record<string, number>) => sectionsOf(Object.entries(ms));

describe("sectionsOf()", () => {
  test("takes the learner's sections alone, the longest first, as shares of their sum", () => {
    const found = sections({
      "time/iterationMs": 100,
      "time/updateMs": 25,
      "time/waitMs": 75,
      "time/pauseMs": 5000,
      "time/envStepsPerSecond": 9,
      "episode/length": 3,
    });
    expect(found).toEqual([
      { name: "wait", label: "waiting for episodes", ms: 75, share: 0.75 },
      { name: "update", label: "update", ms: 25, share: 0.25 },
    ]);
  });
});

describe("bottleneckInWords()", () => {
  const inWords = (ms: Record<string, number>, mode = "async") => bottleneckInWords(sections(ms), mode);

  test("tells actors from learner, disk and estimator, and what to try", () => {
    expect(inWords({ "time/waitMs": 80, "time/updateMs": 20 })).toContain("The actors are the bottleneck");
    expect(inWords({ "time/waitMs": 80, "time/updateMs": 20 })).not.toContain("--mode async");
    expect(inWords({ "time/waitMs": 80, "time/updateMs": 20 }, "sync")).toContain("with --mode async");
    expect(inWords({ "time/updateMs": 80, "time/waitMs": 20 })).toContain("more actors would not");
    expect(inWords({ "time/commitMs": 60, "time/waitMs": 40 })).toContain("--checkpointEvery");
    expect(inWords({ "time/advantagesMs": 60, "time/waitMs": 40 })).toContain("The estimator is what costs");
  });

  test("blames nothing where nothing stands out, or nothing is known", () => {
    const even = { "time/waitMs": 35, "time/updateMs": 33, "time/commitMs": 32 };
    expect(inWords(even)).toContain("No single thing holds it up.");
    expect(inWords({})).toBe("Nothing is known yet of where the time goes.");
  });
});
