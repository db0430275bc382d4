/** This machine's own keys: `<name>.key` (private, for its owner's eyes only) beside `<name>.pub`. */
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { generateKey, isPublicKey, readSigner, type Signer } from "./keys.ts";

type Variables = Readonly<Record<string, string | undefined>>;

/** `$PROXIMA_KEYS`, `$XDG_CONFIG_HOME/proxima/keys` or `~/.config/proxima/keys`. */
export function keyFolder(env: Variables = process.env): string {
  const config = env.XDG_CONFIG_HOME || join(env.HOME || homedir(), ".config");
  return env.PROXIMA_KEYS || join(config, "proxima", "keys");
}

/** Makes a key pair. Throws when there is one of that name: what it has signed would lose its signer. */
export async function createKey(folder: string, name: string): Promise<{ path: string; publicKey: string }> {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(name))
    throw new RangeError(`A key's name must be 1 to 64 letters, digits, - or _, found "${name.slice(0, 80)}"`);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `${name}.key`);
  const { privateKey, publicKey } = await generateKey();
  try {
    await writeFile(path, privateKey, { mode: 0o600, flag: "wx" });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause;
    throw new Error(`There is a key ${path} already: choose another name, or go on using that one`, { cause });
  }
  await writeFile(join(folder, `${name}.pub`), `${publicKey}\n`);
  return { path, publicKey };
}

/** Throws Error when the key is absent or others may read it. */
export async function openKey(path: string): Promise<Signer> {
  const { mode } = await stat(path).catch((cause) => {
    throw new Error(`Cannot read the signing key ${path}: ${cause.message}. 'proxima env keygen' makes one`, { cause });
  });
  if (process.platform !== "win32" && mode & 0o077)
    throw new Error(`The signing key ${path} can be read by others (mode ${(mode & 0o777).toString(8)}): chmod 600 it`);
  return readSigner(await readFile(path, "utf8"), path);
}

/** Public keys of the pairs made on this machine. Empty where there are none. */
export async function ownKeys(folder = keyFolder()): Promise<string[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  const files = names.filter((name) => name.endsWith(".pub")).sort();
  const texts = await Promise.all(files.map((name) => readFile(join(folder, name), "utf8").catch(() => "")));
  return texts.map((text) => text.trim()).filter(isPublicKey);
}
