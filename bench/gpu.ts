/**
 * Updates on the devices that are here, beside simd and beside PyTorch (eager, float32; on a GPU if it sees one): PPO minibatches of 512
 * rows on fully connected policies of 10 k to 100 M parameters. Median of five passes; PyTorch is installed on first use.
 *   bun bench/gpu.ts [--largest 1e7] [--minibatches 4] [--without simd,torch]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { gradientEngine } from "../learner/gradient-threads.ts";
import { update } from "../learner/update.ts";
import { parameterCount } from "../policy/tensor/layout.ts";
import { simdProvider } from "../policy/tensor/simd/provider.ts";
import type { TensorProvider } from "../policy/tensor/tensors.ts";
import { openDevice } from "../policy/tensor/tfjs/device.ts";
import { DeviceUnavailableError } from "../policy/tensor/tfjs/packages.ts";
import { median } from "./credit-assignment/statistics.ts";
import { type LearnerWork, networkWork, writeWork } from "./peers/learner-work.ts";
import { run } from "./peers/program.ts";
import { peerPython, peerScript, pinned } from "./peers/python.ts";

const WIDTHS = [48, 200, 680, 2200, 7000];
const ROWS = 512;
const PASSES = 5;
const { values } = parseArgs({
  options: {
    largest: { type: "string", default: "1e7" },
    minibatches: { type: "string", default: "4" },
    without: { type: "string", default: "" },
  },
});
const largest = Number(values.largest);
const minibatches = Number(values.minibatches);
const without = values.without.split(",");
for (const [name, value] of Object.entries({ largest, minibatches }))
  if (!(value >= 1)) throw new RangeError(`--${name} is a number from 1 on`);

type Column = { name: string; msPerStep(work: LearnerWork): Promise<number> };

/** Ours, in this process: two threads of simd, or a device. */
function ofProvider(provider: TensorProvider): Column {
  return {
    name: provider.name,
    async msPerStep({ policy, weights, data, rows, options, seed }) {
      const model = provider.model(policy.layout);
      model.load(weights);
      const engine = gradientEngine(policy, model, Math.min(2, availableParallelism()), provider.name);
      const times: number[] = [];
      for (let pass = 0; pass <= PASSES; pass++) {
        const startedAt = performance.now();
        await update(model, engine, data, rows, options, seed);
        if (pass > 0) times.push(performance.now() - startedAt); // the first one compiles
      }
      await engine.close();
      model.dispose();
      return median(times) / minibatches;
    },
  };
}

const torch: Column = {
  name: "PyTorch",
  async msPerStep(work) {
    const folder = mkdtempSync(join(tmpdir(), "proxima-bench-gpu-"));
    try {
      writeWork(folder, work);
      const settings = { folder, threads: availableParallelism(), seconds: 1, minibatches, forwardRows: 16, gpu: true };
      const command = [peerPython("torch"), peerScript("learner_step.py"), JSON.stringify(settings)];
      const { events } = await run(command, { timeoutMs: 1_800_000 });
      const { updateMs, device } = events.find(({ type }) => type === "measured")!;
      torch.name = `PyTorch ${device}`;
      return updateMs as number;
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};

const columns: Column[] = without.includes("simd") ? [] : [ofProvider(simdProvider())];
for (const name of ["tensorflow", "webgpu"] as const) {
  if (without.includes(name)) continue;
  try {
    const device = await openDevice(name);
    console.log(`${name}: ${device.description}${device.isGpu ? "" : " (no GPU: says nothing of the speed of one)"}`);
    columns.push(ofProvider(device));
  } catch (error) {
    if (!(error instanceof DeviceUnavailableError)) throw error;
    console.log(`${name}: left out. ${error.message}`);
  }
}
if (!without.includes("torch")) {
  columns.push(torch);
  console.log(`PyTorch: ${pinned("torch", "torch")}`);
}

let hasTitle = false;
for (const width of WIDTHS) {
  const work = await networkWork(`${width} × ${width}`, ROWS * minibatches, minibatches);
  const count = parameterCount(work.policy.layout);
  if (count > largest * 1.2) break;
  const ms: number[] = [];
  for (const column of columns) ms.push(await column.msPerStep(work));
  if (!hasTitle) row("parameters", ...columns.map(({ name }) => `${name} ms/step`));
  hasTitle = true;
  row(count.toLocaleString("en"), ...ms.map((each) => each.toFixed(1)));
}
process.exit(0);

function row(...cells: string[]): void {
  console.log(cells.map((cell) => cell.padStart(24)).join(""));
}
