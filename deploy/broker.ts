import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { runProgram } from "./broker-fetch.ts";
import { isAlive } from "./broker-finder.ts";

export { type BrokerFinding, type FindBrokerOptions, findBroker } from "./broker-finder.ts";

export interface StartBrokerOptions {
  /** The nats-server program, as `findBroker` found it. */
  program: string;
  /** Everything the server keeps: messages, configuration, log. A later start here continues with what is there. */
  storeDir: string;
  /** 0 (the default) picks a free one. */
  port?: number;
  /** Default 127.0.0.1. */
  host?: string;
  /** What clients must show. Without any, everybody who reaches the port may use it, so keep it on loopback. */
  token?: string;
  user?: string;
  password?: string;
  /** Makes the server one of a cluster. */
  cluster?: {
    /** Of this server: unique among them, and the same whenever it starts again on its store. */
    serverName: string;
    /** On which the servers speak among themselves, all on the same host here. */
    port: number;
    /** Those ports of all servers. */
    ports: readonly number[];
  };
  /** Store a message on disk before it is confirmed, not only every two minutes. From nats-server 2.10 on. */
  syncAlways?: boolean;
  /** How long to wait for a former server on the same store to end. Default 10 s. */
  releaseMs?: number;
  /** Told about starts and ends. */
  log?: (line: string) => void;
}

export interface Broker {
  /** nats://host:port, without credentials. */
  readonly url: string;
  readonly port: number;
  /** Of the server itself. */
  readonly pid: number;
  /** Ends the server in order and waits for that. */
  stop(): Promise<void>;
  /** Resolves when the server has ended, for whatever reason. */
  readonly exited: Promise<void>;
}

/** How long the server may take to be ready (it reads its store first), and to end. */
const START_MS = 60_000;
const STOP_MS = 10_000;

/**
 * Runs the server, and ends it when the pipe on standard input closes: which the system does when the process at its
 * other end dies, even by SIGKILL. Plain sh, so that it works wherever the server does.
 */
const WATCHDOG = `
exec 3<&0
"$@" 3<&- </dev/null &
server=$!
( while read -r _ <&3; do :; done; kill -TERM $server; sleep 8; kill -KILL $server ) >/dev/null 2>&1 &
watch=$!
exec 3<&-
wait $server
status=$?
kill $watch 2>/dev/null
exit $status
`;

/**
 * Starts nats-server with JetStream. It listens on loopback unless told otherwise and dies with this process.
 * @throws Error when the port or the store is in use, or with the end of the server's log when it does not come up
 */
export async function startBroker(options: StartBrokerOptions): Promise<Broker> {
  const { program, port = 0, host = "127.0.0.1", log = () => {} } = options;
  const storeDir = resolve(options.storeDir);
  const loopback = /^(127\.|localhost$|::1$|\[::1\]$)/.test(host);
  if (!loopback) {
    throw new Error(
      `Refusing to open a broker on ${host} to everybody: others need TLS, credentials and permissions. Make them with 'proxima secure init' and start it with 'nats-server -c secrets/nats.conf', or keep it on 127.0.0.1.`,
    );
  }
  const files = {
    config: join(storeDir, "nats-server.conf"),
    log: join(storeDir, "nats-server.log"),
    pid: join(storeDir, "nats-server.pid"),
    ports: join(storeDir, "ports"),
  };
  mkdirSync(storeDir, { recursive: true });
  await untilReleased(storeDir, files.pid, options.releaseMs ?? STOP_MS);
  rmSync(files.ports, { recursive: true, force: true });
  mkdirSync(files.ports);
  writeFileSync(files.config, configuration({ ...options, host, port }, storeDir, files), { mode: 0o600 });
  const logStart = sizeOf(files.log);

  const shell = spawn("/bin/sh", ["-c", WATCHDOG, "sh", program, "--config", files.config], {
    stdio: ["pipe", "ignore", "pipe"],
    detached: true, // out of the terminal's process group, so that Ctrl-C reaches us first and we decide when it ends
  });
  let complaint = "";
  shell.stderr?.on("data", (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-4_096);
  });
  let running = true;
  const exited = new Promise<void>((done) => {
    const end = () => {
      running = false;
      done();
    };
    shell.on("error", (error) => {
      complaint += error.message;
      end();
    });
    shell.on("exit", end);
  });
  // The server must not keep this process alive.
  shell.unref();
  for (const stream of [shell.stdin, shell.stderr]) (stream as unknown as { unref?: () => void }).unref?.();

  const deadline = performance.now() + START_MS;
  while (running && performance.now() < deadline) {
    const ready = readPorts(files.ports);
    if (ready) {
      log(`nats-server ${ready.url} is ready (process ${ready.pid}, store ${storeDir})`);
      exited.then(() => log(`nats-server ${ready.url} has ended`));
      return { ...ready, exited, stop: () => stop(shell, ready.pid, exited) };
    }
    await sleep(5);
  }
  if (running) await stop(shell, undefined, exited);
  const end = `${readFrom(files.log, logStart)}${complaint}`.trim().split("\n").slice(-5).join("\n  ");
  if (/address already in use/.test(end)) {
    throw new Error(
      `Cannot start nats-server on ${host}:${port}: the port is in use. Stop what listens there, or choose another port (0 picks a free one).`,
    );
  }
  throw new Error(
    `Cannot start ${program} on ${host}:${port} with its store in ${storeDir}. Its last words:\n  ${end || "(none)"}`,
  );
}

