import { beforeAll, expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { hasRuntime, outputOn, type Runtime } from "../../../proto/testing/runtimes.ts";

const script = fileURLToPath(new URL("runtimes.script.ts", import.meta.url));
const results = async (runtime: Runtime): Promise<Record<string, string>> =>
  JSON.parse(await outputOn(runtime, script));

let onBun: Record<string, string>;

beforeAll(async () => {
  onBun = await results("bun");
}, 60_000);

test("Bun: simd and typescript train a model and adapters to the same bits, and say the same", () => {
  for (const which of ["whole", "adapters"]) {
    expect(onBun[`simd, ${which}`]).toMatch(/^[0-9a-f]{64}$/);
    expect(onBun[`typescript, ${which}`]).toBe(onBun[`simd, ${which}`]);
  }
});

for (const runtime of ["deno", "node"] as const)
  test.skipIf(!hasRuntime(runtime))(
    `${runtime} trains, reads and says the same as Bun (skipped where it is absent)`,
    async () => expect(await results(runtime)).toEqual(onBun),
    60_000,
  );
