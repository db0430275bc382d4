import { expect, setDefaultTimeout, test } from "bun:test";
import { conformance } from "../conformance.ts";
import { deviceForTests } from "./testing/devices.ts";

setDefaultTimeout(600_000); // a software adapter compiles each shader for a quarter of a second

const device = await deviceForTests("webgpu");
if (device) conformance(device, { row: 1e-5 });
else test.skip("device webgpu conforms", () => {});

test.skipIf(!device)("a device refuses to generate, and says what does", () => {
  const model = device!.model([{ name: "w", shape: [1], init: { type: "constant", value: 0 } }]);
  expect(() => model.cache(1, 4)).toThrow("Cannot generate on the device webgpu");
  model.dispose();
});
