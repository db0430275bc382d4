/** The server's half of the gRPC glue. For Bun and Node: Deno crashes as a grpc-js server. */
import { createHash, timingSafeEqual } from "node:crypto";
import process from "node:process";
import { create, type DescMessage, type DescService, type MessageInitShape } from "@bufbuild/protobuf";
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import {
  channelOptions,
  type Encoded,
  type Input,
  isLoopback,
  methodPath,
  type ServerSecurity,
  StatusError,
  serviceDefinition,
  status,
  type Tls,
} from "./wire.ts";

const MAX_STATUS_DETAILS = 1024;

/** The part of grpc-js's server calls that does not depend on their kind. */
interface ServerCall extends Pick<ServerUnaryCall<object, object>, "metadata" | "cancelled" | "getPeer"> {
  once(event: "cancelled", listener: () => void): unknown;
  off(event: "cancelled", listener: () => void): unknown;
}

type ServerStream = ServerWritableStream<object, object> | ServerDuplexStream<object, object>;

export interface CallContext {
  /** host:port of the caller. */
  readonly peer: string;
  /** Aborts when the caller cancels, disconnects or its deadline passes. */
  readonly signal: AbortSignal;
}

export interface ResponseStream<M extends DescMessage> extends CallContext {
  /** Resolves when there is room for the next message. Throws StatusError (CANCELLED) once the caller is gone. */
  send(message: MessageInitShape<M> | Encoded): Promise<void>;
}

/** Unary methods return their response, streams send theirs and return; what they throw ends the call. */
export type Handlers<S extends DescService> = {
  [K in keyof S["method"]]: S["method"][K] extends { methodKind: "unary" }
    ? (
        request: Input<S["method"][K]>,
        call: CallContext,
      ) => Promise<MessageInitShape<S["method"][K]["output"]>> | MessageInitShape<S["method"][K]["output"]>
    : S["method"][K] extends { methodKind: "server_streaming" }
      ? (request: Input<S["method"][K]>, stream: ResponseStream<S["method"][K]["output"]>) => Promise<void>
      : S["method"][K] extends { methodKind: "bidi_streaming" }
        ? (
            requests: AsyncIterable<Input<S["method"][K]>>,
            stream: ResponseStream<S["method"][K]["output"]>,
          ) => Promise<void>
        : never;
};

export interface Implementation {
  readonly service: DescService;
  readonly handlers: Record<string, (request: never, call: never) => unknown>;
  readonly token?: string;
}

/** Joins a service with the functions that answer for it. With a `token` it demands that one instead of the server's. */
export function implement<S extends DescService>(
  service: S,
  handlers: Handlers<S>,
  { token }: { token?: string } = {},
): Implementation {
  return { service, handlers: handlers as unknown as Implementation["handlers"], token };
}

export interface ServeOptions extends ServerSecurity {
  /** A secret that every caller must send. */
  token?: string;
  /** Default 127.0.0.1. Others are refused unless there is TLS and either a token or `tls.ca` for client certificates. */
  host?: string;
  /** Default 0: any free port. */
  port?: number;
}

export interface GrpcServer {
  /** host:port as clients reach it. */
  readonly address: string;
  readonly port: number;
  /** Lets calls under way finish for at most `graceMs` (default 0), then ends them. */
  close(graceMs?: number): Promise<void>;
}

/** Throws TypeError that explains what is missing when the address would be open to others without protection. */
export function checkBind(host: string, { tls, token, authorise }: ServeOptions): void {
  if (tls && !(tls.cert && tls.key)) {
    throw new TypeError(`Cannot serve gRPC on ${host}: TLS needs a certificate and its key, found only a part of them`);
  }
  if (token === "") throw new TypeError(`Cannot serve gRPC on ${host}: the token is empty`);
  if (isLoopback(host) || (tls && (token || tls.ca || authorise))) return;
  throw new TypeError(
    `Cannot serve gRPC on ${host}: an address that other machines can reach needs TLS (certificate and key) and a token ` +
      `or an authority for client certificates, found ${tls ? "TLS without either" : token ? "a token without TLS" : "neither"}; ` +
      "give them ('proxima secure init' makes them, --secrets DIR uses them), or bind to 127.0.0.1",
  );
}

/** TLS that demands a client certificate where it knows an authority for them, and whose certificates can be replaced. */
class TlsCredentials extends ServerCredentials {
  constructor({ ca, cert, key }: Tls) {
    super({ requestCert: ca !== undefined, rejectUnauthorized: ca !== undefined }, { ca, cert, key });
  }

