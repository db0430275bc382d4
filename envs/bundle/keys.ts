/**
 * Ed25519 keys of those who sign bundles (WebCrypto). A public key is written `ed25519:<43 characters of base64url>`, a private
 * one as PKCS #8 in PEM, as OpenSSL writes it.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";

export interface Signer {
  publicKey: string;
  /** 64 bytes. */
  sign(data: Uint8Array<ArrayBuffer>): Promise<Uint8Array>;
}

const PREFIX = "ed25519:";
const PUBLIC_KEY = /^ed25519:[A-Za-z0-9_-]{43}$/;
const PEM = /^\s*-----BEGIN PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END PRIVATE KEY-----\s*$/;

export const isPublicKey = (text: string) => PUBLIC_KEY.test(text);

/** Short name of a public key: what an object of the store may hold in its name. */
export function keyId(publicKey: string): string {
  return createHash("sha256").update(publicKey).digest("hex").slice(0, 16);
}

/** A fresh key pair; the private half as PEM. */
export async function generateKey(): Promise<{ privateKey: string; publicKey: string }> {
  const pair = (await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"])) as CryptoKeyPair;
  const der = Buffer.from(await crypto.subtle.exportKey("pkcs8", pair.privateKey));
  const lines = der.toString("base64").match(/.{1,64}/g)!;
  const privateKey = ["-----BEGIN PRIVATE KEY-----", ...lines, "-----END PRIVATE KEY-----", ""].join("\n");
  return { privateKey, publicKey: await publicKeyOf(pair.privateKey) };
}

/** Throws TypeError when the text is not an Ed25519 private key. @param name for messages, usually its path */
export async function readSigner(pem: string, name: string): Promise<Signer> {
  const refuse = (cause?: unknown) =>
    new TypeError(`${name} is not an Ed25519 private key in PEM: 'proxima env keygen' makes one`, { cause });
  const body = PEM.exec(pem)?.[1];
  if (body === undefined) throw refuse();
  const der = new Uint8Array(Buffer.from(body, "base64"));
  try {
    const key = await crypto.subtle.importKey("pkcs8", der, "Ed25519", true, ["sign"]);
    return {
      publicKey: await publicKeyOf(key),
      sign: async (data) => new Uint8Array(await crypto.subtle.sign("Ed25519", key, data)),
    };
  } catch (cause) {
    throw refuse(cause);
  }
}

/** Whether the key's owner has signed these bytes. */
export async function hasSigned(publicKey: string, data: Uint8Array<ArrayBuffer>, signature: Uint8Array<ArrayBuffer>) {
  const raw = new Uint8Array(Buffer.from(publicKey.slice(PREFIX.length), "base64url"));
  const key = await crypto.subtle.importKey("raw", raw, "Ed25519", false, ["verify"]);
  return crypto.subtle.verify("Ed25519", key, signature, data);
}

async function publicKeyOf(privateKey: CryptoKey): Promise<string> {
  const { x } = await crypto.subtle.exportKey("jwk", privateKey);
  return PREFIX + x!;
}
