/**
 * Updates on the devices that are here, against simd on one thread: PPO minibatches of 512 rows on fully connected policies of 10 k to 100 M
 * parameters. Fastest of five passes.
 *   bun bench/gpu.ts [largest number of parameters, default 1e7] [minibatches a measurement, default 4]
 */
import { inlineGradients } from "../learner/gradients.ts";
import { makeWork, mlpPolicy } from "../learner/testing/work.ts";
import { update } from "../learner/update.ts";
import { initialise } from "../policy/tensor/initialise.ts";
import { parameterCount } from "../policy/tensor/layout.ts";
import { simdProvider } from "../policy/tensor/simd/provider.ts";
import type { TensorProvider } from "../policy/tensor/tensors.ts";
import { openDevice } from "../policy/tensor/tfjs/device.ts";
import { DeviceUnavailableError } from "../policy/tensor/tfjs/packages.ts";

const HIDDEN = [48, 200, 680, 2200, 7000];
const ROWS = 512;
const RUNS = 5;
const largest = Number(process.argv[2] ?? 1e7);
const minibatches = Number(process.argv[3] ?? 4);

const providers: TensorProvider[] = [simdProvider()];
for (const name of ["tensorflow", "webgpu"] as const) {
  try {
    const device = await openDevice(name);
    console.log(`${name}: ${device.description}${device.isGpu ? "" : " (no GPU: says nothing of the speed of one)"}`);
    providers.push(device);
  } catch (error) {
    if (!(error instanceof DeviceUnavailableError)) throw error;
    console.log(`${name}: left out. ${error.message}`);
  }
}

console.log(
  ["parameters", ...providers.map(({ name }) => `${name} ms/step`), "of simd"].map((s) => s.padStart(20)).join(""),
);
for (const width of HIDDEN) {
  const policy = mlpPolicy(64, `${width},${width}`);
  const count = parameterCount(policy.layout);
  if (count > largest * 1.2) break;
  const work = await makeWork(policy, providers[0]!, ROWS * minibatches);
  const fastest: number[] = [];
  for (const provider of providers) {
    const model = provider.model(policy.layout);
    model.load(initialise(policy.layout, 1));
    const engine = inlineGradients(policy, model, 1);
    const options = { ...work.options, minibatch: ROWS, epochs: 1 };
    const pass = async () => {
      const startedAt = performance.now();
      await update(model, engine, work.data, work.rows, options, work.seed);
      return (performance.now() - startedAt) / minibatches;
    };
    await pass(); // compiles
    const times: number[] = [];
    for (let i = 0; i < RUNS; i++) times.push(await pass());
    fastest.push(Math.min(...times));
    model.dispose();
  }
  const best = Math.min(...fastest.slice(1));
  const cells = [count.toLocaleString("en"), ...fastest.map((ms) => ms.toFixed(1)), (best / fastest[0]!).toFixed(2)];
  console.log(cells.map((cell) => cell.padStart(20)).join(""));
}
process.exit(0);
