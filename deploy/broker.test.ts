import { afterEach, describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connectNats } from "../proto/bus/nats.ts";
import { cacheFolder } from "../proto/cache-folder.ts";
import { type Broker, findBroker, startBroker } from "./broker.ts";
import { archiveWay, type FetchWay, fetchWays, runProgram } from "./broker-fetch.ts";
import { isAlive } from "./broker-finder.ts";
import { testingProgram } from "./testing-broker.ts";

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

function temporary(): string {
  const directory = mkdtempSync(join(tmpdir(), "proxima-broker-"));
  cleanUps.push(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A program that says it is a nats-server of that version. */
function pretender(directory: string, version: string): string {
  mkdirSync(directory, { recursive: true });
  const file = join(directory, "nats-server");
  writeFileSync(file, `#!/bin/sh\necho "nats-server: v${version}"\n`);
  chmodSync(file, 0o755);
  return file;
}

function way(name: string, fetch: FetchWay["fetch"], more: Partial<FetchWay> = {}): FetchWay {
  return { name, timeoutMs: 20_000, unavailable: () => undefined, fetch, ...more };
}

describe("findBroker()", () => {
  const nothing = () => undefined;

  test("takes the address given before all else", async () => {
    const finding = await findBroker({ url: "nats://cluster:4222", cacheDir: "/nowhere" });
    expect(finding).toMatchObject({ type: "url", url: "nats://cluster:4222" });
  });

  test("takes an installed server, unless it is too old or does not run", async () => {
    const cacheDir = temporary();
    const good = pretender(join(cacheDir, "good"), "2.9.10");
    const options = { cacheDir, offline: true };
    expect(await findBroker({ ...options, installed: () => good })).toEqual({
      type: "program",
      path: good,
      version: "2.9.10",
      description: `nats-server 2.9.10 at ${good} (installed)`,
    });
    const lines: string[] = [];
    const progress = (line: string) => lines.push(line);
    const old = pretender(join(cacheDir, "old"), "2.8.4");
    expect(await findBroker({ ...options, installed: () => old, progress })).toBeUndefined();
    expect(lines[0]).toContain("it is 2.8.4, and 2.9 or newer is needed");
    writeFileSync(old, "#!/bin/sh\necho broken\nexit 1\n");
    expect(await findBroker({ ...options, installed: () => old, progress })).toBeUndefined();
    expect(lines.at(-1)).toContain("fetching is switched off");
  });

  test("fetches into the cache by the first way that works, and finds it there the next time", async () => {
    const cacheDir = join(temporary(), "not", "yet", "there");
    const lines: string[] = [];
    const ways = [
      way("impossible here", () => Promise.reject(new Error("not reached")), { unavailable: () => "no such tool" }),
      way("broken", () => Promise.reject(new Error("no network"))),
      way(
        "endless",
        (_, signal) => new Promise((_, fail) => signal.addEventListener("abort", () => fail(signal.reason))),
        {
          timeoutMs: 30,
        },
      ),
      way("wrong", async (directory) => pretender(directory, "1.4.1")),
      way("good", async (directory) => pretender(directory, "2.14.5")),
      way("never needed", () => Promise.reject(new Error("not reached"))),
    ];
    const options = { cacheDir, ways, installed: nothing, progress: (line: string) => lines.push(line) };
    const path = join(cacheDir, "bin", "nats-server");
    const finding = await findBroker(options);
    expect(finding).toMatchObject({ type: "program", path, version: "2.14.5" });
    expect(finding?.description).toContain("fetched now: good");
    const said = lines.join("\n");
    for (const part of ["no such tool", "no network", "timed out", "it is 1.4.1", "fetching nats-server: good"]) {
      expect(said).toContain(part);
    }
    expect(said).not.toContain("not reached");
    expect(readdirSync(cacheDir)).toEqual(["bin"]); // neither lock nor leftovers
    expect(await findBroker({ ...options, offline: true })).toMatchObject({
      path,
      description: expect.stringContaining("earlier"),
    });
  });

  test("is undefined when no way works, and leaves nothing half done", async () => {
    const cacheDir = temporary();
    const half = way("half", async (directory) => {
      writeFileSync(join(directory, "nats-server"), "half a program");
      throw new Error("interrupted");
    });
    expect(await findBroker({ cacheDir, ways: [half], installed: nothing })).toBeUndefined();
    expect(existsSync(join(cacheDir, "bin", "nats-server"))).toBe(false);
    expect(readdirSync(cacheDir)).toEqual(["bin"]);
  });

  test("of several that need it at once one fetches; a lock left by the dead is taken over", async () => {
    const cacheDir = temporary();
    const dead = spawn("true");
    await new Promise((resolve) => dead.on("exit", resolve));
    writeFileSync(join(cacheDir, "nats-server.lock"), String(dead.pid));
    let fetches = 0;
    const slow = way("slow", async (directory) => {
      fetches++;
      await sleep(100);
      return pretender(directory, "2.14.5");
    });
    const options = { cacheDir, ways: [slow], installed: nothing };
    const findings = await Promise.all([findBroker(options), findBroker(options), findBroker(options)]);
    expect(findings.map((finding) => finding?.type)).toEqual(["program", "program", "program"]);
    expect(fetches).toBe(1);
  });

  test("the cache is where the environment says", () => {
    expect(cacheFolder({ PROXIMA_CACHE: "/c", XDG_CACHE_HOME: "/x", HOME: "/h" })).toBe("/c");
    expect(cacheFolder({ XDG_CACHE_HOME: "/x", HOME: "/h" })).toBe("/x/proxima");
    expect(cacheFolder({ HOME: "/h" })).toBe("/h/.cache/proxima");
  });

  test("the release archive is unpacked only if its checksum is the pinned one", async () => {
    const directory = temporary();
    pretender(join(directory, "nats-server-v2.14.5-any"), "2.14.5");
    const archive = join(directory, "archive.tar.gz");
    await runProgram("tar", ["-czf", archive, "-C", directory, "nats-server-v2.14.5-any"]);
    const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(Bun.file(archive)) });
    cleanUps.push(() => server.stop(true));
    const sha256 = createHash("sha256").update(readFileSync(archive)).digest("hex");
    const attempt = async (expected: string) => {
      const lines: string[] = [];
      const cacheDir = temporary();
      const ways = [archiveWay(server.url.href, expected)];
      return {
        finding: await findBroker({ cacheDir, ways, installed: nothing, progress: (line) => lines.push(line) }),
        lines,
      };
    };
    expect((await attempt(sha256)).finding).toMatchObject({ version: "2.14.5" });
    const refused = await attempt("0".repeat(64));
    expect(refused.finding).toBeUndefined();
    expect(refused.lines.join("\n")).toContain(`has SHA-256 ${sha256}, but ${"0".repeat(64)} is pinned`);
  });

  // Takes seconds to minutes and a network; each way is run for real with PROXIMA_TEST_FETCH=1.
  test.skipIf(process.env.PROXIMA_TEST_FETCH !== "1").each(fetchWays())(
    "really fetches: %o",
    async (one) => {
      if (one.unavailable() !== undefined) return;
      const lines: string[] = [];
      const finding = await findBroker({
        cacheDir: temporary(),
        ways: [one],
        installed: nothing,
        progress: (line) => lines.push(line),
      });
      expect({ finding, lines }).toMatchObject({ finding: { type: "program" } });
    },
    600_000,
  );
});

