import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { type ServeOptions, serve } from "../proto/grpc.ts";
import { rejection } from "../proto/testing/rejection.ts";
import { hasRuntime, outputOn } from "../proto/testing/runtimes.ts";
import { randomAction } from "./check/play.ts";
import { checkEnvironment, renderReport } from "./check.ts";
import type { Environment, EnvironmentSource, Transition, Turn } from "./environment.ts";
import { Random } from "./random.ts";
import { loadEnvironment } from "./registry.ts";
import { environmentServerConformance } from "./remote/conformance.ts";
import remote from "./remote.ts";
import { type EnvironmentServerOptions, environmentService, serveEnvironment } from "./serve.ts";

setDefaultTimeout(60_000); // for machines that do much else at the same time

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function served(
  id: string,
  args: Record<string, unknown> = {},
  options: EnvironmentServerOptions & ServeOptions = {},
) {
  const local = await loadEnvironment(id, args);
  const server = await serveEnvironment(local, options);
  closers.push(() => server.close());
  return { local, server, address: server.address };
}

async function instance(source: EnvironmentSource): Promise<Environment> {
  const environment = source.create();
  closers.push(() => environment.close());
  return environment;
}

async function playOut(source: EnvironmentSource, environment: Environment, task: string, seed: number) {
  const random = new Random(seed);
  const turns: (Turn | Transition)[] = [await environment.reset({ task, seed })];
  for (;;) {
    const next = await environment.step(randomAction(source.spec, turns.at(-1)!, random));
    turns.push(next);
    if (next.terminated || next.truncated) return turns;
  }
}

