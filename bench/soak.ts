/**
 * A long training at full load, and whether what it takes stays flat: `bun bench/soak.ts [minutes] [env]`. Fails when memory or
 * open files grow. Linux only.
 */
import { soak, trends } from "./soaking/soak.ts";

const [minutes = "30", env = "cartpole"] = process.argv.slice(2);
const seconds = Number(minutes) * 60;
const sampleSeconds = Math.max(1, Math.min(15, seconds / 20));
/** What collection and caches may do to memory in between. */
const MAX_GROWTH = 1.15;
const MAX_MORE_FILES = 4;

const samples = await soak({
  seconds,
  sampleSeconds,
  env,
  actors: 2,
  onSample: ({ atSeconds, iterations, rssBytes, streamBytes, brokerMs }) => {
    const memory = Object.entries(rssBytes).map(([name, bytes]) => `${name} ${(bytes / 2 ** 20).toFixed(0)} MiB`);
    const stored = (streamBytes / 2 ** 20).toFixed(1);
    console.log(
      `${atSeconds} s: ${iterations} iterations, ${memory.join(", ")}; JetStream ${stored} MiB, answers in ${brokerMs.toFixed(1)} ms`,
    );
  },
});
const { iterations, envSteps } = samples.at(-1)!;
console.log(`\n${iterations} iterations, ${envSteps} env steps in ${minutes} minutes of ${env}`);
console.log(`${"".padEnd(24)} second fifth   last fifth`);
let grew = false;
for (const { what, unit, early, late } of trends(samples)) {
  console.log(`${what.padEnd(24)} ${early.toFixed(1).padStart(12)} ${late.toFixed(1).padStart(12)} ${unit}`);
  grew ||= what.startsWith("RSS") && late > early * MAX_GROWTH;
  grew ||= what.startsWith("open files") && late > early + MAX_MORE_FILES;
}
if (grew) process.exit(1);
