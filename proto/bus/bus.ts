/**
 * The seam between Proxima and its message broker, with two implementations that pass one conformance suite: `nats` (the
 * real thing) and `memory` (one process, for tests and as the embedded fallback).
 *
 * Delivery, in words. Streams: at least once; a message stays until it is acknowledged. Key-value: latest wins. Objects:
 * immutable. Requests: at most once. No call waits without a deadline: those that can wait take `timeoutMs` or a signal.
 */

export interface StreamOptions {
  name: string;
  subjects: string[];
  /** A full stream refuses new messages (discard = new), so that a slow consumer pushes back on publishers. */
  maxBytes: number;
  maxMessageBytes?: number;
  /** Messages published again with the same id within this window are dropped. */
  dedupWindowMs: number;
  /** workqueue: a message goes when it is acknowledged. limits: messages stay until the stream is full or purged. */
  retention: "workqueue" | "limits";
  storage?: "file" | "memory";
}

export interface PublishOptions {
  /** Deduplication id, unique per message of the stream. */
  id?: string;
  /** While the stream is full or the broker away, retry with backoff for at most this long, then throw. */
  timeoutMs: number;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export interface Delivery {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
  /** Position in the stream. */
  readonly sequence: number;
  /** 1 for the first delivery. */
  readonly deliveries: number;
  /**
   * Finished with it: it will not come again. Resolves once the broker has confirmed. A broker that is killed may forget
   * the latest deliveries and acknowledgements; their messages come again, and acknowledging the old delivery does nothing.
   */
  ack(): Promise<void>;
  /** Give it back, to be delivered again after `delayMs`. */
  nak(delayMs?: number): void;
  /** Still at it: restart the acknowledgement deadline. */
  working(): void;
}

export interface PullOptions {
  stream: string;
  /** Name of the durable consumer; all that use the same name share the messages. */
  durable: string;
  /** Only messages on subjects that match. The durables of a work queue must not overlap. Default: all. */
  subject?: string;
  /** A delivery neither acknowledged nor extended for this long is delivered again. */
  ackWaitMs: number;
  maxAckPending: number;
  /** A durable that is there stays as it is: for those who create it so that others may use it. */
  keep?: boolean;
  /** The only user of this durable has restarted: whatever its predecessor held unacknowledged is delivered again at once. For work queues. */
  restart?: boolean;
}

/** A shared durable pull consumer. `next` never holds more than it was asked for. */
export interface Puller {
  /** Up to `max` messages; waits at most `timeoutMs` for the first and returns what is there. Empty on timeout or abort. */
  next(max: number, timeoutMs: number, signal?: AbortSignal): Promise<Delivery[]>;
  close(): Promise<void>;
}

export interface KeyValueEntry {
  key: string;
  value: Uint8Array;
  revision: number;
  deleted: boolean;
}

export interface KeyValue {
  /** Undefined when the key is absent, deleted or expired. */
  get(key: string): Promise<KeyValueEntry | undefined>;
  /** Returns the new revision. `revision`: write only if this is still the latest (0: only if absent), else throws KeyConflictError. */
  put(key: string, value: Uint8Array, options?: { revision?: number }): Promise<number>;
  /** Deleting what is absent is fine. `revision`: only if this is still the latest, else throws KeyConflictError. */
  delete(key: string, options?: { revision?: number }): Promise<void>;
  keys(): Promise<string[]>;
  /**
   * Current entries that match (`*` one token, `>` the rest), then every change, until the signal aborts. An entry that
   * outlives the bucket's `ttlMs` shows as deleted.
   */
  watch(pattern: string, signal: AbortSignal): AsyncIterable<KeyValueEntry>;
}

export interface ObjectStore {
  /** Putting the same bytes again is fine; other bytes under the same name throw. */
  put(name: string, data: Uint8Array): Promise<void>;
  get(name: string): Promise<Uint8Array | undefined>;
  list(): Promise<string[]>;
}

/** What happened to the connection, for logs and the watchdog. */
export type BusStatus =
  | { type: "connected"; server: string }
  | { type: "disconnected"; reason: string }
  | { type: "reconnecting" }
  | { type: "error"; error: Error }
  | { type: "closed" };

export interface Bus {
  readonly kind: "nats" | "memory";
  /** Creates the stream, or updates it when the options changed. */
  stream(options: StreamOptions): Promise<void>;
  /**
   * At least once, deduplicated by id. Resolves when stored. `duplicate` tells that the id was already there. Throws
   * StreamFullTimeoutError or BrokerTimeoutError past the deadline, MessageTooLargeError for what can never be stored.
   */
  publish(
    subject: string,
    data: Uint8Array,
    options: PublishOptions,
  ): Promise<{ sequence: number; duplicate: boolean }>;
  puller(options: PullOptions): Promise<Puller>;
  /** The newest stored message of a subject, without consuming it; undefined when there is none. */
  last(stream: string, subject: string): Promise<{ data: Uint8Array; sequence: number } | undefined>;
  /** Removes messages (of one subject filter); returns how many. */
  purge(stream: string, subject?: string): Promise<number>;
  /** Messages and bytes stored, and how many of them are out with consumers unacknowledged. */
  streamState(stream: string): Promise<{ messages: number; bytes: number; pending: number }>;
  /** `keep`: a bucket that is there keeps its time to live. */
  keyValue(bucket: string, options?: { ttlMs?: number; history?: number; keep?: boolean }): Promise<KeyValue>;
  objects(bucket: string): Promise<ObjectStore>;
  /** Throws RequestTimeoutError past the deadline, NoResponderError at once when nobody serves the subject, RemoteError when the handler threw. */
  request(subject: string, data: Uint8Array, options: { timeoutMs: number; signal?: AbortSignal }): Promise<Uint8Array>;
  /**
   * Serves requests until the signal aborts; resolves as soon as they can reach the handler. With `queue`, one of its
   * members answers each. What the handler throws reaches the caller as RemoteError.
   */
  serve(
    subject: string,
    handler: (data: Uint8Array, subject: string) => Promise<Uint8Array> | Uint8Array,
    options: { queue?: string; signal: AbortSignal },
  ): Promise<void>;
  onStatus(listener: (status: BusStatus) => void): () => void;
  /** Finishes what is under way, then closes. */
  close(): Promise<void>;
}
