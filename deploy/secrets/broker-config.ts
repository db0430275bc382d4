/** The configuration of a nats-server that knows the roles: TLS with client certificates, and one user for each role's key. */
import { resolve } from "node:path";
import { permissionsOf, type Role } from "../../proto/roles.ts";
import { secretFiles } from "./layout.ts";

export interface BrokerConfig {
  root: string;
  /** host:port */
  listen: string;
  runs: readonly string[];
  /** Public keys that are accepted. */
  users: readonly { role: Role; nkey: string }[];
}

/** For `nats-server -c`. Only what is listed is permitted; the account is apart from the server's own. */
export function brokerConfig({ root, listen, runs, users }: BrokerConfig): string {
  const files = secretFiles(resolve(root));
  const { ca, cert, key } = files.of("broker");
  const permissions = (role: Role) => {
    const { publish, subscribe } = permissionsOf(role, runs);
    // An empty list would allow everything.
    return { publish: { allow: publish.length ? publish : ["_none"] }, subscribe: { allow: subscribe } };
  };
  const config = {
    listen,
    pid_file: files.brokerPid,
    jetstream: { store_dir: files.brokerStore },
    tls: { ca_file: ca, cert_file: cert, key_file: key, verify: true, timeout: 10 },
    accounts: {
      proxima: {
        jetstream: "enabled",
        users: users.map(({ role, nkey }) => ({ nkey, permissions: permissions(role) })),
      },
    },
  };
  return `# Written by 'proxima secure', which will write it again: change nothing here.\n${JSON.stringify(config, undefined, 1)}\n`;
}
