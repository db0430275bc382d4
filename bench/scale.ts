/**
 * Throughput against the number of rollout actors and the size of the policy: a learner, a broker and so many actors in five
 * processes, all playing CartPole with two slots, beside the same with 50 actors and a policy of 16 × 16.
 *   bun bench/scale.ts [--quick] [--rounds N] [--only PART] [--groups 1000] [--iterations 7]
 * Environment steps per second that the learner trains on, seconds an iteration, and processor seconds per million steps of
 * learner, broker and actors together: where processor time is the limit, as on this machine, it decides. docs/scaling.md has
 * the model. In sync mode each run plays the same episodes.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testingBroker } from "../deploy/testing-broker.ts";
import { type ProcessEvent, TestingProcess } from "../deploy/testing-process.ts";
import { benchOptions, type Comparison, type Figures, sideBySide } from "./peers/side-by-side.ts";

const HOSTS = 5;
const SLOTS = 2;
const FEW = 50;
const SMALL = "16,16";
/** In which actors join. */
const WARM_UP = 2;
const options = benchOptions("scale", { rounds: 2, quickRounds: 1 }, { groups: "1000", iterations: "7" });
const iterations = Number(options.extra.iterations);
const script = new URL("testing/many-rollouts.ts", import.meta.url).pathname;

/** Processor time of a process so far, seconds. */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function train(actors: number, hidden: string): Promise<Figures> {
  const broker = await testingBroker();
  if (!broker) throw new Error("there is no nats-server");
  const folder = mkdtempSync(join(tmpdir(), "proxima-bench-scale-"));
  const settings = {
    run: "scale",
    env: "cartpole",
    "policy.hidden": hidden,
    learnerThreads: 1,
    minibatch: 4096,
    groupsPerIteration: options.extra.groups,
    stepsPerIteration: 0,
    iterations,
    totalEnvSteps: 0,
    keepTrajectories: 0,
    nats: broker.url,
  };
  const given = Object.entries(settings).flatMap(([key, value]) => [`--${key}`, String(value)]);
  const learner = new TestingProcess(["learner", ...given], folder);
  const hosts: ChildProcess[] = [];
  try {
    await learner.until(({ type }) => type === "ready");
    for (let i = 0; i < Math.min(HOSTS, actors); i++) {
      const count = Math.floor((actors + i) / Math.min(HOSTS, actors));
      const args = [script, "scale", broker.url, String(count), String(SLOTS), `host-${i}`];
      hosts.push(spawn(process.execPath, args, { stdio: ["pipe", "inherit", "inherit"] }));
    }
    const all = [learner.child.pid!, broker.pid, ...hosts.map(({ pid }) => pid!)];
    const reached = async (iteration: number) => {
      const event = await learner.until(
        (e: ProcessEvent) => e.type === "iteration" && Number(e.iteration) >= iteration,
      );
      const cpu = all.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
      return { iteration: Number(event.iteration), steps: Number(event.envSteps), atMs: performance.now(), cpu };
    };
    const first = await reached(WARM_UP - 1);
    const last = await reached(iterations - 2); // while all of them still live
    const [steps, seconds] = [last.steps - first.steps, (last.atMs - first.atMs) / 1000];
    return {
      envStepsPerSecond: steps / seconds,
      secondsPerIteration: seconds / (last.iteration - first.iteration),
      cpuSecondsPerMillion: ((last.cpu - first.cpu) * 1e6) / steps,
    };
  } finally {
    await Promise.all(
      hosts.map(async (host) => {
        host.stdin!.end();
        if (host.exitCode === null && host.signalCode === null) await once(host, "exit");
      }),
    );
    await learner.kill();
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function beside(name: string, actors: number, hidden: string, goal?: number): Comparison {
  return {
    name,
    peer: `${FEW} actors, ${SMALL}`,
    measures: [
      { figure: "envStepsPerSecond", unit: "env steps/s", better: "more", goal },
      { figure: "secondsPerIteration", unit: "s an iteration", better: "less" },
      { figure: "cpuSecondsPerMillion", unit: "processor s per million steps", better: "less" },
    ],
    ours: () => train(actors, hidden),
    theirs: () => train(FEW, SMALL),
  };
}

await sideBySide(options, [
  ...[1, 10, 200].map((actors) => beside(`${actors} actors`, actors, SMALL)),
  beside("500 actors", 500, SMALL, 0.9),
  beside("1,000 actors", 1000, SMALL),
  ...["256,256", "1024,1024"].map((hidden) => beside(`${FEW} actors, policy of ${hidden}`, FEW, hidden)),
]);
