/** How much of an actor's room was free, as a mean over time. */
export class Occupancy {
  readonly #slots: number;
  #idleMs = 0;
  #taken = 0;
  #lapAt = performance.now();
  /** When episodes were taken in or let go last, by the monotonic clock. */
  changedAt = performance.now();

  constructor(slots: number) {
    this.#slots = slots;
  }

  /** From now on this many episodes take up room. */
  change(taken: number): void {
    if (taken === this.#taken) return;
    const now = performance.now();
    this.#idleMs += (now - Math.max(this.changedAt, this.#lapAt)) * this.#free;
    this.#taken = taken;
    this.changedAt = now;
  }

  /** Mean share of the slots that was free since this was asked last. */
  idleShare(taken: number): number {
    this.change(taken);
    const now = performance.now();
    const idleMs = this.#idleMs + (now - Math.max(this.changedAt, this.#lapAt)) * this.#free;
    const share = now > this.#lapAt ? idleMs / (now - this.#lapAt) : this.#free;
    this.#idleMs = 0;
    this.#lapAt = now;
    return share;
  }

  /** A group is taken while one slot is free, so there can be more episodes than slots. */
  get #free(): number {
    return Math.max(0, 1 - this.#taken / this.#slots);
  }
}
