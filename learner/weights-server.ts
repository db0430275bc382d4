/**
 * Broadcasts weights to actors (WeightsService). Each version is encoded once per encoding that somebody asks for and the same
 * buffers go to every subscriber. Newest wins: a subscriber that is still receiving when versions are published skips to
 * the newest one afterwards, so that at most the version in flight is ever queued for it.
 *
 *   const server = await weightsServer({ run: "walkthrough", services: [learnerService(learner)] });
 *   const { version } = server.publish({ counter: 0, weights });
 *   …
 *   await server.close();
 */
import { randomUUID } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  Compression,
  Encoding,
  type ManifestSchema,
  type SubscribeResponseSchema,
  type Version,
  VersionSchema,
  WeightsService,
} from "../proto/gen/proxima/v1/weights_pb.ts";
import {
  type GrpcServer,
  type Implementation,
  implement,
  type ResponseStream,
  type ServeOptions,
  StatusError,
  serve,
  status,
} from "../proto/grpc.ts";
import { checkRunName } from "../proto/subjects.ts";
import type { WeightsVersion } from "../proto/trajectory.ts";
import {
  compressions,
  encodings,
  type PackedWeights,
  packWeights,
  unpackWeights,
  type WeightsCompression,
  type WeightsEncoding,
} from "../proto/weights.ts";

export interface WeightsServerOptions extends ServeOptions {
  run: string;
  /** Compress for subscribers that can undo it. Weights shrink by a few per cent only: for slow networks. Default false. */
  zstd?: boolean;
  /** A subscriber reports to use a version, since this time (milliseconds since 1970). */
  onHeld?(actor: string, counter: number, sinceMs: number): void;
  /** Further services on the same address. */
  services?: Implementation[];
}

/** A connected subscriber as the learner sees it. */
export interface WeightsSubscriber {
  actor: string;
  /** host:port */
  peer: string;
  encoding: WeightsEncoding;
  connectedAtMs: number;
  /** The version that it last reported to use; undefined before the first. */
  held?: WeightsVersion;
  /** Versions published since that one; all of this incarnation when it holds none. */
  lagVersions: number;
  /** How many versions it has refused, and why it refused the last. */
  refused: number;
  refusedReason?: string;
}

export interface WeightsPublication {
  counter: number;
  weights: Float32Array;
  /** Hex SHA-256 of what they build on, where they are not whole: a receiver must hold it. */
  base?: string;
  /** For a relay, which passes on what another server published: that server's incarnation and time. */
  incarnation?: string;
  publishedAtMs?: number;
}

export interface PublishedWeights {
  /** As receivers of f32 hold it. */
  readonly version: WeightsVersion;
  /** Identity of the version as receivers of another encoding hold it. Encodes it if nobody has asked for it yet. */
  versionFor(encoding: WeightsEncoding): WeightsVersion;
}

export interface WeightsServer {
  readonly address: string;
  readonly port: number;
  /** Identifies this server among those that the run has had; random. */
  readonly incarnation: string;
  /**
   * Makes this the newest version and starts sending it. The weights are copied. Throws RangeError unless the counter is
   * greater than the last one of its incarnation.
   */
  publish(weights: WeightsPublication): PublishedWeights;
  readonly newest: PublishedWeights | undefined;
  /** Those connected now, in order of connection. */
  subscribers(): WeightsSubscriber[];
  /** Ends each subscription once it has received the newest version, waiting for at most `graceMs` (default 5000). */
  close(graceMs?: number): Promise<void>;
}

/** Of all subscribers, about: a report costs half a millisecond of processor time. */
const REPORTS_PER_SECOND = 100;

/** A published version and its encodings, made when first asked for. */
class Publication implements PublishedWeights {
  readonly version: WeightsVersion;
  readonly counter: number;
  readonly incarnation: string;
  readonly publishedAtMs: number;
  readonly base: string;
  /** Uncompressed f32: what the learner's array held when it was published. */
  readonly #original: PackedWeights;
  readonly #packed = new Map<string, PackedWeights>();

