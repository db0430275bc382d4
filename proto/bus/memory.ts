import type { Bus, BusStatus, KeyValue, ObjectStore, Puller, PullOptions, StreamOptions } from "./bus.ts";
import {
  BusClosedError,
  describeError,
  MessageTooLargeError,
  NoResponderError,
  RemoteError,
  RequestTimeoutError,
} from "./errors.ts";
import { MemoryKeyValue, MemoryObjects } from "./memory-key-value.ts";
import { MemoryStream } from "./memory-stream.ts";
import { checkName, checkPattern, checkSubject, patternsOverlap, subjectMatches } from "./names.ts";

type Handler = Parameters<Bus["serve"]>[1];

interface Served {
  pattern: string;
  queue: string | undefined;
  answer: (data: Uint8Array, subject: string) => Promise<Uint8Array>;
}

/** What several memory buses of one process share. */
export interface MemoryBroker {
  readonly maxMessageBytes: number;
  readonly streams: Map<string, MemoryStream>;
  readonly buckets: Map<string, MemoryKeyValue>;
  readonly objects: Map<string, MemoryObjects>;
  readonly served: Set<Served>;
}

/** @param maxMessageBytes the largest message, with its headers; 1 MiB like a NATS server's `max_payload` */
export function memoryBroker({ maxMessageBytes = 1 << 20 } = {}): MemoryBroker {
  return { maxMessageBytes, streams: new Map(), buckets: new Map(), objects: new Map(), served: new Set() };
}

/**
 * A bus within this process: same behaviour as the NATS bus, nothing survives the process. Every call is a connection of
 * its own; those that are given the same broker see the same streams and buckets.
 */
export function memoryBus(broker: MemoryBroker = memoryBroker()): Bus {
  return new MemoryBus(broker);
}

class MemoryBus implements Bus {
  readonly kind = "memory";
  readonly #broker: MemoryBroker;
  readonly #closed = new AbortController();
  readonly #listeners = new Set<(status: BusStatus) => void>();
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(broker: MemoryBroker) {
    this.#broker = broker;
  }

  async stream(options: StreamOptions): Promise<void> {
    this.#open("create a stream");
    checkName("stream", options.name);
    for (const pattern of options.subjects) checkPattern(pattern);
    for (const other of this.#broker.streams.values()) {
      if (other.options.name === options.name) continue;
      for (const pattern of options.subjects) {
        const taken = other.options.subjects.find((subject) => patternsOverlap(subject, pattern));
        if (taken === undefined) continue;
        throw new Error(
          `Cannot create stream '${options.name}' on '${pattern}': stream '${other.options.name}' already takes '${taken}'.`,
        );
      }
    }
    const existing = this.#broker.streams.get(options.name);
    if (existing) existing.update(options);
    else this.#broker.streams.set(options.name, new MemoryStream(options));
  }

