import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Policy } from "../policy/policy.ts";
import { initialise } from "../policy/tensor/initialise.ts";
import { simdProvider } from "../policy/tensor/simd/provider.ts";
import type { Model } from "../policy/tensor/tensors.ts";
import type { Device } from "../policy/tensor/tfjs/device.ts";
import { deviceForTests } from "../policy/tensor/tfjs/testing/devices.ts";
import { AGREEMENT, type Side, tryDevice, updateSteps } from "./device-trial.ts";
import { inlineGradients } from "./gradients.ts";
import { adaptedLanguagePolicy } from "./testing/language-work.ts";
import { makeWork, policies, type Work } from "./testing/work.ts";
import { update } from "./update.ts";

setDefaultTimeout(600_000); // a software adapter compiles each shader for a quarter of a second

const host = simdProvider();

function side(work: Work, model: Model): Side {
  model.load(initialise(work.policy.layout, 1));
  return { model, engine: inlineGradients(work.policy, model, 1) };
}

for (const name of ["tensorflow", "webgpu"] as const) {
  const device = await deviceForTests(name);
  if (!device) {
    test.skip(`device ${name} trains like the CPU`, () => {});
    continue;
  }

  describe(`twenty steps on ${name} agree with simd for`, () => {
    for (const [kind, make] of Object.entries(policies)) {
      // An emulated GPU takes seconds a step: one policy of each kind is enough there.
      if (name === "webgpu" && kind.startsWith("mlp with")) continue;
      test(kind, () => expectAgreement(make(), device, 16));
    }
    // Answers of many lengths are too much for an emulated GPU: policy/language/causal/devices.test.ts trains there on one.
    test.skipIf(name === "webgpu")("adapters on a frozen language model", async () => {
      const folder = mkdtempSync(join(tmpdir(), "proxima-device-"));
      await expectAgreement(await adaptedLanguagePolicy(folder), device, 4).finally(() =>
        rmSync(folder, { recursive: true }),
      );
    });
  });

  describe(`an update on ${name}`, () => {
    let there: Side;
    let work: Work;
    beforeAll(async () => {
      work = await makeWork(policies.candidates!(), host, 32);
      there = side(work, device.model(work.policy.layout));
      await run(work, there);
    });

    test("leaves no array behind", async () => {
      const before = device.arrays();
      await run(work, there);
      expect(device.arrays()).toBe(before);
    });

    test("takes everything there once and brings back only readings, once", async () => {
      const traffic = await trafficOf(device, () => run(work, there));
      expect(traffic.uploads).toBe(2); // numbers, and indices
      expect(traffic.downloads).toBe(1);
      const readings = 32 * 4 + 2 * 2; // logRatio, entropy, kl, valueError of each row; loss and norm of each of two steps
      expect(traffic.downloadedBytes).toBe(2 * 4 * readings);
    });

    test("brings the new weights back in one piece, with Adam's moments", async () => {
      const count = there.model.parameterCount;
      const traffic = await trafficOf(device, () => Promise.all([there.model.weights(), there.model.optimiser()]));
      expect(traffic).toEqual({ uploads: 0, uploadedBytes: 0, downloads: 1, downloadedBytes: 3 * 4 * count });
    });
  });
}

async function expectAgreement(policy: Policy, device: Device, minibatch: number): Promise<void> {
  const work = await makeWork(policy, host, 20 * minibatch);
  const trial = await tryDevice(
    side(work, host.model(policy.layout)),
    side(work, device.model(policy.layout)),
    updateSteps(work.data, work.rows, { ...work.options, minibatch }, work.seed),
    20,
  );
  expect(trial.steps).toBe(20);
  expect(trial.lossDifference).toBeLessThanOrEqual(AGREEMENT.loss);
  expect(trial.weightsDifference).toBeLessThanOrEqual(AGREEMENT.weights);
}

const isThere = (await deviceForTests("webgpu")) !== undefined;

describe("a GPU on webgpu", () => {
  /** What a process of its own hears when it goes on with a device after `fault`. */
  async function afterwards(fault: "lost" | "memory"): Promise<string> {
    const script = join(import.meta.dir, "testing/break-device.script.ts");
    const child = Bun.spawn([process.execPath, script, fault], { stdout: "pipe", stderr: "ignore" });
    const output = await new Response(child.stdout).text();
    return /^heard: (.*)$/m.exec(output)?.[1] ?? output;
  }
  test.skipIf(!isThere)("that is lost fails what is asked of it from then on, with the reason", async () => {
    expect(await afterwards("lost")).toMatch(/^DeviceError: The device failed: .*/);
  });

  test.skipIf(!isThere)("that has not enough memory says so instead of computing garbage", async () => {
    expect(await afterwards("memory")).toMatch(/^DeviceError: The device failed: .*(size|memory|limit)/);
  });
});

function run({ data, rows, options, seed }: Work, { model, engine }: Side) {
  return update(model, engine, data, rows, options, seed);
}

async function trafficOf(device: Device, work: () => Promise<unknown>): Promise<Device["traffic"]> {
  const before = { ...device.traffic };
  await work();
  const { uploads, uploadedBytes, downloads, downloadedBytes } = device.traffic;
  return {
    uploads: uploads - before.uploads,
    uploadedBytes: uploadedBytes - before.uploadedBytes,
    downloads: downloads - before.downloads,
    downloadedBytes: downloadedBytes - before.downloadedBytes,
  };
}
