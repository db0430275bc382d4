/** Weights server and weights client together, which neither room may import. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createConnection, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type WeightsClientOptions, WeightsTimeoutError, weightsClient } from "../actors/weights-client.ts";
import { type WeightsServer, type WeightsServerOptions, weightsServer } from "../learner/weights-server.ts";
import { fromBf16, toBf16 } from "../proto/weights.ts";

const MiB = 1 << 20;

import { rejection } from "../proto/testing/rejection.ts";
import { commandOn, type Runtime } from "../proto/testing/runtimes.ts";

setDefaultTimeout(30_000); // for machines that do much else at the same time

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function start(options: Partial<WeightsServerOptions> = {}): Promise<WeightsServer> {
  const server = await weightsServer({ run: "test", ...options });
  closers.push(() => server.close(0));
  return server;
}

function follow(server: { address: string }, options: Partial<WeightsClientOptions> = {}) {
  const client = weightsClient({ address: server.address, run: "test", actor: "a", ...options });
  closers.push(() => client.close());
  return client;
}

const random = (bytes: number, seed = 1) => {
  const weights = new Float32Array(bytes / 4);
  for (let i = 0, state = seed; i < weights.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    weights[i] = state / 2 ** 31 - 1;
  }
  return weights;
};
const sha256 = (weights: Float32Array) =>
  createHash("sha256")
    .update(new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength))
    .digest("hex");

const patience = { timeoutMs: 30_000 };

/** Resolves when the condition holds; the test's own timeout bounds it. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

async function firstLine(child: ChildProcess): Promise<unknown> {
  closers.push(() => child.kill());
  let errors = "";
  child.stderr!.on("data", (text) => {
    errors += text;
  });
  for await (const line of createInterface({ input: child.stdout! })) return JSON.parse(line);
  throw new Error(`the subscriber ended without a line: ${errors.slice(0, 1000)}`);
}

/** An authority with a server's and a client's certificate, made by openssl for this test alone. */
function certificates() {
  const folder = mkdtempSync(join(tmpdir(), "proxima-tls-"));
  const openssl = (...args: string[]) => {
    const { status: code, stderr } = spawnSync("openssl", args, { cwd: folder, encoding: "utf8" });
    if (code !== 0) throw new Error(`openssl ${args[0]} failed: ${stderr}`);
  };
  const read = (name: string) => readFileSync(join(folder, name), "utf8");
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"];
  openssl("req", "-x509", ...key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority");
  const issue = (name: string, host: string) => {
    const subject = ["-subj", `/CN=${host}`, "-addext", `subjectAltName=DNS:${host}`];
    const authority = ["-CA", "ca.pem", "-CAkey", "ca.key"];
    openssl("req", "-x509", ...key, ...subject, ...authority, "-keyout", `${name}.key`, "-out", `${name}.pem`);
    return { cert: read(`${name}.pem`), key: read(`${name}.key`) };
  };
  try {
    return { ca: read("ca.pem"), server: issue("server", "learner.test"), client: issue("client", "actor.test") };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

for (const size of [1, 8, 64]) {
  test(`${size} MiB arrive unchanged`, async () => {
    const server = await start();
    const client = follow(server);
    const weights = random(size * MiB);
    const { version } = server.publish({ counter: 0, weights });
    const held = await client.waitFor(0, patience);
    expect(held.version).toEqual({ counter: 0, sha256: sha256(weights) });
    expect(version).toEqual(held.version);
    expect(Buffer.from(held.weights.buffer).equals(Buffer.from(weights.buffer))).toBe(true);
  });
}

test("one version reaches many subscribers, who then show up with it and without lag", async () => {
  const server = await start();
  const clients = Array.from({ length: 16 }, (_, i) => follow(server, { actor: `actor-${i}` }));
  server.publish({ counter: 7, weights: random(MiB) });
  await Promise.all(clients.map((client) => client.waitFor(7, patience)));
  await until(() => server.subscribers().every(({ held }) => held?.counter === 7));
  const subscribers = server.subscribers();
  expect(subscribers.map(({ actor }) => actor).sort()).toEqual(clients.map((_, i) => `actor-${i}`).sort());
  expect(subscribers.every(({ lagVersions }) => lagVersions === 0)).toBe(true);
  clients[3].close();
  await until(() => server.subscribers().length === 15);
});

test("publishing may reuse its array at once", async () => {
  const server = await start();
  const client = follow(server);
  const weights = random(MiB);
  const expected = sha256(weights);
  server.publish({ counter: 0, weights });
  weights.fill(0);
  expect((await client.waitFor(0, patience)).version.sha256).toBe(expected);
});

test("bf16 subscribers hold rounded weights under a hash of their own, f32 subscribers the exact ones", async () => {
  const server = await start();
  const half = follow(server, { encoding: "bf16" });
  const whole = follow(server);
  const weights = random(MiB);
  const published = server.publish({ counter: 0, weights });
  const held = await half.waitFor(0, patience);
  expect(held.weights).toEqual(fromBf16(toBf16(weights)));
  expect(held.version).toEqual(published.versionFor("bf16"));
  expect((await whole.waitFor(0, patience)).version).toEqual(published.versionFor("f32"));
});

test("compressed weights arrive unchanged in either encoding", async () => {
  const server = await start({ zstd: true });
  const weights = random(MiB).map((value) => Math.round(value * 8));
  const clients = [follow(server), follow(server, { encoding: "bf16" })];
  const published = server.publish({ counter: 0, weights });
  for (const [client, encoding] of [
    [clients[0], "f32"],
    [clients[1], "bf16"],
  ] as const) {
    expect((await client.waitFor(0, patience)).version).toEqual(published.versionFor(encoding));
  }
});

test("a subscriber that is busy with one version skips to the newest, in order", async () => {
  const server = await start();
  const client = follow(server);
  const seen: number[] = [];
  client.onWeights(({ version }) => seen.push(version.counter));
  server.publish({ counter: 0, weights: random(4 * MiB, 0) });
  await client.waitFor(0, patience);
  for (let counter = 1; counter <= 20; counter++) server.publish({ counter, weights: random(MiB / 4, counter) });
  await client.waitFor(20, patience);
  expect(seen).toEqual([0, 20]);
});

test("a listener hears every version that arrives until it is taken off", async () => {
  const server = await start();
  const client = follow(server);
  const seen: number[] = [];
  const off = client.onWeights(({ version }) => seen.push(version.counter));
  for (let counter = 0; counter < 3; counter++) {
    server.publish({ counter, weights: random(1024, counter) });
    await client.waitFor(counter, patience);
  }
  off();
  server.publish({ counter: 3, weights: random(1024) });
  await client.waitFor(3, patience);
  expect(seen).toEqual([0, 1, 2]);
});

test("held weights stay what they were when newer ones arrive", async () => {
  const server = await start();
  const client = follow(server);
  server.publish({ counter: 0, weights: random(MiB, 1) });
  const first = await client.waitFor(0, patience);
  server.publish({ counter: 1, weights: random(MiB, 2) });
  await client.waitFor(1, patience);
  expect(sha256(first.weights)).toBe(first.version.sha256);
});

test("a learner that comes back from a checkpoint is followed to its lower counter", async () => {
  const first = await start();
  const client = follow(first);
  first.publish({ counter: 9, weights: random(1024, 9) });
  const before = await client.waitFor(9, patience);
  await first.close(0);
  const second = await start({ port: first.port });
  second.publish({ counter: 4, weights: random(1024, 4) });
  const after = await client.waitFor((held) => held.incarnation === second.incarnation, patience);
  expect(after.version.counter).toBe(4);
  expect(after.incarnation).not.toBe(before.incarnation);
});

test("after a lost connection the version that is held is not sent again", async () => {
  const server = await start();
  // A plain TCP relay that can be cut.
  const sockets = new Set<Socket>();
  const relay = createServer((near) => {
    const far = createConnection(server.port, "127.0.0.1");
    sockets.add(near);
    near.pipe(far).pipe(near);
    for (const socket of [near, far])
      socket.on("error", () => {}).on("close", () => [near, far].map((s) => s.destroy()));
  }).listen(0, "127.0.0.1");
  await once(relay, "listening");
  closers.push(() => relay.close());
  const client = follow({ address: `127.0.0.1:${(relay.address() as AddressInfo).port}` });
  const seen: number[] = [];
  client.onWeights(({ version }) => seen.push(version.counter));
  server.publish({ counter: 0, weights: random(1024) });
  await client.waitFor(0, patience);
  for (const socket of sockets) socket.destroy();
  await until(() => client.status().subscriptions > 1 && client.status().state === "connected");
  await until(() => server.subscribers().some(({ held }) => held?.counter === 0));
  server.publish({ counter: 1, weights: random(1024) });
  await client.waitFor(1, patience);
  expect(seen).toEqual([0, 1]);
});

test("a relay passes on incarnation, counter and time of the learner", async () => {
  const learner = await start();
  const relay = await start();
  const upstream = follow(learner);
  upstream.onWeights(({ version: { counter }, weights, incarnation, publishedAtMs }) =>
    relay.publish({ counter, weights, incarnation, publishedAtMs }),
  );
  const client = follow(relay);
  const { version } = learner.publish({ counter: 3, weights: random(MiB) });
  const held = await client.waitFor(3, patience);
  expect(held.version).toEqual(version);
  expect(held.incarnation).toBe(learner.incarnation);
  expect(held.publishedAtMs).toBe(upstream.current()!.publishedAtMs);
});

test("waiting ends with a message that says for what, from whom and how things stand", async () => {
  const server = await start();
  const client = follow(server, { actor: "rollout-3" });
  server.publish({ counter: 1, weights: random(1024) });
  await client.waitFor(1, patience);
  const error = await client.waitFor(2, { timeoutMs: 20 }).catch((reason) => reason);
  expect(error).toBeInstanceOf(WeightsTimeoutError);
  for (const part of [
    "20 ms",
    "counter at least 2",
    "run test",
    server.address,
    "rollout-3 holds version 1",
    "connected",
  ]) {
    expect(error.message).toContain(part);
  }
});

test("waiting can be aborted, and closing ends it", async () => {
  const client = follow(await start());
  const controller = new AbortController();
  const aborted = client.waitFor(0, { ...patience, signal: controller.signal });
  controller.abort(new Error("enough"));
  expect((await rejection(aborted)).message).toContain("enough");
  const closed = client.waitFor(0, patience);
  client.close();
  expect((await rejection(closed)).message).toContain("closed");
  expect((await rejection(client.waitFor(0, patience))).message).toContain("closed");
});

test("subscribing to another run or without the token is refused, and the reason is in the status", async () => {
  const server = await start({ token: "secret" });
  const wrongRun = follow(server, { run: "other", token: "secret" });
  const wrongToken = follow(server, { token: "guess" });
  const right = follow(server, { token: "secret" });
  server.publish({ counter: 0, weights: random(1024) });
  await right.waitFor(0, patience);
  await until(() => wrongRun.status().state === "away" && wrongToken.status().state === "away");
  expect(wrongRun.status().reason).toContain("serves run test");
  expect(wrongToken.status().reason).toContain("valid token");
  expect(wrongToken.current()).toBeUndefined();
});

test("closing the server lets the version in flight arrive", async () => {
  const server = await start();
  const client = follow(server);
  await until(() => client.status().state === "connected");
  server.publish({ counter: 0, weights: random(8 * MiB) });
  const arrival = client.waitFor(0, patience);
  await server.close(30_000);
  expect((await arrival).version.counter).toBe(0);
});

const subscriber = join(import.meta.dir, "testing/subscriber.ts");

async function startOn(runtime: Runtime, script: string, ...args: string[]): Promise<ChildProcess> {
  const [program, ...before] = await commandOn(runtime, script);
  return spawn(program, [...before, ...args]);
}

test("Deno and Node receive the same weights as Bun", async () => {
  const server = await start({ zstd: true });
  const published = server.publish({ counter: 0, weights: random(8 * MiB) });
  const receive = async (runtime: Runtime, name: string, ...encoding: string[]) =>
    firstLine(await startOn(runtime, subscriber, server.address, "test", name, ...encoding));
  const lines = await Promise.all([
    receive("deno", "deno"),
    receive("node", "node"),
    receive("node", "node-half", "bf16"),
  ]);
  expect(lines[0]).toMatchObject(published.version);
  expect(lines[1]).toMatchObject(published.version);
  expect(lines[2]).toMatchObject(published.versionFor("bf16"));
});

test("a learner on Node serves subscribers on Bun and Deno", async () => {
  const server = await startOn("node", join(import.meta.dir, "testing/publisher.ts"), String(8 * MiB));
  const published = (await firstLine(server)) as { address: string; sha256: string };
  const client = follow(published);
  const line = firstLine(await startOn("deno", subscriber, published.address, "test", "deno"));
  expect((await client.waitFor(0, patience)).version.sha256).toBe(published.sha256);
  expect(await line).toMatchObject({ sha256: published.sha256 });
});

test("mutual TLS: a client with a certificate of the right authority is served, one without is not", async () => {
  const pem = certificates();
  const server = await start({ tls: { cert: pem.server.cert, key: pem.server.key, ca: pem.ca } });
  const tls = { ca: pem.ca, serverName: "learner.test" };
  const right = follow(server, { tls: { ...tls, ...pem.client } });
  const without = follow(server, { tls });
  const stranger = follow(server, { tls: { serverName: "learner.test" } });
  server.publish({ counter: 0, weights: random(MiB) });
  expect((await right.waitFor(0, patience)).version.counter).toBe(0);
  await until(() => without.status().state === "away" && stranger.status().state === "away");
  expect(without.current()).toBeUndefined();
  expect(stranger.current()).toBeUndefined();
});
