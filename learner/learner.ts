/**
 * The learner: everything one pass of the loop needs, step by step in the order of `loop.ts`. It owns the counters, the ledger
 * and the model; the bus, the weights server and the sinks are handed in.
 */
import type { GenerationRecord } from "../envs/assignment.ts";
import { mix32 } from "../envs/random.ts";
import type { Policy } from "../policy/policy.ts";
import { firstWeights } from "../policy/registry.ts";
import type { Model, TensorProvider } from "../policy/tensor/tensors.ts";
import type { Device } from "../policy/tensor/tfjs/device.ts";
import type { Bus } from "../proto/bus/bus.ts";
import type { Subjects } from "../proto/subjects.ts";
import type { Trajectory } from "../proto/trajectory.ts";
import type { Credit, EstimatorDefinition } from "./advantage/index.ts";
import { Assembly, type Batch, byRow, byToken, succeeded } from "./batch.ts";
import type { Checkpoint, CheckpointStore, Counters } from "./checkpoint.ts";
import { CheckpointWriter } from "./checkpoint-writer.ts";
import { Conduct, excess } from "./conduct.ts";
import type { RunConfig } from "./config.ts";
import { generationMetrics } from "./generation-metrics.ts";
import type { Generations } from "./generations.ts";
import type { GradientEngine } from "./gradients.ts";
import type { Ledger, MemberName } from "./ledger.ts";
import type { GroupEvents } from "./metrics/group-tracer.ts";
import { misfit } from "./misfit.ts";
import { OpenGroups } from "./open-groups.ts";
import type { PpoRows } from "./ppo.ts";
import { Stopwatch } from "./stopwatch.ts";
import { summarise } from "./summary.ts";
import { TaskIssuer } from "./tasks.ts";
import { Trainer } from "./trainer.ts";
import type { UpdateStatistics } from "./update.ts";

export interface LearnerDependencies {
  config: RunConfig;
  bus: Bus;
  subjects: Subjects;
  policy: Policy;
  /** Holds at least the one to begin with. */
  generations: Generations;
  /** Writes down what became of a generation; durable when it resolves. */
  announce(record: GenerationRecord): Promise<void>;
  estimator: EstimatorDefinition;
  estimatorOptions: object;
  provider: TensorProvider;
  gradients(model: Model): GradientEngine;
  /** To try at the first batch, and to train on if `config.device` and the trial say so. */
  device?: Device;
  checkpoints: CheckpointStore;
  /** Milliseconds since 1970 at which this learner started; tells its tasks and weights from an earlier one's. */
  incarnation: number;
  /** Hands a version to the weights server, which copies it. */
  publish(counter: number, weights: Float32Array): void;
  /** One record an iteration; `values` are the same bits in every sync run of the same configuration, `timing` are not. */
  onIteration(record: IterationRecord): void;
  /** Keeps the trajectories of an iteration for replay; `encoded` are the batch's episodes as they came over the wire. */
  onBatch?(iteration: number, batch: Batch, credit: Credit, encoded: readonly Uint8Array[]): Promise<void>;
  /** Told what happens to groups, where somebody traces them. */
  trace?: GroupEvents;
  /** Something a person should know. */
  onNotice(message: string): void;
}

export interface IterationRecord {
  iteration: number;
  envSteps: number;
  values: Record<string, number>;
  timing: Record<string, number>;
}

/** What the loop is at right now, for whoever watches. */
export interface LearnerStatus {
  /** A section of the stopwatch: pause, issue, wait, assemble, advantages, update, broadcast, commit. */
  section: string;
  sinceMs: number;
  /** Of the iteration under way. */
  groupsReady: number;
  groupsWanted: number;
  /** Asked for and not yet arrived, of this iteration and those ahead. */
  episodesInFlight: number;
  iteration: number;
  /** Why it is paused, in the words of whoever paused it. */
  paused?: { reason: string; sinceMs: number };
  /** Iterations in a row that trained nothing. */
  withoutSignal: number;
  /** The newest episode with and without a result; times in ms since 1970. */
  lastArrival?: { atMs: number; actor: string };
  lastNoResult?: { atMs: number; actor: string; reason: string };
}

