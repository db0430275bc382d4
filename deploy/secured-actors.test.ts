/** The actor system where roles decide who may do what: a learner spawns, nodes run, operators call and viewers look. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ActorSystem, type SpawnOptions } from "../actors/system/index.ts";
import { Counter } from "../actors/system/testing/counter.ts";
import type { Role } from "../proto/roles.ts";
import { hasRuntime } from "../proto/testing/runtimes.ts";
import type { Cluster } from "./cluster.ts";
import { TestingProcess } from "./testing-process.ts";
import { securedBroker } from "./testing-secrets.ts";
import type { RunDetail } from "./ui/watched-run.ts";

setDefaultTimeout(240_000); // for machines that do much else at the same time

const broker = await securedBroker(["spawning"]);
const folder = mkdtempSync(join(tmpdir(), "proxima-secured-actors-"));
const processes: TestingProcess[] = [];
const closers: (() => unknown)[] = [];
afterAll(async () => {
  for (const close of closers.reverse()) await close();
  await Promise.all(processes.map((process) => process.kill()));
  await broker?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const secrets = () => ["--secrets", broker!.root];
const access = () => ["--nats", broker!.url, ...secrets()];

function proxima(...args: string[]): TestingProcess {
  const process = new TestingProcess(args, folder);
  processes.push(process);
  return process;
}

async function systemOf(role: Role): Promise<ActorSystem> {
  const bus = await broker!.connect(role);
  const system = new ActorSystem(bus);
  closers.push(
    () => bus.close(),
    () => system.close(),
  );
  return system;
}

describe.skipIf(!broker)("with secrets", () => {
  test("a learner spawns actors on a node that was there before it, a viewer sees all of it, and they leave with the learner", async () => {
    const node = proxima("node", ...access(), "--cpus", "2", "--name", "machine-1");
    await node.until(({ type, message }) => type === "waits" && String(message).startsWith("Waits for a learner"));
    const settings = ["--run", "spawning", "--env", "cartpole", "--totalEnvSteps", "2000000000", "--actors", "2"];
    const learner = proxima("learner", ...access(), ...settings);
    for (const actor of ["spawning-actor-0", "spawning-actor-1"])
      await node.until((event) => event.type === "running" && event.actor === actor);
    await learner.until(({ type }) => type === "iteration");

    const top = proxima("top", ...access(), "--once");
    const cluster = (await top.until(({ type }) => type === "cluster")) as unknown as Cluster;
    expect(await top.exited).toBe(0);
    expect(cluster.nodes.map(({ name }) => name)).toEqual(["machine-1"]);
    expect(cluster.actors.map(({ kind, state }) => `${kind} ${state}`)).toEqual(["rollout running", "rollout running"]);
    expect(cluster.runs.map(({ run, learner }) => [run, typeof learner?.iteration])).toEqual([["spawning", "number"]]);

    const ui = proxima("ui", ...secrets(), "--port", "0");
    const { url } = (await ui.until(({ type }) => type === "ui")) as unknown as { url: string };
    const detail = async () => (await (await fetch(`${url}api/run?run=spawning`)).json()) as RunDetail;
    let shown = await detail();
    while (!shown.status) shown = await detail(); // a busy learner may take longer than the page waits
    expect(shown.status.actors.count).toBe(2);
    const page = await (await fetch(url)).text();
    const refused = await fetch(`${url}api/control`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "x-proxima-token": /"proxima-token" content="([^"]+)"/.exec(page)![1]!,
      },
      body: JSON.stringify({ run: "spawning", action: "pause" }),
    });
    expect(await refused.json()).toEqual({ error: expect.stringContaining("role viewer may not call Pause") });

    learner.child.kill("SIGTERM");
    expect(await learner.exited).toBe(0);
    expect(node.events.filter(({ type, how }) => type === "ended" && how === "drained")).toHaveLength(2);
    node.child.kill("SIGTERM");
    expect(await node.exited).toBe(0);
    const violations = broker!.log().split("\n");
    // Nodes and viewers ask first, and then make do with what the learner has made, and look instead of watching.
    expect(violations.filter((line) => /violation/i.test(line) && !/\.CREATE\./.test(line))).toEqual([]);
  });

  test("an operator calls actors that a learner has spawned: in processes, in threads and on Deno", async () => {
    const spawning = await systemOf("learner");
    await spawning.open();
    const node = proxima("node", ...access(), "--cpus", "4", "--modules", join(import.meta.dir, "../actors"));
    const kinds: SpawnOptions[] = [
      {},
      { isolation: "thread" },
      ...(hasRuntime("deno") ? [{ runtime: "deno" } as const] : []),
    ];
    const spawned = await Promise.all(kinds.map((kind) => spawning.spawn(Counter, { start: 3 }, kind)));
    const calling = await systemOf("operator");
    const counters = await Promise.all(spawned.map(({ name }) => calling.get(Counter, name)));
    expect(await Promise.all(counters.map((counter) => counter.add(2)))).toEqual(counters.map(() => 5));
    await Promise.all(spawned.map((counter) => counter.kill()));
    node.child.kill("SIGTERM");
    expect(await node.exited).toBe(0);
  });
});
