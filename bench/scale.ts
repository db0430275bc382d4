/**
 * Throughput against the number of rollout actors and the size of the policy, beside what the model of docs/scaling.md predicts: a
 * learner, a broker and so many actors in five processes, all playing CartPole with two slots. And 500 actors beside 50.
 *   bun bench/scale.ts [--quick] [--rounds N] [--only PART] [--groups 2000] [--iterations 7]
 * Environment steps per second that the learner trains on, seconds an iteration, and processor seconds per million steps of learner,
 * broker and actors together: where processor time is the limit, as on this machine, it decides. In sync mode each run plays the
 * same episodes. Much shorter iterations than these (some two seconds) would measure how programs warm up. A round of all takes
 * some six minutes on two quiet cores.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { testingBroker } from "../deploy/testing-broker.ts";
import { type ProcessEvent, TestingProcess } from "../deploy/testing-process.ts";
import { benchOptions, type Comparison, type Figures, type Measure, sideBySide } from "./peers/side-by-side.ts";
import { network, secondsPerIteration, USED } from "./scaling/model.ts";

const HOSTS = 5;
const SLOTS = 2;
const FEW = 50;
const EPOCHS = 4;
/** In which actors join. */
const WARM_UP = 2;
/** A run that takes longer has failed. */
const PATIENCE_MS = 600_000;
const options = benchOptions("scale", { rounds: 2, quickRounds: 1 }, { groups: "2000", iterations: "7" });
const iterations = Number(options.extra.iterations);

/** Learned from by one thread, or by two where that is most of the work; then of a part of the groups, as each costs so much more. */
interface Size {
  hidden: string;
  threads: number;
  groupsShare: number;
}
const SMALL: Size = { hidden: "16,16", threads: 1, groupsShare: 1 };
/** For a single actor, which waits for answers most of the time. */
const FEWER: Size = { ...SMALL, groupsShare: 1 / 2 };
const LARGE: Size[] = [
  { hidden: "256,256", threads: 2, groupsShare: 1 / 2 },
  { hidden: "1024,1024", threads: 2, groupsShare: 1 / 10 },
];
const script = new URL("testing/many-rollouts.ts", import.meta.url).pathname;

/** Processor time of a process so far, seconds. */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function train(actors: number, { hidden, threads, groupsShare }: Size) {
  const broker = await testingBroker();
  if (!broker) throw new Error("there is no nats-server");
  const folder = mkdtempSync(join(tmpdir(), "proxima-bench-scale-"));
  const settings = {
    run: "scale",
    env: "cartpole",
    "policy.hidden": hidden,
    learnerThreads: threads,
    epochs: EPOCHS,
    minibatch: 4096,
    groupsPerIteration: Math.ceil(Number(options.extra.groups) * groupsShare),
    stepsPerIteration: 0,
    iterations,
    totalEnvSteps: 0,
    keepTrajectories: 0,
    nats: broker.url,
  };
  const given = Object.entries(settings).flatMap(([key, value]) => [`--${key}`, String(value)]);
  const learner = new TestingProcess(["learner", ...given], folder);
  const hosts: ChildProcess[] = [];
  const limit = setTimeout(() => learner.kill(), PATIENCE_MS); // which ends all that waits for it
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
      envStepsPerIteration: steps / (last.iteration - first.iteration),
    };
  } finally {
    clearTimeout(limit);
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

/** Of an iteration with as many steps, on all cores of this machine. */
function predicted(actors: number, { hidden }: Size, envStepsPerIteration: number): Figures {
  const cores = availableParallelism();
  const sizes = [4, ...hidden.split(",").map(Number)]; // of CartPole, with two actions
  const run = { cores, actors, envSteps: envStepsPerIteration, ...network(sizes, 2, EPOCHS) };
  const seconds = secondsPerIteration(run);
  return {
    envStepsPerSecond: envStepsPerIteration / seconds,
    secondsPerIteration: seconds,
    cpuSecondsPerMillion: (seconds * cores * USED * 1e6) / envStepsPerIteration,
    envStepsPerIteration,
  };
}

const STEPS: Measure = { figure: "envStepsPerSecond", unit: "env steps/s", better: "more" };
const SECONDS: Measure = { figure: "secondsPerIteration", unit: "s an iteration", better: "less" };
const WORK: Measure = { figure: "cpuSecondsPerMillion", unit: "processor s per million steps", better: "less" };

function besideModel(actors: number, size: Size): Comparison {
  let measured: Awaited<ReturnType<typeof train>>;
  return {
    name: `${actors} actor${actors > 1 ? "s" : ""}${size.hidden === SMALL.hidden ? "" : `, policy of ${size.hidden}`}`,
    peer: "the model",
    measures: [STEPS, SECONDS, WORK].map((measure) => ({ ...measure, better: "same" })),
    ours: async () => {
      measured = await train(actors, size);
      return measured;
    },
    theirs: async () => predicted(actors, size, measured.envStepsPerIteration),
  };
}

await sideBySide(options, [
  {
    name: "500 actors",
    peer: `${FEW} actors`,
    measures: [{ ...STEPS, goal: 0.9 }, WORK],
    ours: () => train(500, SMALL),
    theirs: () => train(FEW, SMALL),
  },
  besideModel(1, FEWER),
  ...[8, 50, 200, 500, 1000].map((actors) => besideModel(actors, SMALL)),
  ...LARGE.map((size) => besideModel(FEW, size)),
]);
