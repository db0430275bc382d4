import { expect, test } from "bun:test";
import { encodeTrajectory } from "../policy/acting.ts";
import type { Policy } from "../policy/policy.ts";
import { sampleLineage, textTrajectory } from "../proto/testing/trajectories.ts";
import type { Trajectory } from "../proto/trajectory.ts";
import { Assembly, assembleBatch } from "./batch.ts";
import { policies } from "./testing/work.ts";

/** Episodes of two groups in the order of the batch; those of a group have their texts in common. */
function played(): Trajectory[] {
  return Array.from({ length: 6 }, (_, i) => {
    const group = Math.floor(i / 3);
    return { ...textTrajectory(3 + i, 1 + group), lineage: sampleLineage({ group, member: i % 3 }) };
  });
}

/** What a policy remembers of the texts it has read is bounded: afterwards it has forgotten those from before. */
function readMuch(policy: Policy): void {
  for (let seed = 0; seed < 100; seed++) {
    const { steps, ...other } = textTrajectory(2, seed);
    encodeTrajectory(policy, { ...other, steps: { ...steps!, instruction: `do ${seed}` } }, policy.rows());
  }
}

test("a batch is the same whatever the order its episodes arrived in, and whatever else was read meanwhile", () => {
  const episodes = played();
  const policy = policies.candidates();
  const assembly = new Assembly(policy);
  assembly.add(textTrajectory(9, 50)); // nobody asks for it
  for (const i of [4, 1]) assembly.add(episodes[i]);
  readMuch(policy);
  for (const i of [3, 5, 0, 1]) assembly.add(episodes[i]);
  const wanted = assembleBatch(policies.candidates(), episodes);
  expect(wanted.lastRows!.count).toBe(6);
  expect(assembly.batch(episodes.toReversed())).toEqual(wanted);
  expect(assembly.batch(episodes.slice(2))).toEqual(assembleBatch(policies.candidates(), episodes.slice(2)));
});

test("episodes without a result are not part of a batch", () => {
  const [first, second, ...rest] = played();
  const lost: Trajectory = { lineage: second.lineage, outcome: { type: "noResult", reason: "lost" } };
  const assembly = new Assembly(policies.candidates());
  assembly.add(lost);
  expect(assembly.batch([lost, first, ...rest]).episodes).toEqual([first, ...rest] as never);
});

test("a batch of a policy without a critic is the same, too", () => {
  const episodes = played();
  const assembly = new Assembly(policies.pointer());
  for (const episode of episodes.toReversed()) assembly.add(episode);
  expect(assembly.batch(episodes)).toEqual(assembleBatch(policies.pointer(), episodes));
});
