import { test } from "bun:test";
import { BASIC_OPERATIONS, conformance } from "../conformance.ts";
import { deviceForTests } from "./testing/devices.ts";

const device = await deviceForTests("tensorflow");
if (device) conformance(device, { row: 1e-5 }, BASIC_OPERATIONS);
else test.skip("device tensorflow conforms", () => {});
