/** Breaks a WebGPU device (`lost`: it goes away, `memory`: it is asked for more than it has) and says what its user hears. */
import { requirePackages } from "../../policy/tensor/tfjs/packages.ts";
import { deviceForTests } from "../../policy/tensor/tfjs/testing/devices.ts";

const device = (await deviceForTests("webgpu"))!;
const model = device.model([{ name: "w", shape: [1, 8], init: { type: "constant", value: 0 } }]);
const compute = (rows: number) =>
  model.evaluate((t) => {
    const column = t.input(new Float32Array(rows).fill(1), [rows, 1]);
    return { y: t.sum(t.matmul(column, t.reshape(column, [1, rows]))) };
  });
await compute(4);
if (process.argv[2] === "lost") {
  const { backend } = requirePackages("webgpu")("@tensorflow/tfjs-core") as {
    backend(): { device: { destroy(): void; lost: Promise<unknown> } };
  };
  backend().device.destroy();
  await backend().device.lost;
}
const rows = process.argv[2] === "lost" ? 4 : 30_000; // 900 million numbers
const heard = await Promise.resolve(compute(rows)).catch((error: Error) => error);
console.log(
  `heard: ${heard instanceof Error ? `${heard.name}: ${heard.message.replaceAll("\n", " ")}` : JSON.stringify(heard)}`,
);
process.exit(0);
