import { expect, test } from "bun:test";
import { answerWith, project } from "./projection.ts";

const rules = { form: "think", lowerCase: true, refuseChinese: true } as const;

test("an answer gives the action between its tags, trimmed and in lower case, and its thought as it was written", () => {
  expect(project("<think>The Mug is here.</think>\n<action> Take Mug 1 from desk 1 </action>", rules)).toEqual({
    action: "take mug 1 from desk 1",
    valid: true,
    thought: "The Mug is here.",
  });
  expect(project("<THINK>a</THINK><ACTION>Look</ACTION>", rules)).toEqual({
    action: "look",
    valid: true,
    thought: "a",
  });
});

test("of several actions the first counts, up to the first closing tag after it", () => {
  expect(project("</action><think>a</think><action>look</action><action>inventory</action>", rules).action).toBe(
    "look",
  );
  expect(project("<think>a</think><action>go <action>look</action>", rules).action).toBe("go <action>look");
});

test("an answer without thought is not valid, but its action is taken", () => {
  expect(project("<action>look</action>", rules)).toEqual({ action: "look", valid: false });
  expect(project("</think>a<think><action>look</action>", rules).valid).toBe(false);
  expect(project("<action>look</action>", { ...rules, form: "action" })).toEqual({ action: "look", valid: true });
});

test("an answer without an action steps with its end, which is never empty", () => {
  expect(project("<think>hm</think> I would go to the desk now, I believe", rules)).toEqual({
    action: "go to the desk now, i believe",
    valid: false,
    thought: "hm",
  });
  for (const empty of ["", "   ", "<action></action>", "<think>a</think><action> </action>"]) {
    const { action, valid } = project(empty, rules);
    expect([action === "", valid]).toEqual([false, false]);
  }
});

test("Chinese characters anywhere make an answer invalid where the rules say so", () => {
  const answer = "<think>好</think><action>look</action>";
  expect(project(answer, rules)).toMatchObject({ action: "look", valid: false });
  expect(project(answer, { ...rules, refuseChinese: false }).valid).toBe(true);
});

test("an answer of 100,000 characters is no action, however it is made", () => {
  for (const answer of ["x".repeat(100_000), `<think>a</think><action>${"y".repeat(100_000)}</action>`]) {
    const { action, valid } = project(answer, rules);
    expect([action.length <= 30, valid]).toEqual([true, false]);
  }
  expect(project("<action>".repeat(12_500), rules).valid).toBe(false);
});

test("an action becomes the listed one that differs only in case; others are passed on as they are", () => {
  const keep = { form: "action", lowerCase: false, refuseChinese: false } as const;
  expect(project("<action>open DOOR</action>", keep, ["Open door", "wait"]).action).toBe("Open door");
  expect(project("<action>open DOOR</action>", keep, ["wait"]).action).toBe("open DOOR");
  expect(project(" Open window ", { ...keep, form: "bare" }, ["wait"])).toEqual({ action: "Open window", valid: true });
});

test("what answerWith() writes, project() reads", () => {
  for (const form of ["think", "action", "bare"] as const)
    expect(project(answerWith(form, "look"), { ...rules, form })).toMatchObject({ action: "look", valid: true });
  expect(answerWith("action", "look", "why not")).toBe("<think>why not</think><action>look</action>");
});
