import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { weightsClient } from "../actors/weights-client.ts";
import { weightsServer } from "../learner/weights-server.ts";
import { relay } from "./relay.ts";
import { testingBroker } from "./testing-broker.ts";
import { TestingProcess } from "./testing-process.ts";

setDefaultTimeout(60_000);

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const run = "relayed";
const patience = { timeoutMs: 30_000 };
const parameters = (seed: number) => Float32Array.from({ length: 100_000 }, (_, i) => Math.fround(Math.sin(i * seed)));

async function learner(port = 0) {
  const server = await weightsServer({ run, port });
  closers.push(() => server.close(0));
  return server;
}
async function relayOf(upstream: string) {
  const serving = await relay({ run, upstream, name: "relay" });
  closers.push(() => serving.close(0));
  return serving;
}
function subscribe(address: string, encoding: "f32" | "bf16" = "f32") {
  const client = weightsClient({ address, run, actor: "actor", encoding });
  closers.push(() => client.close());
  return client;
}

describe("a relay", () => {
  test("of a relay gives the learner's weights, number, incarnation and hash, in every encoding", async () => {
    const source = await learner();
    const second = await relayOf((await relayOf(source.address)).address);
    const published = source.publish({ counter: 7, weights: parameters(1), incarnation: "i", publishedAtMs: 1000 });
    const held = await subscribe(second.address).waitFor(7, patience);
    expect(held).toMatchObject({ version: published.version, incarnation: "i", publishedAtMs: 1000 });
    expect(held.weights).toEqual(parameters(1));
    const halved = await subscribe(second.address, "bf16").waitFor(7, patience);
    expect(halved.version).toEqual(published.versionFor("bf16"));
    expect(source.subscribers()).toHaveLength(1);
  });

  test("keeps serving the newest version while its upstream is away, and follows what comes after it", async () => {
    const first = await learner();
    const serving = await relayOf(first.address);
    const early = subscribe(serving.address);
    first.publish({ counter: 0, weights: parameters(1), incarnation: "1" });
    await early.waitFor(0, patience);
    await first.close(0);
    const late = await subscribe(serving.address).waitFor(0, patience);
    expect(late.incarnation).toBe("1");
    // A resumed learner begins at an earlier number, as another incarnation.
    const again = await learner(first.port);
    again.publish({ counter: 0, weights: parameters(2), incarnation: "2" });
    const next = await early.waitFor(({ incarnation }) => incarnation === "2", patience);
    expect(next.weights).toEqual(parameters(2));
  });

  test("passes nothing on that does not verify", async () => {
    const source = await learner();
    const damaging = await corrupting(source.port);
    const serving = await relayOf(damaging.address);
    const client = subscribe(serving.address);
    const versions: number[] = [];
    client.onWeights(({ version }) => versions.push(version.counter));
    damaging.damage = true;
    source.publish({ counter: 0, weights: parameters(1) });
    while (serving.status().refused === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    damaging.damage = false;
    source.publish({ counter: 1, weights: parameters(2) });
    expect((await client.waitFor(1, patience)).weights).toEqual(parameters(2));
    expect(versions).toEqual([1]);
  });

  test("refuses an address that other machines reach without TLS", async () => {
    const unprotected = relay({ run, upstream: "127.0.0.1:1", name: "r", host: "0.0.0.0" });
    await expect(unprotected).rejects.toThrow("needs TLS");
  });
});

/** Between a server and its clients: while `damage` is set, bytes of weights are changed on the way. */
async function corrupting(port: number) {
  const between = { address: "", damage: false };
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    for (const socket of [near, far]) sockets.add(socket.on("error", () => {}));
    near.pipe(far);
    far.on("data", (bytes: Buffer) => {
      // Deep inside a chunk, past every frame's header.
      if (between.damage && bytes.length > 10_000) bytes.writeUInt8(bytes.readUInt8(9_000) ^ 1, 9_000);
      near.write(bytes);
    });
    far.on("close", () => near.destroy());
    near.on("close", () => far.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  between.address = `127.0.0.1:${(server.address() as { port: number }).port}`;
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return between;
}

const broker = await testingBroker();
describe.skipIf(!broker)("proxima relay", () => {
  test("lets actors train that never ask the learner for weights", async () => {
    const folder = mkdtempSync(join(tmpdir(), "proxima-relay-"));
    const started: TestingProcess[] = [];
    const proxima = (...args: string[]) => {
      const child = new TestingProcess(args, folder);
      started.push(child);
      return child;
    };
    closers.push(async () => {
      await Promise.all(started.map((child) => child.kill()));
      await broker!.stop();
      rmSync(folder, { recursive: true, force: true });
    });
    const common = ["--run", run, "--nats", broker!.url];
    const training = proxima(
      "learner",
      ...common,
      "--env",
      "cartpole",
      "--iterations",
      "3",
      "--groupsPerIteration",
      "8",
    );
    const { weightsAddress } = await training.until(({ type }) => type === "ready");
    const relaying = proxima("relay", "--run", run, "--upstream", String(weightsAddress), "--port", "0");
    const { address } = await relaying.until(({ type }) => type === "ready");
    proxima("actor", ...common, "--weights", String(address));
    const end = await training.until(({ type }) => type === "end");
    expect(end.balance).toMatchObject({ dropped: 0, inFlight: 0 });
    // What is counted are the learner's own subscribers.
    const last = training.events.findLast(({ type }) => type === "iteration");
    expect(last!.values).toMatchObject({ "time/actors": 1 });
    expect(relaying.events.filter(({ type }) => type === "weights").length).toBeGreaterThan(0);
    relaying.child.kill("SIGTERM");
    expect(await relaying.exited).toBe(0);
  });

  test("says what it lacks", async () => {
    const child = new TestingProcess(["relay"], tmpdir());
    expect(await child.exited).toBe(2);
    expect(JSON.stringify(child.events)).toMatch(/--run NAME.*--upstream host:port/);
  });
});
