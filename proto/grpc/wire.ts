/** What client and server of the gRPC glue share: how messages become bytes, channel options, status errors. */
import process from "node:process";
import {
  type DescMessage,
  type DescMethod,
  type DescService,
  fromBinary,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { type ChannelOptions, logVerbosity, type ServiceDefinition, setLogVerbosity, status } from "@grpc/grpc-js";

export { status };

// Whatever grpc-js would print also reaches a caller as an error.
if (!process.env.GRPC_VERBOSITY) setLogVerbosity(logVerbosity.NONE);

/** A call failed with a gRPC status. Handlers throw it to choose the status; anything else becomes INTERNAL. */
export class StatusError extends Error {
  override readonly name = "StatusError";
  /** One of `status`. */
  readonly code: number;
  constructor(code: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** PEM texts. A server with `ca` demands a client certificate signed by it; a client with `cert` and `key` shows one. */
export interface Tls {
  cert?: string;
  key?: string;
  /** Who signed the other side's certificate; a client without it trusts the system's authorities. */
  ca?: string;
  /** Clients: the name in the server's certificate, needed where the address is an IP (Bun and Deno check names only). */
  serverName?: string;
}

export interface Security {
  tls?: Tls;
  /** A secret that clients send as a bearer token and the server demands; a client may give a function, asked at every call. */
  token?: string | (() => string);
}

/** What a server asks of its callers, where one token for all does not do. */
export interface ServerSecurity {
  tls?: Tls;
  /** Throws StatusError (UNAUTHENTICATED, PERMISSION_DENIED) unless a caller with this token may call this method, `/package.Service/Method`. */
  authorise?(token: string | undefined, path: string): void;
  /** Called once: hands over another certificate whenever there is one, until the signal aborts. */
  onRenewal?(use: (tls: Tls) => void, signal: AbortSignal): void;
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/;

/** True for addresses that only this machine reaches. */
export const isLoopback = (host: string) => LOOPBACK.test(host);

/** The default window of 64 KiB would wait for a round trip four times in each chunk of weights. */
const FLOW_CONTROL_WINDOW_BYTES = 8 << 20;
const MAX_MESSAGE_BYTES = 16 << 20;
/** How often the other side is asked for a sign of life. */
const KEEPALIVE_TIME_MS = 1000;
/** How long it may take: longer than the update that keeps a learner's event loop busy, short enough to notice a death. */
const KEEPALIVE_TIMEOUT_MS = 5000;

export function channelOptions(serverName?: string): ChannelOptions {
  const options: ChannelOptions = {
    "grpc-node.flow_control_window": FLOW_CONTROL_WINDOW_BYTES,
    "grpc.keepalive_time_ms": KEEPALIVE_TIME_MS,
    "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 2000,
    // A channel of its own for each client, so that closing one says nothing about another.
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_http_proxy": 0,
  };
  if (serverName) {
    options["grpc.ssl_target_name_override"] = serverName;
    options["grpc.default_authority"] = serverName;
  }
  return options;
}

export type AnyMethod = Pick<DescMethod, "input" | "output" | "methodKind">;
export type Input<M extends AnyMethod> = MessageShape<M["input"]>;
export type Output<M extends AnyMethod> = MessageShape<M["output"]>;

/** A message that is already in wire format: encoded once, sent to many. */
export type Encoded = Buffer;

export const encoder = (schema: DescMessage) => (value: object) => {
  if (Buffer.isBuffer(value)) return value;
  const bytes = toBinary(schema, value as MessageShape<DescMessage>);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
};

/** Fields of type bytes are views that keep the whole message alive: copy what is to be kept. */
export const decoder = (schema: DescMessage) => (bytes: Buffer) => fromBinary(schema, bytes);

export const methodPath = (service: DescService, method: DescMethod) => `/${service.typeName}/${method.name}`;

/** What grpc-js wants to know about a service. */
export function serviceDefinition(service: DescService): ServiceDefinition {
  const definition: Record<string, ServiceDefinition[string]> = {};
  for (const method of service.methods) {
    definition[method.localName] = {
      path: methodPath(service, method),
      requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
      responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
      requestSerialize: encoder(method.input),
      requestDeserialize: decoder(method.input),
      responseSerialize: encoder(method.output),
      responseDeserialize: decoder(method.output),
    };
  }
  return definition;
}
