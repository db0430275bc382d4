/**
 * The learner's durable account of every trajectory. At any moment, for any run:
 *
 *   episodes started = trained + dropped (each with a reason) + in flight
 *
 * An episode is started when its task is issued, and is named by (iteration, group, member). Iterations close in order, and
 * a closed iteration has no member in flight, so the account of the past is a few counters and only open iterations are
 * kept member by member. The ledger is part of every checkpoint.
 */

type Fate = "inFlight" | "received" | "trained" | "dropped";

interface OpenGroup {
  members: Fate[];
  attempts: number[];
}

export interface LedgerState {
  started: number;
  trained: number;
  dropped: Record<string, number>;
  /** Iterations below this number are closed. */
  closedBefore: number;
  open: { iteration: number; groups: { members: Fate[]; attempts: number[] }[] }[];
}

export interface MemberName {
  iteration: number;
  group: number;
  member: number;
}

export class Ledger {
  #started = 0;
  #trained = 0;
  #dropped: Record<string, number> = {};
  #closedBefore = 0;
  #open = new Map<number, OpenGroup[]>();

  /** Opens `count` groups of `groupSize` members at the end of an iteration; returns the number of the first. */
  start(iteration: number, count: number, groupSize: number): number {
    if (iteration < this.#closedBefore)
      throw new RangeError(`Cannot start groups in iteration ${iteration}: it is closed`);
    const groups = this.#open.get(iteration) ?? [];
    this.#open.set(iteration, groups);
    const first = groups.length;
    for (let i = 0; i < count; i++) {
      groups.push({ members: Array(groupSize).fill("inFlight"), attempts: Array(groupSize).fill(0) });
    }
    this.#started += count * groupSize;
    return first;
  }

  /**
   * A trajectory has arrived. `fresh`: count on it. `duplicate`: this member has already been received, trained or
   * dropped. `unknown`: nobody asked for it.
   */
  receive(name: MemberName): "fresh" | "duplicate" | "unknown" {
    if (name.iteration < this.#closedBefore) return "duplicate";
    const group = this.#open.get(name.iteration)?.[name.group];
    const fate = group?.members[name.member];
    if (!group || fate === undefined) return "unknown";
    if (fate !== "inFlight") return "duplicate";
    group.members[name.member] = "received";
    return "fresh";
  }

  /** A member that gave no result is wanted again; returns the number of the new attempt. */
  retry(name: MemberName): number {
    const group = this.#group(name);
    group.members[name.member] = "inFlight";
    return ++group.attempts[name.member]!;
  }

  attempts(name: MemberName): number {
    return this.#group(name).attempts[name.member]!;
  }

  train(name: MemberName): void {
    this.#settle(name, "trained");
    this.#trained++;
  }

  drop(name: MemberName, reason: string): void {
    this.#settle(name, "dropped");
    this.#dropped[reason] = (this.#dropped[reason] ?? 0) + 1;
  }

  /** Members of an iteration that nothing has been heard of, by group. */
  waiting(iteration: number): { group: number; members: number[]; attempts: number[] }[] {
    const groups = this.#open.get(iteration) ?? [];
    return groups.flatMap((g, group) => {
      const members = g.members.flatMap((fate, member) => (fate === "inFlight" ? [member] : []));
      return members.length ? [{ group, members, attempts: members.map((m) => g.attempts[m]!) }] : [];
    });
  }

  /**
   * Whether at least so many groups of an iteration are ready: of each at least this share of its members has arrived or met its
   * fate. Asked after every message, so it builds no list.
   */
  isReady(iteration: number, { groups, share }: { groups: number; share: number }): boolean {
    let ready = 0;
    for (const { members } of this.#open.get(iteration) ?? []) {
      let waiting = 0;
      for (const fate of members) if (fate === "inFlight") waiting++;
      if (members.length - waiting >= share * members.length) ready++;
    }
    return ready >= groups;
  }

  groups(iteration: number): number {
    return this.#open.get(iteration)?.length ?? 0;
  }

  /** Ends an iteration; every member must have met its fate. */
  close(iteration: number): void {
    const unsettled = (this.#open.get(iteration) ?? [])
      .flatMap((g) => g.members)
      .filter((f) => f === "inFlight" || f === "received");
    if (unsettled.length)
      throw new Error(
        `Cannot close iteration ${iteration}: ${unsettled.length} members are neither trained nor dropped`,
      );
    this.#open.delete(iteration);
    this.#closedBefore = iteration + 1;
  }

  /** The account, with what is in flight counted member by member (not by subtraction). */
  balance(): {
    started: number;
    trained: number;
    dropped: number;
    reasons: Record<string, number>;
    inFlight: number;
    balanced: boolean;
  } {
    let inFlight = 0;
    for (const groups of this.#open.values()) {
      for (const g of groups) for (const fate of g.members) if (fate === "inFlight" || fate === "received") inFlight++;
    }
    const dropped = Object.values(this.#dropped).reduce((a, b) => a + b, 0);
    const balanced = this.#started === this.#trained + dropped + inFlight;
    return {
      started: this.#started,
      trained: this.#trained,
      dropped,
      reasons: { ...this.#dropped },
      inFlight,
      balanced,
    };
  }

  state(): LedgerState {
    return {
      started: this.#started,
      trained: this.#trained,
      dropped: { ...this.#dropped },
      closedBefore: this.#closedBefore,
      open: [...this.#open].map(([iteration, groups]) => ({ iteration, groups: structuredClone(groups) })),
    };
  }

  /** What was received but not trained when the checkpoint was written will be delivered again: it is in flight. */
  static restore(state: LedgerState): Ledger {
    const ledger = new Ledger();
    ledger.#started = state.started;
    ledger.#trained = state.trained;
    ledger.#dropped = { ...state.dropped };
    ledger.#closedBefore = state.closedBefore;
    for (const { iteration, groups } of state.open) {
      const restored = groups.map((g) => ({
        members: g.members.map((f): Fate => (f === "received" ? "inFlight" : f)),
        attempts: [...g.attempts],
      }));
      ledger.#open.set(iteration, restored);
    }
    return ledger;
  }

  #group(name: MemberName): OpenGroup {
    const group = this.#open.get(name.iteration)?.[name.group];
    if (!group) throw new RangeError(`The ledger has no open group ${name.group} in iteration ${name.iteration}`);
    return group;
  }

  #settle(name: MemberName, fate: "trained" | "dropped"): void {
    const group = this.#group(name);
    const before = group.members[name.member];
    if (before !== "received" && before !== "inFlight") {
      throw new Error(
        `Member ${name.iteration}/${name.group}/${name.member} cannot be ${fate}: it is ${before ?? "unknown"}`,
      );
    }
    group.members[name.member] = fate;
  }
}
