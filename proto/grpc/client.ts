/** The client's half of the gRPC glue. For Bun, Deno and Node. */
import { create, type DescMessage, type DescService, type MessageInitShape } from "@bufbuild/protobuf";
import {
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import {
  channelOptions,
  decoder,
  encoder,
  isLoopback,
  methodPath,
  type Output,
  type Security,
  StatusError,
  status,
  type Tls,
} from "./wire.ts";

export interface CallOptions {
  /** The deadline. Throws StatusError with DEADLINE_EXCEEDED when it passes. */
  timeoutMs: number;
  signal?: AbortSignal;
}

/** A stream may be meant to last; then only its signal ends it. `onOpen` is called when the server has taken the call. */
export type StreamOptions = Partial<CallOptions> & { onOpen?: () => void } & (
    | { timeoutMs: number }
    | { signal: AbortSignal }
  );

/** Both sides send what they like while it lasts. Iterate over it for the responses; that throws StatusError. */
export interface Conversation<M extends DescMessage, R> extends AsyncIterable<R> {
  /** Queued without bound: do not run ahead of the answers. Dropped once the call has ended. */
  send(request: MessageInitShape<M>): void;
  /** No more requests will follow. */
  end(): void;
}

export type Methods<S extends DescService> = {
  [K in keyof S["method"]]: S["method"][K] extends { methodKind: "unary" }
    ? (request: MessageInitShape<S["method"][K]["input"]>, options: CallOptions) => Promise<Output<S["method"][K]>>
    : S["method"][K] extends { methodKind: "server_streaming" }
      ? (
          request: MessageInitShape<S["method"][K]["input"]>,
          options: StreamOptions,
        ) => AsyncIterable<Output<S["method"][K]>>
      : S["method"][K] extends { methodKind: "bidi_streaming" }
        ? (options: StreamOptions) => Conversation<S["method"][K]["input"], Output<S["method"][K]>>
        : never;
};

export interface Connection<S extends DescService> {
  readonly address: string;
  /** The service's methods. They throw StatusError. */
  readonly client: Methods<S>;
  close(): void;
}

function channelCredentials(tls: Tls | undefined) {
  if (!tls) return credentials.createInsecure();
  const pem = (text: string | undefined) => (text ? Buffer.from(text) : null);
  return credentials.createSsl(pem(tls.ca), pem(tls.key), pem(tls.cert));
}

/** Connects when the first call is made, and again whenever a call finds the connection lost. */
export function connect<S extends DescService>(
  service: S,
  address: string,
  { tls, token }: Security = {},
): Connection<S> {
  const host = address.replace(/:\d+$/, "");
  if (token && !tls && !isLoopback(host)) {
    throw new TypeError(
      `Cannot send a token to ${address} without TLS: anybody on the way could read it; give the server's authority`,
    );
  }
  const client = new Client(address, channelCredentials(tls), channelOptions(tls?.serverName));
  const metadata = () => {
    const entries = new Metadata();
    const secret = typeof token === "function" ? token() : token;
    if (secret) entries.set("authorization", `Bearer ${secret}`);
    return entries;
  };
  /** Without a certificate to show, a broken connection may well mean that one is demanded: runtimes tell it in various ways. */
  const hint = ({ code, details }: ServiceError) =>
    code === status.UNAVAILABLE && tls && !tls.cert && /certificate.required|EPIPE|EBADF|ECONNRESET/i.test(details)
      ? " The server seems to demand a client certificate: give one (--secrets)."
      : "";
  const methods: Record<string, unknown> = {};
  for (const method of service.methods) {
    const path = methodPath(service, method);
    const encode = encoder(method.input);
    const decode = decoder(method.output);
    const failed = (cause: ServiceError) =>
      new StatusError(
        cause.code ?? status.UNKNOWN,
        `Cannot call ${method.name} at ${address}: ${status[cause.code] ?? cause.code}: ${cause.details || cause.message}${hint(cause)}`,
        { cause },
      );
    const begin = (options: Partial<CallOptions>) => {
      options.signal?.throwIfAborted();
      return { deadline: options.timeoutMs === undefined ? undefined : Date.now() + options.timeoutMs };
    };
    async function* responses(call: ClientReadableStream<object>, options: StreamOptions) {
      const cancel = () => call.cancel();
      options.signal?.addEventListener("abort", cancel);
      if (options.onOpen) call.once("metadata", options.onOpen);
      try {
        for await (const response of call) yield response;
      } catch (error) {
        if (options.signal?.aborted) throw options.signal.reason;
        throw failed(error as ServiceError);
      } finally {
        options.signal?.removeEventListener("abort", cancel);
        call.on("error", () => {}); // cancelling makes the call emit one more error, to nobody
        call.cancel();
      }
    }
    if (method.methodKind === "unary") {
      methods[method.localName] = async (request: MessageInitShape<DescMessage>, options: CallOptions) => {
        const callOptions = begin(options);
        const message = create(method.input, request);
        return await new Promise((resolve, reject) => {
          const call = client.makeUnaryRequest(
            path,
            encode,
            decode,
            message,
            metadata(),
            callOptions,
            (error, value) => {
              options.signal?.removeEventListener("abort", cancel);
              if (error) reject(options.signal?.aborted ? options.signal.reason : failed(error));
              else resolve(value);
            },
          );
          const cancel = () => call.cancel();
          options.signal?.addEventListener("abort", cancel);
        });
      };
    } else if (method.methodKind === "server_streaming") {
      methods[method.localName] = async function* (request: MessageInitShape<DescMessage>, options: StreamOptions) {
        const callOptions = begin(options);
        const message = create(method.input, request);
        yield* responses(
          client.makeServerStreamRequest(path, encode, decode, message, metadata(), callOptions),
          options,
        );
      };
    } else if (method.methodKind === "bidi_streaming") {
      methods[method.localName] = (options: StreamOptions): Conversation<DescMessage, object> => {
        const call: ClientDuplexStream<object, object> = client.makeBidiStreamRequest(
          path,
          encode,
          decode,
          metadata(),
          begin(options),
        );
        call.on("error", () => {}); // the iteration throws it, whenever that begins
        const received = responses(call as unknown as ClientReadableStream<object>, options);
        return {
          send: (request) => void (call.writable && call.write(create(method.input, request))),
          end: () => call.end(),
          [Symbol.asyncIterator]: () => received,
        };
      };
    }
  }
  return { address, client: methods as Methods<S>, close: () => client.close() };
}
