/** The calls of one actor: so many at a time, the others in order, and no more waiting than there is room for. */
export interface Job {
  run(): Promise<void>;
}

export class Mailbox {
  readonly #room: number;
  readonly #concurrency: number;
  readonly #waiting: Job[] = [];
  #running = 0;
  #idle: (() => void) | undefined;
  /** Jobs finished. */
  done = 0;

  /** @param room jobs that may wait beside the `concurrency` ones that run */
  constructor(room: number, concurrency: number) {
    this.#room = room;
    this.#concurrency = concurrency;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** False when it is full. */
  offer(job: Job): boolean {
    if (this.#running < this.#concurrency) void this.#run(job);
    else if (this.#waiting.length >= this.#room) return false;
    else this.#waiting.push(job);
    return true;
  }

  /** A job that still waits; one that runs is left alone. */
  remove(job: Job): void {
    const at = this.#waiting.indexOf(job);
    if (at >= 0) this.#waiting.splice(at, 1);
  }

  /** Resolves when nothing runs or waits. */
  empty(): Promise<void> {
    if (this.#running === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle = resolve;
    });
  }

  async #run(first: Job): Promise<void> {
    this.#running++;
    for (let job: Job | undefined = first; job; job = this.#waiting.shift()) {
      await job.run();
      this.done++;
    }
    this.#running--;
    if (this.#running === 0) this.#idle?.();
  }
}
