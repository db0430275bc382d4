import type { JetStreamClient } from "@nats-io/jetstream";
import { jetstream } from "@nats-io/jetstream";
import type { Msg, MsgHdrs, NatsConnection, Subscription } from "@nats-io/nats-core";
import {
  AuthorizationError,
  credsAuthenticator,
  headers as newHeaders,
  nkeyAuthenticator,
  UserAuthenticationExpiredError,
  wsconnect,
} from "@nats-io/nats-core";
import type { NodeConnectionOptions } from "@nats-io/transport-node";
import { connect } from "@nats-io/transport-node";
import type { Bus, BusStatus, KeyValue, ObjectStore, Puller, PullOptions, StreamOptions } from "./bus.ts";
import {
  BusClosedError,
  ConnectError,
  describeError,
  NoResponderError,
  RemoteError,
  RequestTimeoutError,
} from "./errors.ts";
import { checkName, checkPattern, checkSubject } from "./names.ts";
import { NatsKeyValue, NatsObjects } from "./nats-key-value.ts";
import { BrokerError, bounded, NatsLink, NoAnswer, plainBytes } from "./nats-link.ts";
import { NatsPuller } from "./nats-puller.ts";
import { sleep } from "./timers.ts";

export interface NatsOptions {
  /** `nats://host:port`, `tls://…` or `ws(s)://…`; several are tried in random order. */
  servers: string | string[];
  /** How the broker's monitoring shows this connection. */
  name?: string;
  token?: string;
  user?: string;
  password?: string;
  /** The contents of a .creds file (not its path). */
  credentials?: string;
  /** An NKey seed, `SU…`, or how to have it: asked at every connection, so that it may change. */
  nkeySeed?: string | (() => string);
  /** Files or PEM text; `{}` insists on TLS with the system's certificate authorities. */
  tls?: NodeConnectionOptions["tls"];
  /** How long to try to reach the broker, and the deadline of operations that have none of their own. Default 30 s. */
  timeoutMs?: number;
  /** Copies of each stream and bucket, in a NATS cluster. Default 1. */
  replicas?: number;
  /** First tokens of answer subjects, for brokers that permit each role its own. Default `_INBOX`. */
  inboxPrefix?: string;
  signal?: AbortSignal;
}

/** The header that tells an error from an answer. */
const ERROR_HEADER = "Proxima-Error";

/** The most of a remote error that is sent, characters. */
const MAX_ERROR_LENGTH = 16_384;

/**
 * A bus over a NATS server with JetStream, for Bun, Deno and Node. Reconnects by itself, for ever; meanwhile publishes
 * and acknowledgements wait within their deadlines.
 * @throws ConnectError when no server is reachable within `timeoutMs`, refuses the credentials, or lacks JetStream
 */
export async function connectNats(options: NatsOptions): Promise<Bus> {
  const { timeoutMs = 30_000 } = options;
  const connection = await dial(options, timeoutMs);
  const link = new NatsLink(connection, timeoutMs, options.inboxPrefix);
  try {
    await link.repeat("ask the broker for JetStream", { timeoutMs, signal: options.signal }, (leftMs) =>
      link.api("INFO", {}, leftMs),
    );
  } catch (cause) {
    await connection.close();
    options.signal?.throwIfAborted();
    throw new ConnectError(
      "unsuitable",
      `The NATS server at ${shown(options.servers)} answers, but without JetStream, which keeps tasks and trajectories: ${(cause as Error).message} ` +
        "Start it with `nats-server -js`, or enable JetStream for this account.",
      { cause },
    );
  }
  return new NatsBus(link, options);
}

class NatsBus implements Bus {
  readonly kind = "nats";
  readonly #link: NatsLink;
  readonly #jetstream: JetStreamClient;
  readonly #replicas: number;
  readonly #inboxPrefix: string | undefined;
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #serving = new Set<Subscription>();
  readonly #pullers = new Set<Puller>();
  #closing: Promise<void> | undefined;

  constructor(link: NatsLink, options: NatsOptions) {
    this.#link = link;
    this.#jetstream = jetstream(link.connection, { timeout: 5_000 });
    this.#replicas = options.replicas ?? 1;
    this.#inboxPrefix = options.inboxPrefix;
  }

