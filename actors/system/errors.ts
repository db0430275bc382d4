/** The errors of actors that somebody catches. What a method throws arrives as RemoteError (proto/bus/errors.ts). */

/** No actor has this name: it was never spawned, or has ended. */
export class NoSuchActorError extends Error {
  override readonly name = "NoSuchActorError";
}

/** The name belongs to an actor that lives. Take another, or `getIfExists`. */
export class NameTakenError extends Error {
  override readonly name = "NameTakenError";
}

/** The actor ended during the call, which may or may not have been done. */
export class ActorDiedError extends Error {
  override readonly name = "ActorDiedError";
}

/** The actor was given up: it died too often, or cannot be started at all. The message has its last words. */
export class ActorFailedError extends Error {
  override readonly name = "ActorFailedError";
}

/** Its mailbox is full, so the call was not taken. Call less often, or later. */
export class MailboxFullError extends Error {
  override readonly name = "MailboxFullError";
}

/** The deadline has passed. The message says whether the call had been sent. */
export class CallTimeoutError extends Error {
  override readonly name = "CallTimeoutError";
}
