/** Against environments served by Python's own openenv-core. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { pythonWith } from "../proto/testing/python.ts";
import { checkEnvironment } from "./check.ts";
import { actionForm } from "./openenv/action.ts";
import definition from "./openenv.ts";
import { loadEnvironment, resolveArguments } from "./registry.ts";

setDefaultTimeout(60_000); // for machines that do much else at the same time

const python = pythonWith("openenv", "the OpenEnv client against openenv-core");
const worlds = fileURLToPath(new URL("test-support/openenv_worlds.py", import.meta.url));
const servers: ChildProcess[] = [];
afterAll(() => {
  for (const server of servers) server.kill("SIGKILL");
});

async function serve(world: string, port = 0): Promise<{ url: string; kill(): Promise<unknown> }> {
  const server = spawn(python!, [worlds, world, String(port)], { stdio: ["ignore", "ignore", "pipe"] });
  servers.push(server);
  const said: string[] = [];
  for await (const line of createInterface({ input: server.stderr })) {
    said.push(line);
    const url = /running on (http:\/\/127\.0\.0\.1:\d+)/.exec(line)?.[1];
    if (!url) continue;
    server.stderr.resume();
    const kill = () => {
      server.kill("SIGKILL");
      return once(server, "close");
    };
    return { url, kill };
  }
  throw new Error(said.join("\n"));
}

describe.skipIf(!python)("an environment served by openenv-core", () => {
  let guess: Awaited<ReturnType<typeof serve>>;
  let walk: Awaited<ReturnType<typeof serve>>;
  const arguments_ = () => ({
    url: guess.url,
    observation: "answer",
    admissible: "legal",
    actions: 5,
    success: "won",
    sessions: 4,
  });
  beforeAll(async () => {
    [guess, walk] = await Promise.all([serve("guess"), serve("walk")]);
  });

  test("holds against the contract that training relies on: spaces, determinism, masks, verdict", async () => {
    const report = await checkEnvironment(definition, arguments_(), {
      episodes: 4,
      seed: 1,
      deadlineMs: 20_000,
      signal: new AbortController().signal,
    });
    expect(report.findings.filter(({ ok }) => !ok)).toEqual([]);
    expect(report.ok).toBe(true);
  });

  test("tells its spaces, and gives observation, mask, reward and verdict of each step", async () => {
    const { source, digest } = await loadEnvironment("openenv", arguments_());
    expect(source.spec).toMatchObject({ action: { type: "discrete", n: 5 }, hasSuccess: true });
    expect(digest).toStartWith("openenv:");
    const world = source.create();
    const turn = await world.reset({ task: "openenv", seed: 3 });
    expect(Array.from(turn.observation as Float32Array)).toEqual([0, 5]);
    let last = await world.step(0);
    for (let action = 1; !last.terminated; action++) {
      expect(Array.from(last.actionMask!)).toEqual([0, 1, 2, 3, 4].map((n) => (n < action ? 0 : 1)));
      expect([last.reward, last.success]).toEqual([-0.1, undefined]);
      last = await world.step(action);
    }
    expect([last.reward, last.success, last.truncated]).toEqual([1, true, false]);
    await world.close();
  });

  test("plays an enumeration of words as discrete actions, and truncates where it is told to", async () => {
    const { source } = await loadEnvironment("openenv", { url: walk.url, maxSteps: 2 });
    expect(source.spec.action).toEqual({ type: "discrete", n: 2 });
    const world = source.create();
    await world.reset({ task: "openenv", seed: 1 });
    expect((await world.step(0)).truncated).toBe(false);
    const last = await world.step(0);
    expect(last.observation).toMatch(/^You are at -?\d\.$/);
    expect([last.terminated, last.truncated]).toEqual([false, true]);
    expect(Promise.resolve(world.step(0))).rejects.toThrow("without a running episode");
    await world.close();
  });

  test("refuses an action in the server's words, and goes on with the next episode", async () => {
    const { source } = await loadEnvironment("openenv", arguments_());
    const world = source.create();
    await world.reset({ task: "openenv", seed: 0 }); // secret 3
    await world.step(0);
    expect(Promise.resolve(world.step(0))).rejects.toThrow("0 has been guessed");
    await world.reset({ task: "openenv", seed: 0 });
    expect((await world.step(3)).success).toBe(true);
    await world.close();
  });

  test("that dies takes the episode with it; the next one waits until it is back", async () => {
    const mortal = await serve("guess");
    const { source } = await loadEnvironment("openenv", { ...arguments_(), url: mortal.url, reconnectMs: 50_000 });
    const world = source.create();
    await world.reset({ task: "openenv", seed: 0 });
    await mortal.kill();
    expect(Promise.resolve(world.step(0))).rejects.toThrow("closed the session");
    const next = world.reset({ task: "openenv", seed: 0 });
    await serve("guess", Number(new URL(mortal.url).port));
    expect(Array.from((await next).observation as Float32Array)).toEqual([0, 5]);
    await world.close();
  });

  test("says which argument settles what its schema leaves open", async () => {
    const load = (args: object) => loadEnvironment("openenv", { url: guess.url, ...args });
    expect(load({ actions: 5 })).rejects.toThrow("name the one to see with --env.observation");
    expect(load({ observation: "answer" })).rejects.toThrow('does not bound "number": say how many actions there are');
    expect(load({ observation: "ansver", actions: 5 })).rejects.toThrow(
      'no text or numbers "ansver", only: answer, legal',
    );
  });
});

test("nobody at the address: the error says what to do", () => {
  const args = resolveArguments(definition, { url: "http://127.0.0.1:1", reconnectMs: 1, timeoutMs: 5000 });
  expect(Promise.resolve(definition.load(args))).rejects.toThrow("no OpenEnv server answers at ws://127.0.0.1:1/ws");
});

describe("the form of an action", () => {
  const defaults = resolveArguments(definition);

  test("follows references and alternatives, keeps fixed fields and shifts numbers that do not start at 0", () => {
    const schema = {
      properties: { move: { $ref: "#/$defs/Move" }, game: { type: "string" }, metadata: { type: "object" } },
      required: ["move", "game"],
      $defs: { Move: { type: "integer", minimum: 1, maximum: 3 } },
    };
    const form = actionForm(schema, { ...defaults, fixed: '{"game": "nim"}' });
    expect(form.space).toEqual({ type: "discrete", n: 3 });
    expect(form.toJson(2)).toEqual({ game: "nim", move: 3 });
    expect(() => actionForm(schema, defaults)).toThrow("name the one to fill with --env.action");
    expect(() => actionForm(schema, { ...defaults, action: "move" })).toThrow('its action also needs "game"');
  });

  test("knows bounded numbers alone and in lists, and words with and without a list of what is allowed", () => {
    const number = { type: "number", minimum: -1, maximum: 1 };
    const form = (property: object, args = {}) =>
      actionForm({ properties: { x: property }, required: ["x"] }, { ...defaults, ...args });
    const alone = form(number);
    expect(alone.space).toEqual({ type: "box", shape: [1], low: -1, high: 1 });
    expect(alone.toJson(Float32Array.of(0.5))).toEqual({ x: 0.5 });
    expect(form({ type: "array", items: number, minItems: 2, maxItems: 2 }).toJson(Float32Array.of(0, 1))).toEqual({
      x: [0, 1],
    });
    expect(form({ type: "string" }).space.type).toBe("text");
    expect(form({ type: "string" }, { admissible: "legal" }).space.type).toBe("admissible");
    expect(() => form({ type: "object" })).toThrow('cannot act by "x" of type object');
  });
});
