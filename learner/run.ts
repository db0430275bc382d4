/** A learner from its configuration: builds the parts, announces the run on the bus, trains, and takes everything down again. */
import { defaultTerms } from "../envs/assignment.ts";
import { EnvironmentLoader } from "../envs/bundle/loader.ts";
import type { EnvironmentSpec } from "../envs/environment.ts";
import packageJson from "../package.json" with { type: "json" };
import { HEARTBEAT_TTL_MS } from "../policy/heartbeat.ts";
import { createPolicy, policyDefinition, resolvePolicyOptions } from "../policy/registry.ts";
import { encodeRunState, runStateKey } from "../policy/run-state.ts";
import type { TensorProvider } from "../policy/tensor/tensors.ts";
import type { Device } from "../policy/tensor/tfjs/device.ts";
import type { Bus } from "../proto/bus/bus.ts";
import type { ServerSecurity } from "../proto/grpc.ts";
import { taskQueue } from "../proto/joining.ts";
import { runsBucket, type Subjects, subjects as subjectsOf } from "../proto/subjects.ts";
import { estimator as estimatorByName, resolveEstimatorOptions } from "./advantage/index.ts";
import { TrajectoryArchive } from "./archive.ts";
import { CheckpointStore } from "./checkpoint.ts";
import type { RunConfig } from "./config.ts";
import { learnerControls } from "./controls.ts";
import { Fleet } from "./fleet.ts";
import { type Generation, Generations } from "./generations.ts";
import { gradientEngine } from "./gradient-threads.ts";
import { type IterationRecord, Learner, type LearnerStatus } from "./learner.ts";
import { learnerService } from "./learner-service.ts";
import { train } from "./loop.ts";
import { GroupTracer } from "./metrics/group-tracer.ts";
import { otlpExporter } from "./metrics/otlp.ts";
import { EnvironmentSwaps } from "./swap.ts";
import { diagnose, watchdog } from "./watchdog.ts";
import { readWeights } from "./weights-file.ts";
import { type WeightsServer, type WeightsSubscriber, weightsServer } from "./weights-server.ts";

export interface RunDependencies {
  bus: Bus;
  provider: TensorProvider;
  /** The device that `config.device` asks for, where there is one. */
  device?: Device;
  checkpointsFolder: string;
  /** For the weights server. */
  security?: ServerSecurity;
  onIteration(record: IterationRecord & { lag: WeightsLag }): void;
  /** Where the trajectories of the newest `keepTrajectories` iterations go; nowhere when absent. */
  trajectoriesFolder?: string;
  onNotice(message: string): void;
  /** Called once the run is announced and actors can join. */
  onReady?(info: ReadyInfo): void | Promise<void>;
}

export interface ReadyInfo {
  weightsAddress: string;
  parameterCount: number;
  environment: EnvironmentSpec;
  /** The next iteration to train, where a checkpoint was restored. */
  resumedFrom?: number;
  status(): LearnerStatus & { lag: WeightsLag };
}

/** How far behind the newest version the actors are. */
export interface WeightsLag {
  actors: number;
  maxVersions: number;
}

const MEBIBYTE = 2 ** 20;
/** The learner loads environments, it does not play them. */
const ENVIRONMENT_TIMEOUT_MS = 30_000;

