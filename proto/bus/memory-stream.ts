import type { Delivery, Puller, PullOptions, StreamOptions } from "./bus.ts";
import { BusClosedError, MessageTooLargeError, StreamFullTimeoutError } from "./errors.ts";
import { patternsOverlap, subjectMatches } from "./names.ts";
import { background } from "./timers.ts";

interface Stored {
  sequence: number;
  subject: string;
  data: Uint8Array;
  headers: Readonly<Record<string, string>>;
  bytes: number;
}

/** What a broker stores besides the payload, roughly. */
const OVERHEAD_BYTES = 40;

/** One stream of the memory broker: an ordered log with a byte limit, deduplication, and durable consumers. */
export class MemoryStream {
  options: StreamOptions;
  readonly messages = new Map<number, Stored>();
  bytes = 0;
  lastSequence = 0;
  readonly #consumers = new Map<string, MemoryConsumer>();
  /** In order of arrival, so that those outside the window are at the front. */
  readonly #ids = new Map<string, { sequence: number; at: number }>();
  readonly #waitingForSpace = new Set<() => void>();

  constructor(options: StreamOptions) {
    this.options = options;
  }

  get pending(): number {
    let pending = 0;
    for (const consumer of this.#consumers.values()) pending += consumer.outstanding;
    return pending;
  }

  update(options: StreamOptions): void {
    if (options.retention !== this.options.retention) {
      throw new Error(
        `Cannot change stream '${options.name}' from retention '${this.options.retention}' to '${options.retention}': remove the stream first.`,
      );
    }
    this.options = options;
    this.#spaceFreed();
  }

  /** Stores the message, waiting for space at most `timeoutMs`. */
  async publish(
    subject: string,
    data: Uint8Array,
    headers: Record<string, string>,
    id: string | undefined,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    closed: AbortSignal,
  ): Promise<{ sequence: number; duplicate: boolean }> {
    const limit = Math.min(this.options.maxMessageBytes ?? Number.POSITIVE_INFINITY, this.options.maxBytes);
    const bytes = messageBytes(subject, data, headers);
    if (data.length > limit || bytes > this.options.maxBytes) {
      throw new MessageTooLargeError(
        `A message on '${subject}'`,
        data.length,
        limit,
        `the limit of stream '${this.options.name}'`,
      );
    }
    const deadline = performance.now() + timeoutMs;
    while (true) {
      const known = id === undefined ? undefined : this.#known(id);
      if (known !== undefined) return { sequence: known, duplicate: true };
      if (this.bytes + bytes <= this.options.maxBytes) break;
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) {
        throw new StreamFullTimeoutError(
          `Stream '${this.options.name}' stayed full for ${timeoutMs} ms, so a message on '${subject}' was not stored: ${this.messages.size} messages hold ` +
            `${this.bytes} of ${this.options.maxBytes} bytes, ${this.pending} of them out with consumers. Its consumers are too slow or gone.`,
        );
      }
      await this.#space(leftMs, signal, closed);
    }
    const sequence = ++this.lastSequence;
    this.messages.set(sequence, { sequence, subject, data: data.slice(), headers: { ...headers }, bytes });
    this.bytes += bytes;
    if (id !== undefined) this.#ids.set(id, { sequence, at: performance.now() });
    for (const consumer of this.#consumers.values()) consumer.dispatch();
    return { sequence, duplicate: false };
  }

  last(subject: string): { data: Uint8Array; sequence: number } | undefined {
    let found: Stored | undefined;
    for (const message of this.messages.values()) if (subjectMatches(subject, message.subject)) found = message;
    return found && { data: found.data.slice(), sequence: found.sequence };
  }

  purge(subject: string | undefined): number {
    let purged = 0;
    for (const message of [...this.messages.values()]) {
      if (subject !== undefined && !subjectMatches(subject, message.subject)) continue;
      this.remove(message.sequence);
      for (const consumer of this.#consumers.values()) consumer.forget(message.sequence);
      purged++;
    }
    return purged;
  }

  remove(sequence: number): void {
    const message = this.messages.get(sequence);
    if (!message) return;
    this.messages.delete(sequence);
    this.bytes -= message.bytes;
    this.#spaceFreed();
  }

  consumer(options: PullOptions): MemoryConsumer {
    if (options.restart) {
      this.#consumers.get(options.durable)?.abandon();
      this.#consumers.delete(options.durable);
    }
    let consumer = this.#consumers.get(options.durable);
    if (consumer && options.keep) return consumer;
    if (!consumer) {
      const others = this.options.retention === "workqueue" ? [...this.#consumers] : [];
      const other = others.find(
        ([
          ,
          {
            options: { subject = ">" },
          },
        ]) => patternsOverlap(subject, options.subject ?? ">"),
      );
      if (other) {
        throw new Error(
          `Cannot create durable '${options.durable}' on work queue '${options.stream}': its durable '${other[0]}' takes the same messages. The durables of a work queue must not overlap: share that one, or pull from other subjects.`,
        );
      }
      consumer = new MemoryConsumer(this, options);
      this.#consumers.set(options.durable, consumer);
    }
    consumer.options = options;
    return consumer;
  }

  #known(id: string): number | undefined {
    const oldest = performance.now() - this.options.dedupWindowMs;
    for (const [old, { at }] of this.#ids) {
      if (at >= oldest) break;
      this.#ids.delete(old);
    }
    return this.#ids.get(id)?.sequence;
  }

  #spaceFreed(): void {
    for (const wake of [...this.#waitingForSpace]) wake();
  }

  /** Resolves when there may be space or the time is over. This timer keeps the process alive: somebody awaits it. */
  #space(timeoutMs: number, signal: AbortSignal | undefined, closed: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const finish = (error?: unknown) => {
        clearTimeout(timer);
        this.#waitingForSpace.delete(finish as () => void);
        signal?.removeEventListener("abort", aborted);
        closed.removeEventListener("abort", ended);
        if (error === undefined) resolve();
        else reject(error);
      };
      const aborted = () => finish(signal?.reason);
      const ended = () => finish(new BusClosedError(`publish to stream '${this.options.name}'`));
      const timer = setTimeout(finish, Math.ceil(timeoutMs), undefined);
      this.#waitingForSpace.add(finish as () => void);
      signal?.addEventListener("abort", aborted);
      closed.addEventListener("abort", ended);
    });
  }
}

