/**
 * Where trajectories arrive: decodes and checks each message, tells the ledger, and hands an iteration over once nothing of it is
 * in flight. Messages stay unacknowledged until the checkpoint that contains them is on disk, so a learner that dies gets
 * them again; what arrives twice is known to the ledger and acknowledged without effect.
 */

import type { Bus, Delivery, Puller } from "../proto/bus/bus.ts";
import { DecodeError, decodeTrajectory } from "../proto/codec.ts";
import type { Subjects } from "../proto/subjects.ts";
import type { Trajectory } from "../proto/trajectory.ts";
import type { Ledger, MemberName } from "./ledger.ts";

export interface InboxOptions {
  bus: Bus;
  subjects: Subjects;
  ledger: Ledger;
  /** Why a trajectory cannot be this member's; undefined when it can. */
  misfit(trajectory: Trajectory, name: MemberName): string | undefined;
  /** Whether nobody waits for it any more, as the environment it was played in was rolled back. */
  isVoid(trajectory: Trajectory, name: MemberName): boolean;
  /** A member that was waited for gave no result, or none that could be used. */
  onFailure(name: MemberName, reason: string): void;
  /** Tries per member before it is dropped without result. */
  maxAttempts: number;
  /** Asks for a member again. */
  retry(name: MemberName, attempt: number): Promise<void>;
  /** An episode that was wanted is here. */
  onEpisode(trajectory: Trajectory): void;
  /** A message that could not be used: what was wrong with it. */
  onDeadLetter(subject: string, reason: string): void;
}

/** More are not remembered: an actor that has not answered by then never will. */
const MAX_LATE = 65_536;

const keyOf = (n: MemberName) => `${n.iteration}/${n.group}/${n.member}`;

export class Inbox {
  readonly #options: InboxOptions;
  readonly #puller: Puller;
  readonly #received = new Map<number, Map<string, Trajectory>>();
  readonly #held = new Map<string, Delivery>();
  readonly #waiters = new Set<() => void>();
  /** For the watchdog: the last episodes with and without a result. */
  lastArrival: { atMs: number; actor: string } | undefined;
  lastNoResult: { atMs: number; actor: string; reason: string } | undefined;
  /** Members that were not awaited; their lengths tell what leaving them out favours. */
  readonly #late = new Set<string>();
  #lateLengths: number[] = [];
  /** Why no further message is taken. */
  #failure: unknown;

  constructor(puller: Puller, options: InboxOptions) {
    this.#puller = puller;
    this.#options = options;
  }

