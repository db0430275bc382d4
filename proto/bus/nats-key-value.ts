import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { JetStreamClient } from "@nats-io/jetstream";
import type { KV, KvWatchEntry } from "@nats-io/kv";
import { Kvm } from "@nats-io/kv";
import { headers as newHeaders } from "@nats-io/nats-core";
import type { ObjectInfo, ObjectStore as Objects } from "@nats-io/obj";
import { Objm } from "@nats-io/obj";
import type { KeyValue, KeyValueEntry, ObjectStore } from "./bus.ts";
import { AbsentBucketError, immutableObjectError, KeyConflictError, NotPermittedError } from "./errors.ts";
import { Feed } from "./feed.ts";
import { checkKey, checkPattern, subjectMatches } from "./names.ts";
import type { NatsLink } from "./nats-link.ts";
import { BrokerError, bounded, brokerCode, forbiddenSubject, NoAnswer, plainBytes } from "./nats-link.ts";
import { background, backoffMs, sleep } from "./timers.ts";

export interface BucketOptions {
  ttlMs?: number;
  history?: number;
  keep?: boolean;
  replicas: number;
}

/** How often a watcher that may not create a consumer looks. */
const LOOK_MS = 1_000;

/** A key-value bucket over NATS: reads and watches by @nats-io/kv; writes by the link, which repeats them safely. */
export class NatsKeyValue implements KeyValue {
  readonly #link: NatsLink;
  readonly #bucket: string;
  readonly #kv: KV;
  readonly #ttlMs: number | undefined;

  static async open(link: NatsLink, jetstream: JetStreamClient, bucket: string, options: BucketOptions) {
    const { ttlMs, history = 1, keep, replicas } = options;
    return openBucket(link, bucket, async () => {
      // Copies may answer direct reads with what was true a moment ago.
      const kv = await new Kvm(jetstream).create(bucket, {
        ttl: ttlMs,
        history,
        replicas,
        allow_direct: replicas === 1,
      });
      const { config } = (await kv.status()).streamInfo;
      const maxAge = ttlMs === undefined || keep ? config.max_age : ttlMs * 1_000_000;
      // Whoever came first may have known nothing of copies.
      const copies = Math.max(replicas, config.num_replicas);
      if (maxAge !== config.max_age || history > config.max_msgs_per_subject || copies > config.num_replicas) {
        await (await jetstream.jetstreamManager()).streams.update(config.name, {
          ...config,
          num_replicas: copies,
          allow_direct: copies === 1,
          max_msgs_per_subject: Math.max(history, config.max_msgs_per_subject),
          max_age: maxAge,
          duplicate_window: maxAge > 0 ? Math.min(config.duplicate_window, maxAge) : config.duplicate_window,
        });
      }
      return new NatsKeyValue(link, bucket, kv, maxAge > 0 ? maxAge / 1_000_000 : undefined);
    });
  }

  private constructor(link: NatsLink, bucket: string, kv: KV, ttlMs: number | undefined) {
    this.#link = link;
    this.#bucket = bucket;
    this.#kv = kv;
    this.#ttlMs = ttlMs;
  }

  async get(key: string): Promise<KeyValueEntry | undefined> {
    const entry = await this.#latest(key);
    return entry && !entry.deleted ? entry : undefined;
  }

