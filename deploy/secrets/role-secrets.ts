/** A role's secrets as the parts that need them take them. Files are read again where they may be replaced. For Bun, Deno and Node. */
import { existsSync, readFileSync, unwatchFile, watchFile } from "node:fs";
import process from "node:process";
import type { NatsOptions } from "../../proto/bus/index.ts";
import { ConfigError } from "../../proto/config.ts";
import type { Security, ServerSecurity, Tls } from "../../proto/grpc.ts";
import { inboxPrefix, type Role } from "../../proto/roles.ts";
import { accessControl } from "./access.ts";
import { certificateName, secretFiles, servesWeights, weightsName } from "./layout.ts";

export interface RoleSecrets {
  /** For the connection to the broker. */
  bus: Pick<NatsOptions, "nkeySeed" | "tls" | "inboxPrefix">;
  /** For calls to the learner; of nodes and relays, to whoever serves weights. */
  client: Security;
  /** Of learner and relays: for what they serve. */
  server?: ServerSecurity;
}

/** How long a renewed certificate may go unnoticed. */
const LOOK_AGAIN_MS = 1_000;

/** The setting; `PROXIMA_SECRETS` when empty. */
export const secretsFolder = (folder: string): string | undefined => folder || process.env.PROXIMA_SECRETS || undefined;

/** @param folder the setting; `PROXIMA_SECRETS` when empty. Undefined when that is empty too. Throws ConfigError when files are missing. */
export function roleSecrets(folder: string, role: Role): RoleSecrets | undefined {
  const root = secretsFolder(folder);
  if (!root) return undefined;
  const files = secretFiles(root).of(role);
  const needed = [
    files.ca,
    files.cert,
    files.key,
    files.seed,
    files.token,
    ...(servesWeights(role) ? [files.access] : []),
  ];
  const missing = needed.filter((file) => !existsSync(file));
  if (missing.length) {
    throw new ConfigError([
      `secrets = ${root} lacks ${missing.join(", ")}: make them with 'proxima secure init --dir ${root}', or copy the folder '${role}' from where that was done`,
    ]);
  }
  const text = (file: string) => readFileSync(file, "utf8");
  const tls = (): Tls => ({ ca: text(files.ca), cert: text(files.cert), key: text(files.key) });
  return {
    bus: {
      nkeySeed: () => text(files.seed).trim(),
      // As files, which the client reads at every connection; the name, because addresses may be anything.
      tls: {
        caFile: files.ca,
        certFile: files.cert,
        keyFile: files.key,
        servername: certificateName("broker"),
      } as NatsOptions["tls"],
      inboxPrefix: inboxPrefix(role),
    },
    client: {
      tls: { ...tls(), serverName: role === "node" || role === "relay" ? weightsName : certificateName("learner") },
      token: () => text(files.token).trim(),
    },
    ...(servesWeights(role)
      ? {
          server: {
            tls: tls(),
            authorise: accessControl(files.access),
            onRenewal: (use, signal) => {
              const renewed = () => {
                try {
                  use(tls());
                } catch {
                  // One of the two files is still to come.
                }
              };
              watchFile(files.cert, { interval: LOOK_AGAIN_MS, persistent: false }, renewed);
              signal.addEventListener("abort", () => unwatchFile(files.cert, renewed));
            },
          },
        }
      : {}),
  };
}
