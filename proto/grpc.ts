/**
 * The glue between protobuf-es, which generates messages, and grpc-js, which moves them: typed servers and clients without
 * generated stubs.
 *
 *   const server = await serve({ port: 7400 }, implement(WeightsService, { subscribe, fetch, report }));
 *   const { client, close } = connect(WeightsService, server.address);
 *   const { newestCounter } = await client.report({ subscription }, { timeoutMs: 1000 });
 *   for await (const { frame } of client.fetch({ run }, { timeoutMs: 5000 })) …
 */
export {
  type CallOptions,
  type Connection,
  type Conversation,
  connect,
  type Methods,
  type StreamOptions,
} from "./grpc/client.ts";
export {
  type CallContext,
  checkBind,
  type GrpcServer,
  type Handlers,
  type Implementation,
  implement,
  type ResponseStream,
  type ServeOptions,
  serve,
} from "./grpc/server.ts";
export {
  type Encoded,
  isLoopback,
  type Security,
  type ServerSecurity,
  StatusError,
  serviceDefinition,
  status,
  type Tls,
} from "./grpc/wire.ts";
