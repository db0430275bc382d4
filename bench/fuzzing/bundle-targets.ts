/** What comes with environment bundles: what signers say of a module, and what the module says from its sandbox. */
import { type Bundle, digestOf, fetchBundle, pushBundle, pushedBundles } from "../../envs/bundle/bundle.ts";
import { frames } from "../../envs/bundle/frames.ts";
import { generateKey, keyId, readSigner } from "../../envs/bundle/keys.ts";
import type { ObjectStore } from "../../proto/bus/bus.ts";
import { isDeliberate, type Target } from "./target.ts";

const utf8 = (value: string) => new TextEncoder().encode(value);

const code = utf8("export default { id: 'guess' };");
const digest = digestOf(code);
const manifest = {
  format: 1,
  id: "guess",
  entry: "default",
  digest,
  bytes: code.length,
  imports: ["node:fs"],
} as const;
const bundle: Bundle = { manifest: { ...manifest, createdBy: "proxima 0.1.0" }, code };
const signer = await readSigner((await generateKey()).privateKey, "a key");
const statementName = `${digest}.${keyId(signer.publicKey)}`;

const storeOf = (objects: Map<string, Uint8Array>): ObjectStore => ({
  put: async (name, data) => void objects.set(name, data),
  get: async (name) => objects.get(name),
  list: async () => [...objects.keys()],
});

const pushed = new Map<string, Uint8Array>();
await pushBundle(storeOf(pushed), bundle, signer);

/** A statement that the trusted key has signed, whatever it says: what is behind the signature must be safe to read too. */
async function signed(claim: Uint8Array): Promise<Uint8Array> {
  const said = new TextDecoder().decode(claim);
  const signature = await signer.sign(utf8(`proxima environment bundle 1\n${said}`));
  return utf8(
    JSON.stringify({
      manifest: said,
      signer: signer.publicKey,
      signature: Buffer.from(signature).toString("base64"),
    }),
  );
}

const stored = (statement: Uint8Array) => storeOf(new Map([...pushed, [statementName, statement]]));
/** Listing believes nobody, and says of what it cannot read only that it is there. */
async function fetched(statement: Uint8Array): Promise<string> {
  const store = stored(statement);
  await pushedBundles(store);
  const { manifest } = await fetchBundle(store, digest, [signer.publicKey]);
  return [manifest.id.toUpperCase(), ...manifest.imports].join(); // what is believed is what it should be
}
const refuses = (error: unknown) => error instanceof Error && error.message.startsWith("Refused bundle ");

const { encode, decoder } = frames();
const answers = [
  { id: 1, turn: { observation: Float32Array.of(0.5, -1), admissible: ["look", "go"], instruction: "win" } },
  { id: 2, transition: { observation: "hall", reward: Number.NaN, terminated: true, truncated: false, success: true } },
];

export const bundleTargets: readonly Target[] = [
  {
    name: "bundle statement",
    seeds: [pushed.get(statementName)!],
    decode: fetched,
    refuses,
    weight: 3,
  },
  {
    name: "bundle manifest",
    seeds: [utf8(JSON.stringify(bundle.manifest))],
    decode: async (claim) => fetched(await signed(claim)),
    refuses,
    weight: 3,
  },
  {
    name: "sandbox answer",
    seeds: [...answers.map(encode), Buffer.concat(answers.map(encode))].map((bytes) => new Uint8Array(bytes)),
    decode: (bytes) => decoder(1 << 20)(bytes),
    refuses: isDeliberate,
    weight: 6,
  },
];
