/**
 * What a hot swap costs: environment steps per second in the seconds from the command on, against the mean of the seconds before and
 * after, beside such windows without a swap; and how a bundle in a sandbox compares with the same bundle in the actor's process.
 *   bun bench/swap.ts
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startBroker } from "../deploy/broker.ts";
import { runCommandLine } from "../deploy/command-line.ts";
import { testingProgram } from "../deploy/testing-broker.ts";
import { TestingProcess } from "../deploy/testing-process.ts";
import { createKey } from "../envs/bundle/key-folder.ts";
import { median } from "./credit-assignment/statistics.ts";

const ROUNDS = 6;
const WINDOW_MS = 5_000;
const ACTORS = 2;
const environment = join(import.meta.dirname, "../envs/cartpole.ts");
const deno = join(import.meta.dirname, "../node_modules/.bin/deno");

const program = await testingProgram();
if (!program) process.exit(1);
const folder = mkdtempSync(join(tmpdir(), "proxima-bench-swap-"));
const broker = await startBroker({ program, storeDir: join(folder, "broker") });
const key = await createKey(join(folder, "keys"), "bench");
const started: TestingProcess[] = [];

function proxima(...args: string[]): TestingProcess {
  const process = new TestingProcess(args, folder);
  started.push(process);
  return process;
}

/** The last event of a command of `proxima env`, run in this process so that starting one takes nothing from the actors. */
async function env(...args: string[]): Promise<Record<string, unknown>> {
  let said = "";
  const streams = { out: (text: string) => (said += text), err: (text: string) => (said += text) };
  await runCommandLine(["env", ...args, "--nats", broker.url, "--json"], streams, AbortSignal.timeout(60_000));
  return JSON.parse(said.trim().split("\n").at(-1)!);
}

/** A run of constant work: the policy stays as random as it began. */
async function train(run: string, sandbox: string) {
  const shared = [
    "--nats",
    broker.url,
    "--run",
    run,
    "--trustedKeys",
    key.publicKey,
    "--sandbox",
    sandbox,
    "--denoProgram",
    deno,
  ];
  const still = [
    "--env",
    environment,
    "--learningRate",
    "1e-12",
    "--totalEnvSteps",
    "2000000000",
    "--keepTrajectories",
    "0",
  ];
  const learner = proxima("learner", ...shared, ...still, "--mode", "async", "--maxStaleness", "4");
  await learner.until((event) => event.type === "ready");
  for (let i = 0; i < ACTORS; i++) proxima("actor", ...shared, "--name", `bench-${i}`);
  await learner.until((event) => event.type === "iteration" && Number(event.iteration) > 20);
  const envSteps = () => Number(learner.events.findLast(({ type }) => type === "iteration")!.envSteps);
  const rate = async (ms: number) => {
    const [from, at] = [envSteps(), performance.now()];
    await sleep(ms);
    return ((envSteps() - from) / (performance.now() - at)) * 1000;
  };
  let round = 0;
  /** Each time another bundle, so that everybody loads it. */
  const push = async () => {
    const file = join(folder, `${run}-${round}.ts`);
    writeFileSync(file, `import world from "${environment}"; export default { ...world, round: ${round++} };`);
    return String((await env("push", file, "--run", run, "--signWith", key.path)).digest);
  };
  const swap = async (digest: string) => {
    const answer = await env("swap", "--run", run, "--bundle", digest);
    if (answer.state !== "accepted") throw new Error(`The swap was not accepted: ${JSON.stringify(answer)}`);
  };
  return { learner, rate, push, swap };
}

async function end(): Promise<void> {
  await Promise.all(started.splice(0).map((process) => process.kill()));
}

try {
  const { rate, push, swap, learner } = await train("swap", "none");
  const swapped: number[] = [];
  const undisturbed: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const digest = await push();
    const rates = [await rate(WINDOW_MS), await rate(WINDOW_MS), await rate(WINDOW_MS)];
    undisturbed.push((2 * rates[1]!) / (rates[0]! + rates[2]!));
    const during = rate(WINDOW_MS);
    await swap(digest);
    swapped.push((2 * (await during)) / (rates[2]! + (await rate(WINDOW_MS))));
  }
  const swaps = learner.events.filter(({ message }) => String(message).includes("plays all groups")).length;
  console.log(
    `load ${loadavg()[0]!.toFixed(1)}; ${ACTORS} actors, windows of ${WINDOW_MS / 1000} s, ${swaps} swaps of ${ROUNDS}`,
  );
  console.log(
    `with a swap:   ${(100 * median(swapped)).toFixed(0)} % of the rate before and after (${swapped.map((r) => (100 * r).toFixed(0)).join(", ")})`,
  );
  console.log(
    `without one:   ${(100 * median(undisturbed)).toFixed(0)} % (${undisturbed.map((r) => (100 * r).toFixed(0)).join(", ")})`,
  );
  await end();

  const confined = await train("confined", "deno");
  const inProcess = await confined.rate(WINDOW_MS);
  await confined.swap(await confined.push());
  await sleep(WINDOW_MS);
  const inSandbox = await confined.rate(WINDOW_MS);
  console.log(
    `in a sandbox:  ${(100 * (inSandbox / inProcess)).toFixed(0)} % of the rate in process (${inSandbox.toFixed(0)} of ${inProcess.toFixed(0)} steps/s)`,
  );
} finally {
  await end();
  await broker.stop();
  rmSync(folder, { recursive: true, force: true });
}
