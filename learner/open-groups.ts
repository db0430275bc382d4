/**
 * The groups of the iterations under way: opened in the ledger, asked for, gathered as their episodes arrive, and let go where
 * nobody waits for them. Where the newest generation of the environment fails, its groups are played again by the one before.
 */
import { describeAssignment, type GenerationRecord } from "../envs/assignment.ts";
import type { Bus, Delivery } from "../proto/bus/bus.ts";
import type { Subjects } from "../proto/subjects.ts";
import type { Trajectory } from "../proto/trajectory.ts";
import type { RunConfig } from "./config.ts";
import type { Generations, OpenIteration } from "./generations.ts";
import { Inbox } from "./inbox.ts";
import { Ledger, type LedgerState, type MemberName } from "./ledger.ts";
import type { GroupEvents } from "./metrics/group-tracer.ts";
import type { TaskIssuer } from "./tasks.ts";

/** A refilled iteration asks for at most this many times the groups it wants to train. */
const MAX_REFILL = 4;

export interface OpenGroupsDependencies {
  config: RunConfig;
  bus: Bus;
  subjects: Subjects;
  generations: Generations;
  tasks: TaskIssuer;
  /** The iteration under way. */
  current(): number;
  /** Writes down what became of a generation; durable when it resolves. */
  announce(record: GenerationRecord): Promise<void>;
  /** Why a trajectory cannot be the answer to the task this run issued; undefined when it can. */
  misfit(trajectory: Trajectory, name: MemberName): string | undefined;
  trace?: GroupEvents;
  onNotice(message: string): void;
}

/** Which generation is to be left, and why. */
interface Doubt {
  generation: number;
  reason: string;
}

export class OpenGroups {
  readonly #deps: OpenGroupsDependencies;
  readonly #stop = new AbortController();
  #ledger = new Ledger();
  #isRestored = false;
  #inbox: Inbox | undefined;
  #pumping: Promise<void> | undefined;
  /** Iterations whose tasks have been issued. */
  #issuedBefore = 0;
  #askedAgain = 0;
  /** Aborts, with a Doubt, when the newest generation of the environment is to be rolled back. */
  #doubt = new AbortController();

  constructor(deps: OpenGroupsDependencies) {
    this.#deps = deps;
  }

  get ledger(): Ledger {
    return this.#ledger;
  }

  /** Undefined before `begin`. */
  get inbox(): Inbox | undefined {
    return this.#inbox;
  }

