/**
 * The rollout actor: pulls group tasks, plays their members side by side with the weights the task asks for, publishes each
 * episode the moment it ends and acknowledges the task once all of them are stored. Whatever goes wrong, the task is either
 * acknowledged with everything stored or delivered again to somebody else.
 */
import type { Environment } from "../envs/environment.ts";
import type { Activity } from "../policy/heartbeat.ts";
import type { Policy } from "../policy/policy.ts";
import type { RunState } from "../policy/run-state.ts";
import type { TensorProvider } from "../policy/tensor/tensors.ts";
import type { Bus, Delivery, KeyValue, Puller } from "../proto/bus/bus.ts";
import { MessageTooLargeError } from "../proto/bus/errors.ts";
import { DecodeError, decodeGroupTask, decodeTrajectory, encodeTrajectory } from "../proto/codec.ts";
import type { Subjects } from "../proto/subjects.ts";
import type { GroupTask, Lineage } from "../proto/trajectory.ts";
import type { Environments, PlayableEnvironment, UnplayableEnvironment } from "./environments.ts";
import { Episode, type PlayedEpisode } from "./episode.ts";
import { keepBeating, type Told } from "./heartbeats.ts";
import { Occupancy } from "./occupancy.ts";
import { Versions } from "./versions.ts";
import type { HeldWeights, WeightsClient } from "./weights-client.ts";

export interface RolloutOptions {
  name: string;
  /** Episodes played side by side; a group is taken while one is free. */
  slots: number;
  stepTimeoutMs: number;
  /** Longest wait for the weights a task asks for, before it is given back. */
  weightsTimeoutMs: number;
  /** Longest wait for room in the trajectory stream. */
  publishTimeoutMs: number;
  /** A task that is not extended for this long goes to another actor. */
  taskAckWaitMs: number;
  /** On a drain, live episodes may play on for this long. */
  drainTimeoutMs: number;
}

export interface RolloutDependencies {
  bus: Bus;
  subjects: Subjects;
  tasks: Puller;
  directory: KeyValue;
  weights: WeightsClient;
  state: RunState;
  environments: Pick<Environments, "get" | "isVoid">;
  /** Of the environment to begin with. */
  maxSideBySide?: number;
  policy: Policy;
  provider: TensorProvider;
  log(message: string): void;
}

/** Deliveries of a task whose environment cannot be played here: others may have what is missing, but not for ever. */
const MAX_UNPLAYABLE = 3;

/** A group in play: its task, and the members whose episodes are not stored yet. One environment plays all of them. */
interface Group {
  task: GroupTask;
  delivery: Delivery;
  held?: HeldWeights;
  environment?: PlayableEnvironment | UnplayableEnvironment;
  unstored: number;
  failed: boolean;
  /** When it was taken, by the monotonic clock. */
  since: number;
}

interface Seat {
  group: Group;
  member: number;
  environment: Environment;
  since: number;
}

/** How long one look into the task queue may wait: an abort ends it, and hundreds of idle actors should not ask every second. */
const PULL_MS = 15_000;

/** Why an episode that the learner does not await any more has no result. */
const INTERRUPTED = "interrupted: its iteration is over";

/** A wait shorter than this is not worth telling. */
const BRIEF_MS = 1000;

export class RolloutActor {
  readonly #deps: RolloutDependencies;
  readonly #options: RolloutOptions;
  readonly #versions: Versions;
  readonly #groups = new Set<Group>();
  readonly #seats = new Map<Episode, Seat>();
  readonly #waiting = new Set<() => void>();
  /** Since when each finished episode waits to be stored. */
  readonly #storing = new Set<{ since: number }>();
  readonly #slots: number;
  readonly #occupancy: Occupancy;
  /** The weights whose arrival has been heeded. */
  #heeded: HeldWeights | undefined;
  /** Of the task taken last. */
  #groupSize = 8;
  #maxSideBySide = Number.POSITIVE_INFINITY;
  episodes = 0;
  envSteps = 0;

  constructor(deps: RolloutDependencies, options: RolloutOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#versions = new Versions(deps.policy, deps.provider);
    this.#slots = Math.min(options.slots, deps.maxSideBySide ?? options.slots);
    this.#occupancy = new Occupancy(this.#slots);
  }

