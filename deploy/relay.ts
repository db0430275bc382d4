/**
 * Serves on what it receives: weights client of one address, weights server at another. Broadcast to thousands is a tree of these.
 *
 *   const served = await relay({ run, upstream: "learner:7400", host: "127.0.0.1", port: 0 });
 *   … actors subscribe at served.address, further relays too …
 *   await served.close();
 *
 * A version is passed on once it is whole and its hash is verified: encoded once for all subscribers, under the number, incarnation
 * and hash that the learner gave it. While the upstream is away the newest version stays on offer.
 */
import { type HeldWeights, type WeightsClientStatus, weightsClient } from "../actors/weights-client.ts";
import { type WeightsSubscriber, weightsServer } from "../learner/weights-server.ts";
import type { Security, ServeOptions } from "../proto/grpc.ts";

export interface RelayOptions extends ServeOptions {
  run: string;
  /** host:port of the learner, or of another relay. */
  upstream: string;
  /** What the upstream demands. */
  upstreamSecurity?: Security;
  /** Name under which the upstream lists this relay. */
  name: string;
  onWeights?(held: HeldWeights): void;
  onStatus?(status: WeightsClientStatus): void;
}

export interface Relay {
  readonly address: string;
  status(): WeightsClientStatus;
  subscribers(): WeightsSubscriber[];
  /** Ends the subscriptions once they have the newest version, waiting for at most `graceMs`. */
  close(graceMs?: number): Promise<void>;
}

/** Rejects when the address is taken or unprotected. */
export async function relay(options: RelayOptions): Promise<Relay> {
  const { run, upstream, upstreamSecurity, name, onWeights, onStatus, ...serving } = options;
  const server = await weightsServer({ run, ...serving });
  // As f32, from which any other encoding follows with the same hash that the learner's own has.
  const client = weightsClient({
    ...upstreamSecurity,
    address: upstream,
    run,
    actor: name,
    accept: { base: "any" },
    onStatus,
  });
  client.onWeights((held) => {
    const { version, weights, base, incarnation, publishedAtMs } = held;
    server.publish({ counter: version.counter, weights, base, incarnation, publishedAtMs });
    onWeights?.(held);
  });
  return {
    address: server.address,
    status: client.status,
    subscribers: server.subscribers,
    async close(graceMs) {
      client.close();
      await server.close(graceMs);
    },
  };
}
