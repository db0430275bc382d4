import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runSchema } from "../learner/config.ts";
import type { IterationRecord } from "../learner/learner.ts";
import { defaultProvider } from "../policy/tensor/provider.ts";
import type { Device } from "../policy/tensor/tfjs/device.ts";
import { deviceForTests } from "../policy/tensor/tfjs/testing/devices.ts";
import { memoryBus } from "../proto/bus/memory.ts";
import { resolveConfig } from "../proto/config.ts";
import { trainInProcess } from "./in-process.ts";

setDefaultTimeout(60_000);

const folder = mkdtempSync(join(tmpdir(), "proxima-device-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const cartpole = {
  env: "cartpole",
  policy: "mlp",
  estimator: "gae",
  "policy.hidden": "16,16",
  groupSize: 2,
  groupsPerIteration: 8,
  minibatch: 64,
  seed: 7,
};

async function train(checkpoints: string, values: Record<string, unknown>, device?: Device) {
  const { config } = resolveConfig(runSchema, [{ source: "test", values: { run: "device", ...cartpole, ...values } }]);
  const records: IterationRecord[] = [];
  const notices: string[] = [];
  const bus = memoryBus();
  await trainInProcess(
    config,
    {
      bus,
      provider: defaultProvider(),
      device,
      actors: 2,
      checkpointsFolder: join(folder, checkpoints),
      onIteration: (record) => records.push(record),
      onNotice: (message) => notices.push(message),
      log: () => {},
    },
    AbortSignal.timeout(60_000),
  );
  await bus.close();
  return { records, notices };
}

const device = await deviceForTests("tensorflow");

test.skipIf(!device)(
  "a run on a device goes as on the CPU, counts its transfers, and resumes from its checkpoint",
  async () => {
    const onCpu = await train("cpu", { iterations: 4 });
    const onDevice = await train("device", { iterations: 2, device: "tensorflow" }, device);
    expect(onDevice.notices).toContainEqual(expect.stringMatching(/^Trains on TensorFlow .* weights agree to/));
    const resumed = await train("device", { iterations: 4, device: "tensorflow", resume: true }, device);
    const records = [...onDevice.records, ...resumed.records];
    expect(records.map(({ iteration }) => iteration)).toEqual([0, 1, 2, 3]);
    for (const [i, { values }] of records.entries()) {
      const expected = onCpu.records[i]!.values;
      expect(values["episode/return"]).toBe(expected["episode/return"]!); // the same weights to the last action
      expect(values["update/loss"]).toBeCloseTo(expected["update/loss"]!, 4);
    }
    const { timing } = resumed.records[1]!;
    const parameters = 2 * (4 * 16 + 16 + 16 * 16 + 16) + 16 * 2 + 2 + 16 + 1;
    expect(timing.deviceUploads).toBeGreaterThan(0);
    expect(timing.deviceDownloadedBytes).toBeGreaterThan(3 * 4 * parameters);
  },
);