  async publish(subject: string, data: Uint8Array, options: Parameters<Bus["publish"]>[2]) {
    this.#open(`publish to '${subject}'`);
    options.signal?.throwIfAborted();
    checkSubject(subject);
    const headers = options.headers ?? {};
    this.#checkSize(`A message on '${subject}'`, data, headers);
    for (const stream of this.#broker.streams.values()) {
      if (!stream.options.subjects.some((pattern) => subjectMatches(pattern, subject))) continue;
      return stream.publish(subject, data, headers, options.id, options.timeoutMs, options.signal, this.#closed.signal);
    }
    throw new Error(`Cannot publish to '${subject}': no stream takes that subject. Create the stream first.`);
  }

  async puller(options: PullOptions): Promise<Puller> {
    checkName("durable", options.durable);
    return this.#stream(options.stream).consumer(options).puller(this.#closed.signal);
  }

  async last(stream: string, subject: string) {
    return this.#stream(stream).last(subject);
  }

  async purge(stream: string, subject?: string): Promise<number> {
    return this.#stream(stream).purge(subject);
  }

  async streamState(stream: string) {
    const { messages, bytes, pending } = this.#stream(stream);
    return { messages: messages.size, bytes, pending };
  }

  async keyValue(
    bucket: string,
    { ttlMs, keep }: { ttlMs?: number; history?: number; keep?: boolean } = {},
  ): Promise<KeyValue> {
    this.#open(`open bucket '${bucket}'`);
    checkName("bucket", bucket);
    const existing = this.#broker.buckets.get(bucket);
    const entries = existing ?? new MemoryKeyValue(bucket);
    this.#broker.buckets.set(bucket, entries);
    if (ttlMs !== undefined && !(keep && existing)) entries.ttlMs = ttlMs;
    return entries.view(this.#closed.signal);
  }

  async objects(bucket: string): Promise<ObjectStore> {
    this.#open(`open bucket '${bucket}'`);
    checkName("bucket", bucket);
    let objects = this.#broker.objects.get(bucket);
    if (!objects) {
      objects = new MemoryObjects(bucket);
      this.#broker.objects.set(bucket, objects);
    }
    return objects;
  }

  async request(
    subject: string,
    data: Uint8Array,
    { timeoutMs, signal }: { timeoutMs: number; signal?: AbortSignal },
  ): Promise<Uint8Array> {
    this.#open(`request '${subject}'`);
    signal?.throwIfAborted();
    checkSubject(subject);
    this.#checkSize(`The request on '${subject}'`, data, {});
    const chosen = this.#choose(subject);
    if (chosen.length === 0) throw new NoResponderError(subject);
    const sent = data.slice();
    return new Promise((resolve, reject) => {
      const finish = (act: () => void) => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", aborted);
        act();
      };
      const aborted = () => finish(() => reject(signal?.reason));
      const timer = setTimeout(() => finish(() => reject(new RequestTimeoutError(subject, timeoutMs))), timeoutMs);
      signal?.addEventListener("abort", aborted);
      for (const { answer } of chosen) {
        answer(sent, subject).then(
          (value) => finish(() => resolve(value)),
          (error) => finish(() => reject(error)),
        );
      }
    });
  }

  async serve(subject: string, handler: Handler, { queue, signal }: { queue?: string; signal: AbortSignal }) {
    this.#open(`serve '${subject}'`);
    checkPattern(subject);
    if (signal.aborted) return;
    const answer = async (data: Uint8Array, to: string): Promise<Uint8Array> => {
      await undefined; // a handler that throws at once, or takes long before its first await, must not run inside request()
      try {
        const value = await handler(data, to);
        this.#checkSize(`The answer on '${to}'`, value, {});
        return value.slice();
      } catch (error) {
        throw new RemoteError(describeError(error));
      }
    };
    const entry: Served = { pattern: subject, queue, answer: (data, to) => this.#track(answer(data, to)) };
    this.#broker.served.add(entry);
    const stop = () => this.#broker.served.delete(entry);
    signal.addEventListener("abort", stop, { once: true });
    this.#closed.signal.addEventListener("abort", stop, { once: true });
  }

  onStatus(listener: (status: BusStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort();
    await Promise.allSettled(this.#underWay);
    for (const listener of this.#listeners) listener({ type: "closed" });
  }

  /** One member of each queue group, and everybody who serves without one. */
  #choose(subject: string): Served[] {
    const groups = new Map<string | Served, Served[]>();
    for (const entry of this.#broker.served) {
      if (!subjectMatches(entry.pattern, subject)) continue;
      const group = entry.queue ?? entry;
      groups.set(group, [...(groups.get(group) ?? []), entry]);
    }
    return [...groups.values()].map((members) => members[Math.floor(Math.random() * members.length)]);
  }

  #track<T>(work: Promise<T>): Promise<T> {
    this.#underWay.add(work);
    const done = () => this.#underWay.delete(work);
    work.then(done, done);
    return work;
  }

  #open(what: string): void {
    if (this.#closed.signal.aborted) throw new BusClosedError(what);
  }

  #stream(name: string): MemoryStream {
    this.#open(`use stream '${name}'`);
    const stream = this.#broker.streams.get(name);
    if (!stream) throw new Error(`There is no stream '${name}'. Create it first.`);
    return stream;
  }

  #checkSize(what: string, data: Uint8Array, headers: Record<string, string>): void {
    let bytes = data.length;
    for (const [key, value] of Object.entries(headers)) bytes += key.length + value.length + 4;
    const { maxMessageBytes } = this.#broker;
    if (bytes > maxMessageBytes) throw new MessageTooLargeError(what, bytes, maxMessageBytes, "the largest message");
  }
}
