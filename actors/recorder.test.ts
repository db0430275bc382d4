import { expect, test } from "bun:test";
import { Recorder } from "./recorder.ts";

test("turns that list their actions may stand beside turns that take any text", () => {
  const recorder = new Recorder();
  for (const [observation, admissible, action] of [
    ["search page", undefined, "search[shoes]"],
    ["results", ["click[a]", "click[b]"], "click[b]"],
    ["search page", undefined, "search[hats]"],
  ] as const) {
    const turn = { observation, admissible };
    recorder.observe(turn);
    recorder.act(turn, { value: action }, 0);
    recorder.result(0, true);
  }
  recorder.observe({ observation: "the end" });
  const { strings, admissible } = recorder.steps();
  expect([...admissible!.offsets]).toEqual([0, 0, 2, 2]);
  expect([...admissible!.index].map((id) => strings[id])).toEqual(["click[a]", "click[b]"]);
});

test("an episode without lists records none", () => {
  const recorder = new Recorder();
  const turn = { observation: "anything" };
  recorder.observe(turn);
  recorder.act(turn, { value: "go" }, 0);
  recorder.result(0, true);
  recorder.observe(turn);
  expect(recorder.steps().admissible).toBeUndefined();
});
