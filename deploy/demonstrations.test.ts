import { describe, expect, test } from "bun:test";
import type { Action, EnvironmentSource, EnvironmentSpec, Space } from "../envs/environment.ts";
import { loadEnvironment } from "../envs/registry.ts";
import { demonstrations } from "./demonstrations.ts";

/** Task n succeeds by doing the n-th of its three actions. */
function doors(action: Space, demonstrate: (task: string) => readonly Action[]): EnvironmentSource {
  const spec: EnvironmentSpec = {
    id: "doors",
    observation: { type: "text", maxLength: 20 },
    action,
    maxEpisodeSteps: 2,
    hasSuccess: true,
  };
  const admissible = action.type === "admissible" ? ["left", "middle", "right"] : undefined;
  const actionMask = action.type === "discrete" ? Uint8Array.of(1, 0, 1) : undefined;
  return {
    spec,
    splits: ["train", "eval"],
    tasks: () => ({ size: 4, at: String }),
    demonstrate: ({ task }) => demonstrate(task),
    create() {
      let [task, steps] = ["", 0];
      return {
        spec,
        reset(start) {
          [task, steps] = [start.task, 0];
          return { observation: "three doors", admissible, actionMask };
        },
        step(given) {
          if (task === "3") throw new Error("the house burns");
          const success = given === (admissible ? admissible[Number(task)] : Number(task));
          steps++;
          const truncated = !success && steps === 2;
          return {
            ...{
              observation: "a room",
              admissible,
              actionMask,
              reward: success ? 1 : 0,
              terminated: success,
              truncated,
            },
            ...(success || truncated ? { success } : {}),
          };
        },
        close() {},
      };
    },
  };
}

const options = { run: "test", seed: 1, tasks: 10 };
const byTask = (answers: Record<string, readonly Action[]>) => (task: string) => answers[task]!;

describe("demonstrations()", () => {
  test("are recorded as an actor would, once for each task", async () => {
    const { source, digest } = await loadEnvironment("scavenger", { difficulty: 1 });
    const { trajectories, refused } = await demonstrations(source, digest, { ...options, tasks: 12 });
    expect(refused).toEqual({});
    expect(new Set(trajectories.map(({ lineage }) => lineage.task)).size).toBe(12);
    for (const { lineage, steps, outcome } of trajectories) {
      expect(outcome).toEqual({ type: "finished", success: true, return: 1 });
      const commands = await source.demonstrate!(lineage);
      const { strings, admissible, actions } = steps!;
      const played = Array.from(
        actions.type === "choice" ? actions.values : [],
        (choice, t) => strings[admissible!.index[admissible!.offsets[t]! + choice]!]!,
      );
      expect(played).toEqual(commands as string[]);
    }
  });

  test("that fail are counted by reason and not among the trajectories", async () => {
    const found = await demonstrations(
      doors({ type: "admissible" }, byTask({ 0: ["left"], 1: ["upwards"], 2: ["left", "middle"], 3: ["left"] })),
      "",
      options,
    );
    expect(found.trajectories.map(({ lineage }) => lineage.task)).toEqual(["0"]);
    expect(found.refused).toEqual({
      "an action is not admissible": 1,
      "the episode ends without success": 1,
      "step failed: the house burns": 1,
    });
  });

  test("may stop too early, be missing, or do what a mask forbids", async () => {
    const found = await demonstrations(
      doors({ type: "discrete", n: 3 }, (task) => {
        if (task === "3") throw new Error("nobody knows");
        return { 0: [2], 1: [1], 2: [2] }[task]!;
      }),
      "",
      options,
    );
    expect(found.trajectories.map(({ lineage }) => lineage.task)).toEqual(["2"]);
    expect(found.refused).toEqual({
      "the episode goes on after the last action": 1,
      "an action is not admissible": 1,
      "there is none: nobody knows": 1,
    });
  });

  test("are left out where the environment knows none", async () => {
    const source = doors({ type: "admissible" }, (task) => (task === "0" ? ["left"] : []));
    const found = await demonstrations(source, "", options);
    expect(found.trajectories.map(({ lineage }) => lineage.task)).toEqual(["0"]);
    expect(found.refused).toEqual({ "the environment knows none": 3 });
  });

  test("end when asked to stop", async () => {
    const source = doors({ type: "admissible" }, () => ["left"]);
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(demonstrations(source, "", { ...options, signal })).rejects.toThrow("enough");
  });
});
