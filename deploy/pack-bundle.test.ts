import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../envs/bundle/bundle.ts";
import { packBundle } from "./pack-bundle.ts";

const folder = mkdtempSync(join(tmpdir(), "proxima-pack-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}
const definition = `{ id: "packed", summary: "For tests.", arguments: {}, load() { throw new Error("never"); } }`;
const nothing = { allowImports: [] };

describe("packing an environment", () => {
  test("gives one module with what it imports inside, the same bytes each time, and says what it is", async () => {
    file("helper.ts", "export const word: string = 'from the helper';");
    const path = file("env.ts", `import { word } from "./helper.ts"; export default { ...${definition}, word };`);
    const { manifest, code } = await packBundle(path, nothing);
    const text = new TextDecoder().decode(code);
    expect(text).toContain("from the helper");
    expect(text).not.toContain(folder);
    expect(manifest).toMatchObject({ format: 1, id: "packed", entry: "default", imports: [], bytes: code.length });
    expect(manifest.digest).toBe(digestOf(code));
    expect(manifest.createdBy).toMatch(/^proxima \d/);
    expect((await packBundle(path, nothing)).manifest).toEqual(manifest);
  });

  test("takes built-in environments, of one file and of several", async () => {
    for (const id of ["cartpole", "scavenger"]) {
      const { manifest } = await packBundle(join(import.meta.dirname, `../envs/${id}.ts`), nothing);
      expect(manifest).toMatchObject({ id, imports: [] });
    }
  });

  test("refuses modules of the runtime, naming them and who imports them, unless they are allowed", async () => {
    file("reader.ts", `import { readFileSync } from "fs"; export const text = () => readFileSync("x", "utf8");`);
    const path = file(
      "reads.ts",
      `import { text } from "./reader.ts"; import { x } from "bun:sqlite"; export default { ...${definition}, text, x };`,
    );
    const refused = packBundle(path, nothing);
    await expect(refused).rejects.toThrow(/it imports bun:sqlite \(in .*reads\.ts\), node:fs \(in .*reader\.ts\)/);
    await expect(refused).rejects.toThrow("--allowImports bun:sqlite,node:fs");
    const hidden = file("hidden.ts", `export default { ...${definition}, later: () => import("node:net") };`);
    await expect(packBundle(hidden, nothing)).rejects.toThrow("node:net");
    const { manifest } = await packBundle(hidden, { allowImports: ["node:net"] });
    expect(manifest.imports).toEqual(["node:net"]);
  });

  test("refuses what is no environment, cannot be read or is too large", async () => {
    await expect(packBundle(file("none.ts", "export const a = 1;"), nothing)).rejects.toThrow(
      "does not define an environment",
    );
    await expect(packBundle(join(folder, "absent.ts"), nothing)).rejects.toThrow("Cannot pack");
    const large = file("large.ts", `export default { ...${definition}, pad: "${"x".repeat(9 * 2 ** 20)}" };`);
    await expect(packBundle(large, nothing)).rejects.toThrow("at most 8388608 are taken");
  });
});
