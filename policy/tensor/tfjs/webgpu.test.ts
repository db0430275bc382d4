import { setDefaultTimeout, test } from "bun:test";
import { BASIC_OPERATIONS, conformance } from "../conformance.ts";
import { deviceForTests } from "./testing/devices.ts";

setDefaultTimeout(600_000); // a software adapter compiles each shader for a quarter of a second

const device = await deviceForTests("webgpu");
if (device) conformance(device, { row: 1e-5 }, BASIC_OPERATIONS);
else test.skip("device webgpu conforms", () => {});
