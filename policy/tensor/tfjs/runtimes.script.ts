/** Trains a few steps on a device and prints the weights. Arguments: the device. */
import process from "node:process";
import { initialise } from "../initialise.ts";
import type { ParameterSpec } from "../tensors.ts";
import { openDevice } from "./device.ts";
import type { DeviceName } from "./packages.ts";

const layout: ParameterSpec[] = [
  { name: "w", shape: [3, 4], init: { type: "uniform", value: 1 } },
  { name: "b", shape: [4], init: { type: "constant", value: 0 } },
];
const device = await openDevice(process.argv[2] as DeviceName);
const model = device.model(layout);
model.load(initialise(layout, 1));
for (let step = 0; step < 3; step++) {
  const differentiated = model.differentiate((t) => {
    const x = t.input(
      Float32Array.from({ length: 15 }, (_, i) => Math.sin(i + step)),
      [5, 3],
    );
    return { loss: t.mean(t.square(t.linear(x, t.parameter("w"), t.parameter("b"), "tanh"))) };
  });
  await Promise.all([
    differentiated,
    model.adam({ learningRate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 }),
  ]);
}
console.log(`weights ${JSON.stringify([...(await model.weights())])}`);
process.exit(0); // a device keeps threads
