import { beforeAll, expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { hasRuntime, outputOn, type Runtime } from "../../proto/testing/runtimes.ts";

interface Hashes {
  simd: string;
  typescript: string;
  scalars: string;
}

const script = fileURLToPath(new URL("runtimes.script.ts", import.meta.url));
const hashes = async (runtime: Runtime): Promise<Hashes> => JSON.parse(await outputOn(runtime, script));

let onBun: Hashes;

beforeAll(async () => {
  onBun = await hashes("bun");
});

test("Bun: simd and typescript train to the same bits", () => {
  expect(onBun.simd).toMatch(/^[0-9a-f]{64}$/);
  expect(onBun.typescript).toBe(onBun.simd);
});

for (const runtime of ["deno", "node"] as const)
  test.skipIf(!hasRuntime(runtime))(
    `${runtime} trains to the same bits as Bun (skipped where it is absent)`,
    async () => expect(await hashes(runtime)).toEqual(onBun),
    60_000,
  );