  constructor({ counter, weights, incarnation, publishedAtMs, base }: Required<WeightsPublication>) {
    this.base = base;
    this.counter = counter;
    this.incarnation = incarnation;
    this.publishedAtMs = publishedAtMs;
    this.#original = packWeights(weights, "f32", "none");
    this.#packed.set("f32/none", this.#original);
    this.version = this.versionFor("f32");
  }

  packed(encoding: WeightsEncoding, compression: WeightsCompression): PackedWeights {
    const key = `${encoding}/${compression}`;
    let packed = this.#packed.get(key);
    if (!packed) {
      packed = packWeights(unpackWeights(this.#original), encoding, compression);
      this.#packed.set(key, packed);
    }
    return packed;
  }

  versionFor(encoding: WeightsEncoding): WeightsVersion {
    const packed = this.#packed.get(`${encoding}/zstd`) ?? this.packed(encoding, "none");
    return { counter: this.counter, sha256: packed.sha256.toString("hex") };
  }
}

interface Subscription {
  id: string;
  actor: string;
  peer: string;
  encoding: WeightsEncoding;
  compression: WeightsCompression;
  connectedAtMs: number;
  held?: Version;
  refused: number;
  refusedReason?: string;
}

type Frames = ResponseStream<typeof SubscribeResponseSchema>;

/** Rejects when the address is taken or unprotected (see `serve`). */
export async function weightsServer(options: WeightsServerOptions): Promise<WeightsServer> {
  const run = checkRunName(options.run);
  const ownIncarnation = randomUUID();
  const subscriptions = new Map<string, Subscription>();
  let closing = false;
  let newest: Publication | undefined;
  let published = 0;
  /** Wakes the subscriptions that have sent everything. */
  let waiting = new Set<() => void>();

  const wake = () => {
    const woken = waiting;
    waiting = new Set();
    for (const resolve of woken) resolve();
  };

  const checkRun = (asked: string) => {
    if (asked !== run) {
      throw new StatusError(
        status.FAILED_PRECONDITION,
        `this address serves run ${run}, found a request for "${asked}"`,
      );
    }
  };

  /** What a subscriber claims to hold is remembered, so it must be of a bounded size. */
  const checkVersion = (version: Version | undefined) => {
    if (version && (version.sha256.length !== 32 || version.incarnation.length > 128)) {
      throw new StatusError(status.INVALID_ARGUMENT, "a version must have a hash of 32 bytes and a short incarnation");
    }
    return version;
  };

  const versionMessage = (publication: Publication, packed: PackedWeights) =>
    create(VersionSchema, {
      incarnation: publication.incarnation,
      counter: BigInt(publication.counter),
      sha256: packed.sha256,
    });

  const formatOf = (request: { encoding: Encoding; acceptedCompressions: Compression[] }) => ({
    encoding: encodingOf(request.encoding),
    compression: (options.zstd && request.acceptedCompressions.includes(Compression.ZSTD)
      ? "zstd"
      : "none") as WeightsCompression,
  });

  async function send(
    stream: Frames,
    publication: Publication,
    packed: PackedWeights,
    subscription = "",
  ): Promise<void> {
    const manifest: MessageInitShape<typeof ManifestSchema> = {
      run,
      subscription,
      version: versionMessage(publication, packed),
      encoding: encodings[packed.encoding],
      compression: compressions[packed.compression],
      parameterCount: BigInt(packed.parameterCount),
      wireBytes: BigInt(packed.wireBytes),
      published: timestampFromMs(publication.publishedAtMs),
      baseSha256: Buffer.from(publication.base, "hex"),
    };
    await stream.send({ frame: { case: "manifest", value: manifest } });
    for (const frame of packed.frames) await stream.send(frame);
  }

  async function follow(subscription: Subscription, stream: Frames): Promise<void> {
    let sent: Publication | undefined;
    const { encoding, compression, held } = subscription;
    const holds = (publication: Publication) =>
      held?.incarnation === publication.incarnation &&
      Number(held.counter) === publication.counter &&
      publication.packed(encoding, compression).sha256.equals(held.sha256);
    if (newest && holds(newest)) sent = newest;
    let resume = () => {};
    stream.signal.addEventListener("abort", () => resume(), { once: true });
    for (;;) {
      if (newest && newest !== sent) {
        sent = newest;
        await send(stream, sent, sent.packed(encoding, compression), subscription.id);
      } else if (closing) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          resume = resolve;
          waiting.add(resume);
        });
        waiting.delete(resume);
        stream.signal.throwIfAborted();
      }
    }
  }

  const service = implement(WeightsService, {
    async subscribe(request, stream) {
      checkRun(request.run);
      const subscription: Subscription = {
        id: randomUUID(),
        actor: request.actor.slice(0, 256),
        peer: stream.peer,
        ...formatOf(request),
        connectedAtMs: Date.now(),
        held: checkVersion(request.held),
        refused: 0,
      };
      subscriptions.set(subscription.id, subscription);
      try {
        await follow(subscription, stream);
      } finally {
        subscriptions.delete(subscription.id);
      }
    },
    async fetch(request, stream) {
      checkRun(request.run);
      if (!newest) throw new StatusError(status.NOT_FOUND, `no weights of run ${run} are published yet`);
      const { encoding, compression } = formatOf(request);
      await send(stream as unknown as Frames, newest, newest.packed(encoding, compression));
    },
    report(request) {
      const subscription = subscriptions.get(request.subscription);
      if (!subscription) throw new StatusError(status.NOT_FOUND, "the subscription has ended; subscribe again");
      if (request.refused) {
        subscription.refused++;
        subscription.refusedReason = request.refused.slice(0, 500);
      } else {
        subscription.held = checkVersion(request.version);
        const sinceMs = Date.now() - request.ageMs;
        if (subscription.held) options.onHeld?.(subscription.actor, Number(subscription.held.counter), sinceMs);
      }
      const reportAfterMs = Math.round((1000 * subscriptions.size) / REPORTS_PER_SECOND);
      return { newestCounter: BigInt(newest?.counter ?? 0), reportAfterMs };
    },
  });

  const server: GrpcServer = await serve(options, service, ...(options.services ?? []));

  return {
    address: server.address,
    port: server.port,
    incarnation: ownIncarnation,
    publish({ counter, weights, incarnation = ownIncarnation, publishedAtMs = Date.now(), base = "" }) {
      const least = newest?.incarnation === incarnation ? newest.counter + 1 : 0;
      if (!Number.isSafeInteger(counter) || counter < least) {
        throw new RangeError(
          `Cannot publish weights: the counter must be an integer from ${least} on, found ${counter}`,
        );
      }
      if (weights.length === 0) throw new RangeError("Cannot publish weights: there must be at least 1, found none");
      newest = new Publication({ counter, weights, incarnation, publishedAtMs, base });
      published++;
      wake();
      return newest;
    },
    get newest() {
      return newest;
    },
    subscribers() {
      return [...subscriptions.values()].map(
        ({ actor, peer, encoding, connectedAtMs, held, refused, refusedReason }) => {
          const current = held?.incarnation === newest?.incarnation ? held : undefined;
          return {
            actor,
            peer,
            encoding,
            connectedAtMs,
            held: held && { counter: Number(held.counter), sha256: Buffer.from(held.sha256).toString("hex") },
            lagVersions: current && newest ? newest.counter - Number(current.counter) : published,
            refused,
            refusedReason,
          };
        },
      );
    },
    async close(graceMs = 5000) {
      closing = true;
      wake();
      await server.close(graceMs);
    },
  };
}

function encodingOf(encoding: Encoding): WeightsEncoding {
  if (encoding === Encoding.F32 || encoding === Encoding.UNSPECIFIED) return "f32";
  if (encoding === Encoding.BF16) return "bf16";
  throw new StatusError(status.INVALID_ARGUMENT, `the encoding must be f32 or bf16, found ${encoding}`);
}
