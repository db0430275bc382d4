import { describe, expect, test } from "bun:test";
import { sampleLineage, vectorTrajectory } from "../proto/testing/trajectories.ts";
import type { Trajectory } from "../proto/trajectory.ts";
import { Conduct, excess } from "./conduct.ts";

const from = (actor: string, success = false): Trajectory => ({
  ...vectorTrajectory(3),
  lineage: { ...sampleLineage(), actor },
  outcome: { type: "finished", success, return: 0 },
});
const noResult = (actor: string): Trajectory => ({
  lineage: { ...sampleLineage(), actor },
  outcome: { type: "noResult", reason: "node lost" },
});

describe("an actor", () => {
  test("is quarantined after as many refusals as are allowed, and then even what fits is refused", () => {
    const quarantined: string[] = [];
    const conduct = new Conduct({
      quarantineAfter: 2,
      onQuarantine: (actor, reason) => quarantined.push(`${actor}: ${reason}`),
    });
    expect(conduct.judge(from("bad"), "its seed is 2")).toBe("its seed is 2");
    expect(conduct.judge(from("bad"), undefined)).toBeUndefined();
    expect(conduct.judge(from("bad"), "its seed is 3")).toBe("its seed is 3");
    expect(conduct.judge(from("bad"), undefined)).toBe("actor bad is quarantined after 2 refused trajectories");
    expect(conduct.judge(from("good"), undefined)).toBeUndefined();
    expect(quarantined).toEqual(["bad: its seed is 3"]);
  });

  test("is never quarantined where that is switched off", () => {
    const conduct = new Conduct({ quarantineAfter: 0, onQuarantine: () => expect.unreachable() });
    for (let i = 0; i < 100; i++) expect(conduct.judge(from("bad"), "wrong")).toBe("wrong");
    expect(conduct.judge(from("bad"), undefined)).toBeUndefined();
  });

  test("that wins far more often than the others, fails or is refused more often, shows in the figures of the lap", () => {
    const conduct = new Conduct({ quarantineAfter: 0, onQuarantine: () => {} });
    for (let i = 0; i < 50; i++) {
      conduct.judge(from("a", i % 2 === 0), undefined);
      conduct.judge(from("b", i % 2 === 0), undefined);
      conduct.judge(from("cheat", true), undefined);
    }
    for (let i = 0; i < 50; i++) conduct.judge(noResult("a"), undefined);
    for (let i = 0; i < 25; i++) conduct.judge(from("b"), "wrong");
    const { actorRefusedShareMax, actorNoResultShareMax, actorSuccessDeviationMax } = conduct.lap();
    expect(actorRefusedShareMax).toBeCloseTo(25 / 75);
    expect(actorNoResultShareMax).toBeCloseTo(50 / 100);
    // The success rate of all is 2/3, its standard error over 50 episodes 1/15.
    expect(actorSuccessDeviationMax).toBeCloseTo(5);
    expect(conduct.lap()).toEqual({});
  });

  test("cannot make the learner remember without bound by giving ever new names", () => {
    const conduct = new Conduct({ quarantineAfter: 1, onQuarantine: () => {} });
    conduct.judge(from("first"), "wrong");
    for (let i = 0; i < 10_000; i++) conduct.judge(from(`name-${i}`), undefined);
    expect(conduct.judge(from("first"), undefined)).toBeUndefined();
  });
});

describe("excess()", () => {
  const claims = (rewards: number[]) => {
    const { steps, ...rest } = vectorTrajectory(rewards.length);
    const total = rewards.reduce((a, b) => a + b, 0);
    return {
      ...rest,
      steps: { ...steps!, rewards: Float64Array.from(rewards) },
      outcome: { type: "finished", return: total },
    } as Trajectory;
  };

  test("names the step whose reward, or the return that, is beyond its bound", () => {
    expect(excess(claims([1, -5, 1]), { maxReward: 4, maxReturn: 0 })).toBe(
      "the reward of step 1 is -5, maxReward allows 4 either way",
    );
    expect(excess(claims([3, 3]), { maxReward: 4, maxReturn: 5 })).toBe(
      "its return is 6, maxReturn allows 5 either way",
    );
  });

  test("lets everything pass without bounds", () => {
    expect(excess(claims([1e9]), { maxReward: 0, maxReturn: 0 })).toBeUndefined();
    expect(excess(noResult("a"), { maxReward: 1, maxReturn: 1 })).toBeUndefined();
  });
});
