import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { Compression, Encoding, type Manifest, WeightsService } from "../proto/gen/proxima/v1/weights_pb.ts";
import { connect, status } from "../proto/grpc.ts";
import { rejection } from "../proto/testing/rejection.ts";
import { assemble, CHUNK_BYTES } from "../proto/weights.ts";
import { type WeightsServerOptions, weightsServer } from "./weights-server.ts";

setDefaultTimeout(30_000); // for machines that do much else at the same time

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function start(options: Partial<WeightsServerOptions> = {}) {
  const server = await weightsServer({ run: "test", ...options });
  closers.push(() => server.close(0));
  const { client, close } = connect(WeightsService, server.address);
  closers.push(close);
  return { server, client };
}

const weights = (length: number, value = 1) => new Float32Array(length).map((_, i) => value + i / length);
const lasting = () => {
  const controller = new AbortController();
  closers.push(() => controller.abort());
  return { signal: controller.signal };
};

type Frames = AsyncIterable<{ frame: { case?: string; value?: unknown } }>;

/** Reads the versions of a stream one after the other. */
async function* versions(frames: Frames) {
  let manifest: Manifest | undefined;
  let assembly: ReturnType<typeof assemble> | undefined;
  for await (const { frame } of frames) {
    if (frame.case === "manifest") {
      manifest = frame.value as Manifest;
      assembly = assemble(manifest);
    } else {
      expect((frame.value as Uint8Array).length).toBeLessThanOrEqual(CHUNK_BYTES);
      assembly!.push(frame.value as Uint8Array);
    }
    if (assembly!.complete) yield { manifest: manifest!, ...assembly!.finish() };
  }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test("fetch sends the newest version once and ends", async () => {
  const { server, client } = await start();
  server.publish({ counter: 0, weights: weights(10) });
  const { version } = server.publish({ counter: 5, weights: weights(300_000) });
  const all = await Array.fromAsync(versions(client.fetch({ run: "test" }, { timeoutMs: 10_000 })));
  expect(all).toHaveLength(1);
  expect(all[0].weights).toEqual(weights(300_000));
  expect(all[0].sha256).toBe(version.sha256);
  expect(all[0].manifest).toMatchObject({ run: "test", encoding: Encoding.F32, compression: Compression.NONE });
});

test("fetch before the first version is NOT_FOUND", async () => {
  const { client } = await start();
  const fetching = Array.fromAsync(client.fetch({ run: "test" }, { timeoutMs: 10_000 }));
  expect(await rejection(fetching)).toMatchObject({ code: status.NOT_FOUND });
});

test("a subscriber that comes late gets the newest version at once", async () => {
  const { server, client } = await start();
  server.publish({ counter: 0, weights: weights(10) });
  server.publish({ counter: 1, weights: weights(20) });
  for await (const { manifest } of versions(client.subscribe({ run: "test", actor: "a" }, lasting()))) {
    expect(manifest.version?.counter).toBe(1n);
    break;
  }
});

test("a subscriber that stops reading is sent no more than the version in flight, then the newest", async () => {
  const { server, client } = await start();
  const size = (24 << 20) / 4; // beyond every window and buffer on the way
  server.publish({ counter: 0, weights: weights(size) });
  const frames = client.subscribe({ run: "test", actor: "slow" }, lasting())[Symbol.asyncIterator]();
  expect((await frames.next()).value.frame.case).toBe("manifest");
  for (let counter = 1; counter <= 5; counter++) server.publish({ counter, weights: weights(10, counter) });
  const seen: bigint[] = [];
  while (seen.at(-1) !== 5n) {
    const { frame } = (await frames.next()).value;
    if (frame.case === "manifest") seen.push(frame.value.version.counter);
  }
  expect(seen).toEqual([5n]);
});

test("a version that is held is not sent again; one of another incarnation is, whatever its counter", async () => {
  const { server, client } = await start();
  const { version } = server.publish({ counter: 3, weights: weights(10) });
  const sha256 = Buffer.from(version.sha256, "hex");
  const first = async (held: { incarnation: string; counter: bigint; sha256: Uint8Array }) => {
    const stream = versions(client.subscribe({ run: "test", actor: "a", held }, lasting()));
    return (await stream.next()).value!.manifest.version!.counter;
  };
  expect(await first({ incarnation: "before", counter: 3n, sha256 })).toBe(3n);
  expect(await first({ incarnation: server.incarnation, counter: 2n, sha256 })).toBe(3n);
  const waiting = first({ incarnation: server.incarnation, counter: 3n, sha256 });
  await until(() => server.subscribers().some(({ held }) => held?.counter === 3));
  server.publish({ counter: 4, weights: weights(10, 2) });
  expect(await waiting).toBe(4n);
});

test("zstd is used where the server offers it and the subscriber can undo it", async () => {
  const { server, client } = await start({ zstd: true });
  server.publish({ counter: 0, weights: new Float32Array(100_000) });
  const manifestFor = async (acceptedCompressions: Compression[]) => {
    const stream = versions(client.fetch({ run: "test", acceptedCompressions }, { timeoutMs: 10_000 }));
    return (await stream.next()).value!.manifest;
  };
  expect(await manifestFor([])).toMatchObject({ compression: Compression.NONE, wireBytes: 400_000n });
  const packed = await manifestFor([Compression.ZSTD]);
  expect(packed.compression).toBe(Compression.ZSTD);
  expect(packed.wireBytes).toBeLessThan(1000n);
});

test("reports show which version an actor holds, how far it lags and what it refused", async () => {
  const { server, client } = await start();
  server.publish({ counter: 0, weights: weights(10) });
  const stream = versions(client.subscribe({ run: "test", actor: "rollout-1", encoding: Encoding.BF16 }, lasting()));
  const { manifest } = (await stream.next()).value!;
  expect(server.subscribers()).toMatchObject([
    { actor: "rollout-1", encoding: "bf16", held: undefined, lagVersions: 1, refused: 0 },
  ]);

  const { subscription, version } = manifest;
  await client.report({ subscription, version }, { timeoutMs: 5000 });
  server.publish({ counter: 1, weights: weights(10, 2) });
  server.publish({ counter: 2, weights: weights(10, 3) });
  expect((await client.report({ subscription, version, refused: "hash" }, { timeoutMs: 5000 })).newestCounter).toBe(2n);
  expect(server.subscribers()).toMatchObject([
    { held: { counter: 0 }, lagVersions: 2, refused: 1, refusedReason: "hash" },
  ]);
  expect((await client.report({ subscription, version }, { timeoutMs: 5000 })).reportAfterMs).toBe(10); // 100 a second
  expect(server.subscribers()[0].held).toEqual({
    counter: 0,
    sha256: Buffer.from(version!.sha256).toString("hex"),
  });
});

test("a report for a subscription that has ended is NOT_FOUND", async () => {
  const { client } = await start();
  const reporting = client.report({ subscription: "gone" }, { timeoutMs: 5000 });
  expect(await rejection(reporting)).toMatchObject({ code: status.NOT_FOUND });
});

test("a request for another run is refused, naming the run that is served", async () => {
  const { client } = await start();
  const fetching = Array.fromAsync(client.fetch({ run: "other" }, { timeoutMs: 5000 }));
  expect(await rejection(fetching)).toMatchObject({
    code: status.FAILED_PRECONDITION,
    message: expect.stringContaining("serves run test"),
  });
});

test("a version that no server could have sent is refused", async () => {
  const { client } = await start();
  const held = { incarnation: "x".repeat(1 << 20), counter: 0n, sha256: new Uint8Array(32) };
  const subscribing = Array.fromAsync(client.subscribe({ run: "test", actor: "a", held }, lasting()));
  expect(await rejection(subscribing)).toMatchObject({ code: status.INVALID_ARGUMENT });
});

test("an unknown encoding is refused", async () => {
  const { client } = await start();
  const subscribing = Array.fromAsync(client.subscribe({ run: "test", encoding: 9 as Encoding }, lasting()));
  expect(await rejection(subscribing)).toMatchObject({ code: status.INVALID_ARGUMENT });
});

test("counters go up, and weights are not empty", async () => {
  const { server } = await start();
  server.publish({ counter: 3, weights: weights(10) });
  for (const counter of [3, 2, -1, 3.5, Number.NaN]) {
    expect(() => server.publish({ counter, weights: weights(10) })).toThrow(RangeError);
  }
  expect(() => server.publish({ counter: 4, weights: new Float32Array() })).toThrow("at least 1");
  expect(server.newest?.version.counter).toBe(3);
});

test("a taken port is a clear error", async () => {
  const { server } = await start();
  expect((await rejection(weightsServer({ run: "test", port: server.port }))).message).toContain("the port is taken");
});

test("a subscriber that leaves is forgotten", async () => {
  const { server, client } = await start();
  const controller = new AbortController();
  const reading = Array.fromAsync(client.subscribe({ run: "test", actor: "a" }, { signal: controller.signal }));
  await until(() => server.subscribers().length === 1);
  controller.abort(new Error("left"));
  expect((await rejection(reading)).message).toContain("left");
  await until(() => server.subscribers().length === 0);
});