  /** For connections from now on. */
  renew({ ca, cert, key }: Tls): void {
    this.updateSecureContextOptions({ ca, cert, key });
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

const digest = (text: string) => createHash("sha256").update(text).digest();

/** Throws StatusError unless the caller may call the method of this path. */
type Authenticate = (call: ServerCall, path: string) => void;

function tokenOf(call: ServerCall): string | undefined {
  const [found] = call.metadata.get("authorization");
  return typeof found === "string" && found.startsWith("Bearer ") ? found.slice("Bearer ".length) : undefined;
}

/** Compares in constant time, whatever the lengths. */
function demand(token: string): Authenticate {
  const expected = digest(token);
  return (call) => {
    const found = tokenOf(call);
    if (found === undefined || !timingSafeEqual(digest(found), expected)) {
      throw new StatusError(status.UNAUTHENTICATED, `a valid token is required, found ${found ? "another" : "none"}`);
    }
  };
}

function toStatus(error: unknown): { code: number; details: string } {
  const code = error instanceof StatusError ? error.code : status.INTERNAL;
  const details = error instanceof Error ? error.message : String(error);
  return { code, details: details.slice(0, MAX_STATUS_DETAILS) };
}

function context(call: ServerCall): CallContext & { done(): void } {
  const controller = new AbortController();
  const abort = () => controller.abort(new StatusError(status.CANCELLED, "the caller is gone"));
  if (call.cancelled) abort();
  call.once("cancelled", abort);
  return { peer: call.getPeer(), signal: controller.signal, done: () => call.off("cancelled", abort) };
}

function untyped({ service, handlers }: Implementation, authenticate: Authenticate) {
  const implementation: UntypedServiceImplementation = {};
  for (const method of service.methods) {
    const handler = handlers[method.localName] as (request: unknown, call: unknown) => unknown;
    const path = methodPath(service, method);
    if (method.methodKind === "unary") {
      implementation[method.localName] = async (
        call: ServerUnaryCall<object, object>,
        callback: (error: object | null, value?: object) => void,
      ) => {
        const ctx = context(call);
        try {
          authenticate(call, path);
          const response = await handler(call.request, ctx);
          callback(null, create(method.output, response as MessageInitShape<DescMessage>));
        } catch (error) {
          callback(toStatus(error));
        } finally {
          ctx.done();
        }
      };
    } else if (method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming") {
      implementation[method.localName] = async (call: ServerStream) => {
        const ctx = context(call);
        try {
          authenticate(call, path);
          call.sendMetadata(new Metadata()); // tells the caller that it is served, before there is anything to send
          const input = "request" in call ? call.request : received(call, ctx.signal);
          await handler(input, responseStream(method.output, call, ctx));
          call.end();
        } catch (error) {
          call.emit("error", toStatus(error));
        } finally {
          ctx.done();
        }
      };
    } else throw new TypeError(`Cannot serve ${methodPath(service, method)}: client streams are not supported`);
  }
  return implementation;
}

/** What the caller sends, until it ends its side or is gone. */
async function* received(call: ServerDuplexStream<object, object>, signal: AbortSignal) {
  const gone = () => call.destroy(signal.reason);
  signal.addEventListener("abort", gone);
  try {
    // The plain iteration would destroy both sides at the end of one, and with it the status that is still to be sent.
    yield* call.iterator({ destroyOnReturn: false });
  } finally {
    signal.removeEventListener("abort", gone);
  }
}

function responseStream(
  schema: DescMessage,
  call: ServerStream,
  { peer, signal }: CallContext,
): ResponseStream<DescMessage> {
  return {
    peer,
    signal,
    async send(message) {
      signal.throwIfAborted();
      if (call.write(Buffer.isBuffer(message) ? message : create(schema, message))) return;
      await new Promise<void>((resolve, reject) => {
        const settle = () => {
          call.off("drain", settle);
          signal.removeEventListener("abort", settle);
          if (signal.aborted) reject(signal.reason);
          else resolve();
        };
        call.once("drain", settle);
        signal.addEventListener("abort", settle);
      });
    },
  };
}

/** Serves until closed. Rejects when the address is taken or unprotected, saying so. */
export async function serve(options: ServeOptions, ...implementations: Implementation[]): Promise<GrpcServer> {
  const { host = "127.0.0.1", port = 0, tls, token, authorise, onRenewal } = options;
  if (process.versions.deno) {
    throw new Error("Cannot serve gRPC on Deno: grpc-js crashes there as a server; run this process on Bun or Node");
  }
  checkBind(host, options);
  if (implementations.some((implementation) => implementation.token === "")) {
    throw new TypeError(`Cannot serve gRPC on ${host}: the token of a service is empty`);
  }
  const server = new Server(channelOptions());
  for (const implementation of implementations) {
    const secret = implementation.token ?? token;
    const authenticate: Authenticate = authorise
      ? (call, path) => authorise(tokenOf(call), path)
      : secret === undefined
        ? () => {}
        : demand(secret);
    server.addService(serviceDefinition(implementation.service), untyped(implementation, authenticate));
  }
  const credentials = tls ? new TlsCredentials(tls) : ServerCredentials.createInsecure();
  const name = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${name}:${port}`, credentials, (cause, boundPort) => {
      if (!cause) return resolve(boundPort);
      const why = /EADDRINUSE|address already in use|No address added/i.test(cause.message)
        ? `the port is taken or not ours to use; choose another, or 0 for any free one`
        : cause.message;
      reject(new Error(`Cannot serve gRPC on ${name}:${port}: ${why}`, { cause }));
    });
  });
  const ended = new AbortController();
  if (credentials instanceof TlsCredentials) onRenewal?.((renewed) => credentials.renew(renewed), ended.signal);
  let closed: Promise<void> | undefined;
  return {
    address: `${name}:${bound}`,
    port: bound,
    close(graceMs = 0) {
      ended.abort();
      closed ??= new Promise<void>((resolve) => {
        const force = setTimeout(() => server.forceShutdown(), graceMs);
        server.tryShutdown(() => {
          clearTimeout(force);
          server.forceShutdown();
          resolve();
        });
      });
      return closed;
    },
  };
}
