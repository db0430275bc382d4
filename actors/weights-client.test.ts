/** The client against servers that misbehave; against the real one it is tested in bench/weights.test.ts. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type ManifestSchema,
  type ReportRequest,
  type SubscribeRequest,
  type SubscribeResponseSchema,
  WeightsService,
} from "../proto/gen/proxima/v1/weights_pb.ts";
import { implement, type ResponseStream, StatusError, serve, status } from "../proto/grpc.ts";
import { compressions, encodings, packWeights } from "../proto/weights.ts";
import { type WeightsClientOptions, weightsClient } from "./weights-client.ts";

setDefaultTimeout(30_000); // for machines that do much else at the same time

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

type Stream = ResponseStream<typeof SubscribeResponseSchema>;
/** What the server does with the first subscription, the second, and so on; the last one is repeated. */
type Script = (stream: Stream, request: SubscribeRequest) => Promise<void>;

async function scripted(...script: Script[]) {
  const reports: ReportRequest[] = [];
  const requests: SubscribeRequest[] = [];
  const server = await serve(
    {},
    implement(WeightsService, {
      async subscribe(request, stream) {
        requests.push(request);
        await script[Math.min(requests.length, script.length) - 1](stream, request);
      },
      async fetch() {
        throw new StatusError(status.UNIMPLEMENTED, "not in this test");
      },
      report(request) {
        reports.push(request);
        return { reportAfterMs: 300 };
      },
    }),
  );
  closers.push(() => server.close(0));
  return { address: server.address, reports, requests };
}

function follow(address: string, options: Partial<WeightsClientOptions> = {}) {
  const client = weightsClient({ address, run: "test", actor: "a", ...options });
  closers.push(() => client.close());
  return client;
}

const good = packWeights(
  Float32Array.from({ length: 100_000 }, (_, i) => i),
  "f32",
  "none",
);

function manifest(changes: MessageInitShape<typeof ManifestSchema> = {}): MessageInitShape<typeof ManifestSchema> {
  return {
    run: "test",
    subscription: "s",
    version: { incarnation: "i", counter: 0n, sha256: good.sha256 },
    encoding: encodings.f32,
    compression: compressions.none,
    parameterCount: BigInt(good.parameterCount),
    wireBytes: BigInt(good.wireBytes),
    ...changes,
  } as MessageInitShape<typeof ManifestSchema>;
}

const open = (stream: Stream, changes?: MessageInitShape<typeof ManifestSchema>) =>
  stream.send({ frame: { case: "manifest", value: manifest(changes) } });
const forever = (stream: Stream) =>
  new Promise<void>((resolve) => stream.signal.addEventListener("abort", () => resolve()));

const behave: Script = async (stream) => {
  await open(stream);
  for (const frame of good.frames) await stream.send(frame);
  await forever(stream);
};

const patience = { timeoutMs: 20_000 };

test.each<[string, Script, string]>([
  [
    "weights that do not have the announced hash",
    async (stream) => {
      await open(stream);
      const damaged = good.frames.map((frame) => Buffer.from(frame));
      damaged[1][100] ^= 1;
      for (const frame of damaged) await stream.send(frame);
      await forever(stream);
    },
    "SHA-256",
  ],
  [
    "more chunks than announced",
    async (stream) => {
      await open(stream, { parameterCount: 10n, wireBytes: 40n });
      for (const frame of good.frames) await stream.send(frame);
      await forever(stream);
    },
    "add up to 40 bytes",
  ],
  [
    "a manifest in the middle of a version",
    async (stream) => {
      await open(stream);
      await stream.send(good.frames[0]);
      await open(stream);
      await forever(stream);
    },
    "found a manifest",
  ],
  [
    "chunks without a manifest",
    async (stream) => {
      await stream.send(good.frames[0]);
      await forever(stream);
    },
    "manifest must come first",
  ],
  [
    "more parameters than there is room for",
    async (stream) => {
      await open(stream, { parameterCount: 2n ** 40n, wireBytes: 2n ** 42n });
      await forever(stream);
    },
    "parameters",
  ],
  [
    "weights of another run",
    async (stream) => {
      await open(stream, { run: "other" });
      await forever(stream);
    },
    "must be of run test",
  ],
])("%s are refused and counted, and the client subscribes again", async (_, misbehave, reason) => {
  const { address, requests } = await scripted(misbehave, behave);
  const reasons: string[] = [];
  const client = follow(address, { onStatus: (now) => now.state === "away" && reasons.push(now.reason ?? "") });
  const held = await client.waitFor(0, patience);
  expect(held.weights).toHaveLength(good.parameterCount);
  expect(client.status().refused).toBe(1);
  expect(reasons.join()).toContain(reason);
  expect(requests).toHaveLength(2);
});

