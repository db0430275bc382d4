import { beforeAll, expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { hasRuntime, outputOn, type Runtime } from "../proto/testing/runtimes.ts";

const script = fileURLToPath(new URL("runtimes.script.ts", import.meta.url));
const hashes = async (runtime: Runtime): Promise<Record<string, string>> => JSON.parse(await outputOn(runtime, script));

let onBun: Record<string, string>;

beforeAll(async () => {
  onBun = await hashes("bun");
});

test("Bun gives a hash of each environment's episodes", () => {
  expect(Object.keys(onBun)).toContain("cartpole");
  for (const hash of Object.values(onBun)) expect(hash).toMatch(/^[0-9a-f]{64}$/);
});

for (const runtime of ["deno", "node"] as const)
  test.skipIf(!hasRuntime(runtime))(
    `${runtime} plays the same episodes as Bun (skipped where it is absent)`,
    async () => expect(await hashes(runtime)).toEqual(onBun),
    60_000,
  );
