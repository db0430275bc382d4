/** A run on several hosts: a broker, a learner, actors and nodes with actors, each on a host of its own, started again whenever they die. */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Rollout } from "../../actors/rollout-kind.ts";
import { ActorSystem } from "../../actors/system/index.ts";
import { type Broker, startBroker } from "../../deploy/broker.ts";
import { type Bus, connectNats } from "../../proto/bus/index.ts";
import { ACTORS_PER_NODE, HostingNode } from "./hosting-node.ts";
import { Host } from "./hosts.ts";
import { Supervised } from "./supervised.ts";

export const RUN = "chaos";

/** Also of the undisturbed run that the disturbed one is compared with. */
export const settings = {
  run: RUN,
  env: join(import.meta.dirname, "world.ts"),
  policy: "mlp",
  "policy.hidden": "16,16",
  estimator: "grpo",
  groupSize: 4,
  groupsPerIteration: 8,
  minibatch: 64,
  learnerThreads: 1,
  learningRate: 0.0003,
  // No number of faults may cost a member its result, or the metrics would depend on them.
  maxAttempts: 12,
  keepTrajectories: 0,
  seed: 11,
} as const;

export interface ClusterOptions {
  /** The nats-server program. */
  program: string;
  /** With one actor each, started by hand. */
  actorHosts: number;
  /** With a node each, on which the actor system places actors. */
  nodeHosts: number;
  onEvent(event: { type: string; [field: string]: unknown }): void;
}

/** More resident memory than this is taken from an actor by killing it, as a container's limit would. */
export const ACTOR_LIMIT_MIB = 450;
const DISK_MIB = 24;
const actorLimits = { stepTimeoutMs: 1_000, slots: 16 } as const;

export class Cluster {
  readonly folder: string;
  /** On a small disk of its own, where root may make one. */
  readonly runFolder: string;
  readonly hasSmallDisk: boolean;
  readonly hosts: Host[];
  readonly actors: Supervised[];
  readonly nodes: HostingNode[];
  readonly #options: ClusterOptions;
  /** Where this process itself reaches the cluster. */
  readonly #outside: Host;
  learner: Supervised;
  broker!: Broker;
  brokerStopped = false;
  brokerStarts = 0;
  #bus: Bus | undefined;
  #iterations = 1_000_000;
  #closing = false;

  private constructor(options: ClusterOptions, folder: string, hosts: Host[], outside: Host, hasSmallDisk: boolean) {
    this.#options = options;
    this.#outside = outside;
    this.folder = folder;
    this.runFolder = join(folder, "disk");
    this.hasSmallDisk = hasSmallDisk;
    this.hosts = hosts;
    this.learner = this.#startLearner(false);
    const env = (host: Host) => ({ PROXIMA_CHAOS: this.ordersFile(host.name) });
    this.nodes = hosts.slice(2 + options.actorHosts).map((host) => new HostingNode(host, folder, env(host)));
    this.actors = hosts.slice(2, 2 + options.actorHosts).map((host) => {
      const addresses = ["--nats", `nats://${host.address("nats")}`, "--weights", host.address("weights")];
      const limits = Object.entries(actorLimits).flatMap(([key, value]) => [`--${key}`, String(value)]);
      return new Supervised({
        name: host.name,
        host,
        cwd: folder,
        env: env(host),
        words: (start) => ["actor", "--run", RUN, "--name", `${host.name}-${start}`, ...addresses, ...limits],
      });
    });
  }

  static async start(options: ClusterOptions): Promise<Cluster> {
    const folder = mkdtempSync(join(tmpdir(), "proxima-chaos-"));
    mkdirSync(join(folder, "disk"));
    const size = `size=${DISK_MIB}m`;
    const hasSmallDisk = spawnSync("mount", ["-t", "tmpfs", "-o", size, "tmpfs", join(folder, "disk")]).status === 0;
    const numbered = (what: string, length: number) => Array.from({ length }, (_, i) => `${what}${i}`);
    const names = [
      "broker",
      "learner",
      ...numbered("actor", options.actorHosts),
      ...numbered("node", options.nodeHosts),
    ];
    const owns = { broker: "nats", learner: "weights" } as const;
    const hosts: Host[] = [];
    for (const name of names) hosts.push(await Host.create(name, owns[name as keyof typeof owns], folder));
    const broker = await brokerOn(hosts[0]!, options.program, folder);
    const outside = await Host.create("outside", undefined, folder, false);
    const cluster = new Cluster(options, folder, hosts, outside, hasSmallDisk);
    cluster.broker = broker;
    cluster.#keepBroker();
    await cluster.#placeActors();
    return cluster;
  }

