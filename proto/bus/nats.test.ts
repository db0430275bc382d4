import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Broker } from "../../deploy/broker.ts";
import { testingBroker, testingProgram } from "../../deploy/testing-broker.ts";
import { hasRuntime, outputOn } from "../testing/runtimes.ts";
import type { Bus, StreamOptions } from "./bus.ts";
import { BrokerTimeoutError, BusClosedError, ConnectError, RequestTimeoutError } from "./errors.ts";
import { openBus } from "./index.ts";
import { connectNats } from "./nats.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (data: Uint8Array) => new TextDecoder().decode(data);
const PATIENCE_MS = 20_000;
const queue: StreamOptions = {
  name: "t",
  subjects: ["t.>"],
  maxBytes: 64 << 20,
  dedupWindowMs: 60_000,
  retention: "workqueue",
};

const program = await testingProgram();
const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

/** A broker with a store that outlives it. */
async function keptBroker() {
  const storeDir = mkdtempSync(join(tmpdir(), "proxima-broker-"));
  cleanUps.push(() => rmSync(storeDir, { recursive: true, force: true }));
  let broker = (await testingBroker({ program, storeDir })) as Broker;
  cleanUps.push(() => broker.stop());
  return {
    url: broker.url,
    async kill() {
      process.kill(broker.pid, "SIGKILL");
      await broker.exited;
    },
    async restart({ empty = false } = {}) {
      if (empty) rmSync(join(storeDir, "jetstream"), { recursive: true, force: true });
      broker = (await testingBroker({ program, storeDir, port: broker.port })) as Broker;
    },
  };
}

/** A server started with arguments of its own; returns its address. */
function startedServer(args: string[]): Promise<string> {
  const server = spawn(program as string, args, { stdio: ["ignore", "ignore", "pipe"] });
  cleanUps.push(() => server.kill());
  return new Promise((resolve) => {
    server.stderr.on("data", (chunk) => {
      const [, address] = /client connections on (\S+)/.exec(chunk.toString()) ?? [];
      if (address) resolve(`nats://${address}`);
    });
  });
}

async function connect(url: string, timeoutMs = PATIENCE_MS): Promise<Bus> {
  const bus = await connectNats({ servers: url, timeoutMs });
  cleanUps.push(() => bus.close());
  return bus;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5);
}