const program = await testingProgram();

describe.skipIf(!program)("startBroker()", () => {
  async function start(options: Partial<Parameters<typeof startBroker>[0]> = {}): Promise<Broker> {
    const broker = await startBroker({ program: program as string, storeDir: join(temporary(), "store"), ...options });
    cleanUps.push(() => broker.stop());
    return broker;
  }

  test("listens on a free port of loopback, and ends when told", async () => {
    const lines: string[] = [];
    const broker = await start({ log: (line) => lines.push(line) });
    expect(broker.url).toBe(`nats://127.0.0.1:${broker.port}`);
    expect(isAlive(broker.pid)).toBe(true);
    await broker.stop();
    await broker.exited;
    await broker.stop();
    expect(isAlive(broker.pid)).toBe(false);
    expect(lines.map((line) => line.replace(/\(.*/, "").trim())).toEqual([
      `nats-server ${broker.url} is ready`,
      `nats-server ${broker.url} has ended`,
    ]);
  });

  test("continues with what is in its store, on the port asked for", async () => {
    const storeDir = join(temporary(), "store with spaces");
    const first = await start({ storeDir });
    const before = await connectNats({ servers: first.url, timeoutMs: 10_000 });
    const stream = { name: "s", subjects: ["s.>"], maxBytes: 1 << 20, dedupWindowMs: 60_000 };
    await before.stream({ ...stream, retention: "limits" });
    await before.publish("s.a", new Uint8Array([1, 2, 3]), { timeoutMs: 10_000 });
    await before.close();
    await first.stop();
    const second = await start({ storeDir, port: first.port });
    expect(second.port).toBe(first.port);
    const after = await connectNats({ servers: second.url, timeoutMs: 10_000 });
    expect((await after.last("s", "s.a"))?.data).toEqual(new Uint8Array([1, 2, 3]));
    await after.close();
  });

  test("says when the port is in use", async () => {
    const { port } = await start();
    await expect(start({ port })).rejects.toThrow(`127.0.0.1:${port}: the port is in use`);
  });

  test("refuses a store that another server is using", async () => {
    const storeDir = join(temporary(), "store");
    const { pid } = await start({ storeDir });
    await expect(start({ storeDir, releaseMs: 100 })).rejects.toThrow(`in use by nats-server, process ${pid}`);
  });

  test("shows the server's last words when it does not come up", async () => {
    const directory = temporary();
    const broken = join(directory, "broken");
    writeFileSync(broken, "#!/bin/sh\necho 'cannot map the frobnicator' >&2\nexit 3\n");
    chmodSync(broken, 0o755);
    await expect(start({ program: broken })).rejects.toThrow("cannot map the frobnicator");
    await expect(start({ program: join(directory, "missing") })).rejects.toThrow(/not found|No such file/);
  });

  test("does not open itself to the network without credentials", async () => {
    await expect(start({ host: "0.0.0.0" })).rejects.toThrow(
      /Refusing to open a broker on 0\.0\.0\.0.*proxima secure init/,
    );
  });

  test("asks for the token it was given, whatever characters that has", async () => {
    const token = 's3"cr$t \\ {}';
    const broker = await start({ token });
    await expect(connectNats({ servers: broker.url, timeoutMs: 10_000 })).rejects.toMatchObject({ reason: "refused" });
    await (await connectNats({ servers: broker.url, token, timeoutMs: 10_000 })).close();
  });

  test("dies with its parent, even when that is killed and has other children", async () => {
    const storeDir = join(temporary(), "store");
    const script = `
      import { spawn } from "node:child_process";
      import { startBroker } from ${JSON.stringify(join(import.meta.dir, "broker.ts"))};
      const broker = await startBroker(${JSON.stringify({ program, storeDir })});
      const child = spawn("sleep", ["60"], { detached: true, stdio: "ignore" });
      console.log(JSON.stringify([broker.pid, child.pid]));
      setInterval(() => {}, 1_000);
    `;
    const parent = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    const [broker, sleeper] = await new Promise<number[]>((resolve) => {
      parent.stdout.on("data", (chunk) => resolve(JSON.parse(chunk.toString())));
    });
    cleanUps.push(() => process.kill(sleeper, "SIGKILL"));
    expect([broker, sleeper].map(isAlive)).toEqual([true, true]);
    parent.kill("SIGKILL");
    while (isAlive(broker)) await sleep(10);
    expect(isAlive(sleeper)).toBe(true);
    const next = await start({ storeDir }); // and the store can be used again
    expect(isAlive(next.pid)).toBe(true);
  }, 30_000);

  test("does not keep its parent alive", async () => {
    const storeDir = join(temporary(), "store");
    const script = `
      import { startBroker } from ${JSON.stringify(join(import.meta.dir, "broker.ts"))};
      console.log((await startBroker(${JSON.stringify({ program, storeDir })})).pid);
    `;
    const pid = Number(await runProgram(process.execPath, ["-e", script], { signal: AbortSignal.timeout(20_000) }));
    while (isAlive(pid)) await sleep(10);
  }, 30_000);
});
