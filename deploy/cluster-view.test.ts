import { describe, expect, test } from "bun:test";
import type { Cluster, ClusterActor } from "./cluster.ts";
import { renderCluster } from "./cluster-view.ts";

const node = {
  name: "node-a",
  host: "a",
  cpus: 8,
  cpusUsed: 2.5,
  memory: 16e9,
  memoryUsed: 1e9,
  labels: { gpu: "false" },
  draining: false,
  actors: 2,
  heardMs: 1_200,
};
const actor = (name: string, more: Partial<ClusterActor> = {}): ClusterActor => ({
  name,
  kind: "rollout",
  node: "node-a",
  state: "running",
  restarts: 0,
  mailbox: 0,
  calls: 1_500,
  silentMs: 100,
  ...more,
});
const cluster: Cluster = {
  nodes: [node],
  actors: [
    actor("one"),
    actor("two", { silentMs: 42_000 }),
    actor("three", {
      state: "failed",
      because: "it ended with code 3\n  no such game",
      restarts: 4,
      mailbox: undefined,
    }),
    actor("four", { state: "pending", node: undefined }),
  ],
  runs: [
    {
      run: "shop",
      learner: { phase: "collecting", iteration: 7, envSteps: 12_345, weights: 7 },
      groupsQueued: 3,
      groupsInFlight: 5,
      episodesStored: 40,
      players: [
        {
          name: "one",
          host: "a",
          doing: "playing",
          groups: 5,
          episodes: 90,
          envSteps: 1_234,
          weights: 5,
          lagVersions: 2,
        },
        { name: "two", host: "a", doing: "weights", groups: 0, episodes: 0, envSteps: 0, weights: -1 },
      ],
    },
  ],
};

describe("renderCluster()", () => {
  const text = renderCluster(cluster).join("\n");

  test("shows what nodes offer, how actors fare, and how far the players of a run lag", () => {
    expect(text).toContain("1 node, 2.5 of 8 cpus taken · 4 actors, 2 running · 1 run");
    expect(text).toMatch(/node-a +2\.5\/8 +1\.0\/16\.0 GB +2 +1\.2 s +gpu=false/);
    expect(text).toMatch(/one +rollout +node-a +running +0 +0 +1\.50 k/);
    expect(text).toContain("Run shop: collecting, iteration 7, 12.3 k env steps, weights version 7");
    expect(text).toContain("groups 3 queued, 5 in flight · 40 episodes stored · weights lag at most 2 versions");
    expect(text).toMatch(/one +a +plays +5 +90 +1\.23 k +5 +2/);
  });

  test("begins with the actors that need attention, and says what is wrong with them", () => {
    const names = text.match(/^ {2}(one|two|three|four) +rollout/gm)!.map((line) => line.trim().split(" ")[0]);
    expect(names).toEqual(["three", "four", "one", "two"]);
    expect(text).toContain("it ended with code 3 no such game");
    expect(text).toContain("silent for 42 s");
    expect(text).toContain("Waiting for a node with room and the labels they need: 1 actor.");
  });

  test("counts what has no room", () => {
    expect(renderCluster(cluster, 2).join("\n")).toContain("… and 2 more");
  });

  test("says what to start when there is nothing", () => {
    expect(renderCluster({ nodes: [], actors: [], runs: [] }).join("\n")).toContain(
      "'proxima node' offers this machine",
    );
    const waiting = { nodes: [], actors: [actor("four", { state: "pending" })], runs: [] };
    expect(renderCluster(waiting).at(-1)).toBe("Waiting for a node: 1 actor. Start one with 'proxima node'.");
  });
});
