import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ObjectStore } from "../../proto/bus/bus.ts";
import { memoryBus } from "../../proto/bus/memory.ts";
import { type Bundle, digestOf, fetchBundle, pushBundle, pushedBundles } from "./bundle.ts";
import { createKey, openKey, ownKeys } from "./key-folder.ts";
import { keyId } from "./keys.ts";

const folder = mkdtempSync(join(tmpdir(), "proxima-bundle-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const mine = await createKey(folder, "mine");
const other = await createKey(folder, "other");
const signer = await openKey(mine.path);

function bundleOf(text: string): Bundle {
  const code = new TextEncoder().encode(text);
  const digest = digestOf(code);
  const manifest = { format: 1, id: "guess", entry: "default", digest, bytes: code.length, imports: [] } as const;
  return { code, manifest: { ...manifest, createdBy: "proxima test" } };
}
const bundle = bundleOf("export default {}");
const { digest } = bundle.manifest;
let stores = 0;
const store = (): Promise<ObjectStore> => memoryBus().objects(`bundles-${stores++}`);

describe("a bundle", () => {
  test("comes back from the store as it was pushed, to whoever trusts its signer; pushing it again changes nothing", async () => {
    const objects = await store();
    await pushBundle(objects, bundle, signer);
    await pushBundle(objects, { ...bundle, manifest: { ...bundle.manifest, createdBy: "a later one" } }, signer);
    expect(await fetchBundle(objects, digest, [other.publicKey, mine.publicKey])).toEqual({
      ...bundle,
      signer: mine.publicKey,
    });
    expect(await pushedBundles(objects)).toEqual([{ digest, id: "guess", signers: [mine.publicKey] }]);
  });

  test("that was never pushed, or whose signer is not trusted, is refused with what to do", async () => {
    const objects = await store();
    await expect(fetchBundle(objects, digest, [mine.publicKey])).rejects.toThrow("Push it with 'proxima env push'");
    await objects.put(digest, bundle.code);
    await expect(fetchBundle(objects, digest, [mine.publicKey])).rejects.toThrow("nobody has signed it");
    await pushBundle(objects, bundle, signer);
    const refused = fetchBundle(objects, digest, [other.publicKey]);
    await expect(refused).rejects.toThrow(`it is signed by ${mine.publicKey}, and trusted are ${other.publicKey}`);
    await expect(fetchBundle(objects, digest, [])).rejects.toThrow(
      "no key is trusted here. Add the signer to trustedKeys",
    );
  });

  test("of other bytes than its name says is refused", async () => {
    const objects = await store();
    const statements = await store();
    await pushBundle(statements, bundle, signer);
    const statement = `${digest}.${keyId(mine.publicKey)}`;
    await objects.put(digest, new TextEncoder().encode("export default {} // and more"));
    await objects.put(statement, (await statements.get(statement))!);
    await expect(fetchBundle(objects, digest, [mine.publicKey])).rejects.toThrow("somebody has changed them");
  });

  test("whose statement was changed, or made with another key in the signer's name, is refused", async () => {
    const signed = await store();
    await pushBundle(signed, bundle, signer);
    const name = `${digest}.${keyId(mine.publicKey)}`;
    const statement = JSON.parse(new TextDecoder().decode((await signed.get(name))!));
    const renamed = { ...statement, manifest: statement.manifest.replace('"guess"', '"other"') };
    const forged = await store();
    await pushBundle(forged, bundle, { ...(await openKey(other.path)), publicKey: mine.publicKey });
    const forgery = JSON.parse(new TextDecoder().decode((await forged.get(name))!));
    for (const each of [renamed, forgery, { manifest: "{}" }, "nonsense"]) {
      const objects = await store();
      await objects.put(digest, bundle.code);
      await objects.put(name, new TextEncoder().encode(JSON.stringify(each)));
      await expect(fetchBundle(objects, digest, [mine.publicKey])).rejects.toThrow("is not to be believed");
    }
  });

  test("signed as another's is refused: the signature holds for one digest", async () => {
    const objects = await store();
    await pushBundle(objects, bundle, signer);
    const two = bundleOf("export default 2");
    await objects.put(two.manifest.digest, two.code);
    const id = keyId(mine.publicKey);
    await objects.put(`${two.manifest.digest}.${id}`, (await objects.get(`${digest}.${id}`))!);
    await expect(fetchBundle(objects, two.manifest.digest, [mine.publicKey])).rejects.toThrow(
      "its manifest does not fit it",
    );
  });
});

describe("a key", () => {
  test("is for its owner's eyes only, and refused when others may read it", async () => {
    const { path } = await createKey(folder, "careful");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    chmodSync(path, 0o644);
    await expect(openKey(path)).rejects.toThrow("can be read by others (mode 644): chmod 600 it");
  });

  test("is never overwritten, and all of them are this machine's own", async () => {
    await expect(createKey(folder, "mine")).rejects.toThrow("There is a key");
    await expect(createKey(folder, "../elsewhere")).rejects.toThrow("1 to 64 letters");
    expect(await ownKeys(folder)).toContain(mine.publicKey);
    expect(await ownKeys(join(folder, "nowhere"))).toEqual([]);
  });

  test("that is none, or of another kind, is refused with how to make one", async () => {
    const path = join(folder, "none.key");
    for (const text of ["", "secret", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]) {
      writeFileSync(path, text, { mode: 0o600 });
      await expect(openKey(path)).rejects.toThrow("'proxima env keygen' makes one");
    }
    await expect(openKey(join(folder, "absent.key"))).rejects.toThrow("'proxima env keygen' makes one");
  });
});
