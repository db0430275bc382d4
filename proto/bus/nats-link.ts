import type { Msg, MsgHdrs, NatsConnection } from "@nats-io/nats-core";
import {
  createInbox,
  headers as newHeaders,
  nuid,
  PermissionViolationError,
  RequestError,
  TimeoutError,
} from "@nats-io/nats-core";
import type { BusStatus } from "./bus.ts";
import {
  BrokerTimeoutError,
  BusClosedError,
  MessageTooLargeError,
  NotPermittedError,
  StreamFullTimeoutError,
} from "./errors.ts";
import { backoffMs, sleep } from "./timers.ts";

/** Why one attempt of a call brought no answer. */
export class NoAnswer extends Error {
  override readonly name = "NoAnswer";
  readonly why: "timeout" | "disconnected" | "no responder";

  constructor(why: NoAnswer["why"]) {
    super(why);
    this.why = why;
  }
}

/** The broker answered with an error of its own. */
export class BrokerError extends Error {
  override readonly name = "BrokerError";
  readonly code: number;

  constructor(description: string, code: number) {
    super(description);
    this.code = code;
  }
}

/** JetStream's error codes that mean something to us. */
export const brokerCode = {
  insufficientStorage: 10047,
  messageTooLarge: 10054,
  wrongLastSequence: 10071,
  streamFull: 10077,
  wrongLastSequenceUnknown: 10164,
};

export interface CallOptions {
  timeoutMs: number;
  headers?: MsgHdrs;
  signal?: AbortSignal;
  /** Reject as soon as the connection is lost, because the call may safely be made again. */
  repeatable?: boolean;
}

interface Call {
  subject: string;
  repeatable: boolean;
  settle(answer: Msg | undefined, error?: unknown): void;
}

/** A confirmation that takes longer than this is asked for again: after a change of leader it may never come. */
const ATTEMPT_MS = 5_000;

/**
 * One NATS connection that knows when it is down. Calls share one inbox; those that may be repeated fail the moment the
 * connection is lost instead of sleeping out their deadline, since what was written to a dying socket, or while there was
 * none, is gone.
 */
export class NatsLink {
  readonly connection: NatsConnection;
  /** Deadline of operations that are given none. */
  readonly timeoutMs: number;
  /** Aborts when the bus is closed, from either side. */
  readonly closed: AbortSignal;
  readonly #closing = new AbortController();
  readonly #inbox: string;
  readonly #calls = new Map<string, Call>();
  readonly #listeners = new Set<(status: BusStatus) => void>();
  #connected = true;
  #losses = 0;
  #lastToken = 0;

