/** Where `proxima secure` puts what: one folder for the authority, and one for each role, which is all that its machines need. */
import { join } from "node:path";
import type { Role } from "../../proto/roles.ts";

/** The broker holds a certificate as the roles do, and nothing else. */
export type Holder = Role | "broker";

/** Those who serve others. */
export const isServer = (holder: Holder) => holder === "broker" || servesWeights(holder);

/** A relay hands on what the learner publishes, to clients that hold its tokens' hashes against theirs as the learner does. */
export const servesWeights = (holder: Holder) => holder === "learner" || holder === "relay";

/** The name in a holder's certificate, by which the other side knows it whatever its address. */
export const certificateName = (holder: Holder) => `${holder}.proxima`;

/** The name by which actors know who may send them weights. */
export const weightsName = "weights.proxima";

export const secretFiles = (root: string) => ({
  /** What was issued, to whom and until when: public keys and hashes only. */
  issued: join(root, "issued.json"),
  authority: { cert: join(root, "ca.pem"), key: join(root, "ca.key") },
  brokerConfig: join(root, "nats.conf"),
  of: (holder: Holder) => {
    const folder = join(root, holder);
    return {
      folder,
      ca: join(folder, "ca.pem"),
      cert: join(folder, "cert.pem"),
      key: join(folder, "key.pem"),
      /** Seed of the key by which the broker knows the role. */
      seed: join(folder, "nats.seed"),
      token: join(folder, "token"),
      /** Of those who serve weights: whose tokens may call which methods. */
      access: join(folder, "access.json"),
    };
  },
  brokerStore: join(root, "broker", "store"),
  brokerPid: join(root, "broker", "nats-server.pid"),
});