  async stream(options: StreamOptions): Promise<void> {
    this.#open("create a stream");
    checkName("stream", options.name);
    for (const pattern of options.subjects) checkPattern(pattern);
    const config = {
      name: options.name,
      subjects: options.subjects,
      max_bytes: options.maxBytes,
      max_msg_size: options.maxMessageBytes ?? -1,
      duplicate_window: Math.max(100, options.dedupWindowMs) * 1_000_000,
      retention: options.retention,
      storage: options.storage ?? "file",
      discard: "new",
      num_replicas: this.#replicas,
      max_consumers: -1,
      max_msgs: -1,
      max_age: 0,
    };
    try {
      await this.#link.repeat(`create stream '${options.name}'`, {}, async (leftMs) => {
        try {
          await this.#link.api(`STREAM.CREATE.${options.name}`, config, leftMs);
        } catch (error) {
          if (!(error instanceof BrokerError) || error.code !== 10058) throw error; // exists with another configuration
          await this.#link.api(`STREAM.UPDATE.${options.name}`, config, leftMs);
        }
      });
    } catch (cause) {
      if (!(cause instanceof BrokerError)) throw cause;
      throw new Error(`Cannot create or change stream '${options.name}': ${cause.message}.`, { cause });
    }
  }

  async publish(subject: string, data: Uint8Array, options: Parameters<Bus["publish"]>[2]) {
    this.#open(`publish to '${subject}'`);
    checkSubject(subject);
    const { id, timeoutMs, signal } = options;
    const headers = newHeaders();
    for (const [key, value] of Object.entries(options.headers ?? {})) headers.set(key, value);
    return this.#track(this.#link.store(subject, data, { headers, id, timeoutMs, signal }));
  }

  async puller(options: PullOptions): Promise<Puller> {
    this.#open(`pull from '${options.stream}'`);
    checkName("stream", options.stream);
    checkName("durable", options.durable);
    try {
      const puller = await NatsPuller.open(this.#link, options, this.#inboxPrefix);
      this.#pullers.add(puller);
      return {
        next: (max, timeoutMs, signal) => puller.next(max, timeoutMs, signal),
        close: async () => {
          this.#pullers.delete(puller);
          await puller.close();
        },
      };
    } catch (cause) {
      if (!(cause instanceof BrokerError)) throw cause;
      const hint =
        cause.code === 10099 || cause.code === 10100
          ? " The durables of a work queue must not overlap: share that one, or pull from other subjects."
          : "";
      throw new Error(
        `Cannot create durable '${options.durable}' of stream '${options.stream}': ${cause.message}.${hint}`,
        { cause },
      );
    }
  }

  async last(stream: string, subject: string) {
    const manager = await this.#jetstream.jetstreamManager(false);
    const message = await this.#ask(stream, `read the last message of '${subject}'`, () =>
      manager.streams.getMessage(stream, { last_by_subj: subject }),
    );
    return message ? { data: plainBytes(message.data), sequence: message.seq } : undefined;
  }

  async purge(stream: string, subject?: string): Promise<number> {
    const { purged } = await this.#ask(stream, `purge stream '${stream}'`, (leftMs) =>
      this.#link.api<{ purged: number }>(`STREAM.PURGE.${stream}`, subject ? { filter: subject } : {}, leftMs),
    );
    return purged;
  }

  async streamState(stream: string) {
    const { messages, bytes } = await this.#ask(stream, `ask for the state of stream '${stream}'`, async (leftMs) => {
      return (await this.#link.api<{ state: { messages: number; bytes: number } }>(`STREAM.INFO.${stream}`, {}, leftMs))
        .state;
    });
    const pending = await this.#ask(stream, `ask for the consumers of stream '${stream}'`, async (leftMs) => {
      let sum = 0;
      for (let offset = 0; ; ) {
        const page = await this.#link.api<{ total: number; consumers: { num_ack_pending: number }[] | null }>(
          `CONSUMER.LIST.${stream}`,
          { offset },
          leftMs,
        );
        const consumers = page.consumers ?? [];
        for (const consumer of consumers) sum += consumer.num_ack_pending;
        offset += consumers.length;
        if (consumers.length === 0 || offset >= page.total) return sum;
      }
    });
    return { messages, bytes, pending };
  }

  async keyValue(
    bucket: string,
    options: { ttlMs?: number; history?: number; keep?: boolean } = {},
  ): Promise<KeyValue> {
    this.#open(`open bucket '${bucket}'`);
    checkName("bucket", bucket);
    return NatsKeyValue.open(this.#link, this.#jetstream, bucket, { ...options, replicas: this.#replicas });
  }

  async objects(bucket: string): Promise<ObjectStore> {
    this.#open(`open bucket '${bucket}'`);
    checkName("bucket", bucket);
    return NatsObjects.open(this.#link, this.#jetstream, bucket, { replicas: this.#replicas });
  }

  async request(
    subject: string,
    data: Uint8Array,
    { timeoutMs, signal }: { timeoutMs: number; signal?: AbortSignal },
  ): Promise<Uint8Array> {
    this.#open(`request '${subject}'`);
    checkSubject(subject);
    this.#link.checkSize(`The request on '${subject}'`, data);
    const deadline = performance.now() + timeoutMs;
    if (!(await this.#link.untilConnected(timeoutMs, signal))) throw new RequestTimeoutError(subject, timeoutMs, false);
    let answer: Msg;
    try {
      answer = await this.#track(this.#link.call(subject, data, { timeoutMs: deadline - performance.now(), signal }));
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      if (error.why === "no responder") throw new NoResponderError(subject);
      throw new RequestTimeoutError(subject, timeoutMs, this.#link.connected);
    }
    if (answer.headers?.has(ERROR_HEADER)) throw new RemoteError(answer.json());
    return plainBytes(answer.data);
  }

  async serve(
    subject: string,
    handler: Parameters<Bus["serve"]>[1],
    { queue, signal }: { queue?: string; signal: AbortSignal },
  ): Promise<void> {
    this.#open(`serve '${subject}'`);
    checkPattern(subject);
    if (signal.aborted) return;
    let refusal: Error | undefined;
    const subscription = this.#link.connection.subscribe(subject, {
      queue,
      callback: (error, message) => {
        if (error) refusal = error;
        else this.#track(this.#answer(message, handler));
      },
    });
    this.#serving.add(subscription);
    const stop = () => {
      this.#serving.delete(subscription);
      if (!subscription.isClosed()) subscription.drain().catch(() => undefined);
    };
    signal.addEventListener("abort", stop, { once: true });
    subscription.closed.then(() => signal.removeEventListener("abort", stop));
    await this.#link.repeat(`serve '${subject}'`, { signal }, () => this.#link.connection.flush());
    if (refusal) throw new Error(`Cannot serve '${subject}': ${refusal.message}.`, { cause: refusal });
  }

  onStatus(listener: (status: BusStatus) => void): () => void {
    return this.#link.onStatus(listener);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #answer(message: Msg, handler: Parameters<Bus["serve"]>[1]): Promise<void> {
    let answer: Uint8Array;
    let headers: MsgHdrs | undefined;
    try {
      answer = await handler(plainBytes(message.data), message.subject);
      this.#link.checkSize(`The answer on '${message.subject}'`, answer);
    } catch (error) {
      headers = newHeaders();
      headers.set(ERROR_HEADER, "1");
      const { name, message: text, stack } = describeError(error);
      const short = (s: string) => s.slice(0, MAX_ERROR_LENGTH);
      answer = new TextEncoder().encode(
        JSON.stringify({ name: short(name), message: short(text), stack: short(stack) }),
      );
    }
    if (!this.#link.connection.isClosed()) message.respond(answer, { headers });
  }

  async #close(): Promise<void> {
    const { connection } = this.#link;
    for (const puller of this.#pullers) puller.close();
    if (this.#link.connected) {
      const finished = (async () => {
        for (const subscription of this.#serving) await subscription.drain().catch(() => undefined);
        await Promise.allSettled(this.#underWay);
        await connection.drain();
      })();
      const lost = new Promise<void>((resolve) => {
        this.#link.onStatus((status) => status.type !== "error" && resolve()); // then there is nothing to finish
      });
      await bounded(Promise.race([finished, lost]), this.#link.timeoutMs).catch(() => undefined);
    }
    this.#link.close();
    await connection.close();
  }

  #open(what: string): void {
    if (this.#closing || this.#link.closed.aborted) throw new BusClosedError(what);
  }

  #track<T>(work: Promise<T>): Promise<T> {
    this.#underWay.add(work);
    const done = () => this.#underWay.delete(work);
    work.then(done, done);
    return work;
  }

  async #ask<T>(stream: string, what: string, attempt: (leftMs: number) => Promise<T>): Promise<T> {
    this.#open(what);
    checkName("stream", stream);
    try {
      return await this.#link.repeat(what, {}, attempt);
    } catch (cause) {
      const code = (cause as { code?: number }).code;
      if (code === 10059) throw new Error(`There is no stream '${stream}'. Create it first.`, { cause });
      throw cause;
    }
  }
}

async function dial(options: NatsOptions, timeoutMs: number): Promise<NatsConnection> {
  const { servers, name, token, user, password, credentials, nkeySeed, tls, inboxPrefix, signal } = options;
  if (credentials !== undefined && !credentials.includes("\n")) {
    throw new TypeError(
      "'credentials' must be the contents of a .creds file, but it looks like a path. Read the file first.",
    );
  }
  const encoder = new TextEncoder();
  const authenticator =
    credentials !== undefined
      ? credsAuthenticator(encoder.encode(credentials))
      : nkeySeed !== undefined
        ? nkeyAuthenticator(() => encoder.encode(typeof nkeySeed === "function" ? nkeySeed() : nkeySeed))
        : undefined;
  const list = typeof servers === "string" ? [servers] : servers;
  const webSocket = list.some((server) => /^wss?:/i.test(server));
  const deadline = performance.now() + timeoutMs;
  let why: Error | undefined;
  while (true) {
    signal?.throwIfAborted();
    try {
      return await (webSocket ? wsconnect : connect)({
        servers: list,
        name,
        token,
        user,
        pass: password,
        authenticator,
        tls,
        inboxPrefix,
        timeout: Math.max(50, Math.min(10_000, (deadline - performance.now()) / 2)), // leaves time for a second try
        maxReconnectAttempts: -1,
        // Spread out, so that a thousand actors do not fall upon a broker that has just come back.
        reconnectDelayHandler: () => 100 + Math.random() * 900,
        pingInterval: 10_000,
        maxPingOut: 2,
        noAsyncTraces: true,
      } as NodeConnectionOptions);
    } catch (cause) {
      const refusal = refusalIn(cause);
      if (refusal) {
        const identity = user !== undefined ? `user '${user}'` : (describeIdentity(options) ?? "no credentials");
        throw new ConnectError(
          "refused",
          `The NATS server at ${shown(servers)} refused this connection, which showed ${identity}: ${refusal}. Check the credentials given here against those of the server.`,
          { cause },
        );
      }
      const left = deadline - performance.now();
      // An attempt that our own deadline cut short explains nothing.
      if (why === undefined || (cause as Error).message !== "timeout") why = cause as Error;
      if (left < 300) {
        throw new ConnectError(
          "unreachable",
          `No NATS server could be reached at ${shown(servers)} within ${timeoutMs} ms: ${why.message}. ` +
            (looksUnwelcome(why)
              ? "A server that demands client certificates (--secrets) ends connections like this. "
              : "") +
            "Check that the server runs there, that address and port are right and no firewall is between; `nats-server -js` starts one.",
          { cause },
        );
      }
      await sleep(250, signal);
    }
  }
}

function describeIdentity({ token, credentials, nkeySeed }: NatsOptions): string | undefined {
  if (credentials !== undefined) return "a .creds file";
  if (nkeySeed !== undefined) return "an NKey";
  if (token !== undefined) return "a token";
  return undefined;
}

/** What the server said when it refuses us, as opposed to being away. */
function refusalIn(error: unknown): string | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if (at instanceof AuthorizationError || at instanceof UserAuthenticationExpiredError) return at.message;
    if (/certificate|tls|ssl|self.signed/i.test(`${(at as { code?: string }).code ?? ""} ${at.message}`))
      return at.message;
  }
  return undefined;
}

/** How it shows that a server demands TLS, or a client certificate that is missing: the reason is only in its log. */
const looksUnwelcome = ({ message }: Error) => /timeout|EBADF|EPIPE|ECONNRESET|socket/i.test(message);

/** Server addresses without the secrets that a URL may carry. */
function shown(servers: string | string[]): string {
  return [servers]
    .flat()
    .join(", ")
    .replace(/\/\/[^/@,]*@/g, "//***@");
}
