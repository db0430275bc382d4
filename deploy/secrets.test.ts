import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { nkeyAuthenticator } from "@nats-io/nats-core";
import { connect as connectRaw } from "@nats-io/transport-node";
import { type LearnerControls, learnerService } from "../learner/learner-service.ts";
import { type WeightsServer, weightsServer } from "../learner/weights-server.ts";
import type { BusStatus } from "../proto/bus/index.ts";
import { subjectMatches } from "../proto/bus/names.ts";
import { LearnerService } from "../proto/gen/proxima/v1/learner_pb.ts";
import { WeightsService } from "../proto/gen/proxima/v1/weights_pb.ts";
import { connect, type Security, type StatusError, serve, status } from "../proto/grpc.ts";
import { permissionsOf, type Role, rights, roles } from "../proto/roles.ts";
import { subjects } from "../proto/subjects.ts";
import { runCommandLine } from "./command-line.ts";
import { secretFiles } from "./secrets/layout.ts";
import { roleSecrets } from "./secrets/role-secrets.ts";
import { allowRuns, initSecrets, readIssued, rotateSecrets } from "./secrets/secrets.ts";
import { TestingProcess } from "./testing-process.ts";
import { securedBroker } from "./testing-secrets.ts";

setDefaultTimeout(60_000); // for machines that do much else at the same time

const run = "walk";
const names = subjects(run);
const broker = await securedBroker([run, "meeting", "training"]);
afterAll(() => broker?.stop());

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const text = (file: string) => readFileSync(file, "utf8").trim();

