/** `proxima node` on a host, started again whenever it ends, and the processes of the actors that it holds. */
import type { Host } from "./hosts.ts";
import { Supervised } from "./supervised.ts";

/** Shorter than by default, so that takeovers happen between two faults. */
const LEASE_MS = 2_000;
export const ACTORS_PER_NODE = 2;

export class HostingNode {
  readonly process: Supervised;
  /** Name → process of each of its actors, as the node tells. */
  readonly #hosted = new Map<string, number>();

  /** @param env also of its actors */
  constructor(host: Host, cwd: string, env: Record<string, string>) {
    const addresses = ["--nats", `nats://${host.address("nats")}`, "--weights", host.address("weights")];
    const offer = ["--cpus", String(ACTORS_PER_NODE), "--leaseMs", String(LEASE_MS)];
    this.process = new Supervised({
      name: host.name,
      host,
      cwd,
      env,
      words: (start) => ["node", "--name", `${host.name}-${start}`, ...addresses, ...offer],
      onEvent: ({ type, actor, pid }) => {
        if (type === "started") this.#hosted.set(actor as string, pid as number);
        else if (type === "died" || type === "ended" || type === "failed") this.#hosted.delete(actor as string);
      },
      onEnd: () => this.#hosted.clear(), // they end with it
    });
  }

  get host(): Host {
    return this.process.host;
  }

  get pids(): number[] {
    return [...this.#hosted.values()];
  }
}
