import { test } from "bun:test";
import { conformance } from "../conformance.ts";
import { deviceForTests } from "./testing/devices.ts";

const device = await deviceForTests("tensorflow");
if (device) conformance(device, { row: 1e-5 });
else test.skip("device tensorflow conforms", () => {});