describe.skipIf(!program)("connectNats()", () => {
  test("nothing is lost when the broker is killed and comes back, whoever is busy then", async () => {
    const broker = await keptBroker();
    const [actor, learner] = [await connect(broker.url), await connect(broker.url)];
    await learner.stream(queue);
    const statuses: string[] = [];
    learner.onStatus((status) => statuses.push(status.type));
    const ended = new AbortController();

    const ids = Array.from({ length: 400 }, (_, i) => `id-${i}`);
    let published = 0;
    const publishing = (async () => {
      const underWay = new Set<Promise<unknown>>();
      for (const id of ids) {
        const one: Promise<unknown> = actor
          .publish("t.a", bytes(id), { id, timeoutMs: PATIENCE_MS })
          .then(() => underWay.delete(one) && published++);
        underWay.add(one);
        if (underWay.size >= 16) await Promise.race(underWay);
        if (published > 100 && published < 300) await sleep(1);
      }
      await Promise.all(underWay);
    })();

    const seen = new Set<string>();
    const puller = await learner.puller({ stream: "t", durable: "d", ackWaitMs: 1_000, maxAckPending: 1_000 });
    const pulling = (async () => {
      while (seen.size < ids.length) {
        const batch = await puller.next(20, 500);
        for (const delivery of batch) seen.add(text(delivery.data));
        await Promise.all(batch.map((delivery) => delivery.ack()));
      }
    })();

    const values = await actor.keyValue("state");
    const changes: string[] = [];
    const watching = (async () => {
      for await (const entry of (await learner.keyValue("state")).watch(">", ended.signal))
        changes.push(text(entry.value));
    })();
    await values.put("version", bytes("1"));
    await until(() => changes.length === 1);
    await actor.serve("echo", (data) => data, ended);

    await until(() => published >= 120);
    await broker.kill();
    await until(() => statuses.includes("disconnected"));
    const late = values.put("version", bytes("2")); // waits for the broker like everything else
    const call = learner
      .request("echo", bytes("still there?"), { timeoutMs: PATIENCE_MS })
      .then(text, (error: Error) => error.name);
    await sleep(100);
    await broker.restart();

    await Promise.all([publishing, pulling, late]);
    expect([...seen].toSorted()).toEqual(ids.toSorted());
    await until(() => changes.length >= 2);
    expect(changes).toEqual(["1", "2"]);
    await values.put("version", bytes("3"));
    await until(() => changes.length >= 3);
    // The request may come back before the actor does: then nobody serves it, and the caller is told.
    expect(await call).toMatch(/still there\?|NoResponderError/);
    expect(statuses).toContain("connected");
    ended.abort();
    await watching;
  }, 60_000);

  test("while the broker is away calls keep their deadlines and say that it is away", async () => {
    const broker = await keptBroker();
    const bus = await connect(broker.url);
    await bus.stream(queue);
    const puller = await bus.puller({ stream: "t", durable: "d", ackWaitMs: 1_000, maxAckPending: 10 });
    const gone = new Promise<void>((resolve) => {
      bus.onStatus((status) => status.type === "disconnected" && resolve());
    });
    const pulling = puller.next(1, 300);
    await broker.kill();
    await gone;
    const publish = bus.publish("t.a", bytes("x"), { timeoutMs: 100 });
    await expect(publish).rejects.toBeInstanceOf(BrokerTimeoutError);
    await expect(publish).rejects.toThrow(/within 100 ms.*connection is down/);
    const request = bus.request("echo", bytes("x"), { timeoutMs: 100 });
    await expect(request).rejects.toBeInstanceOf(RequestTimeoutError);
    await expect(request).rejects.toThrow(/connection to the broker is down/);
    expect(await pulling).toEqual([]);
    expect(await puller.next(1, 50)).toEqual([]);
    await bus.close();
    await expect(bus.publish("t.a", bytes("x"), { timeoutMs: 100 })).rejects.toBeInstanceOf(BusClosedError);
  });

  test("a broker that comes back empty is told apart from one that is away", async () => {
    const broker = await keptBroker();
    const bus = await connect(broker.url);
    await bus.stream(queue);
    const puller = await bus.puller({ stream: "t", durable: "d", ackWaitMs: 1_000, maxAckPending: 10 });
    await broker.kill();
    await broker.restart({ empty: true });
    await expect(puller.next(1, PATIENCE_MS)).rejects.toThrow(/durable 'd' of stream 't'.*stream not found/);
    await expect(bus.publish("t.a", bytes("x"), { timeoutMs: PATIENCE_MS })).rejects.toThrow(/no stream takes/);
    await bus.stream(queue);
    await bus.publish("t.a", bytes("x"), { timeoutMs: PATIENCE_MS });
    expect((await puller.next(1, PATIENCE_MS)).map((delivery) => text(delivery.data))).toEqual(["x"]); // its durable is made anew
  });

  test("an actor may start before its broker", async () => {
    const broker = await keptBroker();
    await broker.kill();
    const connecting = connect(broker.url);
    await sleep(50);
    await broker.restart();
    expect((await connecting).kind).toBe("nats");
  });

  test("no server within the time: the error names the address and what to do", async () => {
    const error = await connectNats({ servers: "nats://127.0.0.1:9", timeoutMs: 600 }).catch((caught) => caught);
    expect(error).toBeInstanceOf(ConnectError);
    expect(error.reason).toBe("unreachable");
    expect(error.message).toMatch(/127\.0\.0\.1:9 within 600 ms: connection refused.*nats-server -js/);
    const aborted = connectNats({ servers: "nats://127.0.0.1:9", signal: AbortSignal.timeout(50) });
    await expect(aborted).rejects.toThrow("timed out");
  });

  test("something that is not a NATS server does not hold the connection up for ever", async () => {
    const server = createServer((socket) => socket.on("error", () => {})).listen(0, "127.0.0.1");
    cleanUps.push(() => server.close());
    await until(() => server.listening);
    const { port } = server.address() as { port: number };
    const connecting = connectNats({ servers: `nats://127.0.0.1:${port}`, timeoutMs: 300 });
    await expect(connecting).rejects.toMatchObject({ name: "ConnectError", reason: "unreachable" });
  });

  test("wrong credentials are refused at once, without showing the secret", async () => {
    const broker = (await testingBroker({ program, user: "learner", password: "right" })) as Broker;
    cleanUps.push(() => broker.stop());
    const wrong = connectNats({ servers: broker.url, user: "learner", password: "wr0ng", timeoutMs: PATIENCE_MS });
    await expect(wrong).rejects.toMatchObject({ name: "ConnectError", reason: "refused" });
    await expect(wrong).rejects.toThrow(
      /refused this connection, which showed user 'learner'.*Authorization Violation/i,
    );
    await expect(wrong).rejects.not.toThrow("wr0ng");
    const none = connectNats({ servers: broker.url.replace("//", "//x:secret@"), timeoutMs: PATIENCE_MS });
    await expect(none).rejects.not.toThrow("secret");
    const right = await connectNats({
      servers: broker.url,
      user: "learner",
      password: "right",
      timeoutMs: PATIENCE_MS,
    });
    await right.close();
    await expect(connectNats({ servers: broker.url, credentials: "/etc/actor.creds" })).rejects.toThrow(/contents/);
  });

  test("a server without JetStream is named as such", async () => {
    const url = await startedServer(["-a", "127.0.0.1", "-p", "-1"]);
    const connecting = connectNats({ servers: url, timeoutMs: 500 });
    await expect(connecting).rejects.toMatchObject({ name: "ConnectError", reason: "unsuitable" });
    await expect(connecting).rejects.toThrow(/without JetStream.*nats-server -js/);
  });

  test("what the broker does not permit fails at once and is named", async () => {
    const directory = mkdtempSync(join(tmpdir(), "proxima-permissions-"));
    cleanUps.push(() => rmSync(directory, { recursive: true, force: true }));
    const config = join(directory, "nats.conf");
    const users = [
      { user: "all", password: "x" },
      {
        user: "actor",
        password: "x",
        permissions: { publish: { deny: ["secret.>"] }, subscribe: { deny: ["secret.>"] } },
      },
    ];
    const jetstream = { store_dir: directory };
    writeFileSync(config, JSON.stringify({ listen: "127.0.0.1:-1", jetstream, authorization: { users } }));
    const url = await startedServer(["-c", config]);
    const bus = await connectNats({ servers: url, user: "actor", password: "x", timeoutMs: PATIENCE_MS });
    cleanUps.push(() => bus.close());
    const publish = bus.publish("secret.a", bytes("x"), { timeoutMs: PATIENCE_MS });
    await expect(publish).rejects.toThrow(/does not let this role publish to .secret.a./);
    const request = bus.request("secret.a", bytes("x"), { timeoutMs: PATIENCE_MS });
    await expect(request).rejects.toThrow(/does not let this role publish to .secret.a./);
    const serving = bus.serve("secret.a", (data) => data, { signal: new AbortController().signal });
    await expect(serving).rejects.toThrow(/Cannot serve 'secret.a'.*Permissions Violation for Subscription/);
  });

  describe("on every runtime", async () => {
    const broker = program ? await testingBroker({ program }) : undefined;
    afterAll(() => broker?.stop());
    const script = join(import.meta.dir, "testing-runtime.ts");
    const expected = {
      delivered: 100_000,
      headers: { Kind: "test" },
      watched: "value",
      object: 300_000,
      answer: "hello",
      error: "RemoteError: empty (TypeError)",
      last: null,
      state: { messages: 0, bytes: 0, pending: 0 },
    };
    for (const runtime of ["bun", "deno", "node"] as const)
      test.skipIf(!hasRuntime(runtime))(
        `${runtime} (skipped where it is absent)`,
        async () => expect(JSON.parse(await outputOn(runtime, script, broker?.url ?? ""))).toEqual(expected),
        60_000,
      );
  });
});

test("openBus() opens what the address names, and explains an address that it does not understand", async () => {
  const memory = await openBus("memory");
  expect(memory.kind).toBe("memory");
  await memory.close();
  await expect(openBus("localhost:4222")).rejects.toThrow(/'localhost:4222' is not a broker.*nats:\/\//);
});
