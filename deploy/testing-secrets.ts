/** A nats-server with the configuration that `proxima secure` writes, as an operator would start it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connectNats, type NatsOptions } from "../proto/bus/index.ts";
import type { Role } from "../proto/roles.ts";
import { secretFiles } from "./secrets/layout.ts";
import { roleSecrets } from "./secrets/role-secrets.ts";
import { initSecrets } from "./secrets/secrets.ts";
import { testingProgram } from "./testing-broker.ts";

export interface SecuredBroker {
  /** The folder of `proxima secure`. */
  root: string;
  url: string;
  process: ChildProcess;
  /** What the server said. */
  log(): string;
  /** Has it read its configuration again; resolves when that is done. */
  reload(): Promise<void>;
  /** Resolves when it has done so next, whoever asked. */
  reloaded(): Promise<void>;
  /** A client that holds the role. */
  connect(role: Role, options?: Partial<NatsOptions>): ReturnType<typeof connectNats>;
  stop(): Promise<void>;
}

/** Undefined when no nats-server can be had. */
export async function securedBroker(runs: readonly string[]): Promise<SecuredBroker | undefined> {
  const program = await testingProgram();
  if (program === undefined) return undefined;
  const folder = mkdtempSync(join(tmpdir(), "proxima-secrets-"));
  const root = join(folder, "secrets");
  await initSecrets(root, { hosts: [], days: 1, listen: "127.0.0.1:-1", runs });
  const ports = join(folder, "ports");
  mkdirSync(ports);
  const child = spawn(program, ["-c", secretFiles(root).brokerConfig, "--ports_file_dir", ports], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let log = "";
  child.stderr!.on("data", (bytes) => {
    log += bytes;
  });
  const ended = once(child, "exit");
  const reloaded = async () => {
    const reloads = () => log.split("Reloaded server configuration").length;
    const before = reloads();
    while (reloads() === before) await once(child.stderr!, "data");
  };
  const port = await Promise.race([portIn(ports), ended.then(() => Promise.reject(new Error(`nats-server: ${log}`)))]);
  const url = `nats://127.0.0.1:${port}`;
  return {
    root,
    url,
    process: child,
    log: () => log,
    reload() {
      const done = reloaded();
      child.kill("SIGHUP");
      return done;
    },
    reloaded,
    connect: (role, options = {}) => connectNats({ servers: url, ...roleSecrets(root, role)!.bus, ...options }),
    async stop() {
      child.kill("SIGTERM");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The server writes it once it is ready. */
async function portIn(folder: string): Promise<number> {
  for (;;) {
    const file = readdirSync(folder).find((name) => name.endsWith(".ports"));
    const text = file ? readFileSync(join(folder, file), "utf8") : "";
    if (text.endsWith("}")) return Number(new URL(JSON.parse(text).nats[0]).port);
    await sleep(5);
  }
}
