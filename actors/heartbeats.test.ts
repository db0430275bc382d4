import { afterEach, expect, jest, test } from "bun:test";
import { decodeHeartbeat, goneAfterMs, HEARTBEAT_TTL_MS, type Heartbeat } from "../policy/heartbeat.ts";
import type { KeyValue } from "../proto/bus/bus.ts";
import { keepBeating } from "./heartbeats.ts";

afterEach(() => void jest.useRealTimers());

const told = {
  doing: "tasks",
  forMs: 0,
  slots: 8,
  idleShare: 1,
  groups: 0,
  episodes: 0,
  envSteps: 0,
  weights: 3,
} as const;

/** What one of `fleet` actors says, all of which beat as often as it does, in `seconds`. */
async function heartbeatsOf(fleet: number, seconds: number): Promise<Heartbeat[]> {
  jest.useFakeTimers();
  const beats: Heartbeat[] = [];
  let revision = 0;
  const directory = {
    async put(_: string, value: Uint8Array) {
      beats.push(decodeHeartbeat(value)!);
      revision += fleet;
      return revision;
    },
  } as unknown as KeyValue;
  const beating = keepBeating(directory, "a", () => told);
  for (let passed = 0; passed < seconds * 1000; passed += 50) {
    for (let i = 0; i < 4; i++) await Promise.resolve(); // what was stored is heard of
    jest.advanceTimersByTime(50);
  }
  beating.stop();
  jest.advanceTimersByTime(100_000);
  return beats;
}

test("in a small fleet an actor is heard of every 1.25 s, and missed after 5 s", async () => {
  const beats = await heartbeatsOf(100, 9);
  expect(beats.length).toBe(8);
  expect(beats.map(goneAfterMs)).toEqual(Array(8).fill(5_000));
});

test("a large fleet sends about 100 heartbeats a second, whatever its size, and says how long to wait for the next", async () => {
  for (const fleet of [500, 1000]) {
    const beats = await heartbeatsOf(fleet, 60);
    expect((fleet * beats.length) / 60).toBeLessThan(140); // the first three come quickly
    expect(goneAfterMs(beats.at(-1)!)).toBe(40 * fleet);
  }
});

test("an actor of a huge fleet beats before its entry goes, and nobody waits for longer than an entry stays", async () => {
  const beats = await heartbeatsOf(1_000_000, 60);
  expect(beats.length).toBeGreaterThan(4);
  expect(goneAfterMs({ ...beats.at(-1)!, everyMs: 1e12 })).toBe(HEARTBEAT_TTL_MS);
});

test("a directory that is away, or begins anew, does not end the heartbeats", async () => {
  jest.useFakeTimers();
  const answers = [5_000, undefined, 3, 4];
  let puts = 0;
  const directory = {
    async put() {
      const answer = answers[puts++];
      if (answer === undefined) throw new Error("away");
      return answer;
    },
  } as unknown as KeyValue;
  const beating = keepBeating(directory, "a", () => told);
  for (let passed = 0; passed < 4_000; passed += 50) {
    for (let i = 0; i < 4; i++) await Promise.resolve();
    jest.advanceTimersByTime(50);
  }
  beating.stop();
  expect(puts).toBe(4);
});
