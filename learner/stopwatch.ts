/** Where the learner's time goes: one section at a time, in milliseconds, lap by lap. */
export class Stopwatch {
  #sections: Record<string, number> = {};
  #current: string | undefined;
  #since = performance.now();
  #lapSince = performance.now();
  readonly #onEnd: (section: string, ms: number) => void;
  laps = 0;

  /** @param onEnd told of each section when it ends, with how long it took */
  constructor(onEnd: (section: string, ms: number) => void = () => {}) {
    this.#onEnd = onEnd;
  }

  /** What is under way, and for how long. */
  get current(): { section: string; sinceMs: number } {
    return { section: this.#current ?? "start", sinceMs: performance.now() - this.#since };
  }

  /** Ends the section under way and starts another. */
  start(section: string): void {
    const now = performance.now();
    if (this.#current) {
      this.#sections[this.#current] = (this.#sections[this.#current] ?? 0) + now - this.#since;
      this.#onEnd(this.#current, now - this.#since);
    }
    this.#current = section;
    this.#since = now;
  }

  /** `<section>Ms` of every section, `iterationMs` and `envStepsPerSecond`; begins a new lap. */
  lap(envSteps: number): Record<string, number> {
    this.start(this.#current ?? "other");
    const iterationMs = this.#since - this.#lapSince;
    const lap: Record<string, number> = { iterationMs, envStepsPerSecond: (1000 * envSteps) / iterationMs };
    for (const [section, ms] of Object.entries(this.#sections)) lap[`${section}Ms`] = ms;
    this.#sections = {};
    this.#lapSince = this.#since;
    this.laps++;
    return lap;
  }
}
