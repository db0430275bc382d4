/**
 * An actor's life: finds its run on the bus, loads the environment and policy that the run's state names, and plays. When the
 * learner restarts or moves, the state changes and the actor joins again; it needs no restart of its own.
 */
import { EnvironmentLoader } from "../envs/bundle/loader.ts";
import { HEARTBEAT_TTL_MS } from "../policy/heartbeat.ts";
import { createPolicy } from "../policy/registry.ts";
import { decodeRunState, type RunState, runStateKey } from "../policy/run-state.ts";
import type { TensorProvider } from "../policy/tensor/tensors.ts";
import type { Bus, KeyValue } from "../proto/bus/bus.ts";
import type { Security } from "../proto/grpc.ts";
import { TASK_ACK_WAIT_MS, taskQueue } from "../proto/joining.ts";
import { runsBucket, subjects as subjectsOf } from "../proto/subjects.ts";
import type { ActorConfig } from "./config.ts";
import { Environments } from "./environments.ts";
import { keepBeating } from "./heartbeats.ts";
import { RolloutActor } from "./rollout.ts";
import { weightsClient } from "./weights-client.ts";

export interface ActorDependencies {
  bus: Bus;
  provider: TensorProvider;
  /** For the weights server. */
  security?: Security;
  log(message: string): void;
}

/** Plays for the run until the signal aborts, then drains. Throws when it cannot join within `joinTimeoutMs`. */
export async function runActor(config: ActorConfig, deps: ActorDependencies, signal: AbortSignal): Promise<void> {
  const run = config.run || (await onlyRun(deps.bus));
  const subjects = subjectsOf(run);
  const state = await deps.bus.keyValue(subjects.stateBucket);
  const bundles = () => deps.bus.objects(subjects.bundleStore);
  const loader = new EnvironmentLoader({ ...config, bundles, callTimeoutMs: config.stepTimeoutMs });
  const environments = new Environments(loader, state, deps.log);
  const end = new AbortController();
  const following = environments.follow(AbortSignal.any([signal, end.signal]));
  let playing: { abort(): void; done: Promise<void> } | undefined;
  try {
    for await (const next of states(state, run, config.joinTimeoutMs, signal)) {
      playing?.abort();
      await playing?.done;
      const stop = new AbortController();
      const done = play(next, config, deps, environments, AbortSignal.any([signal, stop.signal]));
      playing = { abort: () => stop.abort(), done };
      done.catch(() => stop.abort());
      await Promise.race([done, new Promise((resolve) => setImmediate(resolve))]); // surfaces what fails at once
    }
  } finally {
    playing?.abort();
    try {
      await playing?.done;
    } finally {
      end.abort();
      await following;
      await environments.close();
    }
  }
}

async function play(
  state: RunState,
  config: ActorConfig,
  deps: ActorDependencies,
  environments: Environments,
  signal: AbortSignal,
): Promise<void> {
  const { bus, provider, security, log } = deps;
  const subjects = subjectsOf(state.run);
  const { source } = await environments.join(state.environment);
  const { maxSideBySide } = source;
  const policy = await createPolicy(state.policy);
  const weights = weightsClient({
    address: config.weights || state.weights,
    run: state.run,
    actor: config.name,
    encoding: state.weightsEncoding,
    accept: { base: policy.base },
    ...security,
  });
  try {
    const directory = await bus.keyValue(subjects.directoryBucket, { ttlMs: HEARTBEAT_TTL_MS });
    const joining = sayThatItJoins(directory, config);
    await weights.waitFor(() => true, { timeoutMs: config.joinTimeoutMs, signal }).finally(joining.stop);
    const tasks = await bus.puller(taskQueue(subjects));
    log(`plays ${source.spec.id} for run ${state.run} with weights version ${weights.current()!.version.counter}`);
    const actor = new RolloutActor(
      { bus, subjects, tasks, directory, weights, state, environments, maxSideBySide, policy, provider, log },
      { ...config, taskAckWaitMs: TASK_ACK_WAIT_MS, weightsTimeoutMs: config.joinTimeoutMs },
    );
    await actor.run(signal);
    await tasks.close();
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    weights.close();
  }
}

/** Heartbeats of an actor that has no weights yet. */
function sayThatItJoins(directory: KeyValue, { name, slots }: ActorConfig): { stop(): void } {
  const since = performance.now();
  return keepBeating(directory, name, () => ({
    doing: "weights",
    forMs: performance.now() - since,
    slots,
    idleShare: 1,
    groups: 0,
    episodes: 0,
    envSteps: 0,
    weights: -1,
  }));
}

/** The run's state now and whenever it changes. Throws when there is none within the deadline. */
async function* states(
  bucket: KeyValue,
  run: string,
  timeoutMs: number,
  signal: AbortSignal,
): AsyncGenerator<RunState> {
  const missing = new AbortController();
  const timer = setTimeout(() => missing.abort(), timeoutMs);
  let found = false;
  for await (const entry of bucket.watch(runStateKey, AbortSignal.any([signal, missing.signal]))) {
    if (entry.deleted) continue;
    clearTimeout(timer);
    found = true;
    yield decodeRunState(entry.value);
  }
  if (!found && !signal.aborted) {
    throw new Error(
      `Cannot join run '${run}': no learner has announced it within ${timeoutMs} ms. Start one with 'proxima learner --run ${run}' on the same broker, or raise joinTimeoutMs.`,
    );
  }
}

async function onlyRun(bus: Bus): Promise<string> {
  const runs = await (await bus.keyValue(runsBucket)).keys();
  if (runs.length === 1) return runs[0]!;
  throw new Error(
    runs.length
      ? `Cannot tell which run to play for: the broker knows ${runs.sort().join(", ")}. Choose with --run NAME.`
      : "Cannot find a run to play for: no learner has announced one on this broker. Start 'proxima learner', or name the run to wait for with --run NAME.",
  );
}
