/** The directory of actors: a key-value bucket, and a copy of it that a watch keeps up to date. */
import { actorsBucket } from "../../proto/actor-subjects.ts";
import type { Bus, KeyValue, KeyValueEntry } from "../../proto/bus/bus.ts";
import { KeyConflictError } from "../../proto/bus/errors.ts";
import { type ActorEntry, decodeActorEntry, encodeEntry } from "./entry.ts";

export interface Found {
  entry: ActorEntry;
  revision: number;
}

export class Directory {
  readonly #bucket: KeyValue;
  readonly #known = new Map<string, Found>();
  readonly #listeners = new Set<(name: string, found: Found | undefined) => void>();
  readonly #watching: Promise<void>;
  readonly #closed = new AbortController();

  static async open(bus: Bus): Promise<Directory> {
    return new Directory(await bus.keyValue(actorsBucket));
  }

  private constructor(bucket: KeyValue) {
    this.#bucket = bucket;
    this.#watching = this.#watch();
  }

  /** As last heard; may be a moment old. */
  known(name: string): Found | undefined {
    return this.#known.get(name);
  }

  /** As it is in the bucket now. */
  async read(name: string): Promise<Found | undefined> {
    return this.#take(name, await this.#bucket.get(name));
  }

  async list(): Promise<ActorEntry[]> {
    const names = await this.#bucket.keys();
    const found = await Promise.all(names.map(async (name) => this.#known.get(name) ?? (await this.read(name))));
    return found.flatMap((one) => (one ? [one.entry] : []));
  }

  /** `revision` 0: only where there is none. Throws KeyConflictError when somebody else was first. */
  async put(entry: ActorEntry, revision: number): Promise<Found> {
    const found = { entry, revision: await this.#bucket.put(entry.name, encodeEntry(entry), { revision }) };
    this.#learn(entry.name, found);
    return found;
  }

  /**
   * Changes what is there now, again if somebody else was faster. `change` returns the new entry, "delete", or undefined to
   * leave it. Returns what is there afterwards.
   */
  async update(
    name: string,
    change: (entry: ActorEntry) => ActorEntry | "delete" | undefined,
  ): Promise<Found | undefined> {
    for (let found = await this.read(name); found; found = await this.read(name)) {
      const wanted = change(found.entry);
      if (wanted === undefined) return found;
      try {
        if (wanted !== "delete") return await this.put(wanted, found.revision);
        await this.#bucket.delete(name, { revision: found.revision });
        this.#learn(name, undefined);
        return undefined;
      } catch (error) {
        if (!(error instanceof KeyConflictError)) throw error;
      }
    }
    return undefined;
  }

  onChange(listener: (name: string, found: Found | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Waits for news of an actor; resolves at once when the signal has aborted. */
  changed(name: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const done = () => {
        stop();
        signal.removeEventListener("abort", done);
        resolve();
      };
      const stop = this.onChange((changed) => changed === name && done());
      signal.addEventListener("abort", done);
    });
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    for await (const entry of this.#bucket.watch(">", this.#closed.signal)) this.#take(entry.key, entry);
  }

  /** What the bucket holds; what cannot be read is as good as absent. */
  #take(name: string, raw: KeyValueEntry | undefined): Found | undefined {
    let found: Found | undefined;
    if (raw && !raw.deleted) {
      try {
        found = { entry: decodeActorEntry(raw.value), revision: raw.revision };
      } catch {
        // Written by something else, or by another release.
      }
    }
    const known = this.#known.get(name);
    const isOld = known && (raw?.revision ?? Number.POSITIVE_INFINITY) < known.revision;
    if (isOld) return known;
    this.#learn(name, found);
    return found;
  }

  #learn(name: string, found: Found | undefined): void {
    if (this.#known.get(name)?.revision === found?.revision) return;
    if (found) this.#known.set(name, found);
    else this.#known.delete(name);
    for (const listener of [...this.#listeners]) listener(name, found);
  }
}