  async put(key: string, value: Uint8Array, { revision }: { revision?: number } = {}): Promise<number> {
    checkKey(key);
    try {
      return await this.#write(key, value, revision);
    } catch (error) {
      if (!isConflict(error) || revision === undefined) throw error;
      // A deleted key is absent to us, but to the broker its last revision is the deletion.
      const latest = revision === 0 ? await this.#latest(key) : undefined;
      if (latest?.deleted) return this.#write(key, value, latest.revision);
      throw new KeyConflictError(this.#bucket, key, revision, { cause: error });
    }
  }

  async delete(key: string, { revision }: { revision?: number } = {}): Promise<void> {
    checkKey(key);
    const headers = newHeaders();
    headers.set("KV-Operation", "DEL");
    try {
      await this.#write(key, new Uint8Array(0), revision, headers);
    } catch (error) {
      if (!isConflict(error) || revision === undefined) throw error;
      if (await this.get(key)) throw new KeyConflictError(this.#bucket, key, revision, { cause: error });
    }
  }

  /** Asks for the stream's subjects: walking its messages, as the library does, stalls for seconds when one of them is overwritten meanwhile. */
  async keys(): Promise<string[]> {
    const { subjects = {} } = await this.#link.repeat(
      `list the keys of bucket '${this.#bucket}'`,
      {},
      async (leftMs) => {
        const filter = { subjects_filter: this.#subject(">") };
        const path = `STREAM.INFO.KV_${this.#bucket}`;
        return (await this.#link.api<{ state: { subjects?: Record<string, number> } }>(path, filter, leftMs)).state;
      },
    );
    const keys = Object.keys(subjects).map((subject) => subject.slice(this.#subject("").length));
    const entries = await Promise.all(keys.map((key) => this.get(key))); // a deleted key is a subject too
    return keys.filter((_, i) => entries[i]);
  }

  watch(pattern: string, signal: AbortSignal): AsyncIterable<KeyValueEntry> {
    checkPattern(pattern);
    return this.#watch(pattern, signal);
  }

  /**
   * The server neither keeps a watcher across a restart nor tells of entries that expire, so the watch is opened again,
   * after the last revision seen, whenever the connection returns, and keeps its own clock of what should be gone.
   */
  async *#watch(pattern: string, signal: AbortSignal): AsyncGenerator<KeyValueEntry, void, void> {
    const feed = new Feed<KeyValueEntry>();
    const clock = new Map<string, { cancel(): void }>();
    const stop = new AbortController();
    const end = () => {
      stop.abort();
      feed.end({ discard: true });
    };
    const present = new Set<string>();
    const take = (entry: KeyValueEntry) => {
      if (!entry.deleted) present.add(entry.key);
      else if (!present.delete(entry.key)) return; // a deletion of old: its key was not there when the watch began
      clock.get(entry.key)?.cancel();
      clock.delete(entry.key);
      if (this.#ttlMs !== undefined && !entry.deleted) {
        clock.set(
          entry.key,
          background(() => expire(entry), this.#ttlMs),
        );
      }
      feed.push(entry);
    };
    const expire = async (entry: KeyValueEntry) => {
      try {
        const latest = await this.#latest(entry.key);
        if (stop.signal.aborted || (latest && latest.revision > entry.revision)) return; // the watch brings the news
        if (latest)
          clock.set(
            entry.key,
            background(() => expire(entry), 50 + (this.#ttlMs ?? 0) / 20),
          );
        else take({ ...entry, value: new Uint8Array(0), deleted: true });
      } catch {
        if (!stop.signal.aborted)
          clock.set(
            entry.key,
            background(() => expire(entry), this.#ttlMs ?? 0),
          );
      }
    };
    signal.addEventListener("abort", end);
    this.#link.closed.addEventListener("abort", end);
    try {
      if (signal.aborted || this.#link.closed.aborted) return;
      const watching = this.#follow(pattern, stop.signal, take);
      watching.catch(() => undefined).finally(() => feed.end());
      yield* feed;
      if (!signal.aborted && !this.#link.closed.aborted) await watching;
    } finally {
      end();
      for (const timer of clock.values()) timer.cancel();
      signal.removeEventListener("abort", end);
      this.#link.closed.removeEventListener("abort", end);
    }
  }

  async #follow(pattern: string, signal: AbortSignal, take: (entry: KeyValueEntry) => void): Promise<void> {
    let revision = 0;
    for (let failures = 0; !signal.aborted; failures++) {
      let iterator: Awaited<ReturnType<KV["watch"]>> | undefined;
      const stopListening = this.#link.onStatus((status) => status.type === "connected" && iterator?.stop());
      const aborted = () => iterator?.stop();
      signal.addEventListener("abort", aborted);
      try {
        await this.#link.untilConnected(2 ** 31 - 1, signal);
        const { last_seq } = (await this.#kv.status()).streamInfo.state;
        if (last_seq < revision) revision = 0; // a store that lost its end, or a new one
        iterator = await this.#kv.watch({ key: pattern, resumeFromRevision: revision > 0 ? revision + 1 : undefined });
        if (signal.aborted) iterator.stop();
        for await (const entry of iterator) {
          failures = 0;
          revision = Math.max(revision, entry.revision);
          take(plain(entry));
        }
      } catch (error) {
        if (forbiddenSubject(error) !== undefined) return this.#look(pattern, signal, take);
        // The broker is away, or not ready yet: try again.
      } finally {
        stopListening();
        signal.removeEventListener("abort", aborted);
        iterator?.stop();
      }
      if (!signal.aborted) await sleep(backoffMs(failures, 20, 2_000), signal).catch(() => undefined);
    }
  }

  /** For roles that may not create consumers. Changes between two looks show as the last of them. */
  async #look(pattern: string, signal: AbortSignal, take: (entry: KeyValueEntry) => void): Promise<void> {
    const seen = new Map<string, number>();
    const look = async () => {
      const keys = /[*>]/.test(pattern) ? (await this.keys()).filter((key) => subjectMatches(pattern, key)) : [pattern];
      for (const key of new Set([...keys, ...seen.keys()])) {
        const entry = await this.#latest(key);
        if (!entry || entry.revision === seen.get(key)) continue;
        seen.set(key, entry.revision);
        take(entry);
      }
    };
    for (let looked = -1; !signal.aborted; ) {
      try {
        // One question tells whether there is anything new: a bucket may hold thousands of keys.
        const { last_seq } = (await this.#kv.status()).streamInfo.state;
        if (last_seq !== looked) await look();
        looked = last_seq;
      } catch {
        // The broker is away: look again.
      }
      await sleep(LOOK_MS, signal).catch(() => undefined);
    }
  }

  async #latest(key: string): Promise<KeyValueEntry | undefined> {
    checkKey(key);
    const entry = await this.#link.repeat(`read key '${key}' of bucket '${this.#bucket}'`, {}, () => this.#kv.get(key));
    return entry ? plain(entry) : undefined;
  }

  async #write(key: string, value: Uint8Array, revision?: number, headers = newHeaders()): Promise<number> {
    if (revision !== undefined) headers.set("Nats-Expected-Last-Subject-Sequence", String(revision));
    return (await this.#link.store(this.#subject(key), value, { headers })).sequence;
  }

  #subject(key: string): string {
    return `$KV.${this.#bucket}.${key}`;
  }
}

/** An object bucket over NATS. */
export class NatsObjects implements ObjectStore {
  readonly #link: NatsLink;
  readonly #bucket: string;
  readonly #objects: Objects;

  static async open(link: NatsLink, jetstream: JetStreamClient, bucket: string, { replicas }: { replicas: number }) {
    const objects = await openBucket(link, bucket, () => new Objm(jetstream).create(bucket, { replicas }));
    return new NatsObjects(link, bucket, objects);
  }

  private constructor(link: NatsLink, bucket: string, objects: Objects) {
    this.#link = link;
    this.#bucket = bucket;
    this.#objects = objects;
  }

  async put(name: string, data: Uint8Array): Promise<void> {
    await this.#transfer(`put object '${name}' into '${this.#bucket}'`, data.length, async () => {
      const stored = await this.#objects.info(name);
      if (!stored || stored.deleted) return this.#objects.putBlob({ name }, data);
      const present = stored.size === data.length ? await this.#read(name, stored) : undefined;
      if (!present?.every((byte, i) => byte === data[i])) throw immutableObjectError(this.#bucket, name);
    });
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    const what = `get object '${name}' of '${this.#bucket}'`;
    const info = await this.#transfer(what, 0, () => this.#objects.info(name));
    if (!info || info.deleted) return undefined;
    return this.#transfer(what, info.size, () => this.#read(name, info));
  }

  /** Asks for piece after piece: the library has them pushed by a consumer, which roles that only read may not create. */
  async #read(name: string, { nuid, chunks, size, digest }: ObjectInfo): Promise<Uint8Array> {
    const data = new Uint8Array(size);
    const subject = `$O.${this.#bucket}.C.${nuid}`;
    let [sequence, length] = [0, 0];
    for (let i = 0; i < chunks; i++) {
      const { message } = await this.#link.api<{ message: { seq: number; data: string } }>(
        `STREAM.MSG.GET.OBJ_${this.#bucket}`,
        { seq: sequence + 1, next_by_subj: subject },
      );
      const piece = Buffer.from(message.data, "base64");
      if (length + piece.length > size) break;
      data.set(piece, length);
      length += piece.length;
      sequence = message.seq;
    }
    const found = createHash("sha256").update(data).digest("base64url");
    if (length !== size || `SHA-256=${found}` !== digest.replace(/=+$/, "")) {
      throw new Error(
        `Object '${name}' of bucket '${this.#bucket}' is damaged: it should be ${size} bytes with ${digest}, found ${length} with SHA-256=${found}.`,
      );
    }
    return data;
  }

  async list(): Promise<string[]> {
    const infos = await this.#transfer(`list the objects of '${this.#bucket}'`, 0, () => this.#objects.list());
    return infos.map((info) => info.name);
  }

  /** The deadline grows with the size, as if for a network of 1 MB/s. */
  #transfer<T>(what: string, bytes: number, attempt: () => Promise<T>): Promise<T> {
    const timeoutMs = Math.round(this.#link.timeoutMs + bytes / 1_000);
    return this.#link.repeat(what, { timeoutMs }, () => bounded(attempt(), timeoutMs));
  }
}

/** A role that may not create the bucket waits for the one that may. */
async function openBucket<T>(link: NatsLink, bucket: string, open: () => Promise<T>): Promise<T> {
  let isAbsent = false;
  try {
    return await link.repeat(`open bucket '${bucket}'`, {}, async () => {
      try {
        return await open();
      } catch (error) {
        const subject = forbiddenSubject(error);
        if (subject === undefined) throw error;
        isAbsent = subject.startsWith("$JS.API.STREAM.CREATE.");
        throw isAbsent ? new NoAnswer("timeout") : new NotPermittedError(`publish to '${subject}'`, { cause: error });
      }
    });
  } catch (cause) {
    if (!isAbsent) throw cause;
    throw new AbsentBucketError(bucket, { cause });
  }
}

function plain(entry: Pick<KvWatchEntry, "key" | "value" | "revision" | "operation">): KeyValueEntry {
  const deleted = entry.operation !== "PUT";
  return { key: entry.key, value: plainBytes(entry.value), revision: entry.revision, deleted };
}

/** Whether a write was refused because another revision is the latest. */
function isConflict(error: unknown): boolean {
  if (!(error instanceof BrokerError)) return false;
  return error.code === brokerCode.wrongLastSequence || error.code === brokerCode.wrongLastSequenceUnknown;
}
