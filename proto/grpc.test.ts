import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { EnvironmentService } from "./gen/proxima/v1/environment_pb.ts";
import { FetchResponseSchema, WeightsService } from "./gen/proxima/v1/weights_pb.ts";
import {
  type CallContext,
  checkBind,
  connect,
  type Handlers,
  implement,
  isLoopback,
  type Security,
  type ServeOptions,
  StatusError,
  serve,
  status,
} from "./grpc.ts";
import { rejection } from "./testing/rejection.ts";

setDefaultTimeout(30_000); // for machines that do much else at the same time

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

type WeightsHandlers = Handlers<typeof WeightsService>;

async function pair(
  handlers: Partial<WeightsHandlers>,
  security: ServeOptions = {},
  callerSecurity: Security = security,
) {
  const missing = () => {
    throw new StatusError(status.UNIMPLEMENTED, "not in this test");
  };
  const service = implement(WeightsService, { subscribe: missing, fetch: missing, report: missing, ...handlers });
  const server = await serve(security, service);
  const connection = connect(WeightsService, server.address, callerSecurity);
  closers.push(() => server.close(0));
  closers.push(() => connection.close());
  return { server, ...connection };
}

const failure = async (promise: Promise<unknown>): Promise<StatusError> => {
  const error = await promise.then(
    () => undefined,
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(StatusError);
  return error;
};

async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of stream) all.push(item);
  return all;
}

const chunk = (value: Uint8Array) => ({ frame: { case: "chunk" as const, value } });
const soon = { timeoutMs: 10_000 };

test("a unary call carries its request and response", async () => {
  const { client } = await pair({ report: ({ subscription }) => ({ newestCounter: BigInt(subscription.length) }) });
  expect((await client.report({ subscription: "12345" }, soon)).newestCounter).toBe(5n);
});

test("a server stream carries messages, and wire bytes that were encoded once, in order", async () => {
  const encoded = Buffer.from(toBinary(FetchResponseSchema, create(FetchResponseSchema, chunk(Uint8Array.of(2)))));
  const { client } = await pair({
    async fetch(_, stream) {
      await stream.send(chunk(Uint8Array.of(1)));
      await stream.send(encoded);
      await stream.send(chunk(Uint8Array.of(3)));
    },
  });
  const frames = await collect(client.fetch({ run: "r" }, soon));
  expect(frames.map(({ frame }) => [...(frame.value as Uint8Array)])).toEqual([[1], [2], [3]]);
});

test.each([65_535, 65_536, 1 << 20, 8 << 20])("a request of %i bytes arrives whole", async (size) => {
  const { client } = await pair({ report: ({ refused }) => ({ newestCounter: BigInt(refused.length) }) });
  expect((await client.report({ refused: "x".repeat(size) }, soon)).newestCounter).toBe(BigInt(size));
});

test("a handler's status error arrives with its code, and says what was called where", async () => {
  const { client, address } = await pair({
    report() {
      throw new StatusError(status.NOT_FOUND, "the subscription has ended");
    },
    async fetch() {
      throw new StatusError(status.FAILED_PRECONDITION, "not yet");
    },
  });
  const error = await failure(client.report({}, soon));
  expect(error.code).toBe(status.NOT_FOUND);
  expect(error.message).toBe(`Cannot call Report at ${address}: NOT_FOUND: the subscription has ended`);
  expect((await failure(collect(client.fetch({}, soon)))).code).toBe(status.FAILED_PRECONDITION);
});

test("any other error becomes INTERNAL with a bounded message and no stack", async () => {
  const { client } = await pair({
    report() {
      throw new TypeError(`broken ${"x".repeat(100_000)}`);
    },
  });
  const error = await failure(client.report({}, soon));
  expect(error.code).toBe(status.INTERNAL);
  expect(error.message).toContain("broken xxx");
  expect(error.message.length).toBeLessThan(1200);
  expect(error.message).not.toContain("grpc.test.ts");
});

test("a deadline ends a call that is not answered, and tells the handler", async () => {
  const gone = Promise.withResolvers<void>();
  const { client } = await pair({
    report: (_, { signal }: CallContext) =>
      new Promise(() => {
        signal.addEventListener("abort", () => gone.resolve());
      }),
  });
  expect((await failure(client.report({}, { timeoutMs: 50 }))).code).toBe(status.DEADLINE_EXCEEDED);
  await gone.promise;
});

