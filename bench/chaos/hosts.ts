/**
 * Hosts for a cluster on one machine: a network namespace each, where root may make them, so that nothing is shared but the Unix
 * sockets between their gateways; else their own ports on one loopback.
 */
import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from "node:child_process";
import { createServer } from "node:net";
import { join } from "node:path";
import type { GatewaySettings, LinkState } from "./gateway.ts";

export type Service = "nats" | "weights";
const services: readonly Service[] = ["nats", "weights"];

/** In a namespace of its own every host has these ports. */
const FIXED_PORTS: Record<Service, number> = { nats: 4222, weights: 7400 };

export class Host {
  readonly name: string;
  readonly #namespace: string | undefined;
  readonly #ports: Record<Service, number>;
  readonly #settings: GatewaySettings;
  #gateway: ChildProcess | undefined;

  private constructor(
    name: string,
    namespace: string | undefined,
    ports: Record<Service, number>,
    own: Service | undefined,
    folder: string,
  ) {
    this.name = name;
    this.#namespace = namespace;
    this.#ports = ports;
    const socket = (service: Service) => join(folder, `${service}.sock`);
    const links = services.map((service) => ({
      port: ports[service],
      socket: socket(service),
      isOwn: service === own,
    }));
    this.#settings = {
      imports: links.filter(({ isOwn }) => !isOwn).map(({ port, socket }) => ({ port, socket })),
      exports: links.filter(({ isOwn }) => isOwn).map(({ port, socket }) => ({ port, socket })),
    };
  }

  /** @param own the service that runs here @param folder of the sockets @param separate whether it should be apart from this process */
  static async create(name: string, own: Service | undefined, folder: string, separate = true): Promise<Host> {
    const namespace = `proxima-${process.pid}-${name}`;
    const made =
      separate &&
      spawnSync("ip", ["netns", "add", namespace]).status === 0 &&
      spawnSync("ip", ["-n", namespace, "link", "set", "lo", "up"]).status === 0;
    const ports = made ? FIXED_PORTS : { nats: await freePort(), weights: await freePort() };
    const host = new Host(name, made ? namespace : undefined, ports, own, folder);
    host.start();
    return host;
  }

  get isSeparate(): boolean {
    return this.#namespace !== undefined;
  }

  /** Where a service is reached from this host, or listens on it. */
  address(service: Service): string {
    return `127.0.0.1:${this.#ports[service]}`;
  }

  port(service: Service): number {
    return this.#ports[service];
  }

  /** The words that run a command on this host. */
  command(words: readonly string[]): string[] {
    return this.#namespace ? ["nsenter", `--net=/run/netns/${this.#namespace}`, ...words] : [...words];
  }

  spawn(words: readonly string[], options: SpawnOptions): ChildProcess {
    const [file, ...args] = this.command(words);
    return spawn(file!, args, options);
  }

  /** Kills, freezes or thaws the gateway; false when there is none. */
  signal(signal: NodeJS.Signals): boolean {
    return this.#gateway?.kill(signal) ?? false;
  }

  setLink(state: LinkState): void {
    this.#gateway?.stdin?.write(`${JSON.stringify(state)}\n`);
  }

  /** The gateway, for the first time or after it was killed. */
  start(): void {
    if (this.#gateway?.exitCode === null && this.#gateway.signalCode === null) return;
    const entry = join(import.meta.dirname, "gateway.ts");
    this.#gateway = this.spawn([process.execPath, entry, JSON.stringify(this.#settings)], {
      stdio: ["pipe", "ignore", "inherit"],
    });
    this.#gateway.stdin?.on("error", () => {});
  }

  remove(): void {
    this.#gateway?.kill("SIGKILL");
    if (this.#namespace) spawnSync("ip", ["netns", "del", this.#namespace]);
  }
}

function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer();
    server.once("error", fail);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => done(port));
    });
  });
}