describe("an environment served by another process", () => {
  test.each([
    ["cartpole", {}],
    ["pendulum", { maxEpisodeSteps: 20 }],
    ["scavenger", { difficulty: 1 }],
  ])("keeps the contract: %s", async (id, args) => {
    const { address } = await served(id, args);
    const report = await checkEnvironment(remote, { address }, { episodes: 10, seed: 3 });
    expect(renderReport(report)).not.toContain("FAIL");
    expect(report.ok).toBe(true);
  });

  test.each(["cartpole", "pendulum", "scavenger"])("plays the same episodes as %s in this one", async (id) => {
    const { local, address } = await served(id);
    const { source, digest } = await loadEnvironment("remote", { address });
    const rounded = JSON.parse(JSON.stringify(local.source.spec), (_, value) =>
      typeof value === "number" ? Math.fround(value) : value,
    );
    expect(source.spec).toEqual({ ...rounded, id: "remote" });
    expect(digest).toBe(`remote:${id}:${local.digest}`);
    expect(source.splits).toEqual(local.source.splits);
    for (const split of ["train", "eval"]) {
      const [theirs, ours] = [source.tasks(split), local.source.tasks(split)];
      expect(theirs.size).toBe(ours.size);
      for (const seed of [0, 7, 2 ** 32 - 1].slice(0, Math.min(3, ours.size * 3))) {
        const index = seed % Math.min(ours.size, 100);
        const there = await playOut(source, await instance(source), theirs.at(index), seed);
        const here = await playOut(source, await instance(local.source), ours.at(index), seed);
        expect(there).toEqual(here);
      }
    }
  });

  test("tells the classes of listed tasks, and demonstrates", async () => {
    const { local, address } = await served("scavenger");
    const { source } = await loadEnvironment("remote", { address });
    const task = source.tasks("eval").at(4);
    expect(source.taskType!(task)).toBe(local.source.taskType!(task));
    const generated = source.tasks("train").at(2);
    const there = await source.demonstrate!({ task: generated, seed: 1 });
    expect(there).toEqual(await local.source.demonstrate!({ task: local.source.tasks("train").at(2), seed: 1 }));
  });

  test("steps every episode of a tick in one message", async () => {
    const { local, address } = await served("cartpole");
    let [frames, steps] = [0, 0];
    const { implementation, close } = environmentService(local);
    closers.push(close);
    const play = implementation.handlers.play as (requests: AsyncIterable<{ calls: unknown[] }>, s: unknown) => unknown;
    implementation.handlers.play = ((requests: AsyncIterable<{ calls: unknown[] }>, stream: unknown) => {
      async function* counted() {
        for await (const request of requests) {
          frames++;
          steps += request.calls.length;
          yield request;
        }
      }
      return play(counted(), stream);
    }) as never;
    const server = await serve({}, implementation);
    closers.push(() => server.close());
    const { source } = await loadEnvironment("remote", { address: server.address });
    const environments = await Promise.all(Array.from({ length: 16 }, () => instance(source)));
    await Promise.all(environments.map((each, seed) => each.reset({ task: source.tasks("train").at(0), seed })));
    [frames, steps] = [0, 0];
    for (let t = 0; t < 5; t++) await Promise.all(environments.map((each) => each.step(t % 2)));
    expect([frames, steps]).toEqual([5, 80]);
    expect(address).not.toBe(server.address);
  });

  test("shares a limited number of sessions: an episode waits for one that ends", async () => {
    const { address } = await served("cartpole", { maxEpisodeSteps: 5 }, { maxSessions: 3 });
    const { source } = await loadEnvironment("remote", { address, sessions: 2 });
    expect(source.maxSideBySide).toBe(2);
    const environments = await Promise.all(Array.from({ length: 6 }, () => instance(source)));
    const episodes = environments.map((each, seed) => playOut(source, each, "balance", seed));
    expect((await Promise.all(episodes)).map((turns) => turns.length)).toEqual([6, 6, 6, 6, 6, 6]);
    const greedy = await loadEnvironment("remote", { address, timeoutMs: 500 });
    const [one, two] = [await instance(greedy.source), await instance(greedy.source)];
    await one.reset({ task: "balance", seed: 1 });
    const refused = await rejection(Promise.resolve(two.reset({ task: "balance", seed: 1 })));
    expect(refused.message).toMatch(
      /no session at .* became free within 500 ms: all 3 sessions of this server are open/,
    );
  });

  test("answers a step that takes too long, or a world that breaks, with an error and goes on in a fresh session", async () => {
    let slow = true;
    let hangs = Promise.withResolvers<void>();
    const local = await loadEnvironment("cartpole");
    const source: EnvironmentSource = {
      ...local.source,
      create() {
        const environment = local.source.create();
        const step = environment.step.bind(environment);
        environment.step = (action) => {
          if (slow) {
            hangs.resolve();
            return new Promise(() => {});
          }
          if (action === 1) throw new Error("a wheel came off");
          return step(action);
        };
        return environment;
      },
    };
    const server = await serveEnvironment({ ...local, source });
    closers.push(() => server.close());
    const { source: theirs } = await loadEnvironment("remote", { address: server.address, timeoutMs: 300 });
    const environment = await instance(theirs);
    await environment.reset({ task: "balance", seed: 1 });
    expect((await rejection(Promise.resolve(environment.step(0)))).message).toContain("no answer within 300 ms");
    expect(() => environment.step(0)).toThrow("call reset() first");
    await environment.reset({ task: "balance", seed: 1 });
    hangs = Promise.withResolvers();
    const unheard = rejection(Promise.resolve(environment.step(0)));
    await hangs.promise;
    slow = false;
    await environment.reset({ task: "balance", seed: 1 }); // not waiting for the step before
    expect((await environment.step(0)).reward).toBe(1);
    expect((await unheard).message).toContain("no answer");
    expect((await environment.step(0)).reward).toBe(1);
    await environment.reset({ task: "balance", seed: 1 });
    expect((await rejection(Promise.resolve(environment.step(1)))).message).toBe("a wheel came off");
    await environment.reset({ task: "balance", seed: 1 });
    expect((await environment.step(0)).reward).toBe(1);
  });
});