interface Outstanding {
  deliveries: number;
  /** Until then it belongs to whom it was delivered; absent while it waits in the queue for redelivery. */
  timer?: { cancel(): void };
}

/** A durable pull consumer: a position in the stream, and what was delivered but not acknowledged. */
class MemoryConsumer {
  options: PullOptions;
  readonly #stream: MemoryStream;
  #cursor = 1;
  readonly #outstanding = new Map<number, Outstanding>();
  readonly #redeliver = new Set<number>();
  readonly #waiting: { max: number; resolve: (batch: Delivery[]) => void }[] = [];

  constructor(stream: MemoryStream, options: PullOptions) {
    this.#stream = stream;
    this.options = options;
  }

  get outstanding(): number {
    return this.#outstanding.size;
  }

  puller(closed: AbortSignal): Puller {
    const own = new AbortController();
    return {
      next: async (max, timeoutMs, signal) => {
        if (own.signal.aborted || closed.aborted) throw new BusClosedError(`pull from '${this.options.stream}'`);
        return this.#next(max, timeoutMs, signal ? [signal, own.signal, closed] : [own.signal, closed]);
      },
      close: async () => own.abort(),
    };
  }

  /** Hands available messages to those who wait, first come first served. */
  dispatch(): void {
    while (this.#waiting.length > 0) {
      const batch = this.#take(this.#waiting[0].max);
      if (batch.length === 0) return;
      this.#waiting.shift()?.resolve(batch);
    }
  }

