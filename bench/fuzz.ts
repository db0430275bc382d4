/**
 * Every decoder against damaged and forged inputs: `bun bench/fuzz.ts [inputs] [seed]`, a million by default. Fails when an input
 * ends in anything but a value or a refusal, takes longer than 50 ms (a game file: a second), or leaves memory behind.
 */
import { fuzz } from "./fuzzing/fuzz.ts";
import { targets } from "./fuzzing/targets.ts";

const [inputs = 1_000_000, seed = 1] = process.argv.slice(2).map(Number);
const LIMIT_MS = 50;
const MAX_GROWTH_BYTES = 16 << 20;

const weights = targets.reduce((sum, { weight }) => sum + weight, 0);
console.log("decoder            inputs  accepted   refused  slowest ms  heap growth KiB");
let failed = false;
for (const target of targets) {
  const found = await fuzz(target, Math.ceil((inputs * target.weight) / weights), seed, target.limitMs ?? LIMIT_MS);
  const figures = [found.inputs, found.accepted, found.refused].map((n) => String(n).padStart(9)).join(" ");
  const growth = String(Math.round(found.heapGrowthBytes / 1024)).padStart(16);
  console.log(`${target.name.padEnd(15)} ${figures} ${found.slowestMs.toFixed(2).padStart(11)} ${growth}`);
  for (const { how, input } of found.problems) console.log(`  ${how}\n    ${input.slice(0, 2_000)}`);
  failed ||= found.problems.length > 0 || found.heapGrowthBytes > MAX_GROWTH_BYTES;
}
if (failed) process.exit(1);