async function failure(promise: Promise<unknown>): Promise<Error & { code?: number }> {
  const error = await promise.then(
    () => undefined,
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(Error);
  return error;
}

/** A subject that a pattern stands for. */
const exampleOf = (pattern: string) => pattern.replaceAll("*", "any").replace(/>$/, "any.thing");

const covers = (patterns: readonly string[], subject: string) => patterns.some((one) => subjectMatches(one, subject));

/** A client that shows a role's certificate and key, without any of our own code between it and the broker. */
async function rawClient(role: Role) {
  const files = secretFiles(broker!.root).of(role);
  const connection = await connectRaw({
    servers: broker!.url,
    authenticator: nkeyAuthenticator(new TextEncoder().encode(text(files.seed))),
    tls: roleSecrets(broker!.root, role)!.bus.tls,
    reconnect: false,
  });
  closers.push(() => connection.close());
  const refused = new Set<string>();
  void (async () => {
    for await (const event of connection.status()) {
      const error = event.type === "error" ? (event.error as Error & { subject?: string }) : undefined;
      if (error?.subject !== undefined) refused.add(error.subject);
    }
  })();
  return {
    /** Which of the subjects the broker refuses to take from it; what is refused is told before the answer to a ping. */
    async refusedToPublish(list: readonly string[]) {
      for (const subject of list) connection.publish(subject, "{}");
      await connection.flush();
      await new Promise((resolve) => setImmediate(resolve));
      return list.filter((subject) => refused.has(subject));
    },
    async refusedToSubscribe(list: readonly string[]) {
      for (const subject of list) connection.subscribe(subject, { callback: () => {} });
      await connection.flush();
      await new Promise((resolve) => setImmediate(resolve));
      return list.filter((subject) => refused.has(subject));
    },
  };
}

describe.skipIf(!broker)("at the broker", () => {
  for (const role of roles) {
    for (const right of rights.filter(({ publish, subscribe }) => publish || subscribe)) {
      const allowed = right.roles.includes(role);
      test(`${role} ${allowed ? "may" : "may not"} ${right.what}`, async () => {
        const client = await rawClient(role);
        const own = permissionsOf(role, [run]);
        const publish = (right.publish?.(names) ?? []).map(exampleOf);
        const subscribe = (right.subscribe?.(names) ?? []).map(exampleOf);
        const beyond = {
          publish: publish.filter((subject) => !covers(own.publish, subject)),
          subscribe: subscribe.filter((subject) => !covers(own.subscribe, subject)),
        };
        expect(await client.refusedToPublish(publish)).toEqual(beyond.publish);
        expect(await client.refusedToSubscribe(subscribe)).toEqual(beyond.subscribe);
        if (allowed) expect(beyond).toEqual({ publish: [], subscribe: [] });
        else expect(beyond.publish.length + beyond.subscribe.length).toBeGreaterThan(0);
      });
    }
  }

  test("no role may do with another run what it may with its own", async () => {
    const other = subjects("other");
    for (const role of roles) {
      const client = await rawClient(role);
      const wanted = permissionsOf(role, ["other"])
        .publish.filter((one) => one.includes("other"))
        .map(exampleOf);
      expect(await client.refusedToPublish(wanted)).toEqual(wanted);
      expect(await client.refusedToSubscribe([other.all])).toEqual([other.all]);
    }
  });

  test("a role cannot listen to the answers that another gets", async () => {
    const client = await rawClient("viewer");
    expect(await client.refusedToSubscribe(["_INBOX_learner.>", "_INBOX_operator.>", ">"])).toHaveLength(3);
  });

  test("a node that issues a task is told that it may not, and by what name", async () => {
    const bus = await broker!.connect("node");
    closers.push(() => bus.close());
    const subject = names.task({ iteration: 0, group: 0 });
    const error = await failure(bus.publish(subject, new Uint8Array(1), { timeoutMs: 10_000 }));
    expect(error.name).toBe("NotPermittedError");
    expect(error.message).toContain(`does not let this role publish to '${subject}'`);
  });

  test("a node waits for the bucket that only the learner may create", async () => {
    const node = await broker!.connect("node", { timeoutMs: 3_000 });
    closers.push(() => node.close());
    const { stateBucket } = subjects("meeting");
    const error = await failure(node.keyValue(stateBucket));
    expect(error.message).toContain("this role may not create it");
    const learner = await broker!.connect("learner");
    closers.push(() => learner.close());
    const state = await learner.keyValue(stateBucket);
    await state.put("run", new TextEncoder().encode("here"));
    const seen = new AbortController();
    const bucket = await node.keyValue(stateBucket);
    const values: string[] = [];
    for await (const { value } of bucket.watch("run", seen.signal)) {
      values.push(new TextDecoder().decode(value));
      if (values.length === 1) await state.put("run", new TextEncoder().encode("moved"));
      else seen.abort();
    }
    expect(values).toEqual(["here", "moved"]);
    expect((await failure(bucket.put("run", new Uint8Array(1)))).name).toBe("NotPermittedError");
  });

  test("a node that watches a pattern sees what comes, changes and goes", async () => {
    const { directoryBucket } = subjects("meeting");
    const [learner, node] = await Promise.all((["learner", "node"] as const).map((role) => broker!.connect(role)));
    closers.push(
      () => learner!.close(),
      () => node!.close(),
    );
    await learner!.keyValue(directoryBucket, { ttlMs: 60_000 });
    const directory = await node!.keyValue(directoryBucket, { ttlMs: 60_000 });
    await directory.put("actor-1", new Uint8Array([1]));
    const enough = new AbortController();
    const seen: string[] = [];
    for await (const { key, value, deleted } of directory.watch("*", enough.signal)) {
      seen.push(deleted ? `${key} is gone` : `${key} says ${value[0]}`);
      if (seen.length === 1) await directory.put("actor-1", new Uint8Array([2]));
      else if (seen.length === 2) await directory.delete("actor-1");
      else enough.abort();
    }
    expect(seen).toEqual(["actor-1 says 1", "actor-1 says 2", "actor-1 is gone"]);
  });

  test("an operator stores a bundle that a node fetches and cannot replace", async () => {
    const [operator, node] = await Promise.all((["operator", "node"] as const).map((role) => broker!.connect(role)));
    closers.push(
      () => operator!.close(),
      () => node!.close(),
    );
    const bytes = new Uint8Array(300_000).map((_, i) => i % 251);
    await (await operator!.objects(names.bundleStore)).put("bundle", bytes);
    const bundles = await node!.objects(names.bundleStore);
    expect(await bundles.get("bundle")).toEqual(bytes);
    await expect(bundles.put("other", bytes)).rejects.toThrow();
    expect(await bundles.get("other")).toBeUndefined();
  });

  test("whoever has no certificate of ours, or no key, is refused and told what is missing", async () => {
    const { tls, ...rest } = roleSecrets(broker!.root, "node")!.bus;
    const { caFile, servername } = tls as Record<string, string>;
    const without = broker!.connect("node", { ...rest, tls: { caFile, servername } as never, timeoutMs: 1_500 });
    expect((await failure(without)).message).toMatch(/client certificate/i);
    const keyless = broker!.connect("node", { nkeySeed: undefined, timeoutMs: 5_000 });
    expect((await failure(keyless)).message).toContain("refused this connection, which showed no credentials");
  });

  test("learner, actor and operator of a run do everything they need with what their roles may", async () => {
    const folder = mkdtempSync(join(tmpdir(), "proxima-secured-"));
    const access = ["--nats", broker!.url, "--secrets", broker!.root, "--run", "training"];
    const learner = new TestingProcess(["learner", ...access, "--env", "cartpole", "--iterations", "4"], folder);
    const actor = new TestingProcess(["actor", ...access], folder);
    try {
      await learner.until(({ type }) => type === "iteration");
      const operator = new TestingProcess(["checkpoint", ...access], folder);
      expect(await operator.exited).toBe(0);
      const { balance } = await learner.until(({ type }) => type === "end");
      expect(balance).toMatchObject({ balanced: true, inFlight: 0 });
      expect(await learner.exited).toBe(0);
      const violations = broker!
        .log()
        .split("\n")
        .filter((line) => /violation.*training/i.test(line));
      // An actor asks first, and then makes do with what the learner has created.
      expect(violations.filter((line) => !/\.CREATE\./.test(line))).toEqual([]);
    } finally {
      await Promise.all([learner.kill(), actor.kill()]);
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe("at the learner", () => {
  const folder = mkdtempSync(join(tmpdir(), "proxima-roles-"));
  const root = join(folder, "secrets");
  let server: WeightsServer;
  const controls: LearnerControls = {
    status: () => ({ run }),
    pause: () => 1,
    resume: () => 1,
    swapEnvironment: ({ environmentId, bundleDigest, arguments: args, canaryShare }) => ({
      ...{ generation: 1, environmentId, bundleDigest, canaryShare },
      arguments: args,
    }),
    checkpoint: async () => ({ path: "here", iteration: 1, weightsCounter: 1 }),
  };
  beforeAll(async () => {
    await initSecrets(root, { hosts: [], days: 1, listen: "127.0.0.1:-1", runs: [run] });
    const { server: security } = roleSecrets(root, "learner")!;
    server = await weightsServer({ run, host: "0.0.0.0", services: [learnerService(controls)], ...security });
    server.publish({ counter: 0, weights: new Float32Array(4) });
  });
  afterAll(async () => {
    await server.close(0);
    rmSync(folder, { recursive: true, force: true });
  });

  const soon = { timeoutMs: 10_000 };
  const address = () => `127.0.0.1:${server.port}`;
  const client = (security: Security) => {
    const weights = connect(WeightsService, address(), security);
    const learner = connect(LearnerService, address(), security);
    closers.push(weights.close, learner.close);
    return { weights: weights.client, learner: learner.client };
  };
  type Clients = ReturnType<typeof client>;
  const first = async (frames: AsyncIterable<unknown>) => {
    for await (const frame of frames) return frame;
    throw new Error("nothing came");
  };
  /** Every method of both services, by its path. */
  const attempts: Record<string, (clients: Clients) => Promise<unknown>> = {
    "/proxima.v1.WeightsService/Subscribe": (c) => first(c.weights.subscribe({ run }, soon)),
    "/proxima.v1.WeightsService/Fetch": (c) => first(c.weights.fetch({ run }, soon)),
    "/proxima.v1.WeightsService/Report": (c) => c.weights.report({ subscription: "unknown" }, soon),
    "/proxima.v1.LearnerService/Status": (c) => c.learner.status({}, soon),
    "/proxima.v1.LearnerService/Pause": (c) => c.learner.pause({ reason: "" }, soon),
    "/proxima.v1.LearnerService/Resume": (c) => c.learner.resume({}, soon),
    "/proxima.v1.LearnerService/SwapEnvironment": (c) => c.learner.swapEnvironment({ environmentId: "x" }, soon),
    "/proxima.v1.LearnerService/Checkpoint": (c) => c.learner.checkpoint({}, soon),
  };

  test("every method has its right", () => {
    const methods = [WeightsService, LearnerService].flatMap((service) =>
      service.methods.map(({ name }) => `/${service.typeName}/${name}`),
    );
    expect(Object.keys(attempts).sort()).toEqual(methods.sort());
    expect(rights.flatMap(({ calls }) => calls ?? []).sort()).toEqual(methods.sort());
  });

  for (const role of roles) {
    for (const right of rights) {
      for (const path of right.calls ?? []) {
        const allowed = right.roles.includes(role);
        test(`${role} ${allowed ? "may" : "may not"} call ${path.split("/").at(-1)}`, async () => {
          const outcome = attempts[path]!(client(roleSecrets(root, role)!.client)).then(
            () => status.OK,
            (error) => (error as StatusError).code,
          );
          if (!allowed) expect(await outcome).toBe(status.PERMISSION_DENIED);
          else expect([status.OK, status.NOT_FOUND]).toContain(await outcome);
        });
      }
    }
  }

  test("a certificate without a token is not enough, nor a token without a certificate", async () => {
    const { client: node } = roleSecrets(root, "node")!;
    const tokenless = await failure(client({ tls: node.tls }).weights.report({}, soon));
    expect(tokenless.code).toBe(status.UNAUTHENTICATED);
    const { ca, serverName } = node.tls!;
    const anonymous = await failure(client({ tls: { ca, serverName }, token: node.token }).weights.report({}, soon));
    expect(anonymous.code).toBe(status.UNAVAILABLE);
    expect(anonymous.message).toContain("client certificate");
  });

  test("a relay receives weights from the learner and serves them to nodes, which do not take it for the learner", async () => {
    const { client: upstream, server: security } = roleSecrets(root, "relay")!;
    expect(await first(client(upstream).weights.fetch({ run }, soon))).toBeDefined();
    const relay = await weightsServer({ run, services: [learnerService(controls)], ...security });
    closers.push(() => relay.close(0));
    relay.publish({ counter: 0, weights: new Float32Array(4) });
    const weights = connect(WeightsService, relay.address, roleSecrets(root, "node")!.client);
    const learner = connect(LearnerService, relay.address, roleSecrets(root, "operator")!.client);
    closers.push(weights.close, learner.close);
    expect(await first(weights.client.fetch({ run }, soon))).toBeDefined();
    expect((await failure(learner.client.status({}, soon))).code).toBe(status.UNAVAILABLE);
  });

  test("a node's certificate does not make a server", async () => {
    const node = secretFiles(root).of("node");
    const tls = { cert: text(node.cert), key: text(node.key) };
    const impostor = await serve({ tls }, learnerService(controls));
    closers.push(() => impostor.close(0));
    const { client: operator } = roleSecrets(root, "operator")!;
    const learner = connect(LearnerService, impostor.address, operator);
    closers.push(learner.close);
    expect((await failure(learner.client.status({}, soon))).code).toBe(status.UNAVAILABLE);
  });

  test("beyond loopback nothing is served without secrets, and the refusal says how to have them", async () => {
    const error = await failure(weightsServer({ run, host: "0.0.0.0" }));
    expect(error.message).toMatch(/needs TLS .* found neither; give them \('proxima secure init'/);
  });
});

describe("rotation", () => {
  test.skipIf(!broker)(
    "old and new keys work side by side, until the old one is retired and its holder cut off",
    async () => {
      const { root } = broker!;
      const known = () => readIssued(root).credentials.filter(({ role }) => role === "viewer").length;
      const oldSeed = text(secretFiles(root).of("viewer").seed);
      await rotateSecrets(root, "viewer", 3_600_000);
      expect(known()).toBe(2);
      await broker!.reload();
      const before = await broker!.connect("viewer", { nkeySeed: oldSeed });
      const after = await broker!.connect("viewer");
      closers.push(before.close.bind(before), after.close.bind(after));
      const cutOff = new Promise<BusStatus>((resolve) => before.onStatus(resolve));
      await rotateSecrets(root, "viewer", 0); // what was old is not wanted any more, nor is what was new until now
      expect(known()).toBe(1);
      await broker!.reload();
      expect(["disconnected", "error", "closed"]).toContain((await cutOff).type);
      expect((await failure(broker!.connect("viewer", { nkeySeed: oldSeed }))).message).toContain("refused");
    },
  );

  test.skipIf(!broker)(
    "a client that loses its connection comes back with the key that lies in its folder by then",
    async () => {
      const { root } = broker!;
      const bus = await broker!.connect("operator");
      closers.push(() => bus.close());
      const back = new Promise<BusStatus>((resolve) =>
        bus.onStatus((event) => event.type === "connected" && resolve(event)),
      );
      await rotateSecrets(root, "operator", 0);
      await broker!.reload();
      expect((await back).type).toBe("connected");
    },
  );

  test.skipIf(!broker)("a further run is allowed without a restart", async () => {
    const bus = await broker!.connect("learner");
    closers.push(() => bus.close());
    const open = () => bus.keyValue(subjects("later").stateBucket);
    expect((await failure(open())).message).toContain("'proxima secure allow --runs NAME' adds it");
    allowRuns(broker!.root, ["later"]);
    await broker!.reload();
    await (await open()).put("run", new Uint8Array(1));
  });

  test("a serving learner takes the new token at once and the old one until its time is up, and shows its new certificate", async () => {
    const folder = mkdtempSync(join(tmpdir(), "proxima-rotation-"));
    closers.push(() => rmSync(folder, { recursive: true, force: true }));
    await initSecrets(folder, { hosts: [], days: 1, listen: "127.0.0.1:-1", runs: [run] });
    const { server: security } = roleSecrets(folder, "learner")!;
    const server = await weightsServer({ run, ...security });
    closers.push(() => server.close(0));
    const report = (client: Security) => {
      const { client: weights, close } = connect(WeightsService, server.address, client);
      return weights
        .report({ subscription: "none" }, { timeoutMs: 10_000 })
        .catch(({ code }) => code)
        .finally(close);
    };
    const { client } = roleSecrets(folder, "node")!;
    const old = { ...client, token: text(secretFiles(folder).of("node").token) };
    await rotateSecrets(folder, "node", 3_600_000);
    const until = async (wanted: number, security: Security) => {
      while ((await report(security)) !== wanted);
    };
    await until(status.NOT_FOUND, client); // the function reads the new token
    expect(await report(old)).toBe(status.NOT_FOUND);
    await rotateSecrets(folder, "node", 0);
    await until(status.UNAUTHENTICATED, old);

    const shown = () =>
      new Promise<string>((resolve) => {
        const { ca, cert, key, serverName: servername } = client.tls!;
        const socket = connectTls({ port: server.port, host: "127.0.0.1", ca, cert, key, servername }, () => {
          resolve(socket.getPeerCertificate().serialNumber);
          socket.destroy();
        });
      });
    const first = await shown();
    await rotateSecrets(folder, "learner", 0);
    while ((await shown()) === first);
  });
});

test("docs/security.md has the table of rights as it is", () => {
  const document = text(join(import.meta.dir, "../docs/security.md")).replace(/ +/g, " ");
  const rows = rights.map(({ what, roles: holders }) =>
    [what, ...roles.map((role) => (holders.includes(role) ? "yes" : "–"))].join(" | "),
  );
  expect(rows.filter((row) => !document.includes(`| ${row} |`))).toEqual([]);
  expect(document).toContain(`| | ${roles.join(" | ")} |`);
});

describe("proxima secure", () => {
  async function run(...argv: string[]) {
    const said = { out: [] as string[], err: [] as string[] };
    const streams = {
      out: (line: string) => void said.out.push(line),
      err: (line: string) => void said.err.push(line),
    };
    const code = await runCommandLine(["secure", ...argv], streams, new AbortController().signal);
    return { code, out: said.out.join(""), err: said.err.join("") };
  }

  test("makes secrets, shows them without a secret in them, and refuses to make them again", async () => {
    const folder = mkdtempSync(join(tmpdir(), "proxima-secure-"));
    closers.push(() => rmSync(folder, { recursive: true, force: true }));
    const made = await run("init", "--dir", folder, "--runs", "walk,walk-2", "--hosts", "10.0.0.5");
    expect(made).toMatchObject({ code: 0, err: "" });
    expect(made.out).toContain(`nats-server -c ${join(folder, "nats.conf")}`);
    const shown = await run("show", "--dir", folder, "--json");
    const [event] = shown.out
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line));
    expect(event).toMatchObject({ type: "secrets", listen: "0.0.0.0:4222", runs: ["walk", "walk-2"] });
    expect(event.credentials).toHaveLength(roles.length);
    for (const role of roles) {
      const { seed, token } = secretFiles(folder).of(role);
      for (const secret of [text(seed), text(token)]) expect(made.out + shown.out).not.toContain(secret);
    }
    expect(await run("init", "--dir", folder, "--runs", "walk")).toMatchObject({
      code: 2,
      err: expect.stringContaining("holds secrets already"),
    });
  });

  test.skipIf(!broker)("has a broker on this machine read its new configuration", async () => {
    const reloaded = broker!.reloaded();
    const { code, out } = await run("rotate", "--dir", broker!.root, "--role", "viewer", "--graceHours", "1");
    expect(code).toBe(0);
    expect(out).toContain(`The broker, process ${broker!.process.pid}, reads its configuration again.`);
    await reloaded;
    const bus = await broker!.connect("viewer");
    await bus.close();
  });

  test("says which runs it must be told of, and what there is to do", async () => {
    const folder = join(tmpdir(), "proxima-none");
    expect((await run("init", "--dir", folder)).err).toContain("say which runs the roles may work on");
    expect((await run("show", "--dir", folder)).err).toContain("holds no secrets: make them with 'proxima secure init");
    expect((await run("burn")).err).toContain("expected proxima secure init");
  });
});

describe("the folder", () => {
  test("belongs to its owner only, and a role's folder holds nothing of another role", async () => {
    const folder = mkdtempSync(join(tmpdir(), "proxima-folder-"));
    closers.push(() => rmSync(folder, { recursive: true, force: true }));
    await initSecrets(folder, { hosts: ["10.0.0.5"], days: 1, listen: "127.0.0.1:-1", runs: [run] });
    const files = secretFiles(folder);
    const token = text(files.of("operator").token);
    for (const holder of ["learner", "node", "relay", "viewer"] as const) {
      const own = files.of(holder);
      expect(statSync(own.folder).mode & 0o777).toBe(0o700);
      for (const name of readdirSync(own.folder)) {
        expect(statSync(join(own.folder, name)).mode & 0o777).toBe(0o600);
        expect(text(join(own.folder, name))).not.toContain(token);
      }
      expect(existsSync(own.access)).toBe(holder === "learner" || holder === "relay");
    }
    expect(new X509Certificate(text(files.of("broker").cert)).subjectAltName).toContain("10.0.0.5");
    expect((await failure(initSecrets(folder, { hosts: [], days: 1, listen: "", runs: [run] }))).message).toContain(
      "holds secrets already",
    );
  });

  test("that lacks files is refused with what to do", () => {
    const folder = mkdtempSync(join(tmpdir(), "proxima-empty-"));
    closers.push(() => rmSync(folder, { recursive: true, force: true }));
    expect(() => roleSecrets(folder, "node")).toThrow(/lacks .*make them with 'proxima secure init/);
  });
});
