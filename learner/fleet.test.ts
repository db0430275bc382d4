import { afterEach, expect, setSystemTime, test } from "bun:test";
import { encodeHeartbeat, HEARTBEAT_TTL_MS, type Heartbeat } from "../policy/heartbeat.ts";
import { memoryBus } from "../proto/bus/memory.ts";
import { subjects } from "../proto/subjects.ts";
import { Attention, Fleet } from "./fleet.ts";

afterEach(() => void setSystemTime());

test("a thread hears others for as long as its timer comes in time, and anew after it was blocked", () => {
  const attention = new Attention(1000, 0);
  expect(attention.since(900)).toBe(0);
  for (const nowMs of [1000, 2100, 3000]) attention.tick(nowMs);
  expect(attention.since(4900)).toBe(0);
  expect(attention.since(60_000)).toBe(60_000); // asked before the late timer has come
  attention.tick(60_000);
  attention.tick(61_000);
  expect(attention.since(61_500)).toBe(60_000);
});

test("actors are not taken for gone because the learner itself was blocked", async () => {
  const bus = memoryBus();
  const names = subjects("fleet");
  const directory = await bus.keyValue(names.directoryBucket, { ttlMs: HEARTBEAT_TTL_MS });
  const fleet = new Fleet(bus, names);
  const listening = new AbortController();
  fleet.watch(listening.signal);
  const beat: Heartbeat = {
    actor: "actor-1",
    host: "here",
    pid: 1,
    doing: "playing",
    forMs: 0,
    slots: 8,
    idleShare: 0,
    groups: 1,
    episodes: 0,
    envSteps: 0,
    weights: 0,
    sentAtMs: Date.now(),
    everyMs: 1250,
  };
  await directory.put("actor-1", encodeHeartbeat(beat));
  while (!fleet.actors().length) await new Promise((resolve) => setImmediate(resolve));
  setSystemTime(Date.now() + 45_000); // as if nothing had run here meanwhile
  expect(fleet.actors()).toMatchObject([{ beat: { actor: "actor-1" }, gone: false }]);
  listening.abort();
  await bus.close();
});