export class Learner {
  readonly #deps: LearnerDependencies;
  readonly #trainer: Trainer;
  readonly #tasks: TaskIssuer;
  readonly #groups: OpenGroups;
  /** Of the iteration under way. */
  #assembly: Assembly;
  readonly #checkpoints: CheckpointWriter;
  readonly #watch: Stopwatch;
  readonly #conduct: Conduct;
  /** Iterations in a row that trained nothing. */
  #withoutSignal = 0;
  #meanEpisodeLength = 0;
  /** Set from the first minibatch until the counters tell of it. */
  #updating: PromiseWithResolvers<void> | undefined;
  #paused: (PromiseWithResolvers<void> & { reason: string; sinceMs: number }) | undefined;
  counters: Counters = { iteration: 0, envSteps: 0, episodes: 0, learnerSteps: 0 };

  constructor(deps: LearnerDependencies) {
    this.#deps = deps;
    const { policy, provider, config, trace } = deps;
    this.#watch = new Stopwatch((section, ms) => {
      const now = Date.now();
      trace?.done(this.counters.iteration, section, now - ms, now);
    });
    this.#trainer = new Trainer({
      policy,
      provider,
      gradients: deps.gradients,
      weights: firstWeights(policy, config.seed),
      hasReference: config.klCoefficient > 0,
      device: deps.device && { device: deps.device, auto: config.device === "auto" },
      onNotice: deps.onNotice,
    });
    this.#conduct = new Conduct({
      quarantineAfter: config.quarantineAfter,
      onQuarantine: (actor, reason) =>
        deps.onNotice(
          `Actor ${actor} is quarantined: ${config.quarantineAfter} of its trajectories were refused, the last because ${reason}. ` +
            "Stop it, and if it is not yours renew the nodes' secrets ('proxima secure rotate --role node --graceHours 0').",
        ),
    });
    this.#tasks = new TaskIssuer({
      bus: deps.bus,
      subjects: deps.subjects,
      generations: deps.generations,
      seed: config.seed,
      incarnation: deps.incarnation,
      maxStaleness: this.#maxStaleness,
    });
    this.#groups = new OpenGroups({
      ...deps,
      tasks: this.#tasks,
      current: () => this.counters.iteration,
      misfit: (trajectory, name) => this.#misfit(trajectory, name),
    });
    this.#assembly = new Assembly(policy);
    this.#checkpoints = new CheckpointWriter(deps.checkpoints, () => this.#state());
  }

  get ledger(): Ledger {
    return this.#groups.ledger;
  }

  status(): LearnerStatus {
    const { iteration } = this.counters;
    const { ledger, inbox, inFlight: episodesInFlight } = this.#groups;
    const groupsWanted = ledger.groups(iteration);
    const groupsReady = groupsWanted - ledger.waiting(iteration).length;
    return {
      ...this.#watch.current,
      iteration,
      groupsWanted,
      groupsReady,
      episodesInFlight,
      paused: this.#paused && { reason: this.#paused.reason, sinceMs: this.#paused.sinceMs },
      withoutSignal: this.#withoutSignal,
      lastArrival: inbox?.lastArrival,
      lastNoResult: inbox?.lastNoResult,
    };
  }

  /** Starts training from given weights (an imitation, another run) instead of a random initialisation. */
  startFrom(weights: Float32Array): void {
    this.#trainer.startFrom(weights);
  }

  /** Continues exactly where the checkpoint was written. Call before `begin`. */
  restore(checkpoint: Checkpoint): void {
    this.counters = { ...checkpoint.counters };
    this.#groups.restore(checkpoint.ledger);
    this.#meanEpisodeLength = checkpoint.meanEpisodeLength;
    this.#trainer.restore(checkpoint);
  }

  /** Opens the streams, takes in what is already stored there, and publishes the first weights. */
  async begin(): Promise<void> {
    await this.#groups.begin();
    await this.publishWeights(this.counters.iteration);
  }

  finished(): boolean {
    const { iterations, totalEnvSteps } = this.#deps.config;
    return (
      (iterations > 0 && this.counters.iteration >= iterations) ||
      (totalEnvSteps > 0 && this.counters.envSteps >= totalEnvSteps)
    );
  }

  /** Issues what the staleness bound allows: the tasks of this iteration and of `maxStaleness` ones ahead. */
  async issueTasks(iteration: number, signal: AbortSignal): Promise<void> {
    if (this.#paused) this.#watch.start("pause");
    while (this.#paused) await Promise.race([this.#paused.promise, aborted(signal)]);
    this.#watch.start("issue");
    await this.#groups.issue(iteration + this.#maxStaleness, this.#groupsPerIteration());
  }

  /** The episodes of the iteration, or enough of them. */
  async collect(iteration: number, signal: AbortSignal): Promise<Batch> {
    this.#watch.start("wait");
    const trajectories = await this.#groups.collect(iteration, signal, (arrived) => this.#assembly.add(arrived));
    this.#watch.start("assemble");
    return this.#assembly.batch(trajectories);
  }

  async assignCredit(batch: Batch): Promise<Credit> {
    const { groups, rows, lastRows, actions, logProbs, items } = batch;
    this.#watch.start("advantages");
    const { policy, estimator, estimatorOptions } = this.#deps;
    if (policy.hasValue) {
      groups.values = (await this.#trainer.predict(rows)).values;
      const last = (await this.#trainer.predict(lastRows!)).values!;
      groups.bootstrap = last.map((v, e) => (groups.terminated[e] ? 0 : v));
    }
    if (this.#deps.config.mode === "async") {
      const now = await this.#trainer.predict(rows, actions);
      batch.logRhos = now.logProbs!.map((l, i) => l - logProbs[i]!);
      groups.logRhos = byRow(batch.logRhos, items);
    }
    const credit = estimator.estimate(groups, estimatorOptions);
    return this.#deps.config.dropGroupsWithoutSignal ? credit : { ...credit, dropped: undefined };
  }

  /** DAPO's dynamic sampling: opens further groups in place of those without signal. False when there is nothing to ask for. */
  async refill(iteration: number, { groups }: Batch, { dropped }: Credit): Promise<boolean> {
    const { config } = this.#deps;
    if (!config.refill || !dropped) return false;
    const firstEpisodes = groups.groupOffsets.subarray(0, -1);
    const wanted = this.#groupsPerIteration();
    const missing = wanted - firstEpisodes.filter((episode) => !dropped[episode]).length;
    return missing > 0 && this.#groups.refill(iteration, missing, wanted);
  }

  async update(batch: Batch, credit: Credit): Promise<UpdateStatistics | undefined> {
    this.#watch.start("update");
    this.#updating = Promise.withResolvers();
    const { config } = this.#deps;
    const rows = rowsToTrain(batch, credit);
    if (rows.length === 0) {
      this.#explainNoSignal(++this.#withoutSignal);
      return undefined;
    }
    this.#withoutSignal = 0;
    const { items, logRhos, groups } = batch;
    const data: PpoRows = {
      rows: batch.rows,
      items,
      weights: items && config.tokenLoss === "step" ? perStep(items) : undefined,
      actions: batch.actions,
      advantages: byToken(credit.advantages, items),
      oldLogProbs: config.decoupled ? batch.logProbs.map((l, i) => l + logRhos![i]!) : batch.logProbs,
      importance: config.decoupled
        ? logRhos!.map((l) => Math.min(Math.exp(l), config.truncateImportance || Infinity))
        : undefined,
      referenceLogProbs: await this.#trainer.referenceLogProbs(batch.rows, batch.actions),
      valueTargets: credit.valueTargets,
      oldValues: groups.values,
    };
    const options = { ...config, learningRate: this.#learningRate() };
    return this.#trainer.update(data, rows, options, mix32(config.seed, this.counters.iteration));
  }

  /**
   * The counter of a weights version is the number of iterations that led to it. Weights that come from a device are published
   * when they are here; the loop goes on meanwhile, and hears at the next checkpoint or update if they never come.
   */
  async publishWeights(counter: number): Promise<void> {
    this.#watch.start("broadcast");
    const published = this.#trainer.weights().then((weights) => this.#deps.publish(counter, weights));
    if (this.#trainer.isOnDevice) published.catch(() => {});
    else await published;
  }

  /**
   * Closes the iteration: settles the ledger, writes the checkpoint and only then acknowledges its messages. Writing goes on while
   * the next iteration is collected; at most one checkpoint is under way.
   */
  async commit(
    iteration: number,
    batch: Batch,
    credit: Credit,
    statistics: UpdateStatistics | undefined,
  ): Promise<void> {
    this.#watch.start("commit");
    const { config, generations, onBatch } = this.#deps;
    const { ledger } = this;
    const inbox = this.#groups.inbox!;
    for (const [e, { lineage }] of batch.episodes.entries()) {
      if (credit.dropped?.[e]) ledger.drop(lineage, "noSignal");
      else ledger.train(lineage);
    }
    const open = { iteration, groups: ledger.groups(iteration) };
    const byGeneration = generationMetrics(generations, open, batch.episodes);
    generations.close(
      open,
      batch.episodes.map((episode) => ({
        generation: episode.lineage.environment.generation,
        task: episode.lineage.task,
        success: succeeded(episode),
      })),
    );
    ledger.close(iteration);
    this.#assembly = new Assembly(this.#deps.policy);
    const encoded = onBatch && batch.episodes.map(({ lineage }) => inbox.encoded(lineage));
    this.#checkpoints.hold(inbox.release(iteration));
    const envSteps = batch.rows.count;
    if (batch.episodes.length) this.#meanEpisodeLength = envSteps / batch.episodes.length;
    const learningRate = this.#learningRate();
    this.counters = {
      iteration: iteration + 1,
      envSteps: this.counters.envSteps + envSteps,
      episodes: this.counters.episodes + batch.episodes.length,
      learnerSteps: this.counters.learnerSteps + (statistics?.learnerSteps ?? 0),
    };
    this.#updating?.resolve();
    this.#updating = undefined;
    if (this.counters.iteration % config.checkpointEvery === 0) await this.checkpoint();
    if (encoded) await onBatch(iteration, batch, credit, encoded);
    const values = summarise({
      config,
      lateLengths: inbox.takeLateLengths(),
      batch,
      credit,
      statistics,
      counters: this.counters,
      ledger,
      learningRate,
    });
    Object.assign(values, byGeneration);
    const timing = { ...this.#watch.lap(envSteps), ...this.#conduct.lap(), ...this.#trainer.trafficLap() };
    this.#deps.onIteration({ iteration, envSteps: this.counters.envSteps, values, timing });
  }

  /** Takes a checkpoint; resolves when it is taken. Writing it goes on, and a failure to write surfaces at the next call. */
  checkpoint(): Promise<void> {
    return this.#checkpoints.begin();
  }

  /** As of now, but for what is still on a device. */
  async #state(): Promise<Checkpoint> {
    const trained = this.#trainer.state();
    const atOnce = {
      counters: { ...this.counters },
      ledger: this.ledger.state(),
      generations: this.#deps.generations.state(),
      meanEpisodeLength: this.#meanEpisodeLength,
    };
    return { ...atOnce, ...(await trained) };
  }

  /** For somebody outside the loop: a checkpoint between two updates, on disk when this resolves. */
  async checkpointNow(): Promise<{ path: string; iteration: number }> {
    while (this.#updating) await this.#updating.promise;
    const { iteration } = this.counters;
    await this.checkpoint();
    return { path: (await this.#checkpoints.written())!, iteration };
  }

  /** Issues no more tasks once the iteration under way is done. */
  pause(reason: string): void {
    this.#paused ??= { ...Promise.withResolvers<void>(), reason, sinceMs: Date.now() };
  }

  resume(): void {
    this.#paused?.resolve();
    this.#paused = undefined;
  }

  /** Asks once more for what is waited for: its tasks are in no queue any more. */
  askAgain(): Promise<void> {
    return this.#groups.askAgain();
  }

  /** Leaves the newest generation of the environment; the one before plays all groups of the iterations that are open. */
  backToLastEnvironment(reason: string): void {
    this.#groups.backToLastEnvironment(reason);
  }

  /** Writes what is not yet in a checkpoint and closes what this learner opened. */
  async end(): Promise<void> {
    await this.#checkpoints.end();
    await this.close();
  }

  async close(): Promise<void> {
    await this.#groups.stop();
    await this.#checkpoints.written().catch(() => {});
    await this.#groups.inbox?.close();
    await this.#trainer.close();
  }

  get #maxStaleness(): number {
    return this.#deps.config.mode === "async" ? this.#deps.config.maxStaleness : 0;
  }

  /** Fixed, or as many as are expected to give `stepsPerIteration`. */
  #groupsPerIteration(): number {
    const { groupsPerIteration, stepsPerIteration, groupSize } = this.#deps.config;
    if (!stepsPerIteration || !this.#meanEpisodeLength) return groupsPerIteration;
    return Math.max(1, Math.ceil(stepsPerIteration / (this.#meanEpisodeLength * groupSize)));
  }

  /** Why a trajectory cannot be the answer to the task this run issued; undefined when it can. */
  #misfit(trajectory: Trajectory, name: MemberName): string | undefined {
    const { subjects, generations, config } = this.#deps;
    const { source, record } = generations.of(name);
    const { task, seed } = this.#tasks.assignment(name);
    const asked = { run: subjects.run, ...name, task, seed, environment: record };
    const weights = { from: this.#tasks.oldestWeights(name.iteration), to: name.iteration };
    const problem = misfit(trajectory, asked, source.spec, weights, this.#deps.policy) ?? excess(trajectory, config);
    return this.#conduct.judge(trajectory, problem);
  }

  #learningRate(): number {
    const { learningRate, learningRateSchedule, totalEnvSteps, iterations } = this.#deps.config;
    if (learningRateSchedule === "constant") return learningRate;
    const progress = totalEnvSteps > 0 ? this.counters.envSteps / totalEnvSteps : this.counters.iteration / iterations;
    return learningRate * Math.max(0, 1 - progress);
  }

  /** After 1, 10, 100 … iterations in a row. */
  #explainNoSignal(iterations: number): void {
    if (!Number.isInteger(Math.log10(iterations))) return;
    this.#deps.onNotice(
      `No episode of ${iterations === 1 ? `iteration ${this.counters.iteration}` : `the last ${iterations} iterations`} carried a signal: all members of each group ended alike, so the weights stay as they are. ` +
        "Sparse rewards need luck at first: more groups (groupsPerIteration), easier tasks or a start from imitation help.",
    );
  }
}

/** For each token: 1 / (tokens of its answer). */
function perStep(items: Uint32Array): Float32Array {
  return byToken(
    Float32Array.from({ length: items.length - 1 }, (_, row) => 1 / (items[row + 1]! - items[row]!)),
    items,
  );
}

/** All rows, or those of groups that carry a signal. */
function rowsToTrain({ rows, groups }: Batch, { dropped }: Credit): Uint32Array {
  const all = Uint32Array.from({ length: rows.count }, (_, row) => row);
  if (!dropped) return all;
  const isTrained = new Uint8Array(rows.count);
  for (let e = 0; e < dropped.length; e++) {
    if (!dropped[e]) isTrained.fill(1, groups.episodeOffsets[e]!, groups.episodeOffsets[e + 1]!);
  }
  return all.filter((row) => isTrained[row]);
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = () => reject(signal.reason);
    if (signal.aborted) fail();
    else signal.addEventListener("abort", fail, { once: true });
  });
}
