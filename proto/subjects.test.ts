import { expect, test } from "bun:test";
import { checkRunName, subjects } from "./subjects.ts";

const names = subjects("run-7");

/** Whether a NATS subject filter matches a subject. */
function matches(filter: string, subject: string): boolean {
  const pattern = filter.split(".");
  const tokens = subject.split(".");
  for (let i = 0; i < pattern.length; i++) {
    if (pattern[i] === ">") return tokens.length > i;
    if (tokens[i] === undefined || (pattern[i] !== "*" && pattern[i] !== tokens[i])) return false;
  }
  return pattern.length === tokens.length;
}

test("every subject lies under proxima.<run>. and in exactly its own stream", () => {
  const task = names.task({ iteration: 3, group: 12 });
  const trajectory = names.trajectory({ iteration: 3, group: 12, member: 0 });
  const dead = names.deadLetter("trajectory");
  const all = [task, trajectory, dead];
  for (const subject of all) {
    expect(subject.startsWith("proxima.run-7.")).toBe(true);
    expect(matches(names.all, subject)).toBe(true);
  }
  for (const [filter, own] of [
    [names.tasks, task],
    [names.trajectories, trajectory],
    [names.deadLetters, dead],
  ]) {
    expect(all.filter((subject) => matches(filter, subject))).toEqual([own]);
  }
});

test("the trajectories of a group are one filter, and each member has its own subject", () => {
  const filter = names.trajectoriesOf({ iteration: 3, group: 12 });
  expect(matches(filter, names.trajectory({ iteration: 3, group: 12, member: 7 }))).toBe(true);
  expect(matches(filter, names.trajectory({ iteration: 3, group: 1, member: 2 }))).toBe(false);
  expect(matches(names.trajectoriesOf({ iteration: 3 }), names.trajectory({ iteration: 3, group: 1, member: 2 }))).toBe(
    true,
  );
  expect(names.trajectory({ iteration: 3, group: 12, member: 7 })).not.toBe(
    names.trajectory({ iteration: 3, group: 12, member: 8 }),
  );
});

test("a member asked for again is a new message to the deduplication", () => {
  const task = { run: "run-7", incarnation: 1, iteration: 3, group: 12, members: [1], attempt: 0 };
  expect(names.trajectoryId(task, 1)).not.toBe(names.trajectoryId({ ...task, attempt: 1 }, 1));
  expect(names.taskId(task)).not.toBe(names.taskId({ ...task, attempt: 1 }));
});

test("a restarted learner's messages are new to the deduplication", () => {
  const task = { run: "run-7", incarnation: 1, iteration: 3, group: 12, members: [1], attempt: 0 };
  expect(names.trajectoryId(task, 1)).not.toBe(names.trajectoryId({ ...task, incarnation: 2 }, 1));
  expect(names.taskId(task)).not.toBe(names.taskId({ ...task, incarnation: 2 }));
});

test("a trajectory's subject tells its member, and no other subject does", () => {
  const member = { iteration: 3, group: 12, member: 7 };
  expect(names.memberOf(names.trajectory(member))).toEqual(member);
  expect(names.memberOf(names.task(member))).toBeUndefined();
  expect(names.memberOf(`${names.trajectory(member)}.8`)).toBeUndefined();
  expect(names.memberOf(subjects("another").trajectory(member))).toBeUndefined();
});

test("streams, buckets and stores of two runs never share a name, and use no character that NATS forbids there", () => {
  const of = (run: string) => {
    const s = subjects(run);
    return [s.taskStream, s.trajectoryStream, s.deadLetterStream, s.stateBucket, s.directoryBucket, s.bundleStore];
  };
  const all = [...of("a"), ...of("a-a"), ...of("A"), ...of("state-a")];
  expect(new Set(all).size).toBe(all.length);
  for (const name of all) expect(name).toMatch(/^[A-Za-z0-9_-]+$/);
});

test("a run name that is no plain token is refused with one that would do", () => {
  expect(() => checkRunName("my run.v2")).toThrow('try "my-run-v2"');
  for (const bad of ["", "a".repeat(65), "a/b", "ü", "*", ">"]) expect(() => subjects(bad)).toThrow(RangeError);
  expect(checkRunName("a".repeat(64))).toHaveLength(64);
});

test("numbers that would break out of their token are refused", () => {
  expect(() => names.task({ iteration: -1, group: 0 })).toThrow(RangeError);
  expect(() => names.trajectory({ iteration: 0, group: 0, member: 0.5 })).toThrow(RangeError);
});
