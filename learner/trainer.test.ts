import { describe, expect, test } from "bun:test";
import { initialise } from "../policy/tensor/initialise.ts";
import { simdProvider } from "../policy/tensor/simd/provider.ts";
import type { Model, TensorProvider } from "../policy/tensor/tensors.ts";
import type { Device } from "../policy/tensor/tfjs/device.ts";
import { DeviceError } from "../policy/tensor/tfjs/queue.ts";
import { typescriptProvider } from "../policy/tensor/typescript/provider.ts";
import { DisagreementError } from "./device-trial.ts";
import { inlineGradients } from "./gradients.ts";
import { makeWork, policies } from "./testing/work.ts";
import { Trainer } from "./trainer.ts";

/** A device of plain TypeScript, with faults that real ones have only by accident. */
class FaultyDevice implements Device {
  readonly name = "webgpu";
  readonly description = "a faulty device";
  readonly isGpu = true;
  readonly traffic = { uploads: 0, uploadedBytes: 0, downloads: 0, downloadedBytes: 0 };
  readonly #kernels: TensorProvider = typescriptProvider();
  /** Computes with weights that are this far off. */
  error = 0;
  /** Every gradient from now on fails. */
  isLost = false;
  /** Nothing can be read from it any more. */
  isSilent = false;
  /** Milliseconds that a step takes beyond its own: far more than a busy machine adds. */
  delayMs = 0;
  isQueued = true;

  model(layout: Model["layout"]): Model {
    const model = this.#kernels.model(layout);
    return new Proxy(model, {
      get: (_, key) => {
        if (key === "isQueued") return this.isQueued;
        if (key === "load") return (weights: Float32Array) => model.load(weights.map((w) => w + this.error));
        if ((key === "optimiser" || key === "weights") && this.isSilent)
          return () => Promise.reject(new DeviceError("The device failed: nothing comes back"));
        if (key === "differentiate" && this.isLost)
          return () => Promise.reject(new DeviceError("The device failed: it fell off the bus"));
        if (key === "differentiate" && this.delayMs > 0)
          return async (...args: Parameters<Model["differentiate"]>) => {
            const reading = model.differentiate(...args); // in order, but answered late
            await Bun.sleep(this.delayMs);
            return reading;
          };
        const value = Reflect.get(model, key);
        return typeof value === "function" ? value.bind(model) : value;
      },
    });
  }
  arrays = () => 0;
  close(): void {}
}

const work = await makeWork(policies.mlp!(), simdProvider(), 128);

function setUp(auto: boolean, faults: Partial<FaultyDevice> = {}, provider: TensorProvider = simdProvider()) {
  const device = Object.assign(new FaultyDevice(), faults);
  const notices: string[] = [];
  const trainer = new Trainer({
    policy: work.policy,
    provider,
    gradients: (model) => inlineGradients(work.policy, model, 1),
    weights: initialise(work.policy.layout, 1),
    hasReference: true,
    device: { device, auto },
    onNotice: (message) => notices.push(message),
  });
  return { device, notices, trainer, update: () => trainer.update(work.data, work.rows, work.options, work.seed) };
}

/** What a learner on the CPU alone has after so many updates. */
async function onTheCpu(updates: number) {
  const trainer = new Trainer({
    policy: work.policy,
    provider: simdProvider(),
    gradients: (model) => inlineGradients(work.policy, model, 1),
    weights: initialise(work.policy.layout, 1),
    hasReference: true,
    onNotice: () => {},
  });
  for (let i = 0; i < updates; i++) await trainer.update(work.data, work.rows, work.options, work.seed);
  return trainer.state();
}

describe("at the first batch", () => {
  test("a device that computes the same is moved to, and the trial trains nothing", async () => {
    const { trainer, notices, update } = setUp(false);
    expect(trainer.isOnDevice).toBe(false);
    await update();
    expect(trainer.isOnDevice).toBe(true);
    expect(notices).toEqual([
      expect.stringMatching(/^Trains on a faulty device: 4 steps .* weights agree to 0\.0e\+0\.$/),
    ]);
    expect(await trainer.state()).toEqual(await onTheCpu(1));
  });

  test("one that computes something else is refused, with both differences", async () => {
    const { update } = setUp(false, { error: 1e-3 });
    const refusal = await update().catch((error: Error) => error);
    expect(refusal).toBeInstanceOf(DisagreementError);
    expect((refusal as Error).message).toMatch(
      /the loss differs by \S+ \(allowed 0.00001\) and the weights by \S+ of their norm/,
    );
  });

  test("one that computes no numbers at all is refused too", async () => {
    const { update } = setUp(false, { error: Number.NaN });
    const refusal = await update().catch((error: Error) => error);
    expect(refusal).toBeInstanceOf(DisagreementError);
    expect((refusal as Error).message).toContain("the loss differs by NaN");
  });

  test("with auto such a one is left alone, and the CPU trains", async () => {
    const { trainer, notices, update } = setUp(true, { error: 1e-3 });
    await update();
    expect(trainer.isOnDevice).toBe(false);
    expect(notices).toEqual([expect.stringContaining("does not compute what simd computes")]);
    expect(await trainer.state()).toEqual(await onTheCpu(1));
  });

  test("with auto the CPU trains where it is faster, and both times are told", async () => {
    const { trainer, notices, update } = setUp(true, { delayMs: 200 });
    await update();
    expect(trainer.isOnDevice).toBe(false);
    expect(notices).toEqual([
      expect.stringMatching(
        /^Trains with simd, which is faster than a faulty device: 4 steps .* took [\d.]+ ms there and [\d.]+ ms with simd\.$/,
      ),
    ]);
  });
});

describe("a device that is lost in the middle of an update", () => {
  test("ends the run with what to do, where it was chosen by name", async () => {
    const { device, update } = setUp(false);
    await update();
    device.isLost = true;
    const error = await update().catch((thrown: Error) => thrown);
    expect(error).toBeInstanceOf(DeviceError);
    expect((error as Error).message).toMatch(
      /it fell off the bus\. The last checkpoint is intact.*--resume.*--device cpu/,
    );
  });

  test("costs nothing with auto: the update is done again on the CPU", async () => {
    const slowHost = Object.assign(new FaultyDevice(), { isQueued: false, delayMs: 200 });
    const { device, notices, trainer, update } = setUp(true, {}, slowHost);
    await update();
    expect(trainer.isOnDevice).toBe(true);
    slowHost.delayMs = 0;
    device.isLost = true;
    await update();
    expect(trainer.isOnDevice).toBe(false);
    expect(notices.at(-1)).toContain("it fell off the bus. Goes on with the CPU");
    expect(await trainer.state()).toEqual(await onTheCpu(2));
  });

  test("costs nothing with auto when it is lost after the update: what only it knew is computed again", async () => {
    const slowHost = Object.assign(new FaultyDevice(), { isQueued: false, delayMs: 200 });
    const { device, notices, trainer, update } = setUp(true, {}, slowHost);
    await update();
    slowHost.delayMs = 0;
    await update();
    device.isSilent = true;
    expect(await trainer.state()).toEqual(await onTheCpu(2));
    expect(trainer.isOnDevice).toBe(false);
    expect(notices.at(-1)).toContain("nothing comes back. Goes on with the CPU");
    await update();
    expect(await trainer.state()).toEqual(await onTheCpu(3));
  });
});
