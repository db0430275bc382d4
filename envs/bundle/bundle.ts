/**
 * A bundle is an environment as one ES module, named by the SHA-256 of its bytes. Beside it lies, for each signer, a statement: the
 * manifest and an Ed25519 signature of it. In the object store of a run:
 *
 *   <digest>           the module
 *   <digest>.<key id>  the statement of one signer, JSON
 *
 * Nobody runs a bundle before its digest and the signature of a trusted key have been verified.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { ObjectStore } from "../../proto/bus/bus.ts";
import { hasSigned, keyId, type Signer } from "./keys.ts";

export interface Manifest {
  format: 1;
  /** Of the environment that the module defines. */
  id: string;
  /** The export that holds its EnvironmentDefinition. */
  entry: "default";
  /** Hex SHA-256 of the module's bytes. */
  digest: string;
  /** Size of the module. */
  bytes: number;
  /** Modules of the runtime that it may import ("node:fs"); usually none. */
  imports: readonly string[];
  /** "proxima 0.1.0" */
  createdBy: string;
}

export interface Bundle {
  manifest: Manifest;
  code: Uint8Array<ArrayBuffer>;
}

interface Statement {
  /** JSON of the manifest: what is signed are these very characters. */
  manifest: string;
  signer: string;
  /** base64 */
  signature: string;
}

export const MAX_BUNDLE_BYTES = 8 * 2 ** 20;
const MAX_STATEMENT_BYTES = 64 * 1024;

/** Keeps a signature from meaning anything elsewhere. */
const CONTEXT = "proxima environment bundle 1\n";

export const digestOf = (code: Uint8Array) => createHash("sha256").update(code).digest("hex");

/** Short form of a digest, for people. */
export const brief = (digest: string) => digest.slice(0, 12);

/** Stores module and statement; pushing the same again changes nothing. */
export async function pushBundle(store: ObjectStore, { manifest, code }: Bundle, signer: Signer): Promise<void> {
  const problem = manifestProblem(manifest, code);
  if (problem !== undefined) throw new RangeError(`Cannot push bundle ${brief(manifest.digest)}: ${problem}`);
  const text = JSON.stringify(manifest);
  const signature = Buffer.from(await signer.sign(signedBytes(text))).toString("base64");
  const statement: Statement = { manifest: text, signer: signer.publicKey, signature };
  await store.put(manifest.digest, code);
  const name = `${manifest.digest}.${keyId(signer.publicKey)}`;
  // The manifest of an older Proxima says the same of the module.
  if ((await store.get(name)) === undefined) await store.put(name, new TextEncoder().encode(JSON.stringify(statement)));
}

/**
 * The bundle of a digest, verified: its bytes are those of the digest, and one of the trusted keys has signed it.
 * @param trusted public keys
 * @throws Error saying what is wrong and what to do
 */
export async function fetchBundle(
  store: ObjectStore,
  digest: string,
  trusted: readonly string[],
): Promise<Bundle & { signer: string }> {
  const refuse = (why: string, cause?: unknown) => new Error(`Refused bundle ${brief(digest)}: ${why}`, { cause });
  const code = await store.get(digest);
  if (!code) throw refuse("it is not in the run's object store. Push it with 'proxima env push'");
  const found = digestOf(code);
  if (found !== digest)
    throw refuse(`its bytes have SHA-256 ${brief(found)}…: somebody has changed them. Push the original again`);
  for (const signer of trusted) {
    const stored = await store.get(`${digest}.${keyId(signer)}`);
    if (!stored) continue;
    const manifest = await verified(stored, signer).catch((cause) => {
      throw refuse(`the statement of its signer ${signer} is not to be believed: ${cause.message}`, cause);
    });
    const problem = manifestProblem(manifest, code);
    if (problem !== undefined) throw refuse(`its manifest does not fit it: ${problem}`);
    return { manifest, code: new Uint8Array(code), signer };
  }
  throw refuse(await whoSigned(store, digest, trusted));
}

async function verified(stored: Uint8Array, signer: string): Promise<Manifest> {
  if (stored.length > MAX_STATEMENT_BYTES) throw new RangeError(`it has ${stored.length} bytes`);
  const statement = JSON.parse(new TextDecoder().decode(stored)) as Partial<Statement>;
  const { manifest, signature } = statement;
  if (typeof manifest !== "string" || typeof signature !== "string") throw new TypeError("it lacks its parts");
  const bytes = new Uint8Array(Buffer.from(signature, "base64"));
  if (!(await hasSigned(signer, signedBytes(manifest), bytes))) throw new Error("the signature is not of this key");
  return JSON.parse(manifest) as Manifest;
}

async function whoSigned(store: ObjectStore, digest: string, trusted: readonly string[]): Promise<string> {
  const all = await store.list().catch(() => []); // not everybody who may fetch may also list
  const names = all.filter((name) => name.startsWith(`${digest}.`));
  const signers = await Promise.all(
    names.map(async (name) => {
      try {
        return String(JSON.parse(new TextDecoder().decode((await store.get(name))!)).signer).slice(0, 80);
      } catch {
        return "somebody";
      }
    }),
  );
  const trust = trusted.length ? `trusted are ${trusted.join(", ")}` : "no key is trusted here";
  return signers.length
    ? `it is signed by ${signers.join(", ")}, and ${trust}. Add the signer to trustedKeys, of the learner and of every actor, if you know it`
    : `nobody has signed it. Push it with 'proxima env push', which signs it`;
}

/** What is wrong between a manifest and the module it stands for. */
function manifestProblem(manifest: Manifest, code: Uint8Array): string | undefined {
  if (manifest?.format !== 1)
    return `its format must be 1, found ${manifest?.format}: another version of Proxima made it`;
  if (manifest.entry !== "default") return `its entry must be the default export, found "${manifest.entry}"`;
  if (typeof manifest.id !== "string" || manifest.id === "") return "it names no environment";
  if (!Array.isArray(manifest.imports) || !manifest.imports.every((name) => typeof name === "string"))
    return "its imports are no list of modules";
  if (code.length > MAX_BUNDLE_BYTES) return `it has ${code.length} bytes, at most ${MAX_BUNDLE_BYTES} are taken`;
  if (manifest.bytes !== code.length) return `it should have ${manifest.bytes} bytes and has ${code.length}`;
  const digest = digestOf(code);
  return manifest.digest === digest
    ? undefined
    : `it should be ${brief(String(manifest.digest))}… and is ${brief(digest)}…`;
}

const signedBytes = (manifest: string) => new TextEncoder().encode(CONTEXT + manifest);

/** What lies in a store, by what its signers say: for listing, not for believing. */
export async function pushedBundles(store: ObjectStore): Promise<{ digest: string; id: string; signers: string[] }[]> {
  const found = new Map<string, { digest: string; id: string; signers: string[] }>();
  for (const name of await store.list()) {
    const digest = /^([0-9a-f]{64})\.[0-9a-f]{16}$/.exec(name)?.[1];
    if (digest === undefined) continue;
    try {
      const statement = JSON.parse(new TextDecoder().decode((await store.get(name))!)) as Statement;
      const { id } = JSON.parse(statement.manifest) as Manifest;
      const bundle = found.get(digest) ?? { digest, id, signers: [] };
      bundle.signers.push(statement.signer);
      found.set(digest, bundle);
    } catch {
      // Whoever loads it will say what is wrong with it.
    }
  }
  return [...found.values()];
}
