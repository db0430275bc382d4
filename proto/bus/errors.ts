/** The errors of a Bus that somebody catches, each named by what the caller can do about it. */

/** A key-value write lost the race: another revision is the latest. Read again, decide again. */
export class KeyConflictError extends Error {
  override readonly name = "KeyConflictError";
  readonly key: string;
  /** The revision that was expected to be the latest; 0 means that the key was expected to be absent. */
  readonly expectedRevision: number;

  constructor(bucket: string, key: string, expectedRevision: number, options?: ErrorOptions) {
    const expected = expectedRevision === 0 ? "to be absent" : `at revision ${expectedRevision}`;
    super(
      `Cannot write key '${key}' of bucket '${bucket}': expected it ${expected}, but somebody else wrote it. Read it again and retry.`,
      options,
    );
    this.key = key;
    this.expectedRevision = expectedRevision;
  }
}

/** The bucket is not there, and this role may not create it: it may be, later. */
export class AbsentBucketError extends Error {
  override readonly name = "AbsentBucketError";

  constructor(bucket: string, options?: ErrorOptions) {
    super(
      `There is no bucket '${bucket}', and this role may not create it. Start the learner of its run first, or check the run's name.`,
      options,
    );
  }
}

/** Nobody answered in time. The other side may or may not have done the work. */
export class RequestTimeoutError extends Error {
  override readonly name = "RequestTimeoutError";
  readonly timeoutMs: number;

  constructor(subject: string, timeoutMs: number, connected = true, options?: ErrorOptions) {
    super(
      connected
        ? `No answer to the request on '${subject}' within ${timeoutMs} ms. Its handler is slow, stuck or gone; it may still have done the work.`
        : `No answer to the request on '${subject}' within ${timeoutMs} ms: the connection to the broker is down. Check that the broker runs.`,
      options,
    );
    this.timeoutMs = timeoutMs;
  }
}

/** Nobody serves the subject, so nothing was done. */
export class NoResponderError extends Error {
  override readonly name = "NoResponderError";
  readonly subject: string;

  constructor(subject: string, options?: ErrorOptions) {
    super(
      `Nobody serves '${subject}'. Its process has not started yet, has ended, or listens under another name.`,
      options,
    );
    this.subject = subject;
  }
}

/** The handler of a request threw. `message` is its message, `remoteStack` where it happened. */
export class RemoteError extends Error {
  override readonly name = "RemoteError";
  readonly remoteName: string;
  readonly remoteStack: string;

  constructor(remote: { name: string; message: string; stack: string }, options?: ErrorOptions) {
    super(remote.message, options);
    this.remoteName = remote.name;
    this.remoteStack = remote.stack;
    if (remote.stack) this.stack = `${this.stack}\n  while handling the request, remotely:\n${remote.stack}`;
  }
}

/** The broker did not confirm in time, so it may or may not have been done. Publishing again with the same id is safe. */
export class BrokerTimeoutError extends Error {
  override readonly name: string = "BrokerTimeoutError";
}

/** The stream stayed full for the whole time allowed, so the message is not stored. Its consumers are slower than its publishers, or gone. */
export class StreamFullTimeoutError extends BrokerTimeoutError {
  override readonly name = "StreamFullTimeoutError";
}

/** The message can never be accepted: make it smaller. */
export class MessageTooLargeError extends RangeError {
  override readonly name = "MessageTooLargeError";
  readonly bytes: number;
  readonly maxBytes: number;

  constructor(what: string, bytes: number, maxBytes: number, limit: string) {
    super(
      `${what} has ${bytes} bytes, but ${limit} is ${maxBytes} bytes. Compress or split it, or put it into an object store.`,
    );
    this.bytes = bytes;
    this.maxBytes = maxBytes;
  }
}

/** No usable broker: unreachable, or it refuses us. The message says which and what to try. */
export class ConnectError extends Error {
  override readonly name = "ConnectError";
  /** unreachable: worth retrying later; refused: the credentials or the server's configuration must change. */
  readonly reason: "unreachable" | "refused" | "unsuitable";

  constructor(reason: ConnectError["reason"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** The broker's permissions for this role do not allow it. Trying again cannot help. */
export class NotPermittedError extends Error {
  override readonly name = "NotPermittedError";

  constructor(what: string, options?: ErrorOptions) {
    super(
      `The broker does not let this role ${what}. If it should, its run may be missing from the permissions: 'proxima secure allow --runs NAME' adds it.`,
      options,
    );
  }
}

/** The bus was closed, by its owner or because the broker refused to have it back. */
export class BusClosedError extends Error {
  override readonly name = "BusClosedError";

  constructor(what: string, options?: ErrorOptions) {
    super(`Cannot ${what}: this connection to the message broker is closed.`, options);
  }
}

export function immutableObjectError(bucket: string, name: string): Error {
  return new Error(
    `Object '${name}' of bucket '${bucket}' exists with other bytes, and objects are immutable: put it under another name.`,
  );
}

/** What crosses the wire when a handler throws: the making of a RemoteError. */
export function describeError(error: unknown): { name: string; message: string; stack: string } {
  if (!(error instanceof Error)) return { name: "Error", message: String(error), stack: "" };
  return { name: error.name, message: error.message, stack: error.stack ?? "" };
}