  /** Its deliveries are now somebody else's; late acknowledgements still count. */
  abandon(): void {
    for (const { timer } of this.#outstanding.values()) timer?.cancel();
  }

  forget(sequence: number): void {
    this.#outstanding.get(sequence)?.timer?.cancel();
    this.#outstanding.delete(sequence);
    this.#redeliver.delete(sequence);
  }

  #next(max: number, timeoutMs: number, signals: AbortSignal[]): Promise<Delivery[]> {
    if (signals.some((signal) => signal.aborted) || max < 1) return Promise.resolve([]);
    const ready = this.#waiting.length === 0 ? this.#take(max) : [];
    if (ready.length > 0 || timeoutMs <= 0) return Promise.resolve(ready);
    return new Promise((resolve) => {
      const finish = (batch: Delivery[]) => {
        clearTimeout(timer);
        for (const signal of signals) signal.removeEventListener("abort", giveUp);
        resolve(batch);
      };
      const waiter = { max, resolve: finish };
      const giveUp = () => {
        const at = this.#waiting.indexOf(waiter);
        if (at >= 0) this.#waiting.splice(at, 1);
        finish([]);
      };
      const timer = setTimeout(giveUp, timeoutMs);
      for (const signal of signals) signal.addEventListener("abort", giveUp);
      this.#waiting.push(waiter);
    });
  }

  #take(max: number): Delivery[] {
    const batch: Delivery[] = [];
    for (const sequence of this.#redeliver) {
      if (batch.length >= max) return batch;
      this.#redeliver.delete(sequence);
      batch.push(this.#deliver(sequence));
    }
    while (batch.length < max && this.#outstanding.size < this.options.maxAckPending) {
      while (this.#cursor <= this.#stream.lastSequence && !this.#concerns(this.#cursor)) this.#cursor++;
      if (this.#cursor > this.#stream.lastSequence) break;
      batch.push(this.#deliver(this.#cursor++));
    }
    return batch;
  }

  #concerns(sequence: number): boolean {
    const message = this.#stream.messages.get(sequence);
    return message !== undefined && subjectMatches(this.options.subject ?? ">", message.subject);
  }

  #deliver(sequence: number): Delivery {
    const message = this.#stream.messages.get(sequence) as Stored;
    const entry = this.#outstanding.get(sequence) ?? { deliveries: 0 };
    entry.deliveries++;
    this.#outstanding.set(sequence, entry);
    this.#redeliverAfter(sequence, this.options.ackWaitMs);
    return {
      subject: message.subject,
      data: message.data.slice(),
      headers: message.headers,
      sequence,
      deliveries: entry.deliveries,
      ack: async () => {
        if (!this.#outstanding.has(sequence)) return;
        this.forget(sequence);
        if (this.#stream.options.retention === "workqueue") this.#stream.remove(sequence);
        this.dispatch();
      },
      nak: (delayMs = 0) => this.#redeliverAfter(sequence, delayMs),
      working: () => this.#redeliverAfter(sequence, this.options.ackWaitMs),
    };
  }

  /** Restarts the clock of a delivery that is still out; one that is finished or queued again is left alone. */
  #redeliverAfter(sequence: number, delayMs: number): void {
    const entry = this.#outstanding.get(sequence);
    if (!entry || this.#redeliver.has(sequence)) return;
    entry.timer?.cancel();
    const again = () => {
      entry.timer = undefined;
      this.#redeliver.add(sequence);
      this.dispatch();
    };
    if (delayMs <= 0) again();
    else entry.timer = background(again, delayMs);
  }
}

function messageBytes(subject: string, data: Uint8Array, headers: Record<string, string>): number {
  let bytes = OVERHEAD_BYTES + subject.length + data.length;
  for (const [key, value] of Object.entries(headers)) bytes += key.length + value.length + 4;
  return bytes;
}
