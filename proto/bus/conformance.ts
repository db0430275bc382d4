import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Bus, Delivery, KeyValueEntry, Puller, PullOptions, StreamOptions } from "./bus.ts";
import {
  BusClosedError,
  KeyConflictError,
  MessageTooLargeError,
  NoResponderError,
  RemoteError,
  RequestTimeoutError,
  StreamFullTimeoutError,
} from "./errors.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (data: Uint8Array) => new TextDecoder().decode(data);

/** Long enough for a busy machine: nothing here passes by waiting this long. */
const PATIENCE_MS = 20_000;

/**
 * What every Bus does, whatever is behind it.
 * @param connect opens one more connection to the same broker
 */
export function busConformance(name: string, connect: () => Promise<Bus>): void {
  describe(`${name} bus`, () => {
    let bus: Bus;
    let other: Bus;
    let serial = 0;
    const stamp = Math.random().toString(36).slice(2, 8);
    const unique = (what: string) => `${what}-${stamp}-${++serial}`;

    beforeAll(async () => {
      bus = await connect();
      other = await connect();
    });
    afterAll(async () => {
      await Promise.all([bus?.close(), other?.close()]);
    });

    async function newStream(options: Partial<StreamOptions> = {}): Promise<string> {
      const stream = unique("stream");
      await bus.stream({
        name: stream,
        subjects: [`${stream}.>`],
        maxBytes: 4 << 20,
        dedupWindowMs: 60_000,
        retention: "workqueue",
        storage: "memory",
        ...options,
      });
      return stream;
    }

    const send = (subject: string, body: string, id?: string) =>
      bus.publish(subject, bytes(body), { id, timeoutMs: PATIENCE_MS });

    const open = (stream: string, { via = bus, ...options }: Partial<PullOptions> & { via?: Bus } = {}) =>
      via.puller({ stream, durable: "workers", ackWaitMs: 30_000, maxAckPending: 1_000, ...options });

    async function take(puller: Puller, count: number): Promise<Delivery[]> {
      const taken: Delivery[] = [];
      while (taken.length < count) {
        const batch = await puller.next(count - taken.length, PATIENCE_MS);
        if (batch.length === 0) throw new Error(`only ${taken.length} of ${count} messages came`);
        taken.push(...batch);
      }
      return taken;
    }

    describe("streams", () => {
      test("publish() resolves with the position once the message is stored", async () => {
        const stream = await newStream();
        expect(await send(`${stream}.a`, "first")).toEqual({ sequence: 1, duplicate: false });
        expect(await send(`${stream}.b`, "second")).toEqual({ sequence: 2, duplicate: false });
        expect(await bus.streamState(stream)).toMatchObject({ messages: 2, pending: 0 });
      });

      test("publish() drops a message whose id is already there, and says so", async () => {
        const stream = await newStream();
        expect(await send(`${stream}.a`, "x", "id-1")).toEqual({ sequence: 1, duplicate: false });
        expect(await send(`${stream}.a`, "x", "id-1")).toEqual({ sequence: 1, duplicate: true });
        expect(await send(`${stream}.a`, "y", "id-2")).toEqual({ sequence: 2, duplicate: false });
        expect((await bus.streamState(stream)).messages).toBe(2);
      });

      test("an id is forgotten after the deduplication window", async () => {
        const stream = await newStream({ dedupWindowMs: 150 });
        await send(`${stream}.a`, "x", "id-1");
        while ((await send(`${stream}.a`, "x", "id-1")).duplicate) await sleep(20);
        expect((await bus.streamState(stream)).messages).toBe(2);
      });

      test("a delivery carries subject, bytes, headers, position and count", async () => {
        const stream = await newStream();
        const data = Uint8Array.from({ length: 256 }, (_, i) => i);
        await bus.publish(`${stream}.a.b`, data, {
          timeoutMs: PATIENCE_MS,
          id: "id",
          headers: { "Proxima-Kind": "trajectory", lower: "a: b" },
        });
        const [delivery] = await take(await open(stream), 1);
        expect(delivery.subject).toBe(`${stream}.a.b`);
        expect(delivery.data).toEqual(data);
        expect(delivery.data.constructor).toBe(Uint8Array);
        expect(delivery.headers).toEqual({ "Proxima-Kind": "trajectory", lower: "a: b" });
        expect([delivery.sequence, delivery.deliveries]).toEqual([1, 1]);
      });

      test("publish() does not keep the caller's buffer", async () => {
        const stream = await newStream();
        const data = bytes("before");
        const sent = bus.publish(`${stream}.a`, data, { timeoutMs: PATIENCE_MS });
        await sent;
        data.fill(0);
        const [delivery] = await take(await open(stream), 1);
        expect(text(delivery.data)).toBe("before");
      });

      test("many publishes can be under way at once, and keep their order", async () => {
        const stream = await newStream();
        const all = Array.from({ length: 200 }, (_, i) => send(`${stream}.a`, String(i)));
        expect((await Promise.all(all)).map((ack) => ack.sequence)).toEqual(all.map((_, i) => i + 1));
        const taken = await take(await open(stream), 200);
        expect(taken.map((delivery) => text(delivery.data))).toEqual(all.map((_, i) => String(i)));
      });

      test("publish() to a subject that no stream takes fails at once", async () => {
        const started = performance.now();
        await expect(send(unique("nowhere"), "x")).rejects.toThrow(/no stream takes that subject/);
        expect(performance.now() - started).toBeLessThan(PATIENCE_MS);
      });

      test("a message that is too large is refused with the limit it breaks", async () => {
        const stream = await newStream({ maxMessageBytes: 1_000 });
        const tooLargeForStream = bus.publish(`${stream}.a`, new Uint8Array(1_500), { timeoutMs: PATIENCE_MS });
        await expect(tooLargeForStream).rejects.toBeInstanceOf(MessageTooLargeError);
        await expect(tooLargeForStream).rejects.toThrow(/1500 bytes.*limit of stream .* is 1000 bytes/);
        const tooLargeForBroker = bus.publish(`${stream}.a`, new Uint8Array((1 << 20) + 1), { timeoutMs: PATIENCE_MS });
        await expect(tooLargeForBroker).rejects.toBeInstanceOf(MessageTooLargeError);
        await expect(tooLargeForBroker).rejects.toThrow(/is 1048576 bytes.*object store/);
        expect((await bus.streamState(stream)).messages).toBe(0);
      });

      test("a message of nearly 1 MiB passes", async () => {
        const stream = await newStream();
        const data = new Uint8Array((1 << 20) - 1_000).fill(7);
        await bus.publish(`${stream}.a`, data, { id: "big", timeoutMs: PATIENCE_MS });
        const [delivery] = await take(await open(stream), 1);
        expect(delivery.data).toEqual(data);
      });

      test("while a stream is full its publishers wait, and nothing is lost or stored twice", async () => {
        const stream = await newStream({ maxBytes: 40_000 });
        const ids = Array.from({ length: 150 }, (_, i) => `id-${i}`);
        const published = Promise.all(
          ids.map((id) => bus.publish(`${stream}.a`, bytes(id.padEnd(1_000)), { id, timeoutMs: PATIENCE_MS })),
        );
        const puller = await open(stream, { via: other });
        const seen: string[] = [];
        while (seen.length < ids.length) {
          const batch = await take(puller, 1).then(async (first) => [...first, ...(await puller.next(9, 0))]);
          seen.push(...batch.map((delivery) => text(delivery.data).trim()));
          await Promise.all(batch.map((delivery) => delivery.ack()));
        }
        expect((await published).every((ack) => !ack.duplicate)).toBe(true);
        expect(seen.toSorted()).toEqual(ids.toSorted());
        expect(await bus.streamState(stream)).toEqual({ messages: 0, bytes: 0, pending: 0 });
      });

      test("a stream that stays full fails the publish with its state, and takes the message later", async () => {
        const stream = await newStream({ maxBytes: 3_000 });
        await send(`${stream}.a`, "x".repeat(2_000), "one");
        const refused = bus.publish(`${stream}.a`, bytes("y".repeat(2_000)), { id: "two", timeoutMs: 500 });
        await expect(refused).rejects.toBeInstanceOf(StreamFullTimeoutError);
        await expect(refused).rejects.toThrow(/full for 500 ms.*1 messages hold \d+ of 3000 bytes.*consumers/);
        const [delivery] = await take(await open(stream), 1);
        await delivery.ack();
        expect(await send(`${stream}.a`, "y".repeat(2_000), "two")).toMatchObject({ duplicate: false });
      });

      test("aborting a publish that waits for space rejects it with the signal's reason", async () => {
        const stream = await newStream({ maxBytes: 3_000 });
        await send(`${stream}.a`, "x".repeat(2_000));
        const controller = new AbortController();
        const waiting = bus.publish(`${stream}.a`, bytes("y".repeat(2_000)), {
          timeoutMs: PATIENCE_MS,
          signal: controller.signal,
        });
        setTimeout(() => controller.abort(new Error("changed my mind")), 30);
        await expect(waiting).rejects.toThrow("changed my mind");
        const early = bus.publish(`${stream}.a`, bytes("z"), { timeoutMs: PATIENCE_MS, signal: controller.signal });
        await expect(early).rejects.toThrow("changed my mind");
        expect((await bus.streamState(stream)).messages).toBe(1);
      });

      test("last() reads the newest message of a subject without consuming it", async () => {
        const stream = await newStream();
        expect(await bus.last(stream, `${stream}.a`)).toBeUndefined();
        await send(`${stream}.a`, "old");
        await send(`${stream}.a`, "new");
        await send(`${stream}.b`, "else");
        const last = await other.last(stream, `${stream}.a`);
        expect(last && { ...last, data: text(last.data) }).toEqual({ data: "new", sequence: 2 });
        expect((await bus.streamState(stream)).messages).toBe(3);
      });

      test("purge() removes one subject or everything, and says how many", async () => {
        const stream = await newStream();
        for (const subject of ["a", "a", "b", "c"]) await send(`${stream}.${subject}`, "x");
        expect(await bus.purge(stream, `${stream}.a`)).toBe(2);
        expect(await bus.purge(stream)).toBe(2);
        expect(await bus.streamState(stream)).toEqual({ messages: 0, bytes: 0, pending: 0 });
      });

      test("stream() can be repeated and can change the limits, but not the retention", async () => {
        const stream = await newStream({ maxBytes: 3_000 });
        await send(`${stream}.a`, "x".repeat(2_000));
        const options = { name: stream, subjects: [`${stream}.>`], dedupWindowMs: 60_000, storage: "memory" as const };
        await other.stream({ ...options, maxBytes: 3_000, retention: "workqueue" });
        await other.stream({ ...options, maxBytes: 9_000, retention: "workqueue" });
        await send(`${stream}.a`, "x".repeat(2_000));
        await expect(bus.stream({ ...options, maxBytes: 9_000, retention: "limits" })).rejects.toThrow(stream);
      });

      test("two streams cannot take the same subject", async () => {
        const stream = await newStream();
        await expect(newStream({ subjects: [`${stream}.a.*`] })).rejects.toThrow(/Cannot create/);
      });

      test("a stream that does not exist is named in the error", async () => {
        const missing = unique("missing");
        await expect(bus.streamState(missing)).rejects.toThrow(`There is no stream '${missing}'`);
        await expect(bus.purge(missing)).rejects.toThrow(`There is no stream '${missing}'`);
        await expect(open(missing)).rejects.toThrow(missing);
      });
    });

    describe("pulling", () => {
      test("next() returns what is there, never more than asked, and nothing after its timeout", async () => {
        const stream = await newStream();
        for (const body of ["a", "b", "c"]) await send(`${stream}.x`, body);
        const puller = await open(stream);
        expect((await puller.next(2, PATIENCE_MS)).map((delivery) => text(delivery.data))).toEqual(["a", "b"]);
        expect((await puller.next(2, PATIENCE_MS)).map((delivery) => text(delivery.data))).toEqual(["c"]);
        expect(await puller.next(2, 30)).toEqual([]);
        expect(await puller.next(2, 0)).toEqual([]);
        expect((await bus.streamState(stream)).pending).toBe(3);
      });

      test("next() waits for the first message to come", async () => {
        const stream = await newStream();
        const puller = await open(stream);
        const waiting = puller.next(5, PATIENCE_MS);
        await sleep(20);
        await send(`${stream}.x`, "late");
        expect((await waiting).map((delivery) => text(delivery.data))).toEqual(["late"]);
      });

      test("an acknowledged message leaves a work queue", async () => {
        const stream = await newStream();
        await send(`${stream}.x`, "a");
        const [delivery] = await take(await open(stream), 1);
        expect(await bus.streamState(stream)).toMatchObject({ messages: 1, pending: 1 });
        await delivery.ack();
        await delivery.ack(); // harmless
        expect(await bus.streamState(stream)).toEqual({ messages: 0, bytes: 0, pending: 0 });
      });

      test("a stream with retention by limits keeps it, for each of its durables", async () => {
        const stream = await newStream({ retention: "limits" });
        await send(`${stream}.x`, "a");
        for (const durable of ["one", "two"]) {
          const puller = await open(stream, { durable });
          const [delivery] = await take(puller, 1);
          await delivery.ack();
          expect(await puller.next(1, 0)).toEqual([]);
        }
        expect(await bus.streamState(stream)).toMatchObject({ messages: 1, pending: 0 });
      });

      test("the durables of a work queue must not overlap, and the second is told so", async () => {
        const stream = await newStream();
        await open(stream);
        await expect(open(stream, { durable: "second" })).rejects.toThrow(/second.*[Ss]hare that one/);
      });

      test("durables of a work queue that take different subjects get their own messages only", async () => {
        const stream = await newStream();
        const [large, small] = await Promise.all(
          ["large", "small"].map((size) => open(stream, { durable: size, subject: `${stream}.${size}.*` })),
        );
        for (const size of ["small", "large", "other"]) await send(`${stream}.${size}.x`, size);
        expect(text((await take(large!, 1))[0]!.data)).toBe("large");
        expect(text((await take(small!, 1))[0]!.data)).toBe("small");
        expect(await small!.next(1, 0)).toEqual([]);
      });

      test("a durable that is there stays as it is for whoever asks to keep it", async () => {
        const stream = await newStream();
        const puller = await open(stream, { maxAckPending: 1 });
        await (await open(stream, { maxAckPending: 1_000, keep: true })).close();
        await send(`${stream}.x`, "one");
        await send(`${stream}.x`, "two");
        await take(puller, 1);
        expect(await puller.next(1, 0)).toEqual([]);
      });

      test("several pullers of one durable share its messages", async () => {
        const stream = await newStream();
        const pullers = [await open(stream), await open(stream), await open(stream, { via: other })];
        const seen: string[][] = [[], [], []];
        const workers = pullers.map(async (puller, i) => {
          while (seen.flat().length < 120) {
            for (const delivery of await puller.next(7, 100)) {
              seen[i].push(text(delivery.data));
              await delivery.ack();
            }
          }
        });
        const bodies = Array.from({ length: 120 }, (_, i) => `m${i}`);
        await Promise.all(bodies.map((body) => send(`${stream}.x`, body)));
        await Promise.all(workers);
        expect(seen.flat().toSorted()).toEqual(bodies.toSorted());
      });

      test("a durable keeps its place when its pullers come and go", async () => {
        const stream = await newStream();
        for (const body of ["a", "b"]) await send(`${stream}.x`, body);
        const puller = await open(stream);
        const [first] = await take(puller, 1);
        await first.ack();
        await puller.close();
        const [second] = await take(await open(stream, { via: other }), 1);
        expect([text(second.data), second.deliveries]).toEqual(["b", 1]);
      });

      test("a message that is not acknowledged in time comes again", async () => {
        const stream = await newStream();
        await send(`${stream}.x`, "a");
        const puller = await open(stream, { ackWaitMs: 100 });
        const [first] = await take(puller, 1);
        expect(first.deliveries).toBe(1);
        const [again] = await take(puller, 1);
        expect([again.sequence, again.deliveries]).toEqual([1, 2]);
        await first.ack(); // a late acknowledgement counts too
        expect((await bus.streamState(stream)).messages).toBe(0);
      });

      test("working() keeps a message from coming again", async () => {
        const stream = await newStream();
        await send(`${stream}.x`, "a");
        const puller = await open(stream, { ackWaitMs: 600 });
        const [delivery] = await take(puller, 1);
        const timer = setInterval(() => delivery.working(), 30);
        expect(await puller.next(1, 1_300)).toEqual([]);
        clearInterval(timer);
        const [again] = await take(puller, 1);
        expect(again.deliveries).toBe(2);
      });

      test("nak() gives a message back, at once or after a delay", async () => {
        const stream = await newStream();
        await send(`${stream}.x`, "a");
        const puller = await open(stream);
        const [first] = await take(puller, 1);
        first.nak();
        const [second] = await take(puller, 1);
        const givenBack = performance.now();
        second.nak(200);
        const [third] = await take(puller, 1);
        expect(performance.now() - givenBack).toBeGreaterThanOrEqual(190);
        expect(third.deliveries).toBe(3);
        await third.ack();
      });

      test("no more than maxAckPending messages are out at a time", async () => {
        const stream = await newStream();
        for (const body of ["a", "b", "c"]) await send(`${stream}.x`, body);
        const puller = await open(stream, { maxAckPending: 2 });
        const out = await take(puller, 2);
        expect(await puller.next(1, 50)).toEqual([]);
        await out[0].ack();
        expect((await take(puller, 1)).map((delivery) => text(delivery.data))).toEqual(["c"]);
      });

      test("aborting next() returns nothing, and the message that comes then goes to somebody else at once", async () => {
        const stream = await newStream();
        const puller = await open(stream);
        const controller = new AbortController();
        const waiting = puller.next(3, PATIENCE_MS, controller.signal);
        await sleep(20);
        controller.abort();
        expect(await waiting).toEqual([]);
        expect(await puller.next(3, PATIENCE_MS, controller.signal)).toEqual([]);
        await send(`${stream}.x`, "a");
        expect((await take(await open(stream, { via: other }), 1)).map((delivery) => text(delivery.data))).toEqual([
          "a",
        ]);
      });

      test("close() of a puller ends its wait, and next() then refuses", async () => {
        const stream = await newStream();
        const puller = await open(stream);
        const waiting = puller.next(1, PATIENCE_MS);
        await puller.close();
        expect(await waiting).toEqual([]);
        await expect(puller.next(1, 10)).rejects.toBeInstanceOf(BusClosedError);
      });

      test("restarting a durable delivers at once what its predecessor held", async () => {
        const stream = await newStream();
        for (const body of ["a", "b", "c"]) await send(`${stream}.x`, body);
        const [done] = await take(await open(stream), 2);
        await done.ack();
        const options = { stream, durable: "workers", ackWaitMs: 30_000, maxAckPending: 10, restart: true };
        const taken = await take(await other.puller(options), 2);
        expect(taken.map((delivery) => text(delivery.data))).toEqual(["b", "c"]);
        for (const delivery of taken) await delivery.ack();
        expect(await bus.streamState(stream)).toEqual({ messages: 0, bytes: 0, pending: 0 });
      });

      test("two hundred acknowledgements go together", async () => {
        const stream = await newStream();
        await Promise.all(Array.from({ length: 200 }, (_, i) => send(`${stream}.x`, String(i))));
        const out = await take(await open(stream), 200);
        await Promise.all(out.map((delivery) => delivery.ack()));
        expect(await bus.streamState(stream)).toEqual({ messages: 0, bytes: 0, pending: 0 });
      });
    });

    describe("key-value", () => {
      test("get() returns the latest value with its revision, undefined for an absent or deleted key", async () => {
        const values = await bus.keyValue(unique("bucket"));
        expect(await values.get("a.b")).toBeUndefined();
        const revision = await values.put("a.b", bytes("one"));
        expect(await values.get("a.b")).toEqual({ key: "a.b", value: bytes("one"), revision, deleted: false });
        expect(await values.put("a.b", bytes("two"))).toBeGreaterThan(revision);
        expect(text((await values.get("a.b"))?.value ?? bytes(""))).toBe("two");
        await values.delete("a.b");
        expect(await values.get("a.b")).toBeUndefined();
      });

      test("put() with a revision writes only if that is still the latest", async () => {
        const bucket = unique("bucket");
        const values = await bus.keyValue(bucket);
        const first = await values.put("a", bytes("one"), { revision: 0 });
        await values.put("a", bytes("two"), { revision: first });
        const stale = values.put("a", bytes("three"), { revision: first });
        await expect(stale).rejects.toBeInstanceOf(KeyConflictError);
        await expect(stale).rejects.toThrow(new RegExp(`'a'.*'${bucket}'.*revision ${first}`));
        await expect(values.put("a", bytes("three"), { revision: 0 })).rejects.toBeInstanceOf(KeyConflictError);
        await values.delete("a");
        await values.put("a", bytes("again"), { revision: 0 }); // deleted counts as absent
        expect(text((await values.get("a"))?.value ?? bytes(""))).toBe("again");
      });

      test("delete() with a revision deletes only if that is still the latest", async () => {
        const values = await bus.keyValue(unique("bucket"));
        const first = await values.put("a", bytes("one"));
        const second = await values.put("a", bytes("two"));
        await expect(values.delete("a", { revision: first })).rejects.toBeInstanceOf(KeyConflictError);
        expect(text((await values.get("a"))?.value ?? bytes(""))).toBe("two");
        await values.delete("a", { revision: second });
        expect(await values.get("a")).toBeUndefined();
        await values.delete("a", { revision: second }); // absent is what was wanted
      });

      test("of several writers with the same revision one wins", async () => {
        const bucket = unique("bucket");
        const writers = await Promise.all([bus, other].map((one) => one.keyValue(bucket)));
        const attempts = await Promise.allSettled(
          Array.from({ length: 10 }, (_, i) => writers[i % 2].put("leader", bytes(String(i)), { revision: 0 })),
        );
        expect(attempts.filter((attempt) => attempt.status === "fulfilled")).toHaveLength(1);
      });

      test("keys() lists what is there", async () => {
        const values = await bus.keyValue(unique("bucket"));
        expect(await values.keys()).toEqual([]);
        for (const key of ["actor.1", "actor.2", "weights"]) await values.put(key, bytes("x"));
        await values.delete("actor.1");
        expect((await values.keys()).toSorted()).toEqual(["actor.2", "weights"]);
      });

      test("keys() does not stall while entries are overwritten", async () => {
        const values = await bus.keyValue(unique("bucket"));
        const names = Array.from({ length: 20 }, (_, i) => `key-${i}`);
        await Promise.all(names.map((name) => values.put(name, bytes("x"))));
        let writing = true;
        const writers = names.map(async (name) => {
          while (writing) await values.put(name, bytes("y"));
        });
        for (let round = 0; round < 20; round++) expect(await values.keys()).toHaveLength(names.length);
        writing = false;
        await Promise.all(writers);
      });

      test("watch() yields the current entries that match, then every change, until it is aborted", async () => {
        const bucket = unique("bucket");
        const values = await bus.keyValue(bucket);
        await values.put("actor.1", bytes("a"));
        await values.put("actor.2", bytes("b"));
        await values.put("weights", bytes("w"));
        await values.put("actor.3", bytes("gone"));
        await values.delete("actor.3");
        const controller = new AbortController();
        const seen: string[] = [];
        let caughtUp = () => {};
        const ready = new Promise<void>((resolve) => {
          caughtUp = resolve;
        });
        const watching = (async () => {
          for await (const entry of (await other.keyValue(bucket)).watch("actor.*", controller.signal)) {
            seen.push(`${entry.key}=${entry.deleted ? "deleted" : text(entry.value)}`);
            if (seen.length === 2) caughtUp();
            if (seen.length === 5) controller.abort();
          }
        })();
        await ready;
        await values.put("actor.1", bytes("a2"));
        await values.put("weights", bytes("w2"));
        await values.delete("actor.2");
        await values.put("actor.4", bytes("d"));
        await watching;
        expect(seen).toEqual(["actor.1=a", "actor.2=b", "actor.1=a2", "actor.2=deleted", "actor.4=d"]);
      });

      test("watch() of an empty bucket sees the first entry; leaving the loop ends it", async () => {
        const values = await bus.keyValue(unique("bucket"));
        const controller = new AbortController();
        const watching = (async () => {
          for await (const entry of values.watch(">", controller.signal)) return entry;
        })();
        await sleep(20);
        await values.put("a.b.c", bytes("x"));
        expect((await watching)?.key).toBe("a.b.c");
        controller.abort();
        const after: KeyValueEntry[] = [];
        for await (const entry of values.watch(">", controller.signal)) after.push(entry);
        expect(after).toEqual([]);
      });

      test("entries older than the bucket's time to live go, and watchers see it", async () => {
        const bucket = unique("bucket");
        const values = await bus.keyValue(bucket, { ttlMs: 400 });
        const controller = new AbortController();
        const established = Promise.withResolvers<void>();
        const watching = (async () => {
          const gone: string[] = [];
          for await (const entry of (await other.keyValue(bucket)).watch(">", controller.signal)) {
            established.resolve();
            if (entry.deleted) gone.push(entry.key);
            if (gone.includes("silent")) return gone;
          }
          return gone;
        })();
        const heartbeat = setInterval(() => values.put("alive", bytes("x")).catch(() => undefined), 50);
        await established.promise; // a watcher that came after the end of an entry would wait for ever
        await values.put("silent", bytes("x"));
        expect(await watching).toEqual(["silent"]);
        expect(await values.get("silent")).toBeUndefined();
        expect(await values.keys()).toEqual(["alive"]);
        clearInterval(heartbeat);
        controller.abort();
      });

      test("bad names are refused", async () => {
        await expect(bus.keyValue("a bucket")).rejects.toThrow(RangeError);
        const values = await bus.keyValue(unique("bucket"));
        for (const key of ["", ".a", "a.", "a..b", "a b", "a.*", "ä"]) {
          await expect(values.put(key, bytes("x"))).rejects.toThrow("cannot be a key");
        }
      });
    });

    describe("objects", () => {
      test.each([0, 1, 1 << 20, 8 << 20])("an object of %d bytes comes back as it went", async (size) => {
        const bucket = unique("bucket");
        const objects = await bus.objects(bucket);
        const data = new Uint8Array(size);
        for (let i = 0; i < size; i += 997) data[i] = i;
        await objects.put("a/name with spaces", data);
        const back = await (await other.objects(bucket)).get("a/name with spaces");
        expect(back?.length).toBe(size);
        expect(Buffer.compare(back ?? new Uint8Array(1), data)).toBe(0);
      });

      test("list() names the objects, get() of another is undefined", async () => {
        const objects = await bus.objects(unique("bucket"));
        expect(await objects.list()).toEqual([]);
        await objects.put("one", bytes("1"));
        await objects.put("two", bytes("2"));
        expect((await objects.list()).toSorted()).toEqual(["one", "two"]);
        expect(await objects.get("three")).toBeUndefined();
      });

      test("objects are immutable: the same bytes may be put again, others not", async () => {
        const objects = await bus.objects(unique("bucket"));
        await objects.put("one", bytes("same"));
        await objects.put("one", bytes("same"));
        await expect(objects.put("one", bytes("else"))).rejects.toThrow(/immutable/);
      });
    });

    describe("requests", () => {
      test("a request is answered by who serves its subject", async () => {
        const controller = new AbortController();
        const subject = unique("serve");
        await other.serve(`${subject}.*`, (data, to) => bytes(`${text(data)} at ${to.split(".")[1]}`), controller);
        expect(text(await bus.request(`${subject}.actor`, bytes("hello"), { timeoutMs: PATIENCE_MS }))).toBe(
          "hello at actor",
        );
        controller.abort();
      });

      test("a request that nobody serves fails at once", async () => {
        const subject = unique("nobody");
        const request = bus.request(subject, bytes("x"), { timeoutMs: PATIENCE_MS });
        await expect(request).rejects.toBeInstanceOf(NoResponderError);
        await expect(request).rejects.toThrow(subject);
      });

      test("a request that is not answered in time fails with its deadline", async () => {
        const controller = new AbortController();
        const subject = unique("slow");
        await other.serve(subject, () => sleep(PATIENCE_MS, bytes(""), controller).catch(() => bytes("")), controller);
        const request = bus.request(subject, bytes("x"), { timeoutMs: 60 });
        await expect(request).rejects.toBeInstanceOf(RequestTimeoutError);
        await expect(request).rejects.toThrow(`'${subject}' within 60 ms`);
        const aborted = new AbortController();
        const another = bus.request(subject, bytes("x"), { timeoutMs: PATIENCE_MS, signal: aborted.signal });
        setTimeout(() => aborted.abort(new Error("no longer wanted")), 20);
        await expect(another).rejects.toThrow("no longer wanted");
        controller.abort();
      });

      test("what the handler throws arrives with its name, message and stack", async () => {
        const controller = new AbortController();
        const subject = unique("throws");
        await other.serve(
          subject,
          function theHandler(data) {
            if (text(data) === "plain") throw "not an error";
            throw new TypeError("no such method");
          },
          controller,
        );
        const error = await bus.request(subject, bytes("x"), { timeoutMs: PATIENCE_MS }).catch((caught) => caught);
        expect(error).toBeInstanceOf(RemoteError);
        expect(error.message).toBe("no such method");
        expect(error.remoteName).toBe("TypeError");
        expect(error.remoteStack).toContain("theHandler");
        expect(error.stack).toContain("theHandler");
        const plain = bus.request(subject, bytes("plain"), { timeoutMs: PATIENCE_MS });
        await expect(plain).rejects.toThrow("not an error");
        controller.abort();
      });

      test("an answer that is too large becomes an error on the other side", async () => {
        const controller = new AbortController();
        const subject = unique("large");
        await other.serve(subject, () => new Uint8Array((1 << 20) + 1), controller);
        const request = bus.request(subject, bytes("x"), { timeoutMs: PATIENCE_MS });
        await expect(request).rejects.toThrow(/answer.*1048577 bytes/);
        const large = bus.request(subject, new Uint8Array((1 << 20) + 1), { timeoutMs: PATIENCE_MS });
        await expect(large).rejects.toBeInstanceOf(MessageTooLargeError);
        controller.abort();
      });

      test("of the members of a queue group one answers each request", async () => {
        const controller = new AbortController();
        const subject = unique("group");
        const served: string[] = [];
        for (const [member, via] of [
          ["a", bus],
          ["b", other],
        ] as const) {
          const handler = (data: Uint8Array) => {
            served.push(text(data));
            return bytes(member);
          };
          await via.serve(subject, handler, { queue: "members", signal: controller.signal });
        }
        const names = Array.from({ length: 60 }, (_, i) => `r${i}`);
        const answers = await Promise.all(
          names.map((name) => bus.request(subject, bytes(name), { timeoutMs: PATIENCE_MS })),
        );
        expect(served.toSorted()).toEqual(names.toSorted());
        expect(new Set(answers.map(text)).size).toBe(2);
        controller.abort();
      });

      test("serve() ends when its signal aborts", async () => {
        const controller = new AbortController();
        const subject = unique("ends");
        await other.serve(subject, (data) => data, controller);
        await bus.request(subject, bytes("x"), { timeoutMs: PATIENCE_MS });
        controller.abort();
        while (true) {
          const error = await bus.request(subject, bytes("x"), { timeoutMs: PATIENCE_MS }).catch((caught) => caught);
          if (error instanceof NoResponderError) break;
        }
      });
    });

    describe("closing", () => {
      test("close() finishes what is under way, ends what waits, and refuses what comes after", async () => {
        const stream = await newStream();
        const bucket = unique("bucket");
        const subject = unique("closing");
        const closing = await connect();
        const statuses: string[] = [];
        closing.onStatus((status) => statuses.push(status.type));
        let asked = () => {};
        const underWay = new Promise<void>((resolve) => {
          asked = resolve;
        });
        const handler = async () => {
          asked();
          await sleep(50);
          return bytes("finished");
        };
        await closing.serve(subject, handler, { signal: new AbortController().signal });
        const values = await closing.keyValue(bucket);
        const watching = (async () => {
          for await (const _ of values.watch(">", new AbortController().signal));
        })();
        const puller = await open(stream, { via: closing });
        const pulling = puller.next(1, PATIENCE_MS);
        const answer = bus.request(subject, bytes("x"), { timeoutMs: PATIENCE_MS });
        const published = Array.from({ length: 20 }, () =>
          closing.publish(`${stream}.x`, bytes("x"), { timeoutMs: PATIENCE_MS }),
        );
        const taken = (await pulling).length;
        await underWay;
        await Promise.all([closing.close(), closing.close()]);
        expect(text(await answer)).toBe("finished");
        expect((await Promise.all(published)).length).toBe(20);
        expect(taken).toBeGreaterThan(0);
        await watching;
        expect(statuses).toContain("closed");
        expect((await bus.streamState(stream)).messages).toBe(20);
        await expect(puller.next(1, 10)).rejects.toBeInstanceOf(BusClosedError);
        await expect(closing.publish(`${stream}.x`, bytes("x"), { timeoutMs: 10 })).rejects.toBeInstanceOf(
          BusClosedError,
        );
        await expect(closing.request(subject, bytes("x"), { timeoutMs: 10 })).rejects.toBeInstanceOf(BusClosedError);
        await expect(closing.keyValue(bucket)).rejects.toBeInstanceOf(BusClosedError);
      });
    });
  });
}