  /** Of the actors that the system places: fewer than the nodes have room for, so that some of a dead node find another. */
  get placed(): number {
    return Math.ceil((this.nodes.length * ACTORS_PER_NODE * 3) / 4);
  }

  async #placeActors(): Promise<void> {
    if (this.placed === 0) return;
    const system = new ActorSystem(await this.bus());
    // Faults kill an actor far more often than a sound one ever dies.
    const lasting = { maxRestarts: 1_000_000, backoff: { firstMs: 100, maxMs: 1_000 } };
    await system.spawn(Rollout, { run: RUN, ...actorLimits }, { name: "placed", count: this.placed, ...lasting });
    await system.close();
  }

  /** What the world on that host reads its orders from. */
  ordersFile(host: string): string {
    return join(this.folder, `${host}.orders`);
  }

  /** A client whose own link no fault touches, to send what should not be sent. */
  async bus(): Promise<Bus> {
    this.#bus ??= await connectNats({ servers: [`nats://${this.#outside.address("nats")}`], name: "chaos" });
    return this.#bus;
  }

  /** Goes on to the end of an iteration and no further; resolves with the learner's last account. */
  async finish(iterations: number): Promise<Record<string, unknown>> {
    await this.learner.close("SIGTERM");
    this.#iterations = iterations;
    return new Promise((resolve) => {
      this.learner = this.#startLearner(true, (event) => {
        if (event.type === "end") resolve(event);
      });
    });
  }

  /** The lines of metrics.jsonl without what depends on the clock. */
  metrics(): Record<string, number>[] {
    const lines = readFileSync(join(this.runFolder, "runs", RUN, "metrics.jsonl"), "utf8")
      .trim()
      .split("\n");
    return lines.map((line) => untimed(JSON.parse(line)));
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#bus?.close().catch(() => {});
    const processes = [this.learner, ...this.actors, ...this.nodes.map((node) => node.process)];
    await Promise.all(processes.map((process) => process.close()));
    if (this.brokerStopped) process.kill(this.broker.pid, "SIGCONT");
    await this.broker.stop();
    for (const host of [...this.hosts, this.#outside]) host.remove();
    if (this.hasSmallDisk) spawnSync("umount", ["--lazy", this.runFolder]);
    rmSync(this.folder, { recursive: true, force: true });
  }

  #startLearner(resumes: boolean, onEvent?: ClusterOptions["onEvent"]): Supervised {
    const host = this.hosts[1]!;
    const { run, ...rest } = settings;
    const addresses = ["--nats", `nats://${host.address("nats")}`, "--weightsPort", String(host.port("weights"))];
    const chosen = Object.entries(rest).flatMap(([key, value]) => [`--${key}`, String(value)]);
    return new Supervised({
      name: "learner",
      host,
      cwd: this.runFolder,
      words: (start) => {
        const limits = ["--iterations", String(this.#iterations), "--totalEnvSteps", "0", "--stallTimeoutMs", "15000"];
        return start > 0 || resumes
          ? ["learner", "--run", run, "--resume", ...addresses, ...limits]
          : ["learner", "--run", run, ...chosen, ...addresses, ...limits];
      },
      onEvent: (event) => {
        this.#options.onEvent(event);
        onEvent?.(event);
      },
    });
  }

  /** A broker that ends is started again on its store. */
  #keepBroker(): void {
    void this.broker.exited.then(async () => {
      if (this.#closing) return;
      this.brokerStopped = false;
      this.brokerStarts++;
      this.broker = await brokerOn(this.hosts[0]!, this.#options.program, this.folder);
      this.#keepBroker();
    });
  }
}

function brokerOn(host: Host, program: string, folder: string): Promise<Broker> {
  const wrapper = join(folder, "nats-server");
  writeFileSync(wrapper, `#!/bin/sh\nexec ${host.command([program]).join(" ")} "$@"\n`);
  chmodSync(wrapper, 0o755);
  return startBroker({ program: wrapper, storeDir: join(folder, "broker"), port: host.port("nats") });
}

export function untimed(record: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(record).filter(([name]) => !name.startsWith("time/")));
}
