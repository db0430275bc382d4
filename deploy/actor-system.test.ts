import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  ActorDiedError,
  ActorFailedError,
  ActorSystem,
  CallTimeoutError,
  defineKind,
  MailboxFullError,
  NameTakenError,
  NoSuchActorError,
  type SpawnOptions,
} from "../actors/system/index.ts";
import { Counter } from "../actors/system/testing/counter.ts";
import { actorsBucket, callSubject, spawnQueue } from "../proto/actor-subjects.ts";
import type { Bus } from "../proto/bus/bus.ts";
import { RemoteError } from "../proto/bus/errors.ts";
import { connectNats } from "../proto/bus/nats.ts";
import { decodeData, encodeData } from "../proto/data.ts";
import { hasRuntime, outputOn } from "../proto/testing/runtimes.ts";
import { type Broker, startBroker } from "./broker.ts";
import { testingBroker, testingProgram } from "./testing-broker.ts";
import { type ProcessEvent, TestingProcess } from "./testing-process.ts";

const LEASE_MS = 1_500;
setDefaultTimeout(30_000); // for a busy machine: nothing here passes by waiting this long

const broker = (await testingBroker()) as Broker;
const folder = mkdtempSync(join(tmpdir(), "proxima-actors-"));
const started = new Set<TestingProcess>();
let bus: Bus;
let system: ActorSystem;
let serial = 0;

/** A node of its own for actors with this label. */
async function startNode(label: string, ...args: string[]): Promise<TestingProcess> {
  const labels = ["--labels", `test=${label}`];
  const limits = ["--leaseMs", String(LEASE_MS), "--cpus", "16"];
  const process = new TestingProcess(["node", "--nats", broker.url, ...labels, ...limits, ...args], folder);
  started.add(process);
  await process.until(({ type }) => type === "offers");
  return process;
}

