import { expect, test } from "bun:test";
import { testingProgram } from "../../deploy/testing-broker.ts";
import { chaos } from "./run.ts";

const program = await testingProgram();

test.skipIf(!program)(
  "twenty faults in a few seconds lose no episode, train none twice and change no metric",
  async () => {
    const log: string[] = [];
    const options = { program: program!, faults: 20, minutes: 0.1, seed: 5, actorHosts: 1, nodeHosts: 2 };
    const report = await chaos({ ...options, log: (line) => log.push(line) });
    expect(report.broken, log.join("\n")).toEqual([]);
    const { started, trained, dropped, inFlight } = report.episodes;
    expect(started).toBe(trained + Object.values(dropped).reduce((a, b) => a + b, 0) + inFlight);
    expect(Object.values(report.faults).reduce((a, b) => a + b, 0)).toBe(20);
    expect(Object.keys(report.faults).length).toBeGreaterThan(5);
    expect(Object.keys(report.faults).some((kind) => /^(node|placed actor) /.test(kind))).toBe(true);
  },
  240_000,
);
