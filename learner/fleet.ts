/**
 * What the learner knows of those who play for it: the heartbeats in the run's directory and the queue they take tasks from. It
 * decides nothing; the watchdog explains with it, and whoever scales actors up or down is told in metrics.
 */
import { decodeHeartbeat, goneAfterMs, HEARTBEAT_TTL_MS, type Heartbeat } from "../policy/heartbeat.ts";
import type { Bus } from "../proto/bus/bus.ts";
import type { Subjects } from "../proto/subjects.ts";

export interface KnownActor {
  beat: Heartbeat;
  /** Milliseconds since 1970 of its last heartbeat. */
  heardAtMs: number;
  /** It has left, or is silent for longer than it promised while we listened. */
  gone: boolean;
}

export interface Queues {
  /** Group tasks that nobody has taken, and those taken but not finished. */
  tasksQueued: number;
  tasksTaken: number;
  trajectories: number;
  trajectoryBytes: number;
}

const SAMPLE_MS = 1000;
/** Actors that have left are remembered for the watchdog, the last ones only. */
const MAX_GONE = 16;

/** Since when this thread has been able to hear others: while it is blocked, all of them seem silent. */
export class Attention {
  readonly #everyMs: number;
  #sinceMs: number;
  #tickedMs: number;

  constructor(everyMs: number, nowMs: number) {
    this.#everyMs = everyMs;
    this.#sinceMs = nowMs;
    this.#tickedMs = nowMs;
  }

  /** To be called every `everyMs` by a timer, which comes late where the thread is blocked. */
  tick(nowMs: number): void {
    this.#sinceMs = this.since(nowMs);
    this.#tickedMs = nowMs;
  }

  since(nowMs: number): number {
    return nowMs - this.#tickedMs > 2 * this.#everyMs ? nowMs : this.#sinceMs;
  }
}

export class Fleet {
  readonly #bus: Bus;
  readonly #subjects: Subjects;
  readonly #actors = new Map<string, KnownActor>();
  readonly #attention = new Attention(SAMPLE_MS, Date.now());
  #queues: Queues | undefined;
  #queued: number[] = [];
  #idle: number[] = [];
  /** The broker has not been reached since then. */
  #away: { sinceMs: number; reason: string } | undefined;
  #sampling = false;
  /** Since when there is no task, neither queued nor taken. */
  #emptySinceMs: number | undefined;

  constructor(bus: Bus, subjects: Subjects) {
    this.#bus = bus;
    this.#subjects = subjects;
  }

  /** Listens until the signal aborts; nobody waits for it, as a broker that is away is what it is there to tell. */
  watch(signal: AbortSignal): void {
    const stopListening = this.#bus.onStatus((status) => {
      if (status.type === "connected") this.#away = undefined;
      else if (status.type === "disconnected") this.#away ??= { sinceMs: Date.now(), reason: status.reason };
    });
    const timer = setInterval(() => {
      this.#attention.tick(Date.now());
      void this.#sample();
    }, SAMPLE_MS);
    signal.addEventListener("abort", () => {
      stopListening();
      clearInterval(timer);
    });
    void this.#sample();
    void this.#listen(signal).catch((error) => {
      if (!signal.aborted) this.#away ??= { sinceMs: Date.now(), reason: (error as Error).message };
    });
  }

  /** Those heard of last come first. */
  actors(): KnownActor[] {
    const nowMs = Date.now();
    const attentiveSinceMs = this.#attention.since(nowMs);
    for (const known of this.#actors.values())
      known.gone ||= nowMs - Math.max(known.heardAtMs, attentiveSinceMs) > goneAfterMs(known.beat);
    return [...this.#actors.values()].sort((a, b) => b.heardAtMs - a.heardAtMs);
  }

  get queues(): Queues | undefined {
    return this.#queues;
  }

  /** For how long the queue has held no task, neither waiting nor taken, as far as is known. */
  get emptyForMs(): number {
    return this.#emptySinceMs === undefined ? 0 : Date.now() - this.#emptySinceMs;
  }

  get brokerAway(): { sinceMs: number; reason: string } | undefined {
    return this.#away;
  }

  /**
   * The signal for autoscaling, since this was asked last. Actors suggested: as many as would play an iteration's episodes in the
   * time in which the learner does everything else, but no more than it has episodes for.
   * @param lap times of the iteration, in ms, and its episodes
   */
  signal(lap: { iterationMs: number; waitMs: number; episodes: number }): Record<string, number> {
    const present = this.actors().filter(({ gone }) => !gone);
    const slots = present.reduce((n, { beat }) => n + beat.slots, 0);
    if (!this.#idle.length) this.#idle = present.map(({ beat }) => beat.idleShare);
    const idleShare = mean(this.#idle);
    const tasksQueued = this.#queued.length ? mean(this.#queued) : (this.#queues?.tasksQueued ?? Number.NaN);
    const busyMs = present.length * (1 - idleShare) * lap.iterationMs;
    const enough = Math.ceil((lap.episodes * present.length) / Math.max(1, slots));
    const balanced = Math.ceil(busyMs / Math.max(1, lap.iterationMs - lap.waitMs));
    const actorsSuggested = present.length ? Math.max(1, Math.min(enough, balanced)) : 1;
    this.#idle = [];
    this.#queued = [];
    const signal = { tasksQueued, idleShare, actorsSuggested };
    return Object.fromEntries(Object.entries(signal).filter(([, value]) => Number.isFinite(value)));
  }

  async #listen(signal: AbortSignal): Promise<void> {
    const directory = await this.#bus.keyValue(this.#subjects.directoryBucket, { ttlMs: HEARTBEAT_TTL_MS });
    for await (const { key, value, deleted } of directory.watch("*", signal)) {
      const known = this.#actors.get(key);
      if (deleted) {
        if (known) known.gone = true;
        this.#forgetOldest();
        continue;
      }
      const beat = decodeHeartbeat(value);
      if (!beat) continue;
      this.#actors.set(key, { beat, heardAtMs: Date.now(), gone: false });
      if (beat.weights >= 0) this.#idle.push(beat.idleShare);
    }
  }

  #forgetOldest(): void {
    const gone = this.actors().filter((actor) => actor.gone);
    for (const { beat } of gone.slice(MAX_GONE)) this.#actors.delete(beat.actor);
  }

  async #sample(): Promise<void> {
    if (this.#sampling) return;
    this.#sampling = true;
    try {
      const { taskStream, trajectoryStream } = this.#subjects;
      const tasks = await this.#bus.streamState(taskStream);
      const trajectories = await this.#bus.streamState(trajectoryStream);
      this.#away = undefined;
      const tasksQueued = Math.max(0, tasks.messages - tasks.pending);
      this.#queued.push(tasksQueued);
      this.#emptySinceMs = tasks.messages === 0 ? (this.#emptySinceMs ?? Date.now()) : undefined;
      this.#queues = {
        tasksQueued,
        tasksTaken: tasks.pending,
        trajectories: trajectories.messages,
        trajectoryBytes: trajectories.bytes,
      };
    } catch (error) {
      this.#away ??= { sinceMs: Date.now(), reason: (error as Error).message };
    } finally {
      this.#sampling = false;
    }
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
