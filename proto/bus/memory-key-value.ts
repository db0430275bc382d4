import type { KeyValue, KeyValueEntry, ObjectStore } from "./bus.ts";
import { immutableObjectError, KeyConflictError } from "./errors.ts";
import { Feed } from "./feed.ts";
import { checkKey, checkPattern, subjectMatches } from "./names.ts";
import { background } from "./timers.ts";

/** One key-value bucket of the memory broker. */
export class MemoryKeyValue {
  ttlMs: number | undefined;
  readonly #bucket: string;
  readonly #entries = new Map<string, KeyValueEntry & { expiry?: { cancel(): void } }>();
  readonly #watchers = new Set<{ pattern: string; feed: Feed<KeyValueEntry> }>();
  #revision = 0;

  constructor(bucket: string) {
    this.#bucket = bucket;
  }

  /** The bucket as one connection sees it; its watches end when `closed` aborts. */
  view(closed: AbortSignal): KeyValue {
    return {
      get: async (key) => {
        checkKey(key);
        const entry = this.#entries.get(key);
        return entry && !entry.deleted ? copy(entry) : undefined;
      },
      put: async (key, value, options) => {
        checkKey(key);
        const entry = this.#entries.get(key);
        const latest = entry && !entry.deleted ? entry.revision : 0;
        const expected = options?.revision;
        if (expected !== undefined && expected !== latest) throw new KeyConflictError(this.#bucket, key, expected);
        return this.#write(key, value.slice(), false);
      },
      delete: async (key, options) => {
        checkKey(key);
        const entry = this.#entries.get(key);
        if (!entry || entry.deleted) return;
        const expected = options?.revision ?? entry.revision;
        if (expected !== entry.revision) throw new KeyConflictError(this.#bucket, key, expected);
        this.#write(key, new Uint8Array(0), true);
      },
      keys: async () => [...this.#entries.values()].filter((entry) => !entry.deleted).map((entry) => entry.key),
      watch: (pattern, signal) => {
        checkPattern(pattern);
        return this.#watch(pattern, AbortSignal.any([signal, closed]));
      },
    };
  }

  #write(key: string, value: Uint8Array, deleted: boolean): number {
    this.#entries.get(key)?.expiry?.cancel();
    const revision = ++this.#revision;
    const entry = { key, value, revision, deleted };
    const expiry = this.ttlMs === undefined ? undefined : background(() => this.#expire(key), this.ttlMs);
    this.#entries.delete(key); // so that iteration goes by revision
    this.#entries.set(key, { ...entry, expiry });
    this.#tell(entry);
    return revision;
  }

  #expire(key: string): void {
    const entry = this.#entries.get(key);
    this.#entries.delete(key);
    if (entry && !entry.deleted) this.#tell({ ...entry, value: new Uint8Array(0), deleted: true });
  }

  #tell(entry: KeyValueEntry): void {
    for (const watcher of this.#watchers) {
      if (subjectMatches(watcher.pattern, entry.key)) watcher.feed.push(copy(entry));
    }
  }

  async *#watch(pattern: string, signal: AbortSignal): AsyncGenerator<KeyValueEntry, void, void> {
    if (signal.aborted) return;
    const watcher = { pattern, feed: new Feed<KeyValueEntry>() };
    const end = () => watcher.feed.end({ discard: true });
    signal.addEventListener("abort", end);
    this.#watchers.add(watcher);
    try {
      for (const entry of this.#entries.values()) {
        if (!entry.deleted && subjectMatches(pattern, entry.key)) watcher.feed.push(copy(entry));
      }
      yield* watcher.feed;
    } finally {
      this.#watchers.delete(watcher);
      signal.removeEventListener("abort", end);
    }
  }
}

/** One object bucket of the memory broker. */
export class MemoryObjects implements ObjectStore {
  readonly #bucket: string;
  readonly #objects = new Map<string, Uint8Array>();

  constructor(bucket: string) {
    this.#bucket = bucket;
  }

  async put(name: string, data: Uint8Array): Promise<void> {
    const stored = this.#objects.get(name);
    if (stored && !equal(stored, data)) throw immutableObjectError(this.#bucket, name);
    this.#objects.set(name, data.slice());
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    return this.#objects.get(name)?.slice();
  }

  async list(): Promise<string[]> {
    return [...this.#objects.keys()];
  }
}

function copy({ key, value, revision, deleted }: KeyValueEntry): KeyValueEntry {
  return { key, value: value.slice(), revision, deleted };
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