test("a version that does not verify leaves the one before it in use, and the server hears why", async () => {
  const { address, reports } = await scripted(
    async (stream) => {
      await open(stream);
      for (const frame of good.frames) await stream.send(frame);
      await open(stream, { version: { incarnation: "i", counter: 1n, sha256: new Uint8Array(32) } });
      for (const frame of good.frames) await stream.send(frame);
      await forever(stream);
    },
    async (stream) => forever(stream),
  );
  const client = follow(address);
  await client.waitFor(0, patience);
  while (client.status().refused === 0 || reports.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(client.current()?.version.counter).toBe(0);
  expect(reports.map(({ version, refused }) => [version?.counter, refused !== ""])).toEqual([
    [0n, false],
    [1n, true],
  ]);
  expect(reports[1].refused).toContain("SHA-256");
});

test("a version in use is reported a little later, with how long it has been in use", async () => {
  const { address, reports } = await scripted(async (stream) => {
    await open(stream);
    for (const frame of good.frames) await stream.send(frame);
    await forever(stream);
  });
  const before = performance.now();
  await follow(address).waitFor(0, patience);
  expect(reports).toEqual([]);
  while (!reports.length) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(reports[0]!.version?.counter).toBe(0n);
  expect(reports[0]!.ageMs).toBeGreaterThan(50);
  expect(reports[0]!.ageMs).toBeLessThanOrEqual(performance.now() - before);
});

test("a server with many subscribers has versions reported later", async () => {
  const { address, reports } = await scripted(async (stream) => {
    for (let counter = 0n; ; counter++) {
      await open(stream, { version: { incarnation: "i", counter, sha256: good.sha256 } });
      for (const frame of good.frames) await stream.send(frame);
      while (reports.length <= counter) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        stream.signal.throwIfAborted();
      }
    }
  });
  follow(address);
  while (!reports.some(({ ageMs }) => ageMs >= 290)) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(reports[0]!.ageMs).toBeLessThan(reports.at(-1)!.ageMs);
});

test("a new subscription says what is held", async () => {
  const { address, requests } = await scripted(async (stream) => {
    await open(stream);
    for (const frame of good.frames) await stream.send(frame);
  }, forever);
  const client = follow(address);
  await client.waitFor(0, patience);
  while (requests.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(requests[0].held).toBeUndefined();
  expect(requests[1].held).toMatchObject({ incarnation: "i", counter: 0n });
  expect(Buffer.from(requests[1].held!.sha256).equals(good.sha256)).toBe(true);
});

test("a version cut off half-way is dropped, and the next subscription brings it whole", async () => {
  const { address } = await scripted(async (stream) => {
    await open(stream);
    await stream.send(good.frames[0]);
    throw new StatusError(status.ABORTED, "going down");
  }, behave);
  const client = follow(address);
  const held = await client.waitFor(0, patience);
  expect(held.version.sha256).toBe(good.sha256.toString("hex"));
  expect(client.status().refused).toBe(0);
});

test("a client may start before its server", async () => {
  const probe = await serve({});
  await probe.close();
  const client = follow(probe.address);
  while (client.status().state !== "away") await new Promise((resolve) => setTimeout(resolve, 5));
  expect(client.status().reason).toContain("UNAVAILABLE");
  const server = await serve(
    { port: probe.port },
    implement(WeightsService, {
      subscribe: async (request, stream) => behave(stream, request),
      fetch: async () => {},
      report: () => ({}),
    }),
  );
  closers.push(() => server.close(0));
  expect((await client.waitFor(0, patience)).version.counter).toBe(0);
});

test("a listener that throws does not stop the others, nor the client", async () => {
  const { address } = await scripted(behave);
  const client = follow(address);
  const heard: number[] = [];
  const reasons: string[] = [];
  const watching = follow(address, { onStatus: ({ reason }) => reason && reasons.push(reason) });
  watching.onWeights(() => {
    throw new Error("a listener's own mistake");
  });
  watching.onWeights(({ version }) => heard.push(version.counter));
  await Promise.all([client.waitFor(0, patience), watching.waitFor(0, patience)]);
  expect(heard).toEqual([0]);
  expect(reasons).toEqual(["a listener failed: a listener's own mistake"]);
  expect(watching.status().state).toBe("connected");
});

test("closing twice is closing once, and a closed client is quiet", async () => {
  const { address } = await scripted(behave);
  const client = follow(address);
  await client.waitFor(0, patience);
  client.close();
  client.close();
  expect(client.status().state).toBe("closed");
  expect(client.current()?.version.counter).toBe(0);
});
