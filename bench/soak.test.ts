import { expect, setDefaultTimeout, test } from "bun:test";
import { testingProgram } from "../deploy/testing-broker.ts";
import { soak, trends } from "./soaking/soak.ts";

setDefaultTimeout(120_000); // for machines that do much else at the same time

const possible = process.platform === "linux" && (await testingProgram()) !== undefined;

test.skipIf(!possible)(
  "a soak sees memory, files, the broker's store and its answers, while the training goes on",
  async () => {
    const samples = await soak({ seconds: 4, sampleSeconds: 1, env: "cartpole", actors: 1 });
    expect(samples).toHaveLength(4);
    for (const { rssBytes, files, brokerMs } of samples) {
      for (const name of ["learner", "broker", "actors"]) {
        expect(rssBytes[name]).toBeGreaterThan(1 << 20);
        expect(files[name]).toBeGreaterThan(3);
      }
      expect(brokerMs).toBeGreaterThan(0);
    }
    expect(samples.at(-1)!.iterations).toBeGreaterThan(0);
    for (const { what, early, late } of trends(samples).slice(0, 6)) {
      expect(early, what).toBeGreaterThan(0);
      expect(late, what).toBeGreaterThan(0);
    }
  },
);
