/**
 * The secrets of a cluster: makes them, renews them, and keeps account of what was issued. Whatever is derived from that
 * account (the broker's configuration, the lists of tokens of those who serve weights) is written anew each time.
 *
 *   await initSecrets("secrets", { hosts: ["10.0.0.1"], days: 365, listen: "0.0.0.0:4222", runs: ["walk"] });
 *   await rotateSecrets("secrets", "node", 86_400_000);   // old and new work side by side for a day
 */
import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { createUser } from "@nats-io/nkeys";
import { ConfigError } from "../../proto/config.ts";
import { roles } from "../../proto/roles.ts";
import { checkRunName } from "../../proto/subjects.ts";
import { hashToken, type KnownToken } from "./access.ts";
import { brokerConfig } from "./broker-config.ts";
import { type Certificate, createAuthority, issueCertificate } from "./certificates.ts";
import { certificateName, type Holder, isServer, secretFiles, servesWeights, weightsName } from "./layout.ts";

export const holders: readonly Holder[] = ["broker", ...roles];

/** What a role's clients show: a key to the broker, a token to the learner. */
export interface Credential extends KnownToken {
  /** Public. */
  nkey: string;
  /** ISO time. */
  issued: string;
}

export interface Issued {
  version: 1;
  /** Of the broker, host:port. */
  listen: string;
  /** Names and addresses in the servers' certificates. */
  hosts: string[];
  /** How long certificates are valid. */
  days: number;
  runs: string[];
  credentials: Credential[];
}

/** The authority outlives what it signs. */
const AUTHORITY_DAYS = 3650;

export interface InitOptions {
  hosts: readonly string[];
  days: number;
  listen: string;
  runs: readonly string[];
}

/** Throws ConfigError when the folder holds secrets already. */
export async function initSecrets(root: string, options: InitOptions): Promise<Issued> {
  const files = secretFiles(root);
  if (existsSync(files.issued)) {
    throw new ConfigError([
      `${root} holds secrets already: renew them with 'proxima secure rotate', or choose another --dir`,
    ]);
  }
  const issued: Issued = {
    version: 1,
    listen: options.listen,
    hosts: [...new Set(["localhost", "127.0.0.1", "::1", ...options.hosts])],
    days: options.days,
    runs: options.runs.map(checkRunName),
    credentials: [],
  };
  const authority = await createAuthority(Math.max(AUTHORITY_DAYS, options.days));
  write(files.authority.cert, authority.cert);
  write(files.authority.key, authority.key);
  for (const holder of holders) await issue(root, issued, authority, holder);
  mkdirSync(files.brokerStore, { recursive: true, mode: 0o700 });
  publish(root, issued);
  return issued;
}

/** Throws ConfigError when the folder holds none. */
export function readIssued(root: string): Issued {
  const { issued } = secretFiles(root);
  if (!existsSync(issued)) {
    throw new ConfigError([`${root} holds no secrets: make them with 'proxima secure init --dir ${root}'`]);
  }
  return JSON.parse(readFileSync(issued, "utf8")) as Issued;
}

/** New certificate, key and token for a holder; the old key and token go on working for `graceMs`. */
export async function rotateSecrets(root: string, holder: Holder, graceMs: number): Promise<Issued> {
  const issued = readIssued(root);
  const { authority } = secretFiles(root);
  const until = new Date(Date.now() + graceMs).toISOString();
  for (const credential of issued.credentials) {
    if (credential.role === holder && (credential.until ?? until) >= until) credential.until = until;
  }
  const signer = { cert: readFileSync(authority.cert, "utf8"), key: readFileSync(authority.key, "utf8") };
  await issue(root, issued, signer, holder);
  publish(root, issued);
  return issued;
}

/** Lets the roles work on further runs. */
export function allowRuns(root: string, runs: readonly string[]): Issued {
  const issued = readIssued(root);
  issued.runs = [...new Set([...issued.runs, ...runs.map(checkRunName)])];
  publish(root, issued);
  return issued;
}

/** Forgets credentials whose grace is over: the broker knows no dates. */
export function retireSecrets(root: string): Issued {
  const issued = readIssued(root);
  publish(root, issued);
  return issued;
}

async function issue(root: string, issued: Issued, authority: Certificate, holder: Holder): Promise<void> {
  const files = secretFiles(root).of(holder);
  const hosts = isServer(holder) ? [...(servesWeights(holder) ? [weightsName] : []), ...issued.hosts] : undefined;
  const { cert, key } = await issueCertificate(authority, { name: certificateName(holder), hosts, days: issued.days });
  write(files.ca, authority.cert);
  write(files.key, key);
  write(files.cert, cert); // last, because servers watch it
  if (holder === "broker") return;
  const pair = createUser();
  const token = randomBytes(32).toString("base64url");
  write(files.seed, `${new TextDecoder().decode(pair.getSeed())}\n`);
  write(files.token, `${token}\n`);
  issued.credentials.push({
    role: holder,
    nkey: pair.getPublicKey(),
    sha256: hashToken(token),
    issued: new Date().toISOString(),
  });
}

/** Writes the account and what follows from it. */
function publish(root: string, issued: Issued): void {
  const now = new Date().toISOString();
  issued.credentials = issued.credentials.filter(({ until }) => until === undefined || until > now);
  const files = secretFiles(root);
  const { listen, runs, credentials } = issued;
  write(files.brokerConfig, brokerConfig({ root, listen, runs, users: credentials }));
  const tokens = credentials.map(({ role, sha256, until }): KnownToken => ({ role, sha256, until }));
  for (const holder of holders.filter(servesWeights)) {
    write(files.of(holder).access, `${JSON.stringify(tokens, undefined, 1)}\n`);
  }
  write(files.issued, `${JSON.stringify(issued, undefined, 1)}\n`);
}

/** For its owner only, and whole or not at all. */
function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(`${path}.writing`, text, { mode: 0o600 });
  chmodSync(`${path}.writing`, 0o600); // a file left by a crash keeps its mode
  renameSync(`${path}.writing`, path);
}
