import { expect, setDefaultTimeout, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { commandOn, hasRuntime, type Runtime } from "../../../proto/testing/runtimes.ts";
import { deviceForTests } from "./testing/devices.ts";
import { softwareGpuEnvironment } from "./testing/software-gpu.ts";

setDefaultTimeout(600_000);

const script = fileURLToPath(new URL("runtimes.script.ts", import.meta.url));

async function weightsOn(runtime: Runtime, device: string): Promise<number[]> {
  const env = { ...process.env, ...softwareGpuEnvironment };
  const child = Bun.spawn([...(await commandOn(runtime, script)), device], { env, stdout: "pipe", stderr: "pipe" });
  const [output, errors] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const weights = /^weights (.*)$/m.exec(output)?.[1];
  if (weights === undefined) throw new Error(`${device} on ${runtime} printed no weights: ${errors}`);
  return JSON.parse(weights);
}

for (const device of ["tensorflow", "webgpu"] as const) {
  const isThere = (await deviceForTests(device)) !== undefined;
  for (const runtime of ["node", "deno"] as const) {
    test.skipIf(!isThere || !hasRuntime(runtime))(`${device} trains on ${runtime} as on Bun`, async () => {
      const expected = await weightsOn("bun", device);
      const found = await weightsOn(runtime, device);
      expect(found).toHaveLength(16);
      for (const [i, weight] of found.entries()) expect(weight).toBeCloseTo(expected[i]!, 6);
    });
  }
}