test("aborting a stream rejects with the signal's reason and tells the handler", async () => {
  const gone = Promise.withResolvers<unknown>();
  const { client } = await pair({
    async subscribe(_, stream) {
      await stream.send(chunk(Uint8Array.of(1)));
      await new Promise((resolve) => stream.signal.addEventListener("abort", resolve));
      gone.resolve(await stream.send(chunk(Uint8Array.of(2))).catch((error) => error));
    },
  });
  const controller = new AbortController();
  const reading = (async () => {
    for await (const _ of client.subscribe({}, { signal: controller.signal })) controller.abort(new Error("enough"));
  })();
  expect((await rejection(reading)).message).toContain("enough");
  expect(await gone.promise).toMatchObject({ name: "StatusError", code: status.CANCELLED });
});

test("leaving the loop over a stream cancels it at the server", async () => {
  const gone = Promise.withResolvers<void>();
  const { client } = await pair({
    async subscribe(_, stream) {
      stream.signal.addEventListener("abort", () => gone.resolve());
      await stream.send(chunk(Uint8Array.of(1)));
      await gone.promise;
    },
  });
  for await (const _ of client.subscribe({}, { signal: new AbortController().signal })) break;
  await gone.promise;
});

test("a stream announces that it is open before there is anything to send", async () => {
  const opened = Promise.withResolvers<void>();
  const { client } = await pair({ subscribe: async () => await opened.promise });
  expect(await collect(client.subscribe({}, { ...soon, onOpen: () => opened.resolve() }))).toEqual([]);
});

