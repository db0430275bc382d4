/** Creates each kind of stall with the real parts in one process, and reads what the watchdog says of it. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { actorSchema } from "../actors/config.ts";
import { runActor } from "../actors/run.ts";
import { runSchema } from "../learner/config.ts";
import { type ReadyInfo, runLearner } from "../learner/run.ts";
import { defaultProvider } from "../policy/tensor/provider.ts";
import type { Bus } from "../proto/bus/bus.ts";
import { memoryBus } from "../proto/bus/memory.ts";
import { resolveConfig } from "../proto/config.ts";
import { LearnerService } from "../proto/gen/proxima/v1/learner_pb.ts";
import { connect } from "../proto/grpc.ts";
import { subjects } from "../proto/subjects.ts";

setDefaultTimeout(60_000); // for machines that do much else at the same time

const folder = mkdtempSync(join(tmpdir(), "proxima-stalls-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const flaky = join(import.meta.dirname, "testing/flaky-environment.ts");
const names = subjects("stalled");

interface Stage {
  bus?: Bus;
  settings?: Record<string, unknown>;
  onReady?(bus: Bus, info: ReadyInfo): Promise<void>;
  actor?: Record<string, unknown>;
}

/** Trains until a notice fits, and returns it. */
async function notice(
  fits: (message: string) => boolean,
  { settings, onReady, actor, bus: given }: Stage,
): Promise<string> {
  const stop = new AbortController();
  const bus = given ?? memoryBus();
  const found = Promise.withResolvers<string>();
  const values = {
    run: "stalled",
    env: flaky,
    policy: "mlp",
    "policy.hidden": "4",
    estimator: "grpo",
    groupSize: 2,
    groupsPerIteration: 4,
    iterations: 1_000_000,
    stallTimeoutMs: 1000,
    ...settings,
  };
  const { config } = resolveConfig(runSchema, [{ source: "test", values }]);
  let playing: Promise<void> | undefined;
  const deps = {
    bus,
    provider: defaultProvider(),
    checkpointsFolder: join(mkdtempSync(join(folder, "run-")), "checkpoints"),
    onIteration() {},
    onNotice: (message: string) => {
      if (fits(message)) found.resolve(message);
    },
    async onReady(info: ReadyInfo) {
      await onReady?.(bus, info);
      if (!actor) return;
      const told = { run: "stalled", name: "walker", ...actor };
      const { config: actorConfig } = resolveConfig(actorSchema, [{ source: "test", values: told }]);
      playing = runActor(actorConfig, { bus, provider: defaultProvider(), log() {} }, stop.signal).catch(found.reject);
    },
  };
  const training = runLearner(config, deps, stop.signal).catch((error) => {
    if (!stop.signal.aborted) found.reject(error);
  });
  try {
    return await found.promise;
  } finally {
    stop.abort();
    await Promise.all([training, playing]);
    if (!given) await bus.close();
  }
}

const waits = (message: string) => message.startsWith("Iteration 0 has waited");

describe("a run that stalls says who waits for whom, and what to try", () => {
  test("without actors", async () => {
    expect(await notice(waits, {})).toContain("No actor has been heard of. No actor is there: start some with");
  });

  test("with actors that get no weights", async () => {
    const fits = (message: string) => waits(message) && message.includes("walker waits for weights for");
    const nobody = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } }); // takes connections, says nothing
    const message = await notice(fits, { actor: { weights: `127.0.0.1:${nobody.port}`, drainTimeoutMs: 0 } });
    nobody.stop(true);
    expect(message).toContain("weights none");
    expect(message).toContain("No actor has the weights it needs. They come from 127.0.0.1:");
  });

  test("with an environment that hangs in step", async () => {
    const fits = (message: string) => message.includes("walker waits for an environment's step for");
    const message = await notice(fits, {
      settings: { "env.hangs": 1 },
      actor: { drainTimeoutMs: 0, stepTimeoutMs: 3000 },
    });
    expect(message).toContain("0 of 4 groups there");
    expect(message).toContain("An environment does not come back from a step or reset.");
  });

  test("with a full trajectory stream", async () => {
    const narrow = { name: names.trajectoryStream, subjects: [names.trajectories], dedupWindowMs: 60_000 };
    const fits = (message: string) => message.includes("walker waits for room in the trajectory stream for");
    const message = await notice(fits, {
      onReady: (bus) => bus.stream({ ...narrow, maxBytes: 1000, retention: "workqueue" }),
      actor: { publishTimeoutMs: 3000 },
    });
    expect(message).toContain("Finished episodes do not fit into the trajectory stream");
  });

  test("with a learner that is paused", async () => {
    const fits = (message: string) => message.includes("paused");
    const message = await notice(fits, {
      async onReady(_, { weightsAddress }) {
        const { client, close } = connect(LearnerService, weightsAddress);
        await client.pause({ reason: "lunch" }, { timeoutMs: 10_000 });
        const { waiting } = await client.status({}, { timeoutMs: 10_000 });
        expect(waiting?.what).toContain('"lunch"');
        close();
      },
      actor: {},
    });
    expect(message).toContain('("lunch"): ');
    expect(message).toContain("'proxima resume --run stalled'");
  });

  test("with groups that all end alike", async () => {
    const message = await notice((text) => text.includes("the last 10 iterations"), {
      settings: { "env.throws": 1, maxAttempts: 1 },
      actor: {},
    });
    expect(message).toContain("No episode of the last 10 iterations carried a signal");
  });

  test("and asks once more for what it waits for, when its tasks are gone", async () => {
    const bus = memoryBus();
    const lost = notice((message) => message.includes("the queue holds no task"), { bus });
    while (!(await bus.streamState(names.taskStream).catch(() => undefined))?.messages)
      await new Promise((resolve) => setImmediate(resolve));
    await bus.purge(names.taskStream); // as a purge does that was under way for long
    await lost;
    while (!(await bus.streamState(names.taskStream)).messages) await new Promise((resolve) => setImmediate(resolve));
    await bus.close();
  });
});
