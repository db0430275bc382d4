import { expect, test } from "bun:test";
import { checkEnvironment, renderReport } from "./check.ts";
import { builtInIds, environment } from "./registry.ts";

/** Arguments under which a built-in is checked besides its defaults. */
const variants: Readonly<Record<string, readonly Record<string, unknown>[]>> = {
  cartpole: [{ maxEpisodeSteps: 7 }],
  pendulum: [{ gravity: 9.81, maxEpisodeSteps: 20 }],
  scavenger: [{ difficulty: 1 }, { difficulty: 3, types: "unlock" }],
};

/** These need a server, or data, and are checked in their own tests: openenv.test.ts, remote.test.ts, webshop/webshop.test.ts. */
const checkedElsewhere = ["openenv", "remote", "webshop"];

const cases = builtInIds
  .filter((id) => !checkedElsewhere.includes(id))
  .flatMap((id) => [{}, ...(variants[id] ?? [])].map((args) => [id, args] as const));

test.each(cases)("%s with %j keeps the contract of an environment", async (id, args) => {
  const { definition } = await environment(id);
  const report = await checkEnvironment(definition, args, { episodes: 50, seed: 2 });
  expect(renderReport(report)).not.toContain("FAIL");
  expect(report.ok).toBe(true);
  expect(report.stopped).toBeUndefined();
  expect(report.random?.envStepsPerSecond).toBeGreaterThan(0);
});