describe("a server of ours", () => environmentServerConformance(async () => (await served("cartpole")).address));

describe("on the other runtimes", () => {
  const script = fileURLToPath(new URL("remote/runtimes.script.ts", import.meta.url));
  for (const runtime of ["deno", "node"] as const)
    test.skipIf(!hasRuntime(runtime))(`${runtime} plays the same as Bun (skipped where it is absent)`, async () => {
      const { address } = await served("scavenger");
      expect(await outputOn(runtime, script, address)).toBe(await outputOn("bun", script, address));
    });
});

describe("a server that is not as it should be is refused with advice:", () => {
  test("nobody there", async () => {
    const { server, address } = await served("cartpole");
    await server.close();
    const { message } = await rejection(loadEnvironment("remote", { address }));
    expect(message).toContain(`no environment server answers at ${address}: start one there ('proxima env serve`);
  });

  test("another token", async () => {
    const { address } = await served("cartpole", {}, { token: "right" });
    for (const token of ["", "wrong"]) {
      const { message } = await rejection(loadEnvironment("remote", { address, token }));
      expect(message).toContain("wants another token");
    }
    const { source } = await loadEnvironment("remote", { address, token: "right" });
    expect((await playOut(source, await instance(source), "balance", 3)).length).toBeGreaterThan(5);
  });

  test("another environment", async () => {
    const { address } = await served("cartpole");
    const { message } = await rejection(loadEnvironment("remote", { address, id: "alfworld" }));
    expect(message).toContain('there is no environment "alfworld" here: this server plays "cartpole"');
  });

  test("another version of the protocol", async () => {
    const { implementation } = environmentService(await loadEnvironment("cartpole"));
    const describe = implementation.handlers.describe as (request: unknown) => object;
    implementation.handlers.describe = (request: unknown) => ({ ...describe(request), protocol: 9 });
    const server = await serve({}, implementation);
    closers.push(() => server.close());
    const { message } = await rejection(loadEnvironment("remote", { address: server.address }));
    expect(message).toContain("speaks version 9 of the protocol, this Proxima version 1");
  });
});

describe("a server that dies", () => {
  test("ends the episodes under way with an error; the next ones wait until it is back", async () => {
    const { server, local } = await served("cartpole");
    const { source } = await loadEnvironment("remote", { address: server.address });
    const environment = await instance(source);
    await environment.reset({ task: "balance", seed: 1 });
    await environment.step(0);
    await server.close();
    const lost = await rejection(Promise.resolve().then(() => environment.step(1)));
    expect(lost.message).toContain(`the environment server at ${server.address} is gone`);
    const waiting = environment.reset({ task: "balance", seed: 1 });
    const back = await serveEnvironment(local, { port: server.port });
    closers.push(() => back.close());
    expect((await waiting).observation).toEqual((await local.source.create().reset({ task: "", seed: 1 })).observation);
    expect((await environment.step(1)).reward).toBe(1);
  });

  test("and comes back with something else is not played", async () => {
    const { server } = await served("cartpole");
    const { source } = await loadEnvironment("remote", { address: server.address });
    const environment = await instance(source);
    await environment.reset({ task: "balance", seed: 1 });
    await server.close();
    const other = await serveEnvironment(await loadEnvironment("pendulum"), { port: server.port });
    closers.push(() => other.close());
    const { message } = await rejection(Promise.resolve(environment.reset({ task: "balance", seed: 1 })));
    expect(message).toMatch(/this server plays builtin:pendulum@.*, not builtin:cartpole@/);
  });

  test("is given up after a while", async () => {
    const { server } = await served("cartpole");
    const { source } = await loadEnvironment("remote", { address: server.address, reconnectMs: 300 });
    await server.close();
    const environment = await instance(source);
    const { message } = await rejection(Promise.resolve(environment.reset({ task: "balance", seed: 1 })));
    expect(message).toContain("no environment server answers");
  });
});