/** Trains until the configured end or until the signal aborts; returns the final counters. */
export async function runLearner(config: RunConfig, deps: RunDependencies, signal: AbortSignal) {
  const { bus, provider } = deps;
  const subjects = subjectsOf(config.run);
  const incarnation = Date.now();
  const bundles = () => bus.objects(subjects.bundleStore);
  const loader = new EnvironmentLoader({ ...config, bundles, callTimeoutMs: ENVIRONMENT_TIMEOUT_MS });
  const loaded = await loader.load({ reference: config.env, arguments: config.envArguments });
  const { source, digest } = loaded;
  const first: Generation = {
    ...loaded,
    record: {
      generation: 0,
      reference: config.env,
      arguments: loaded.arguments,
      digest,
      ...defaultTerms,
      state: "playing",
      from: 0,
    },
  };
  const definitionOfPolicy = await policyDefinition(config.policy);
  const { observation, action } = source.spec;
  const options = resolvePolicyOptions(definitionOfPolicy, config.policyOptions);
  const policy = await createPolicy({ name: config.policy, observation, action, options });
  const { base } = policy;
  const spec = { name: config.policy, observation, action, options, ...(base === undefined ? {} : { base }) };
  const definition = estimatorByName(config.estimator);
  const estimatorOptions = resolveEstimatorOptions(definition, config.creditOptions);
  if (definition.needsCritic && !policy.hasValue) {
    throw new TypeError(
      `Cannot use estimator '${definition.name}' with policy '${spec.name}': it needs a critic. Set --policy.valueHead separate, or choose grpo, rloo or proxmo.`,
    );
  }
  const checkpoints = new CheckpointStore(deps.checkpointsFolder, policy, config.keepCheckpoints);
  const resumed = config.resume ? await checkpoints.read(config.resumeFrom || undefined) : undefined;

  await openStreams(bus, subjects);
  const state = await bus.keyValue(subjects.stateBucket);
  const generations = new Generations(config);
  const swaps = new EnvironmentSwaps({
    state,
    loader,
    generations,
    spec: source.spec,
    onNotice: deps.onNotice,
    onBack: () => learner.backToLastEnvironment("an operator asked for it"),
  });
  const archive =
    config.keepTrajectories > 0 && deps.trajectoriesFolder !== undefined
      ? new TrajectoryArchive({
          folder: deps.trajectoriesFolder,
          keep: config.keepTrajectories,
          run: config.run,
          environment: config.env,
          estimator: { name: definition.name, options: { ...estimatorOptions } },
          onNotice: deps.onNotice,
        })
      : undefined;
  const tracer = config.traces === "" ? undefined : groupTracer(config, incarnation, deps.onNotice);
  const learner = new Learner({
    config,
    bus,
    subjects,
    policy,
    generations,
    announce: swaps.announce.bind(swaps),
    estimator: definition,
    estimatorOptions,
    provider,
    device: deps.device,
    gradients: (model) => gradientEngine(policy, model, config.learnerThreads, provider.name),
    checkpoints,
    incarnation,
    publish: (counter, weights) => void server!.publish({ counter, weights, base, incarnation: String(incarnation) }),
    onIteration: (record) => {
      const { iterationMs = 0, waitMs = 0 } = record.timing;
      const episodes = record.values["credit/episodes"] ?? 0;
      const timing = { ...record.timing, ...fleet.signal({ iterationMs, waitMs, episodes }) };
      deps.onIteration({ ...record, timing, lag: lagOf(server!.subscribers()) });
    },
    onBatch: archive?.keep.bind(archive),
    trace: tracer,
    onNotice: deps.onNotice,
  });
  let server: WeightsServer | undefined;
  const fleet = new Fleet(bus, subjects);
  const ended = new AbortController();
  const look = () =>
    diagnose({
      nowMs: Date.now(),
      run: config.run,
      learner: learner.status(),
      weightsAddress: server!.address,
      actors: fleet.actors(),
      queues: fleet.queues,
      brokerAway: fleet.brokerAway,
    });
  try {
    server = await weightsServer({
      run: config.run,
      host: config.weightsHost,
      port: config.weightsPort,
      onHeld: (actor, counter, sinceMs) => tracer?.used(actor, counter, sinceMs),
      ...deps.security,
      services: [
        learnerService(
          learnerControls({
            run: config.run,
            generations,
            swaps,
            learner,
            server: () => server!,
            diagnose: look,
          }),
        ),
      ],
    });
    const { subscribers } = server;
    if (config.initialWeights) learner.startFrom(await readWeights(config.initialWeights, policy));
    if (resumed) learner.restore(resumed);
    if (resumed) await swaps.restore(first, resumed.generations, resumed.counters.iteration);
    else await swaps.begin(first);

    await state.put(
      runStateKey,
      encodeRunState({
        run: config.run,
        incarnation,
        seed: config.seed,
        policy: spec,
        environment: generations.base.record,
        weights: server.address,
        weightsEncoding: config.weightsEncoding,
        ...(config.interruptAfter > 0 ? { interruptAfter: config.interruptAfter } : {}),
      }),
    );
    await (await bus.keyValue(runsBucket)).put(config.run, new TextEncoder().encode(String(incarnation)));
    await deps.onReady?.({
      environment: source.spec,
      status: () => ({ ...learner.status(), lag: lagOf(subscribers()) }),
      weightsAddress: server.address,
      parameterCount: policy.layout.reduce((n, p) => n + p.shape.reduce((a, b) => a * b, 1), 0),
      resumedFrom: resumed?.counters.iteration,
    });
    fleet.watch(ended.signal);
    const { stallTimeoutMs } = config;
    const movedAtMs = () => movedLast(learner.status());
    const tasksLostForMs = () => (learner.status().section === "wait" ? fleet.emptyForMs : 0);
    const askAgain = () => learner.askAgain();
    const { onNotice } = deps;
    watchdog({ stallTimeoutMs, movedAtMs, diagnose: look, onNotice, tasksLostForMs, askAgain }, ended.signal);
    swaps.watch();
    await train(learner, signal);
    return { counters: learner.counters, balance: learner.ledger.balance() };
  } finally {
    ended.abort();
    await swaps.close();
    await learner.close();
    await archive?.close();
    await server?.close();
    await tracer?.close();
  }
}

function groupTracer({ run, traces }: RunConfig, incarnation: number, onNotice: (message: string) => void) {
  const resource = { "service.name": "proxima-learner", "service.version": packageJson.version, "proxima.run": run };
  return new GroupTracer(run, incarnation, otlpExporter({ endpoint: traces, resource, onNotice }));
}

/** The loop went on to its next section, or an episode came. */
function movedLast({ sinceMs, lastArrival, lastNoResult }: LearnerStatus): number {
  return Math.max(Date.now() - sinceMs, lastArrival?.atMs ?? 0, lastNoResult?.atMs ?? 0);
}

async function openStreams(bus: Bus, subjects: Subjects): Promise<void> {
  await bus.stream({
    name: subjects.taskStream,
    subjects: [subjects.tasks],
    maxBytes: 64 * MEBIBYTE,
    dedupWindowMs: 120_000,
    retention: "workqueue",
  });
  await bus.stream({
    name: subjects.trajectoryStream,
    subjects: [subjects.trajectories],
    maxBytes: 1024 * MEBIBYTE,
    dedupWindowMs: 120_000,
    retention: "workqueue",
  });
  await bus.stream({
    name: subjects.deadLetterStream,
    subjects: [subjects.deadLetters],
    maxBytes: 64 * MEBIBYTE,
    dedupWindowMs: 120_000,
    retention: "limits",
  });
  // Actors may lack the permission to make these, and do not know how many copies there should be.
  await (await bus.puller(taskQueue(subjects))).close();
  await bus.keyValue(subjects.directoryBucket, { ttlMs: HEARTBEAT_TTL_MS });
}

function lagOf(subscribers: readonly WeightsSubscriber[]): WeightsLag {
  return { actors: subscribers.length, maxVersions: Math.max(0, ...subscribers.map((s) => s.lagVersions)) };
}
