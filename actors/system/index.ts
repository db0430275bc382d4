export { currentCall } from "./call-server.ts";
export type { ActorInfo, ActorState, Labels, NodeEntry } from "./entry.ts";
export {
  ActorDiedError,
  ActorFailedError,
  CallTimeoutError,
  MailboxFullError,
  NameTakenError,
  NoSuchActorError,
} from "./errors.ts";
export { type ActorContext, type CallOptions, defineKind, type Handle, type Kind } from "./kind.ts";
// For those who run nodes.
export { ActorNode, type NodeEvent, type NodeOptions } from "./node.ts";
export { ActorSystem, type SpawnOptions } from "./system.ts";