  /** Takes messages until the signal aborts; a failure ends the collecting, not this promise. */
  async pump(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) await this.take(500, signal);
    } catch (error) {
      this.#failure = error;
      for (const wake of this.#waiters) wake();
    }
  }

  /** One pull; returns how many messages came. After a restart, called until 0 to learn what is already stored. */
  async take(timeoutMs: number, signal?: AbortSignal): Promise<number> {
    const deliveries = await this.#puller.next(256, timeoutMs, signal);
    await Promise.all(deliveries.map((d) => this.#receive(d)));
    if (deliveries.length) for (const wake of this.#waiters) wake();
    return deliveries.length;
  }

  /**
   * The trajectories of an iteration once enough of its members have arrived. The watchdog tells of a wait that is long.
   * @param onArrival told of each that is here, as long as others are awaited
   */
  async collect(
    iteration: number,
    isEnough: () => boolean,
    signal: AbortSignal,
    onArrival: (trajectory: Trajectory) => void = () => {},
  ): Promise<Trajectory[]> {
    const members = this.#membersOf(iteration);
    const arrivals = members.values(); // goes on with what arrives later, as long as it is not asked for more than there is
    let told = 0;
    while (!isEnough()) {
      signal.throwIfAborted();
      if (this.#failure) throw this.#failure;
      for (; told < members.size; told++) onArrival(arrivals.next().value!);
      await this.#nextArrival(signal);
    }
    return [...members.values()];
  }

  /** A member has been dropped as it did not come in time; what arrives of it is only measured. */
  giveUp(name: MemberName): void {
    this.#late.add(keyOf(name));
    if (this.#late.size > MAX_LATE) this.#late.delete(this.#late.values().next().value!);
  }

  /** Steps of each episode that came too late, or was interrupted for it, since this was asked last. */
  takeLateLengths(): number[] {
    const lengths = this.#lateLengths;
    this.#lateLengths = [];
    return lengths;
  }

  /** A trajectory as it came over the wire, until its iteration is released. */
  encoded(name: MemberName): Uint8Array {
    return this.#held.get(keyOf(name))!.data;
  }

  /** The iteration is trained: its messages are handed over, to be acknowledged after the checkpoint. */
  release(iteration: number): Delivery[] {
    const names = [...(this.#received.get(iteration)?.keys() ?? [])];
    this.#received.delete(iteration);
    return names.flatMap((key) => {
      const delivery = this.#held.get(key);
      this.#held.delete(key);
      return delivery ? [delivery] : [];
    });
  }

  /** What came of a group is void: hands its messages over, to be acknowledged. */
  discard(iteration: number, group: number): Delivery[] {
    const members = this.#received.get(iteration);
    const keys = [...(members?.keys() ?? [])].filter((key) => key.startsWith(`${iteration}/${group}/`));
    return keys.map((key) => {
      const delivery = this.#held.get(key)!;
      members!.delete(key);
      this.#held.delete(key);
      return delivery;
    });
  }

  async close(): Promise<void> {
    await this.#puller.close();
  }

  /** What has arrived of an iteration, by member. */
  #membersOf(iteration: number): Map<string, Trajectory> {
    let members = this.#received.get(iteration);
    if (!members) {
      members = new Map();
      this.#received.set(iteration, members);
    }
    return members;
  }

  async #receive(delivery: Delivery): Promise<void> {
    const name = this.#options.subjects.memberOf(delivery.subject);
    let trajectory: Trajectory;
    try {
      if (!name) throw new DecodeError(`the subject ${delivery.subject} does not name a member`);
      trajectory = decodeTrajectory(delivery.data);
      if (name && this.#options.isVoid(trajectory, name)) return await delivery.ack();
      const wrong = this.#options.misfit(trajectory, name);
      if (wrong) throw new DecodeError(wrong);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      await this.#deadLetter(delivery, name, error.message);
      return;
    }
    const { outcome, lineage, steps } = trajectory;
    if (this.#late.delete(keyOf(name!)))
      this.#lateLengths.push(steps?.count ?? (outcome.type === "noResult" ? (outcome.played ?? 0) : 0));
    if (outcome.type === "noResult") {
      this.lastNoResult = { atMs: Date.now(), actor: lineage.actor, reason: outcome.reason };
      await this.#noResult(delivery, name!, outcome.reason);
      return;
    }
    this.lastArrival = { atMs: Date.now(), actor: lineage.actor };
    this.#keep(delivery, name!, trajectory);
  }

  #keep(delivery: Delivery, name: MemberName, trajectory: Trajectory): void {
    const key = keyOf(name);
    const fate = this.#options.ledger.receive(name);
    const held = this.#held.get(key);
    if (fate === "fresh") {
      this.#membersOf(name.iteration).set(key, trajectory);
      this.#held.set(key, delivery);
      this.#options.onEpisode(trajectory);
    } else if (held?.sequence === delivery.sequence) {
      this.#held.set(key, delivery); // the same message once more: only its latest delivery can be acknowledged
    } else {
      void delivery.ack().catch(() => {});
    }
  }

  async #noResult(delivery: Delivery, name: MemberName, reason: string): Promise<void> {
    await this.#tryAgain(name, `noResult: ${reason}`);
    await delivery.ack();
  }

  /** A member that is still wanted is asked for again, or dropped with the reason when it has been often enough. */
  async #tryAgain(name: MemberName, reason: string): Promise<void> {
    const { ledger, maxAttempts, retry } = this.#options;
    if (ledger.receive(name) !== "fresh") return;
    this.#options.onFailure(name, reason);
    if (ledger.attempts(name) + 1 < maxAttempts) await retry(name, ledger.retry(name));
    else ledger.drop(name, reason);
  }

  /** Keeps the message for inspection; the member it stood for is asked for again, or dropped with the reason. */
  async #deadLetter(delivery: Delivery, name: MemberName | undefined, reason: string): Promise<void> {
    const { bus, subjects, onDeadLetter } = this.#options;
    onDeadLetter(delivery.subject, reason);
    await bus.publish(subjects.deadLetter("trajectory"), delivery.data, {
      id: `dead/${delivery.sequence}`,
      headers: {
        "Proxima-Reason": reason.replace(/[^\x20-\x7e]/g, "?").slice(0, 500),
        "Proxima-Subject": delivery.subject,
      },
      timeoutMs: 10_000,
    });
    if (name) await this.#tryAgain(name, "malformed");
    await delivery.ack();
  }

  /** Until messages have come, or the signal aborts. */
  #nextArrival(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#waiters.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      this.#waiters.add(wake);
      signal.addEventListener("abort", wake);
    });
  }
}
