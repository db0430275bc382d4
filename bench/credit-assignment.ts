/**
 * Which credit assignment learns best: trains ProxMO (its presets, and without each of its parts), GiGPO, GRPO and RLOO from
 * the same starts and writes tables and figures into docs/credit-assignment.md.
 *
 *   bun bench/credit-assignment.ts --setting scavenger --seeds 5
 *
 * The settings are in bench/credit-assignment/variants.ts. Runs that are already in bench/credit-assignment/<setting>.jsonl are not repeated, so an interrupted experiment goes on where it
 * was. One thread a run, `--jobs` runs at a time; `--report` trains nothing and only writes the page.
 */
import { appendFileSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { findData } from "../envs/alfworld/data.ts";
import { fillIn, report } from "./credit-assignment/report.ts";
import { keyOf, type RunRequest, type RunResult, runOnce } from "./credit-assignment/run.ts";
import { settings, variants } from "./credit-assignment/variants.ts";

const { values } = parseArgs({
  options: {
    setting: { type: "string", default: "scavenger" },
    seeds: { type: "string", default: "5" },
    totalEnvSteps: { type: "string" },
    variants: { type: "string" },
    jobs: { type: "string", default: String(availableParallelism()) },
    results: { type: "string" },
    docs: { type: "string", default: join(import.meta.dirname, "../docs") },
    report: { type: "boolean", default: false },
    /** How this script calls itself for a single run, and the weights it starts from. */
    single: { type: "string" },
    initialWeights: { type: "string", default: "" },
  },
});

if (values.single) {
  const result = await runOnce(JSON.parse(values.single) as RunRequest, values.initialWeights);
  console.log(JSON.stringify(result));
  process.exit(0);
}

if (!Object.hasOwn(settings, values.setting))
  throw new RangeError(`There is no setting '${values.setting}': choose from ${Object.keys(settings).join(", ")}`);
const setting = settings[values.setting];
const totalEnvSteps = Number(values.totalEnvSteps ?? setting.totalEnvSteps);
const seeds = Number(values.seeds);
const jobs = Number(values.jobs);
for (const [name, value] of Object.entries({ totalEnvSteps, seeds, jobs }))
  if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`--${name} is a whole number from 1 on`);
const chosen = values.variants?.split(",") ?? setting.variants;
for (const name of chosen)
  if (!Object.hasOwn(variants, name))
    throw new RangeError(`There is no variant '${name}': choose from ${Object.keys(variants).join(", ")}`);
const path =
  values.results ?? join(import.meta.dirname, `credit-assignment/${setting.resultsOf ?? values.setting}.jsonl`);

/** Seed by seed, so that an interrupted experiment has as many seeds of each variant. */
const wanted = await Promise.all(
  Array.from({ length: seeds }, (_, seed) =>
    chosen.map((variant) => ({
      setting: values.setting,
      variant,
      seed,
      totalEnvSteps,
      evalEvery: setting.evalEvery,
      evalEpisodes: 150,
      finalEpisodes: 300,
    })),
  )
    .flat()
    .map(async (request) => ({ request, key: await keyOf(request) })),
);
const done = new Map<string, RunResult>();
if (existsSync(path))
  for (const line of readFileSync(path, "utf8").split("\n").filter(Boolean)) {
    const result = JSON.parse(line) as RunResult;
    done.set(result.key, result);
  }

const unknown = wanted.filter(({ key }) => !done.has(key));
const missing = values.report ? [] : unknown;
console.log(`${wanted.length} runs, ${wanted.length - unknown.length} of them known; ${jobs} at a time.`);
if (missing.length && setting.needsData && !findData(""))
  throw new Error(
    `Setting '${values.setting}' plays the original games, which are not there: 'proxima data fetch alfworld' gets them, or name ` +
      "the folder that holds json_2.1.1 in ALFWORLD_DATA",
  );
const initialWeights = missing.length && setting.afterImitation ? await imitationWeights(setting.env) : "";
const running = new Set<ReturnType<typeof start>>();
for (const stop of ["SIGINT", "SIGTERM"] as const)
  process.on(stop, () => {
    for (const child of running) child.kill();
    process.exit(1);
  });
await Promise.all(
  Array.from({ length: jobs }, async () => {
    for (let next = missing.shift(); next; next = missing.shift()) {
      const { variant, seed } = next.request;
      const child = start(next.request);
      running.add(child);
      const [output, code] = await Promise.all([new Response(child.stdout).text(), child.exited]);
      running.delete(child);
      if (code !== 0) throw new Error(`The run of ${variant} with seed ${seed} failed with exit code ${code}`);
      const result = JSON.parse(output) as RunResult;
      done.set(result.key, result);
      appendFileSync(path, `${JSON.stringify(result)}\n`);
      console.log(
        `${variant}, seed ${seed}: ${(100 * result.final.sampled).toFixed(1)} % after ${result.cpuSeconds.toFixed(0)} s of CPU`,
      );
    }
  }),
);

function start(request: RunRequest) {
  const single = ["--single", JSON.stringify(request), "--initialWeights", initialWeights];
  return Bun.spawn([process.execPath, import.meta.path, ...single], { stdout: "pipe", stderr: "inherit" });
}

/** What `proxima imitate` makes of the environment's demonstrations: with one thread the same bits every time. */
async function imitationWeights(env: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "proxima-imitation-"));
  console.log(`Learning from demonstrations first, in ${folder}`);
  const command = ["imitate", "--env", env, "--run", "start", "--tasks", "10000", "--learningRate", "0.002"];
  const proxima = join(import.meta.dirname, "../deploy/proxima.ts");
  const child = Bun.spawn([process.execPath, proxima, ...command, "--learnerThreads", "1"], { cwd: folder });
  if ((await child.exited) !== 0) throw new Error(`Imitation failed: ${await new Response(child.stdout).text()}`);
  return join(folder, "runs/start/weights.safetensors");
}

const results = wanted.flatMap(({ key }) => done.get(key) ?? []);
if (results.length > 0) {
  const repeat = `bun bench/credit-assignment.ts --setting ${values.setting} --seeds ${seeds} --totalEnvSteps ${totalEnvSteps}`;
  const { markdown, svgs } = report(values.setting, results, repeat);
  const page = join(values.docs, "credit-assignment.md");
  writeFileSync(page, fillIn(readFileSync(page, "utf8"), `results of ${values.setting}`, markdown));
  for (const [name, svg] of Object.entries(svgs)) writeFileSync(join(values.docs, name), svg);
  console.log(`\n${markdown}\n\nWritten to ${page}.`);
}
