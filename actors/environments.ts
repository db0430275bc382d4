/**
 * The generations of the run's environment that this actor plays. A task names its generation; what that is stands in the run's
 * state, and is loaded, verified and kept by what it is. Never is it "whatever is current".
 */
import {
  decodeRecord,
  describeAssignment,
  type EnvironmentAssignment,
  type GenerationRecord,
  generationKey,
  generationKeys,
} from "../envs/assignment.ts";
import type { EnvironmentLoader, LoadedEnvironment } from "../envs/bundle/loader.ts";
import type { Environment, EnvironmentSource } from "../envs/environment.ts";
import type { KeyValue } from "../proto/bus/bus.ts";
import type { GroupTask } from "../proto/trajectory.ts";

export interface PlayableEnvironment {
  type: "playable";
  id: string;
  digest: string;
  source: EnvironmentSource;
  /** Instances between two episodes. */
  idle: Environment[];
  /** Groups that play it now. */
  groups: number;
}

export interface UnplayableEnvironment {
  type: "unplayable";
  id: string;
  digest: string;
  /** Why it cannot be played here. */
  reason: string;
}

interface Kept extends PlayableEnvironment {
  loaded: LoadedEnvironment;
}

/** At most two generations play at once; one more may be about to, and one be played out. */
const MAX_KEPT = 4;

/** What could not be loaded is tried again after this long: a bundle may be large, and the tasks that ask for it many. */
const RETRY_MS = 2_000;

/** Two generations may be the same environment on other terms. */
const keyOf = ({ reference, bundle, arguments: given, digest }: EnvironmentAssignment) =>
  JSON.stringify([reference, bundle, given, digest]);

export class Environments {
  readonly #loader: EnvironmentLoader;
  readonly #log: (message: string) => void;
  /** By what they are, the one used last at the end. */
  readonly #kept = new Map<string, Promise<Kept>>();
  readonly #state: KeyValue;
  /** By generation that was rolled back: the first iteration that does not play it. */
  readonly #endedAt = new Map<number, number>();
  #assignments = new Map<number, EnvironmentAssignment>();

  constructor(loader: EnvironmentLoader, state: KeyValue, log: (message: string) => void) {
    this.#loader = loader;
    this.#state = state;
    this.#log = log;
  }

  /** Joins a learner, possibly another than before: what its generations are is asked for again, what is loaded stays. */
  async join(assignment: EnvironmentAssignment): Promise<PlayableEnvironment> {
    this.#assignments = new Map([[assignment.generation, assignment]]);
    return this.#load(assignment);
  }

  /** Throws an Error where nothing is known of the generation. */
  async get(generation: number): Promise<PlayableEnvironment | UnplayableEnvironment> {
    const assignment = await this.#assignment(generation);
    try {
      return await this.#load(assignment);
    } catch (error) {
      const { reference: id, digest } = assignment;
      return { type: "unplayable", id, digest, reason: (error as Error).message };
    }
  }

  /** Whether the task's generation was rolled back: its members have been asked for in another. */
  isVoid({ environmentGeneration, iteration }: Pick<GroupTask, "environmentGeneration" | "iteration">): boolean {
    return iteration >= (this.#endedAt.get(environmentGeneration) ?? Number.POSITIVE_INFINITY);
  }

  /** Loads what the learner has accepted before the first task asks for it, and learns what it has rolled back. */
  async follow(signal: AbortSignal): Promise<void> {
    for await (const { value, deleted } of this.#state.watch(generationKeys, signal)) {
      if (deleted) continue;
      let record: GenerationRecord;
      try {
        record = decodeRecord(value);
      } catch (error) {
        this.#log((error as Error).message);
        continue;
      }
      const { generation, state, until } = record;
      if (state === "rolledBack" && until !== undefined) this.#endedAt.set(generation, until);
      else this.#endedAt.delete(generation);
      if (state === "accepted")
        void this.#load(record).catch((error) => this.#log(`cannot prepare an environment: ${error.message}`));
    }
  }

  async close(): Promise<void> {
    const all = await Promise.allSettled(this.#kept.values());
    this.#kept.clear();
    for (const kept of all) if (kept.status === "fulfilled") await end(kept.value);
  }

  async #assignment(generation: number): Promise<EnvironmentAssignment> {
    const known = this.#assignments.get(generation);
    if (known) return known;
    const entry = await this.#state.get(generationKey(generation));
    if (!entry) throw new Error(`Cannot play generation ${generation} of the environment: the run's state lacks it`);
    const assignment = decodeRecord(entry.value);
    this.#assignments.set(generation, assignment);
    return assignment;
  }

  /** Loading can mean reading thousands of games: it is done once. */
  #load(assignment: EnvironmentAssignment): Promise<Kept> {
    const key = keyOf(assignment);
    const known = this.#kept.get(key);
    const kept = known ?? this.#fresh(assignment);
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    if (!known) {
      kept.catch(() => setTimeout(() => this.#kept.delete(key), RETRY_MS));
      void this.#evict();
    }
    return kept;
  }

  async #fresh(assignment: EnvironmentAssignment): Promise<Kept> {
    const { generation, bundle, digest } = assignment;
    const loaded = await this.#loader.load(assignment);
    const { source } = loaded;
    if (loaded.digest !== digest) {
      loaded.close();
      throw new Error(
        `Cannot play ${describeAssignment(assignment)}: this machine has digest ${loaded.digest}, the learner ${digest}. Install the same version, or copy the same environment file.`,
      );
    }
    if (bundle !== undefined) this.#log(`has environment generation ${generation}: ${loaded.how}`);
    return { type: "playable", id: source.spec.id, digest, source, idle: [], groups: 0, loaded };
  }

  async #evict(): Promise<void> {
    for (const [key, kept] of [...this.#kept].slice(0, -MAX_KEPT)) {
      const oldest = await kept.catch(() => undefined);
      if (oldest && oldest.groups > 0) continue;
      this.#kept.delete(key);
      if (oldest) await end(oldest);
    }
  }
}

async function end({ idle, loaded }: Kept): Promise<void> {
  for (const environment of idle.splice(0)) await environment.close();
  loaded.close();
}