function configuration(
  { host, port, token, user, password, cluster, syncAlways }: StartBrokerOptions & { host: string; port: number },
  storeDir: string,
  files: { log: string; pid: string; ports: string },
): string {
  const lines = {
    listen: `${host}:${port === 0 ? -1 : port}`,
    pid_file: files.pid,
    ports_file_dir: files.ports,
    log_file: files.log,
    logfile_size_limit: 16 << 20,
    jetstream: { store_dir: storeDir, ...(syncAlways ? { sync_interval: "always" } : {}) },
    ...(cluster
      ? {
          server_name: cluster.serverName,
          cluster: {
            name: "proxima",
            listen: `${host}:${cluster.port}`,
            routes: cluster.ports.map((each) => `nats://${host}:${each}`),
          },
        }
      : {}),
    ...(token !== undefined ? { authorization: { token } } : {}),
    ...(user !== undefined ? { authorization: { user, password: password ?? "" } } : {}),
  };
  return `${JSON.stringify(lines, undefined, 2)}\n`; // JSON is valid configuration, and quotes strings safely
}

/** Two servers on one store destroy it. One left by a parent that has just died is about to end: wait for it. */
async function untilReleased(storeDir: string, pidFile: string, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (true) {
    const pid = Number(read(pidFile));
    if (!pid || !isAlive(pid) || !(await isNatsServer(pid))) return;
    if (performance.now() > deadline) {
      throw new Error(
        `The store ${storeDir} is in use by nats-server, process ${pid}. End that one first, or use another store.`,
      );
    }
    await sleep(50);
  }
}

/** The process id may meanwhile belong to something else. */
export async function isNatsServer(pid: number): Promise<boolean> {
  const command = await runProgram("ps", ["-o", "comm=", "-p", String(pid)]).catch(() => "");
  return command.includes("nats-server");
}

function readPorts(directory: string): { url: string; port: number; pid: number } | undefined {
  const file = readdirSync(directory).find((name) => name.endsWith(".ports"));
  if (file === undefined) return undefined;
  try {
    const url: string = JSON.parse(readFileSync(join(directory, file), "utf8")).nats[0];
    return { url, port: Number(url.split(":").at(-1)), pid: Number(/_(\d+)\.ports$/.exec(file)?.[1]) };
  } catch {
    return undefined; // being written
  }
}

async function stop(shell: ChildProcess, pid: number | undefined, exited: Promise<void>): Promise<void> {
  shell.ref(); // somebody waits now
  shell.stdin?.end(); // the watchdog does the rest, and insists after a while
  const slow = new AbortController();
  const over = sleep(STOP_MS, "slow", { signal: slow.signal }).catch(() => undefined);
  if ((await Promise.race([exited, over])) === "slow") {
    if (pid !== undefined && isAlive(pid)) process.kill(pid, "SIGKILL");
    await exited;
  }
  slow.abort();
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

function sizeOf(file: string): number {
  return Buffer.byteLength(read(file));
}

function readFrom(file: string, start: number): string {
  return Buffer.from(read(file)).subarray(start).toString();
}