  constructor(connection: NatsConnection, timeoutMs: number, inboxPrefix?: string) {
    this.connection = connection;
    this.timeoutMs = timeoutMs;
    this.closed = this.#closing.signal;
    this.#inbox = createInbox(inboxPrefix);
    connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error) return this.#failCalls(() => true, error);
        const call = this.#calls.get(message.subject.slice(this.#inbox.length + 1));
        if (!call) return; // its caller gave up
        if (message.data.length === 0 && message.headers?.code === 503) {
          call.settle(undefined, new NoAnswer("no responder"));
        } else call.settle(message);
      },
    });
    this.#follow();
  }

  get connected(): boolean {
    return this.#connected && !this.closed.aborted;
  }

  /** How often the connection was lost. */
  get losses(): number {
    return this.#losses;
  }

  onStatus(listener: (status: BusStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Sends one message and waits for one answer. Throws NoAnswer, the signal's reason or BusClosedError. */
  call(subject: string, data: Uint8Array | string, options: CallOptions): Promise<Msg> {
    const { timeoutMs, headers, signal, repeatable = false } = options;
    return new Promise((resolve, reject) => {
      if (this.closed.aborted) return reject(new BusClosedError(`send to '${subject}'`));
      if (signal?.aborted) return reject(signal.reason);
      const token = (++this.#lastToken).toString(36);
      const settle: Call["settle"] = (answer, error) => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", aborted);
        this.#calls.delete(token);
        if (answer) resolve(answer);
        else reject(error);
      };
      const aborted = () => settle(undefined, signal?.reason);
      const timer = setTimeout(() => settle(undefined, new NoAnswer("timeout")), Math.max(1, timeoutMs));
      signal?.addEventListener("abort", aborted);
      this.#calls.set(token, { subject, repeatable, settle });
      try {
        this.connection.publish(subject, data, { reply: `${this.#inbox}.${token}`, headers });
      } catch (error) {
        settle(undefined, error);
      }
    });
  }

  /** Resolves once the connection is up: true, or false when that takes longer than `timeoutMs`. */
  async untilConnected(timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    signal?.throwIfAborted();
    if (this.connected) return true;
    if (this.closed.aborted) throw new BusClosedError("reach the broker");
    return new Promise((resolve, reject) => {
      const finish = (act: () => void) => {
        clearTimeout(timer);
        stop();
        signal?.removeEventListener("abort", aborted);
        this.closed.removeEventListener("abort", ended);
        act();
      };
      const timer = setTimeout(() => finish(() => resolve(false)), Math.max(1, timeoutMs));
      const stop = this.onStatus((status) => status.type === "connected" && finish(() => resolve(true)));
      const aborted = () => finish(() => reject(signal?.reason));
      const ended = () => finish(() => reject(new BusClosedError("reach the broker")));
      signal?.addEventListener("abort", aborted);
      this.closed.addEventListener("abort", ended);
    });
  }

  /** Repeats `attempt` while the broker is away or does not answer, within the deadline; other errors pass through. */
  async repeat<T>(
    what: string,
    options: { timeoutMs?: number; deadline?: number; signal?: AbortSignal },
    attempt: (leftMs: number) => Promise<T>,
  ): Promise<T> {
    const { timeoutMs = this.timeoutMs, deadline = performance.now() + timeoutMs, signal } = options;
    for (let tries = 0; ; tries++) {
      const leftMs = deadline - performance.now();
      let cause: unknown;
      if (leftMs > 0 && (await this.untilConnected(leftMs, signal))) {
        try {
          return await attempt(Math.min(deadline - performance.now(), ATTEMPT_MS * 2 ** tries));
        } catch (error) {
          if (!isAway(error)) throw error;
          cause = error;
        }
      }
      const wait = backoffMs(tries, 20, 1_000);
      if (deadline - performance.now() <= wait) {
        throw new BrokerTimeoutError(
          `Cannot ${what}: the broker did not confirm it within ${timeoutMs} ms (${this.connected ? "it is connected" : "the connection is down"}). ` +
            "Check that the broker runs, with JetStream, and is reachable.",
          { cause },
        );
      }
      await sleep(wait, signal);
    }
  }

  /**
   * Stores a message in whatever stream takes its subject and waits for the confirmation, also across a restart of the
   * broker. The id makes repeating safe. Throws BrokerError when the broker refuses for good.
   */
  async store(
    subject: string,
    data: Uint8Array,
    options: { headers?: MsgHdrs; id?: string; timeoutMs?: number; signal?: AbortSignal },
  ): Promise<{ sequence: number; duplicate: boolean }> {
    const { timeoutMs = this.timeoutMs, signal, id = nuid.next(), headers = newHeaders() } = options;
    headers.set("Nats-Msg-Id", id);
    this.checkSize(`A message on '${subject}'`, data, headers);
    const deadline = performance.now() + timeoutMs;
    const send = async (leftMs: number) => {
      try {
        return await this.call(subject, data, { headers, timeoutMs: leftMs, signal, repeatable: true });
      } catch (error) {
        if (error instanceof NoAnswer && error.why === "no responder") await this.#checkTaken(subject, leftMs);
        throw error;
      }
    };
    let full: string | undefined;
    for (let refusals = 0; ; refusals++) {
      let reply: Msg;
      try {
        reply = await this.repeat(`publish to '${subject}'`, { timeoutMs, deadline, signal }, send);
      } catch (error) {
        const outOfTime = error instanceof BrokerTimeoutError && this.connected;
        throw outOfTime && full !== undefined ? await this.#full(subject, timeoutMs, full) : error;
      }
      const ack = reply.json<{ seq: number; duplicate?: boolean; error?: { err_code: number; description: string } }>();
      if (!ack.error) return { sequence: ack.seq, duplicate: ack.duplicate === true };
      const { err_code: code, description } = ack.error;
      if (code === brokerCode.messageTooLarge) throw await this.#tooLarge(subject, data);
      if (code !== brokerCode.streamFull && code !== brokerCode.insufficientStorage) {
        throw new BrokerError(description, code);
      }
      full = description;
      const wait = backoffMs(refusals, 10, 500);
      if (deadline - performance.now() <= wait) throw await this.#full(subject, timeoutMs, description);
      await sleep(wait, signal);
    }
  }

  /** One request to JetStream's own interface. */
  async api<T>(path: string, body: object, timeoutMs: number = this.timeoutMs): Promise<T> {
    const reply = await this.call(`$JS.API.${path}`, JSON.stringify(body), { timeoutMs, repeatable: true });
    const answer = reply.json<T & { error?: { err_code: number; description: string } }>();
    if (answer.error) throw new BrokerError(answer.error.description, answer.error.err_code);
    return answer;
  }

  checkSize(what: string, data: Uint8Array, headers?: MsgHdrs): void {
    const max = this.connection.info?.max_payload ?? 1 << 20;
    if (data.length + 512 <= max && !headers) return;
    const bytes = data.length + (headers ? headers.toString().length : 0);
    if (bytes > max) throw new MessageTooLargeError(what, bytes, max, "the broker's max_payload");
  }

  /** Refuses new work: from now on every call fails with BusClosedError. */
  close(cause?: unknown): void {
    if (this.closed.aborted) return;
    this.#closing.abort();
    this.#failCalls(() => true, new BusClosedError("wait for the broker's answer", { cause }));
    this.#tell({ type: "closed" });
  }

  async #follow(): Promise<void> {
    for await (const status of this.connection.status()) {
      switch (status.type) {
        case "disconnect":
          this.#connected = false;
          this.#losses++;
          this.#failCalls((call) => call.repeatable, new NoAnswer("disconnected"));
          this.#tell({ type: "disconnected", reason: `lost the connection to ${status.server}` });
          break;
        case "reconnecting":
          this.#tell({ type: "reconnecting" });
          break;
        case "reconnect":
          // Whatever was sent between the loss of the connection and the news of it is gone too.
          this.#failCalls((call) => call.repeatable, new NoAnswer("disconnected"));
          this.#connected = true;
          this.#tell({ type: "connected", server: status.server });
          break;
        case "error": {
          const { error } = status;
          if (error instanceof PermissionViolationError) {
            const refused = new NotPermittedError(`publish to '${error.subject}'`, { cause: error });
            this.#failCalls((call) => error.operation === "publish" && call.subject === error.subject, refused);
          }
          this.#tell({ type: "error", error });
          break;
        }
        default:
      }
    }
    const reason = await this.connection.closed();
    if (reason) this.#tell({ type: "error", error: reason });
    this.close(reason ?? undefined);
  }

  #failCalls(which: (call: Call) => boolean, error: Error): void {
    for (const call of [...this.#calls.values()]) if (which(call)) call.settle(undefined, error);
  }

  #tell(status: BusStatus): void {
    for (const listener of [...this.#listeners]) listener(status);
  }

  async #streamOf(subject: string, timeoutMs: number): Promise<string | undefined> {
    const { streams } = await this.api<{ streams: string[] | null }>("STREAM.NAMES", { subject }, timeoutMs);
    return streams?.[0];
  }

  /** Nobody answered: is that a stream that does not exist, or a broker that is not ready? */
  async #checkTaken(subject: string, timeoutMs: number): Promise<void> {
    if ((await this.#streamOf(subject, timeoutMs)) === undefined) {
      throw new Error(`Cannot publish to '${subject}': no stream takes that subject. Create the stream first.`);
    }
  }

  async #describe(subject: string) {
    const stream = (await this.#streamOf(subject, ATTEMPT_MS)) ?? "?";
    return this.api<{
      config: { name: string; max_bytes: number; max_msg_size: number };
      state: { messages: number; bytes: number };
    }>(`STREAM.INFO.${stream}`, {}, ATTEMPT_MS);
  }

  async #tooLarge(subject: string, data: Uint8Array): Promise<Error> {
    const { config } = await this.#describe(subject);
    const limit = `the limit of stream '${config.name}'`;
    return new MessageTooLargeError(`A message on '${subject}'`, data.length, config.max_msg_size, limit);
  }

  async #full(subject: string, timeoutMs: number, description: string): Promise<Error> {
    const intro = `The stream of '${subject}' stayed full for ${timeoutMs} ms, so the message was not stored (${description})`;
    try {
      const { config, state } = await this.#describe(subject);
      return new StreamFullTimeoutError(
        `Stream '${config.name}' stayed full for ${timeoutMs} ms, so a message on '${subject}' was not stored (${description}): ` +
          `${state.messages} messages hold ${state.bytes} of ${config.max_bytes} bytes. Its consumers are too slow or gone.`,
      );
    } catch (cause) {
      return new StreamFullTimeoutError(`${intro}. Its consumers are too slow or gone.`, { cause });
    }
  }
}

/** The same bytes without Buffer's ways, whose `slice` does not copy. */
export function plainBytes(data: Uint8Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** Gives up on a promise that has no deadline of its own. */
export async function bounded<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new NoAnswer("timeout")), timeoutMs);
  });
  return Promise.race([promise, over]).finally(() => clearTimeout(timer));
}

/** What the broker's permissions forbade to publish or subscribe to, if that is why an operation failed. */
export function forbiddenSubject(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause)
    if (at instanceof PermissionViolationError) return at.subject;
  return undefined;
}

/** Whether the error says that the broker is away for now, so that trying again makes sense. */
export function isAway(error: unknown): boolean {
  if (forbiddenSubject(error) !== undefined) return false;
  if (error instanceof NoAnswer || error instanceof TimeoutError || error instanceof RequestError) return true;
  return error instanceof Error && error.name === "JetStreamNotEnabled"; // nobody answered, as @nats-io/jetstream puts it
}