const fresh = () => `t${++serial}`;
const on = (label: string, options: SpawnOptions = {}): SpawnOptions => ({ labels: { test: label }, ...options });
const quick = { firstMs: 10, maxMs: 20 };
const is =
  (type: string, actor: string, more: Record<string, unknown> = {}) =>
  (event: ProcessEvent) =>
    Object.entries({ type, actor, ...more }).every(([key, value]) => event[key] === value);

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe.skipIf(!broker)("actors", () => {
  let shared: TestingProcess;

  beforeAll(async () => {
    bus = await connectNats({ servers: broker.url });
    system = new ActorSystem(bus);
    shared = await startNode("shared");
    started.delete(shared);
  });
  afterEach(async () => {
    await Promise.all((await system.list()).map(({ name }) => system.kill(name)));
    await Promise.all([...started].map((process) => process.kill()));
    started.clear();
  });
  afterAll(async () => {
    await shared?.kill("SIGTERM");
    await system?.close();
    await bus?.close();
    await broker?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  describe.each(["bun", "deno"] as const)("in a process on %s", (runtime) => {
    test("are made with their arguments, answer calls and keep their state", async () => {
      const counter = await system.spawn(Counter, { start: 5 }, on("shared", { runtime }));
      expect(await counter.add(2)).toBe(7);
      expect(await counter.add(3)).toBe(10);
      expect(await counter.nothing()).toBeUndefined();
      expect(await counter.who()).toMatchObject({ runtime, restarts: 0 });
      const value = { floats: Float32Array.of(1, 2.5), words: ["a", "ß"] };
      expect(await counter.echo(value)).toEqual(value);
    });

    test("throw errors that arrive as errors, with the remote stack", async () => {
      const counter = await system.spawn(Counter, { start: 0 }, on("shared", { runtime }));
      const error = await counter.throwTypeError().catch((caught) => caught);
      expect(error).toBeInstanceOf(RemoteError);
      expect(error.message).toBe("cannot count that");
      expect(error.remoteName).toBe("TypeError");
      expect(error.remoteStack).toContain("testing/counter.ts");
    });

    test("start again when they die: the call under way fails, later ones reach the next life", async () => {
      const counter = await system.spawn(Counter, { start: 5 }, on("shared", { runtime, backoff: quick }));
      await counter.add(1);
      const { pid } = await counter.who();
      const death = counter.die(3);
      await expect(death).rejects.toBeInstanceOf(ActorDiedError);
      await expect(death).rejects.toThrow(`Actor '${counter.name}' ended while die() was under way`);
      expect(await counter.count()).toBe(5); // made anew
      const next = await counter.who();
      expect(next.restarts).toBe(1);
      expect(next.pid).not.toBe(pid);
      process.kill(next.pid, "SIGKILL");
      await shared.until(is("died", counter.name, { deathsInARow: 2 }));
      expect(await counter.options({ retries: 2 }).who()).toMatchObject({ restarts: 2 });
    });
  });

  test("live in a thread of their node where that is wanted, and start again there", async () => {
    const counter = await system.spawn(Counter, { start: 1 }, on("shared", { isolation: "thread", backoff: quick }));
    expect(await counter.add(1)).toBe(2);
    expect((await counter.who()).pid).toBe(shared.child.pid!);
    await expect(counter.die(3)).rejects.toBeInstanceOf(ActorDiedError);
    expect(await counter.count()).toBe(1);
    await counter.kill();
    expect(isAlive(shared.child.pid!)).toBe(true);
  });

  test("have names that are unique, and are found by them", async () => {
    const options = on("shared", { name: fresh() });
    const counter = await system.spawn(Counter, { start: 1 }, options);
    await counter.add(1);
    await expect(system.spawn(Counter, { start: 1 }, options)).rejects.toBeInstanceOf(NameTakenError);
    const found = await system.get(Counter, counter.name);
    expect(await found.count()).toBe(2);
    const existing = await system.spawn(Counter, { start: 1 }, { ...options, getIfExists: true });
    expect(await existing.count()).toBe(2);
    const Other = defineKind({ name: "other", module: import.meta.url, create: () => ({}) });
    await expect(system.get(Other, counter.name)).rejects.toThrow("is of kind 'counter', not 'other'");
    await expect(system.get(Counter, "nobody")).rejects.toBeInstanceOf(NoSuchActorError);
    const all = await Promise.allSettled(
      Array.from({ length: 5 }, () => system.spawn(Counter, { start: 1 }, on("shared", { name: "contested" }))),
    );
    expect(all.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  });

  test("are spawned by number, and listed", async () => {
    const counters = await system.spawn(
      Counter,
      { start: 3 },
      { ...on("shared", { name: "many", cpus: 0.5 }), count: 4 },
    );
    expect(await Promise.all(counters.map((counter) => counter.count()))).toEqual([3, 3, 3, 3]);
    const listed = await system.list();
    expect(listed.map(({ name }) => name)).toEqual(["many-0", "many-1", "many-2", "many-3"]);
    expect(listed[0]).toMatchObject({ kind: "counter", state: { type: "running" }, restarts: 0, incarnation: 1 });
    const [node] = (await system.nodes()).filter(({ labels }) => labels.test === "shared");
    expect(listed[0]!.node).toBe(node!.name);
  });

  test.each(["bun", "deno", "node"] as const)("are called from %s as well", async (runtime) => {
    if (!hasRuntime(runtime)) return;
    const counter = await system.spawn(Counter, { start: 1 }, on("shared"));
    const script = join(import.meta.dir, "../actors/system/testing/call-from-here.ts");
    expect(JSON.parse(await outputOn(runtime, script, broker.url, counter.name))).toEqual({
      added: 3,
      floats: [1, 2.5],
      error: "RemoteError: cannot count that",
      cancelled: "no longer wanted",
      afterwards: 3,
    });
  });

  test("call each other", async () => {
    const [a, b] = await system.spawn(Counter, { start: 0 }, { ...on("shared"), count: 2 });
    expect(await a!.addElsewhere(b!.name, 4)).toBe(4);
    expect(await b!.count()).toBe(4);
  });

  test("refuse calls when their mailbox is full, naming themselves and its length", async () => {
    const counter = await system.spawn(Counter, { start: 0 }, on("shared", { mailbox: 2, concurrency: 1 }));
    await counter.ready();
    const blocked = counter.block();
    const waiting = [counter.tell.add(1), counter.tell.add(1)];
    await Promise.all(waiting); // taken, not done
    const refused = counter.add(1);
    await expect(refused).rejects.toBeInstanceOf(MailboxFullError);
    await expect(refused).rejects.toThrow(`mailbox of actor '${counter.name}' is full: 2 calls wait, and it holds 2`);
    blocked.catch(() => {});
  });

  test("answer as many calls side by side as they are asked to", async () => {
    const counter = await system.spawn(Counter, { start: 0 }, on("shared", { concurrency: 2 }));
    const blocked = counter.block();
    expect(await counter.add(1)).toBe(1);
    await counter.release();
    expect(await blocked).toBe(1);
  });

  test("learn that a call was given up; one that had not begun never does", async () => {
    const counter = await system.spawn(Counter, { start: 0 }, on("shared"));
    await counter.ready();
    const stop = new AbortController();
    const blocked = counter.options({ signal: stop.signal }).block();
    const queued = counter.options({ signal: stop.signal }).add(100);
    const told = counter.tell.add(1); // answered behind the two, so both have arrived
    await told;
    const both = Promise.allSettled([blocked, queued]);
    stop.abort(new Error("changed my mind"));
    await both;
    await expect(blocked).rejects.toThrow("changed my mind");
    await expect(queued).rejects.toThrow("changed my mind");
    expect(await counter.cancelled()).toBe(1);
    expect(await counter.count()).toBe(1);
  });

  test("fail a call whose deadline passes, and do not begin it afterwards", async () => {
    const counter = await system.spawn(Counter, { start: 0 }, on("shared"));
    await counter.ready();
    const blocked = counter.options({ timeoutMs: 100 }).block();
    const queued = counter.options({ timeoutMs: 50 }).add(100);
    await Promise.allSettled([blocked, queued]);
    await expect(blocked).rejects.toBeInstanceOf(CallTimeoutError);
    await expect(blocked).rejects.toThrow(`No answer of ${counter.name}.block() within 100 ms`);
    await expect(queued).rejects.toBeInstanceOf(CallTimeoutError);
    expect(await counter.count()).toBe(0);
  });

  test("are called again after a death only where the caller says that twice does no harm", async () => {
    const counter = await system.spawn(Counter, { start: 0 }, on("shared", { backoff: quick }));
    await expect(counter.options({ retries: 1 }).die(3)).rejects.toBeInstanceOf(ActorDiedError);
    const { restarts } = await counter.who();
    expect(restarts).toBe(2);
  });

  test("finish their mailbox on a drain, then are gone", async () => {
    const counter = await system.spawn(Counter, { start: 0 }, on("shared", { concurrency: 1 }));
    await counter.ready();
    const slow = counter.sleep(50);
    const last = counter.add(7);
    await counter.tell.add(1);
    await counter.drain();
    expect(await slow).toBe(0);
    expect(await last).toBe(7);
    await shared.until(is("line", counter.name, { line: "ends at 8" })); // disposed after the last call
    await expect(counter.add(1)).rejects.toBeInstanceOf(NoSuchActorError);
    await expect(counter.info()).rejects.toBeInstanceOf(NoSuchActorError);
  });

  test("leave nothing behind when whoever spawns them dies half-way, and their name is free", async () => {
    const name = fresh();
    await (await system.spawn(Counter, { start: 0 }, on("shared"))).ready(); // from here on the node takes such actors
    const script = join(import.meta.dir, "../actors/system/testing/die-while-spawning.ts");
    const spawner = Bun.spawn([process.execPath, script, broker.url, "shared", name], { stderr: "inherit" });
    await spawner.exited;
    expect(spawner.signalCode).toBe("SIGKILL");
    const dropped = `drops the request for actor ${name}: whoever spawned it died`;
    await shared.until(({ type, message }) => type === "notice" && String(message).startsWith(dropped));
    expect((await system.list()).filter((actor) => actor.name === name)).toEqual([]);
    const counter = await system.spawn(Counter, { start: 5 }, on("shared", { name }));
    expect(await counter.count()).toBe(5);
  });

  test("end at once when killed, whatever they do", async () => {
    const counter = await system.spawn(Counter, { start: 0 }, on("shared"));
    const { pid } = await counter.who();
    const blocked = counter.block();
    blocked.catch(() => {});
    await counter.kill();
    expect(isAlive(pid)).toBe(false);
    await expect(blocked).rejects.toBeInstanceOf(ActorDiedError);
    await counter.kill(); // harmless
  });

  test("that keep dying end in one clear event, with their last words", async () => {
    const options = on("shared", { name: fresh(), maxRestarts: 2, backoff: quick });
    const counter = await system.spawn(Counter, { start: 0, stillborn: "no such number" }, options);
    const call = counter.count();
    await Promise.allSettled([call]);
    await expect(call).rejects.toBeInstanceOf(ActorFailedError);
    await expect(call).rejects.toThrow(
      /given up: it ended with code 1\n.*no such number[\s\S]*death number 3 in a row/,
    );
    await shared.until(is("failed", counter.name));
    const said = (type: string) => shared.events.filter(is(type, counter.name));
    expect(said("started")).toHaveLength(3);
    expect(said("failed")).toHaveLength(1);
    expect((await counter.info()).state.type).toBe("failed");
    const again = await system.spawn(Counter, { start: 1 }, options); // the name of a failed actor is free
    expect(await again.count()).toBe(1);
  });

  test("go to a node that has what they need, and say what they wait for until there is one", async () => {
    const label = fresh();
    const counter = await system.spawn(Counter, { start: 0 }, on(label, { cpus: 3 }));
    const early = counter.options({ timeoutMs: 200 }).count();
    await expect(early).rejects.toBeInstanceOf(CallTimeoutError);
    await expect(early).rejects.toThrow(`waits for a node with 3 cpus, label test=${label}, and there are`);
    const small = await startNode(label, "--cpus", "2");
    const call = counter.count();
    const large = await startNode(label, "--cpus", "3");
    expect(await call).toBe(0);
    await large.until(is("running", counter.name));
    expect(small.events.some(is("started", counter.name))).toBe(false);
  });

  test("wait while a node is full, and take the place of those that end", async () => {
    const label = fresh();
    await startNode(label, "--cpus", "2");
    const counters = await system.spawn(Counter, { start: 0 }, { ...on(label), count: 3 });
    const first = await Promise.any(counters.map((counter) => counter.ready().then(() => counter)));
    const states = async () => (await system.list()).map(({ state }) => state.type).toSorted();
    while ((await states()).filter((state) => state === "running").length < 2) await Bun.sleep(5);
    expect(await states()).toEqual(["pending", "running", "running"]);
    await first.kill();
    while ((await states()).join() !== "running,running") await Bun.sleep(5);
  });

  test("move to another node when theirs is asked to stop, after finishing their mailbox", async () => {
    const label = fresh();
    const first = await startNode(label);
    const counter = await system.spawn(Counter, { start: 1 }, on(label));
    await counter.add(1);
    const slow = counter.sleep(200);
    await counter.tell.add(10); // behind it
    await startNode(label);
    first.child.kill("SIGTERM");
    expect(await slow).toBe(2);
    await first.until(is("line", counter.name, { line: "ends at 12" }));
    expect(await counter.count()).toBe(1);
    expect(await first.exited).toBe(0);
    expect((await counter.info()).restarts).toBe(0); // moving is no death
  });

  test("start elsewhere when their node is killed, and the death counts", async () => {
    const label = fresh();
    const first = await startNode(label);
    const counter = await system.spawn(Counter, { start: 1 }, on(label, { maxRestarts: 1, backoff: quick }));
    const { pid } = await counter.who();
    const second = await startNode(label);
    const blocked = counter.block();
    await first.kill();
    await expect(blocked).rejects.toBeInstanceOf(ActorDiedError);
    expect(await counter.who()).toMatchObject({ restarts: 1 });
    while (isAlive(pid)) await Bun.sleep(5);
    await startNode(label);
    await second.kill();
    await expect(counter.options({ retries: 1 }).count()).rejects.toThrow(/given up: it ended with its node/);
  });

  test("that were replaced while their node was frozen notice it and end", async () => {
    const label = fresh();
    const frozen = await startNode(label);
    const counter = await system.spawn(Counter, { start: 1 }, on(label, { backoff: quick }));
    const { pid } = await counter.who();
    frozen.child.kill("SIGSTOP");
    const next = await startNode(label);
    await next.until(is("running", counter.name));
    expect(await counter.add(1)).toBe(2);
    // The old life still runs, but its lease is over: it refuses whoever holds its address.
    const call = encodeData({ id: "x", method: "add", arguments: [1], timeoutMs: 1_000, tell: false }, "a call");
    const answer = decodeData(await bus.request(callSubject(counter.name, 1), call, { timeoutMs: 5_000 }), "an answer");
    expect(answer).toMatchObject({ type: "refused", why: "away" });
    frozen.child.kill("SIGCONT");
    await frozen.until(is("ended", counter.name, { how: "replaced" }));
    while (isAlive(pid)) await Bun.sleep(5);
    expect(await counter.count()).toBe(2);
  });

  test("keep their state while the broker is killed and started again", async () => {
    const program = (await testingProgram())!;
    const storeDir = join(folder, "restarted-broker");
    const first = await startBroker({ program, storeDir });
    const node = new TestingProcess(["node", "--nats", first.url, "--leaseMs", String(LEASE_MS)], folder);
    started.add(node);
    const own = await connectNats({ servers: first.url });
    const ownSystem = new ActorSystem(own);
    const counter = await ownSystem.spawn(Counter, { start: 1 });
    expect(await counter.add(1)).toBe(2);
    const noticed = new Promise<void>((resolve) => own.onStatus(({ type }) => type === "disconnected" && resolve()));
    process.kill(first.pid, "SIGKILL");
    await first.exited;
    await noticed;
    const call = counter.add(1); // waits for the broker within its deadline
    const second = await startBroker({ program, storeDir, port: first.port });
    expect(await call).toBe(3);
    expect(await counter.who()).toMatchObject({ restarts: 0 });
    await counter.kill();
    await ownSystem.close();
    await own.close();
    await node.kill("SIGTERM");
    await second.stop();
  });

  test("answer hostile and oversized messages with bounded refusals, and live on", async () => {
    const counter = await system.spawn(Counter, { start: 1 }, on("shared"));
    await counter.ready();
    const ask = async (data: Uint8Array) =>
      decodeData(await bus.request(callSubject(counter.name, 1), data, { timeoutMs: 5_000 }), "an answer");
    expect(await ask(new Uint8Array(0))).toMatchObject({ type: "refused", why: "unfit" });
    expect(await ask(new Uint8Array(1_000_001))).toMatchObject({ message: expect.stringContaining("at most 1000000") });
    expect(await ask(Uint8Array.from({ length: 300 }, (_, i) => i))).toMatchObject({ type: "refused" });
    for (const method of ["constructor", "toString", "__proto__", "missing"]) {
      const call = encodeData({ id: "x", method, arguments: [], timeoutMs: 1_000, tell: false }, "a call");
      expect(await ask(call)).toMatchObject({
        message: expect.stringContaining(`has no method '${method}'; it has: add`),
      });
    }
    await expect(counter.echo({ floats: new Float32Array(300_000), words: [] })).rejects.toThrow(
      /at most 1000000 bytes/,
    );
    await expect(counter.large(1_000_001)).rejects.toThrow(/answer of .*large.*at most 1000000 bytes/);
    expect(await counter.count()).toBe(1);
  });

  test("are not placed by requests that make no sense, and nodes load only modules they may", async () => {
    const label = fresh();
    await startNode(label, "--modules", folder);
    const counter = await system.spawn(Counter, { start: 1 }, on(label)); // the queue exists from here on
    await counter.ready();
    const { resources } = await counter.info();
    const queue = spawnQueue(JSON.stringify([resources.cpus, 0, "bun", [["test", label]]]));
    await bus.publish(queue.subject, new Uint8Array(100), { timeoutMs: 5_000 });
    await bus.publish(queue.subject, encodeData({ name: "../x", id: 7 }, "it"), { timeoutMs: 5_000 });
    await (await bus.keyValue(actorsBucket)).put("garbage", new TextEncoder().encode('{"name": 1}'));
    const outside = { ...Counter, module: "file:///etc/counter.ts" };
    const refused = await system.spawn(outside, { start: 1 }, on(label, { maxRestarts: 0 }));
    await expect(refused.count()).rejects.toThrow(
      `does not load /etc/counter.ts: it takes kinds from Proxima itself and from ${folder}`,
    );
    const inside = join(folder, "nothing.ts");
    writeFileSync(inside, "export const nothing = 1;");
    const empty = await system.spawn(
      { ...Counter, module: `file://${inside}` },
      { start: 1 },
      on(label, { maxRestarts: 0 }),
    );
    await expect(empty.count()).rejects.toThrow("exports no kind 'counter' (it exports no kind at all)");
    expect(await counter.count()).toBe(1);
    await (await bus.keyValue(actorsBucket)).delete("garbage");
  });
});