test("sending waits for a reader that does not read", async () => {
  let sent = 0;
  const megabyte = chunk(new Uint8Array(1 << 20));
  const done = Promise.withResolvers<void>();
  const { client } = await pair({
    async fetch(_, stream) {
      for (; sent < 64; sent++) await stream.send(megabyte);
      done.resolve();
    },
  });
  const frames = client.fetch({}, { timeoutMs: 30_000 })[Symbol.asyncIterator]();
  await frames.next();
  // Idle until the server makes no more progress.
  for (let before = -1; before !== sent; ) {
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  expect(sent).toBeLessThan(64);
  let received = 1;
  while (!(await frames.next()).done) received++;
  expect(received).toBe(64);
  await done.promise;
});

test("a server that is not there is UNAVAILABLE at once, not at the deadline", async () => {
  const { client, server } = await pair({});
  await server.close(0);
  expect((await failure(client.report({}, { timeoutMs: 60_000 }))).code).toBe(status.UNAVAILABLE);
});

test("a peer that speaks HTTP/2 but not gRPC is an error, not a hang", async () => {
  const other = createServer((_, response) => response.end("hello"));
  other.listen(0, "127.0.0.1");
  await new Promise((resolve) => other.once("listening", resolve));
  closers.push(() => other.close());
  const { client, close } = connect(WeightsService, `127.0.0.1:${(other.address() as AddressInfo).port}`);
  closers.push(close);
  await failure(client.report({}, { timeoutMs: 5000 }));
});

test("a taken port is refused with advice", async () => {
  const { server } = await pair({});
  expect((await rejection(serve({ port: server.port }))).message).toContain(
    `Cannot serve gRPC on 127.0.0.1:${server.port}: the port is taken`,
  );
});

test("close() waits for calls under way up to its grace", async () => {
  const entered = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const { client, server } = await pair({
    async report() {
      entered.resolve();
      await release.promise;
      return { newestCounter: 1n };
    },
  });
  const call = client.report({}, soon);
  await entered.promise;
  const closed = server.close(10_000);
  release.resolve();
  expect((await call).newestCounter).toBe(1n);
  await closed;
});

describe("protection", () => {
  const tls = { cert: "certificate", key: "key" };

  test("loopback needs nothing, any other address needs TLS and a way to know the caller", () => {
    for (const host of ["127.0.0.1", "127.1.2.3", "localhost", "::1"]) expect(() => checkBind(host, {})).not.toThrow();
    for (const host of ["0.0.0.0", "::", "10.0.0.5", "example.test", "127.0.0.1.example.test"]) {
      expect(isLoopback(host)).toBe(false);
      expect(() => checkBind(host, {})).toThrow("needs TLS");
      expect(() => checkBind(host, { token: "secret" })).toThrow("found a token without TLS");
      expect(() => checkBind(host, { tls })).toThrow("found TLS without either");
      expect(() => checkBind(host, { tls, token: "secret" })).not.toThrow();
      expect(() => checkBind(host, { tls: { ...tls, ca: "authority" } })).not.toThrow();
    }
  });

  test("half a certificate and an empty token are mistakes even on loopback", () => {
    expect(() => checkBind("127.0.0.1", { tls: { cert: "certificate" } })).toThrow("certificate and its key");
    expect(() => checkBind("127.0.0.1", { token: "" })).toThrow("empty");
  });

  test("serve() refuses an open address without protection", async () => {
    expect((await rejection(serve({ host: "0.0.0.0" }))).message).toContain("bind to 127.0.0.1");
  });

  test("a token is not sent in the clear to another machine", () => {
    expect(() => connect(WeightsService, "learner.test:7400", { token: "secret" })).toThrow("without TLS");
  });

  test("the token is demanded of unary calls and of streams", async () => {
    const handlers: Partial<WeightsHandlers> = {
      report: () => ({ newestCounter: 1n }),
      async fetch(_, stream) {
        await stream.send(chunk(Uint8Array.of(1)));
      },
    };
    for (const [security, word] of [
      [{}, "none"],
      [{ token: "guess" }, "another"],
    ] as const) {
      const { client } = await pair(handlers, { token: "secret" }, security);
      const unary = await failure(client.report({}, soon));
      const stream = await failure(collect(client.fetch({}, soon)));
      expect([unary.code, stream.code]).toEqual([status.UNAUTHENTICATED, status.UNAUTHENTICATED]);
      expect(unary.message).toContain(`found ${word}`);
    }
    const { client } = await pair(handlers, { token: "secret" });
    expect((await client.report({}, soon)).newestCounter).toBe(1n);
    expect(await collect(client.fetch({}, soon))).toHaveLength(1);
  });
});

describe("a stream of both sides", () => {
  const play = (handler: Handlers<typeof EnvironmentService>["play"]) => {
    const missing = () => {
      throw new StatusError(status.UNIMPLEMENTED, "not in this test");
    };
    const others = { describe: missing, listTasks: missing, open: missing, reset: missing, step: missing };
    return implement(EnvironmentService, { ...others, close: missing, demonstrate: missing, play: handler });
  };
  async function conversation(handler: Handlers<typeof EnvironmentService>["play"]) {
    const server = await serve({ token: "secret" }, play(handler));
    const connection = connect(EnvironmentService, server.address, { token: "secret" });
    closers.push(() => server.close(0));
    closers.push(() => connection.close());
    return { server, ...connection };
  }

  test("carries messages both ways while it lasts, and ends when the caller has nothing more to say", async () => {
    const { client } = await conversation(async (requests, stream) => {
      for await (const { calls } of requests) await stream.send({ answers: calls.map(({ id }) => ({ id: id + 100 })) });
    });
    const talk = client.play({ ...soon });
    talk.send({ calls: [{ id: 1 }, { id: 2 }] });
    const heard: number[][] = [];
    for await (const { answers } of talk) {
      heard.push(answers.map(({ id }) => id));
      if (heard.length < 3) talk.send({ calls: [{ id: heard.length * 10 }] });
      else talk.end();
    }
    expect(heard).toEqual([[101, 102], [110], [120]]);
  });

  test("tells the handler when the caller is gone", async () => {
    const gone = Promise.withResolvers<void>();
    const { client } = await conversation(async (requests) => {
      try {
        for await (const _ of requests);
      } finally {
        gone.resolve();
      }
    });
    const controller = new AbortController();
    const talk = client.play({ signal: controller.signal, onOpen: () => controller.abort(new Error("enough")) });
    expect((await rejection(collect(talk))).message).toBe("enough");
    await gone.promise;
  });

  test("ends with the handler's error, and with UNAVAILABLE when the server dies", async () => {
    const { client, server } = await conversation(async (requests) => {
      for await (const { calls } of requests) if (calls[0].id === 7) throw new StatusError(status.ABORTED, "not seven");
    });
    const refused = client.play({ ...soon });
    refused.send({ calls: [{ id: 7 }] });
    expect((await failure(collect(refused))).message).toContain("Cannot call Play at 127.0.0.1");
    const lost = client.play({ ...soon, onOpen: () => void server.close(0) });
    expect((await failure(collect(lost))).code).toBe(status.UNAVAILABLE);
  });

  test("is refused without the token", async () => {
    const { address } = await conversation(async () => {});
    const stranger = connect(EnvironmentService, address);
    closers.push(() => stranger.close());
    expect((await failure(collect(stranger.client.play({ ...soon })))).code).toBe(status.UNAUTHENTICATED);
  });
});