  /** Episodes asked for and not yet arrived. */
  get inFlight(): number {
    let episodes = 0;
    for (const { iteration } of this.#open(this.#deps.current())) {
      for (const { members } of this.#ledger.waiting(iteration)) episodes += members.length;
    }
    return episodes;
  }

  /** Of a checkpoint. Call before `begin`. */
  restore(state: LedgerState): void {
    this.#isRestored = true;
    this.#ledger = Ledger.restore(state);
  }

  /** Opens the streams and takes in what is already stored there. */
  async begin(): Promise<void> {
    const { bus, subjects, config, generations, tasks, trace, misfit, onNotice } = this.#deps;
    await bus.purge(subjects.taskStream); // tasks of an earlier learner; those still wanted are issued again
    if (!this.#isRestored) await bus.purge(subjects.trajectoryStream); // left by another run of this name
    const puller = await bus.puller({
      stream: subjects.trajectoryStream,
      durable: subjects.trajectoryConsumer,
      ackWaitMs: 3_600_000, // held until the checkpoint that contains them
      maxAckPending: 1_000_000,
      restart: true, // whatever an earlier learner held comes again, at once
    });
    this.#inbox = new Inbox(puller, {
      bus,
      subjects,
      ledger: this.#ledger,
      misfit,
      isVoid: ({ lineage }, name) => generations.isVoid(lineage.environment.generation, name),
      onFailure: (name, reason) => this.#doubtIfFailing(name, reason),
      maxAttempts: config.maxAttempts,
      retry: (name, attempt) => tasks.issue({ ...name, members: [name.member], attempt }),
      onEpisode: (trajectory) => trace?.arrived(trajectory, Date.now()),
      onDeadLetter: (subject, reason) => onNotice(`Dead letter from ${subject}: ${reason}`),
    });
    while (this.#isRestored && (await this.#inbox.take(200)));
    this.#pumping = this.#inbox.pump(this.#stop.signal);
    this.#issuedBefore = this.#deps.current();
  }

  /** Issues the tasks of all iterations up to this one; those not yet open are opened with so many groups. */
  async issue(upTo: number, groups: number): Promise<void> {
    for (let i = this.#issuedBefore; i <= upTo; i++) {
      if (!this.#ledger.groups(i)) await this.#adopt(i);
      if (!this.#ledger.groups(i)) this.#start(i, groups);
      await this.#issueWaiting(i);
      this.#issuedBefore = i + 1;
    }
  }

  /**
   * The episodes of the iteration, once each member has been played or dropped with a reason; with overSample or completionRatio,
   * once enough of them have.
   * @param onArrival as of the inbox
   */
  async collect(
    iteration: number,
    signal: AbortSignal,
    onArrival: (trajectory: Trajectory) => void,
  ): Promise<Trajectory[]> {
    let trajectories: Trajectory[];
    do trajectories = await this.#gather(iteration, signal, onArrival);
    while (await this.#rollBack(iteration));
    this.#dropStragglers(iteration);
    return trajectories;
  }

  /** Opens so many further groups of an iteration that wants to train `groups`; false when it has asked for too many already. */
  async refill(iteration: number, missing: number, groups: number): Promise<boolean> {
    if (this.#ledger.groups(iteration) >= groups * MAX_REFILL) return false;
    this.#start(iteration, missing);
    await this.#issueWaiting(iteration);
    return true;
  }

  /**
   * Asks once more for what is waited for: its tasks are in no queue any more. (A purge that a frozen broker answers late takes what
   * was issued after it, say.) What is played twice is trained once.
   */
  async askAgain(): Promise<void> {
    this.#askedAgain++;
    for (let i = this.#deps.current(); i < this.#issuedBefore; i++) await this.#issueWaiting(i);
  }

  /** Leaves the newest generation of the environment; the one before plays all groups of the iterations that are open. */
  backToLastEnvironment(reason: string): void {
    this.#doubt.abort({ generation: this.#deps.generations.newest.record.generation, reason } satisfies Doubt);
  }

  /** Takes no more messages. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#pumping;
  }

  /** Opens groups, with spare ones where that is asked for. */
  #start(iteration: number, groups: number): void {
    const { overSample, groupSize } = this.#deps.config;
    this.#ledger.start(iteration, Math.ceil(groups * (1 + overSample)), groupSize);
  }

  /** The trajectories of an iteration, or nothing when the environment turns out to fail. */
  async #gather(
    iteration: number,
    signal: AbortSignal,
    onArrival: (trajectory: Trajectory) => void,
  ): Promise<Trajectory[]> {
    const { overSample, completionRatio } = this.#deps.config;
    const isEnough = () => {
      const groups = Math.floor(this.#ledger.groups(iteration) / (1 + overSample) + 1e-9);
      return this.#ledger.isReady(iteration, { groups, share: completionRatio });
    };
    const until = AbortSignal.any([signal, this.#doubt.signal]);
    try {
      return await this.#inbox!.collect(iteration, isEnough, until, onArrival);
    } catch (error) {
      if (signal.aborted || !this.#doubt.signal.aborted) throw error;
      return [];
    }
  }

  /**
   * What is not awaited is dropped. Its tasks stay in the queue: actors let them go, and what they play of them, as soon as they
   * hold the next weights.
   */
  #dropStragglers(iteration: number): void {
    for (const { group, members } of this.#ledger.waiting(iteration)) {
      for (const member of members) {
        const name = { iteration, group, member };
        this.#ledger.drop(name, "straggler");
        this.#inbox!.giveUp(name);
      }
    }
  }

  /** Iterations from this one on whose groups have been asked for. */
  #open(iteration: number): OpenIteration[] {
    const count = Math.max(this.#issuedBefore, iteration + 1) - iteration;
    const open = Array.from({ length: count }, (_, i) => iteration + i);
    return open.map((i) => ({ iteration: i, groups: this.#ledger.groups(i) }));
  }

  /** A generation that waits for its turn begins with the groups of an iteration. */
  async #adopt(iteration: number): Promise<void> {
    const { generations, announce, onNotice } = this.#deps;
    for (const { record } of generations.adopt(iteration)) {
      await announce(record);
      if (record.state !== "playing") continue;
      const share = record.canaryShare === 1 ? "all groups" : `a share of ${record.canaryShare} of the groups`;
      const what = `Environment generation ${record.generation}, ${describeAssignment(record)},`;
      onNotice(`${what} plays ${share} from iteration ${iteration} on.`);
    }
  }

  #doubtIfFailing(name: MemberName, reason: string): void {
    const { generations, current } = this.#deps;
    generations.fail(name, reason);
    const why = generations.verdict(this.#open(current()));
    if (why !== undefined) this.backToLastEnvironment(why);
  }

  /**
   * Where the newest generation has failed: its groups of all open iterations, whatever became of their members, are asked for again
   * in the generation before. Nothing of them was trained, so nothing is lost and nothing counts twice.
   */
  async #rollBack(iteration: number): Promise<boolean> {
    if (!this.#doubt.signal.aborted) return false;
    const { generation, reason } = this.#doubt.signal.reason as Doubt;
    this.#doubt = new AbortController();
    const { generations, announce, onNotice } = this.#deps;
    const { fallback, newest } = generations;
    if (!fallback || newest.record.generation !== generation) return true; // it has been replaced meanwhile
    const affected = this.#open(iteration).map((open) => ({ open, groups: generations.groupsOf(newest, open) }));
    const { record } = generations.rollBack(iteration, reason);
    const deliveries: Delivery[] = [];
    for (const { open, groups } of affected) {
      for (const group of groups) {
        deliveries.push(...this.#inbox!.discard(open.iteration, group));
        this.#ledger.restart(open.iteration, group);
      }
    }
    await announce(record);
    onNotice(
      `Rolled environment generation ${record.generation}, ${describeAssignment(record)}, back in iteration ${iteration}: ${reason}. ` +
        `Generation ${fallback.record.generation}, ${describeAssignment(fallback.record)}, plays all groups again.`,
    );
    await Promise.all(deliveries.map((delivery) => delivery.ack()));
    // The tasks still in the queue are known to actors as void by the record of their generation.
    for (const { open, groups } of affected) await this.#issueWaiting(open.iteration, new Set(groups));
    return true;
  }

  /** @param only these groups; all when absent */
  async #issueWaiting(iteration: number, only?: ReadonlySet<number>): Promise<void> {
    const { tasks, trace } = this.#deps;
    const waiting = this.#ledger.waiting(iteration).filter(({ group }) => only?.has(group) ?? true);
    const wanted = waiting.flatMap(({ group, members, attempts }) => {
      const rounds = [...new Set(attempts)];
      return rounds.map((attempt) => ({
        iteration,
        group,
        attempt,
        again: this.#askedAgain,
        members: members.filter((_, i) => attempts[i] === attempt),
      }));
    });
    for (const { group, members } of wanted) trace?.issued(iteration, group, members, Date.now());
    await Promise.all(wanted.map((w) => tasks.issue(w)));
  }
}