  /** Plays until the signal aborts, then drains: starts nothing new, plays out what is live, gives the rest back. */
  async run(signal: AbortSignal): Promise<void> {
    const extending = setInterval(() => this.#extend(), this.#options.taskAckWaitMs / 4);
    const beating = keepBeating(this.#deps.directory, this.#options.name, () => this.#tell());
    const feeding = this.#feed(signal);
    try {
      let drainBefore = Number.POSITIVE_INFINITY;
      let yieldedAt = performance.now();
      while (!signal.aborted || (this.#versions.live && Date.now() < drainBefore)) {
        if (signal.aborted && drainBefore === Number.POSITIVE_INFINITY)
          drainBefore = Date.now() + this.#options.drainTimeoutMs;
        if (!this.#versions.live) await this.#somethingToPlay(signal);
        this.#interruptVoid();
        for (const episode of await this.#versions.tick()) this.#finish(episode);
        if (performance.now() - yieldedAt > 1) {
          await new Promise((resolve) => setImmediate(resolve)); // let the sockets speak
          yieldedAt = performance.now();
        }
      }
      await feeding;
      await this.#storedOrGivenBack();
    } finally {
      clearInterval(extending);
      beating.stop();
      this.#versions.dispose();
      await this.#deps.directory.delete(this.#options.name).catch(() => {});
    }
  }

  async #feed(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const free = Math.min(this.#slots, this.#maxSideBySide) - this.#taken();
      if (free <= 0) {
        await this.#changed(signal);
        continue;
      }
      // A quarter of what there is room for, so that actors with free slots share a burst of tasks evenly.
      const wanted = Math.max(1, Math.floor(free / (4 * this.#groupSize)));
      const deliveries = await this.#deps.tasks.next(wanted, PULL_MS, signal);
      await Promise.all(deliveries.map((delivery) => this.#take(delivery, signal)));
    }
  }

  /** A task is started, kept as a dead letter, or given back. */
  async #take(delivery: Delivery, signal: AbortSignal): Promise<void> {
    try {
      await this.#start(delivery, signal);
    } catch (error) {
      if (error instanceof DecodeError) {
        await this.#deadLetter(delivery, error.message);
      } else if (signal.aborted) {
        delivery.nak();
      } else {
        this.#deps.log(`gave a task back: ${(error as Error).message}`);
        delivery.nak(1000);
      }
    }
    this.#wake();
  }

  async #start(delivery: Delivery, signal: AbortSignal): Promise<void> {
    const task = decodeGroupTask(delivery.data);
    const group: Group = { task, delivery, unstored: task.members.length, failed: false, since: performance.now() };
    this.#groupSize = task.members.length;
    this.#groups.add(group);
    try {
      if (!this.#deps.environments.isVoid(task)) group.held = await this.#weightsFor(task, signal);
      const members = group.held ? await this.#missing(task, delivery) : [];
      if (!members.length) {
        this.#groups.delete(group);
        await delivery.ack();
        return;
      }
      group.unstored = members.length;
      const environment = await this.#deps.environments.get(task.environmentGeneration);
      if (environment.type === "unplayable") {
        if (delivery.deliveries < MAX_UNPLAYABLE) throw new Error(environment.reason);
        group.environment = environment;
        const outcome = { type: "noResult", reason: environment.reason.slice(0, 1000) } as const;
        for (const member of members) void this.#publish(group, member, { outcome });
        return;
      }
      group.environment = environment;
      environment.groups++;
      this.#maxSideBySide = environment.source.maxSideBySide ?? Number.POSITIVE_INFINITY;
      await Promise.all(members.map((member) => this.#seat(group, environment, member)));
    } catch (error) {
      this.#end(group);
      throw error;
    }
  }

  #end(group: Group): void {
    if (!this.#groups.delete(group)) return;
    if (group.environment?.type === "playable") group.environment.groups--;
  }

  /** The weights to play with; undefined when the task is void because its time has passed. */
  async #weightsFor(task: GroupTask, signal: AbortSignal): Promise<HeldWeights | undefined> {
    const held = this.#deps.weights.current();
    if (held && isVoid(task, held)) return undefined;
    if (held && suits(task, held)) return held;
    const found = await this.#deps.weights.waitFor((h) => suits(task, h) || isVoid(task, h), {
      timeoutMs: this.#options.weightsTimeoutMs,
      signal,
    });
    return isVoid(task, found) ? undefined : found;
  }

  /** A task delivered before may have members stored already: only the others are played. */
  async #missing(task: GroupTask, delivery: Delivery): Promise<number[]> {
    if (delivery.deliveries === 1) return task.members;
    const { bus, subjects } = this.#deps;
    const stored = await Promise.all(
      task.members.map((member) => bus.last(subjects.trajectoryStream, subjects.trajectory({ ...task, member }))),
    );
    // What is stored may be of an earlier attempt, or of a generation that was rolled back.
    const isOfThis = (data: Uint8Array) => {
      const { environment, attempt } = decodeTrajectory(data).lineage;
      return environment.generation === task.environmentGeneration && attempt === task.attempt;
    };
    return task.members.filter((_, i) => !stored[i] || !isOfThis(stored[i].data));
  }

  async #seat(group: Group, { idle, source }: PlayableEnvironment, member: number): Promise<void> {
    const { policy, state } = this.#deps;
    const { task } = group;
    const environment = idle.pop() ?? source.create();
    const lineage = { runSeed: state.seed, iteration: task.iteration, group: task.group, member };
    const { stepTimeoutMs } = this.#options;
    const episode = new Episode(environment, policy, lineage, { stepTimeoutMs, interruptAfter: state.interruptAfter });
    this.#seats.set(episode, { group, member, environment, since: performance.now() });
    await episode.reset({ task: task.task, seed: task.seed });
    const held = this.#deps.weights.current();
    if (held && isVoid(task, held)) episode.abandon(INTERRUPTED);
    if (episode.ended) this.#finish(episode);
    else this.#versions.table(group.held!).seat(episode);
  }

  /** Ends what plays for an iteration that the learner has closed: whoever is not awaited any more only takes up room. */
  #interruptVoid(): void {
    const held = this.#deps.weights.current();
    if (held === this.#heeded) return;
    this.#heeded = held;
    for (const [episode, { group }] of this.#seats) {
      if (!group.held || !held || !isVoid(group.task, held) || !episode.turn) continue;
      this.#versions.table(group.held).leave(episode);
      episode.abandon(INTERRUPTED);
      this.#finish(episode);
    }
  }

  /** Publishes an ended episode at once; the task is acknowledged when the last member of its group is stored. */
  #finish(episode: Episode): void {
    const { group, member, environment } = this.#seats.get(episode)!;
    this.#seats.delete(episode);
    const { steps, outcome } = episode.finish();
    if (outcome.type === "noResult" || group.environment?.type !== "playable")
      Promise.resolve(environment.close()).catch(() => {}); // whatever state it is in, it is not used again
    else group.environment.idle.push(environment);
    this.episodes++;
    this.envSteps += steps?.count ?? 0;
    void this.#publish(group, member, { steps, outcome });
  }

  async #publish(group: Group, member: number, played: PlayedEpisode): Promise<void> {
    const { task, held, environment } = group;
    const { run, iteration, attempt } = task;
    const { id, digest } = environment!;
    const lineage = {
      run,
      iteration,
      group: task.group,
      member,
      attempt,
      task: task.task,
      seed: task.seed,
      environment: { id, generation: task.environmentGeneration, digest },
      actor: this.#options.name,
      weights: held!.version,
    };
    const storing = { since: performance.now() };
    this.#storing.add(storing);
    try {
      await this.#store(task, lineage, played);
    } catch (error) {
      group.failed = true;
      this.#deps.log(`could not store episode ${iteration}/${task.group}/${member}: ${(error as Error).message}`);
    }
    this.#storing.delete(storing);
    group.unstored--;
    this.#occupancy.change(this.#taken());
    if (group.unstored > 0) return;
    if (group.failed) group.delivery.nak(1000);
    else
      await group.delivery
        .ack()
        .catch((error: Error) => this.#deps.log(`could not acknowledge a task: ${error.message}`));
    this.#end(group);
    this.#wake();
  }

  /** An episode that cannot be told (it breaks the environment's own rules, or is too large) has no result. */
  async #store(task: GroupTask, lineage: Lineage, played: PlayedEpisode): Promise<void> {
    const { bus, subjects } = this.#deps;
    const publish = (episode: PlayedEpisode) =>
      bus.publish(subjects.trajectory(lineage), encodeTrajectory({ lineage, ...episode }), {
        id: subjects.trajectoryId(task, lineage.member),
        timeoutMs: this.#options.publishTimeoutMs,
      });
    try {
      await publish(played);
    } catch (error) {
      const isUntellable =
        error instanceof TypeError || error instanceof RangeError || error instanceof MessageTooLargeError;
      if (!isUntellable) throw error;
      await publish({ outcome: { type: "noResult", reason: error.message.slice(0, 300) } });
    }
  }

  /** Kept with its reason: nobody can play it. */
  async #deadLetter(delivery: Delivery, reason: string): Promise<void> {
    const { bus, subjects, log } = this.#deps;
    log(`cannot read a task: ${reason}`);
    try {
      await bus.publish(subjects.deadLetter("task"), delivery.data, {
        id: `dead-task/${delivery.sequence}`,
        headers: { "Proxima-Reason": reason.replace(/[^\x20-\x7e]/g, "?").slice(0, 500) },
        timeoutMs: this.#options.publishTimeoutMs,
      });
      await delivery.ack();
    } catch (error) {
      log(`could not keep it as a dead letter: ${(error as Error).message}`);
    }
  }

  /** What could not be played out in time is delivered to another actor. */
  async #storedOrGivenBack(): Promise<void> {
    const playing = new Set([...this.#seats.values()].map((seat) => seat.group));
    for (const group of playing) {
      group.delivery.nak();
      this.#end(group);
    }
    const signal = AbortSignal.timeout(this.#options.drainTimeoutMs);
    while (this.#groups.size && !signal.aborted) await this.#changed(signal);
  }

  #tell(): Told {
    return {
      ...this.#activity(),
      slots: this.#slots,
      idleShare: this.#occupancy.idleShare(this.#taken()),
      groups: this.#groups.size,
      episodes: this.episodes,
      envSteps: this.envSteps,
      weights: this.#deps.weights.current()?.version.counter ?? -1,
    };
  }

  /** The tasks in play stay with this actor. */
  #extend(): void {
    for (const { delivery } of this.#groups) delivery.working();
  }

  /** The wait that has lasted longest, where there is one. */
  #activity(): { doing: Activity; forMs: number } {
    const now = performance.now();
    let longest: { doing: Activity; forMs: number } = { doing: this.#groups.size ? "playing" : "tasks", forMs: 0 };
    if (!this.#groups.size) longest.forMs = now - this.#occupancy.changedAt;
    const consider = (doing: Activity, since: number) => {
      const forMs = now - since;
      if (forMs > BRIEF_MS && forMs > longest.forMs) longest = { doing, forMs };
    };
    const { busySince } = this.#versions;
    if (busySince !== undefined) consider("step", busySince);
    for (const { since } of this.#storing) consider("room", since);
    for (const { held, since } of this.#groups) if (!held) consider("weights", since);
    for (const [{ turn }, { since }] of this.#seats) if (!turn) consider("step", since); // its reset is under way
    return longest;
  }

  async #somethingToPlay(signal: AbortSignal): Promise<void> {
    while (!this.#versions.live && !signal.aborted) await this.#changed(signal);
  }

  /** Episodes whose place is taken: played, waiting for weights, or not stored yet. */
  #taken(): number {
    let taken = 0;
    for (const { unstored } of this.#groups) taken += unstored;
    return taken;
  }

  /** A group has started or ended. */
  #wake(): void {
    this.#occupancy.change(this.#taken());
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  /** Until a group starts or ends, or the signal aborts. */
  #changed(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        signal.removeEventListener("abort", done);
        resolve();
      };
      this.#waiting.add(done);
      signal.addEventListener("abort", done);
    });
  }
}

const suits = (task: GroupTask, held: HeldWeights) =>
  Number(held.incarnation) === task.incarnation &&
  held.version.counter >= task.minWeights &&
  held.version.counter <= task.maxWeights;

/** The learner has restarted, or moved on past what the task allows: its members have been accounted for. */
const isVoid = (task: GroupTask, held: HeldWeights) =>
  Number(held.incarnation) > task.incarnation ||
  (Number(held.incarnation) === task.incarnation && held.version.counter > task.maxWeights);
