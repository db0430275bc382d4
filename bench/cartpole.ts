/**
 * CartPole end to end, learning included, beside RLlib, Stable-Baselines3, CleanRL's recipe and Sample Factory: each as a user
 * runs it, with the same PPO (two networks of 64 × 64, 4,096 steps an iteration, 4 epochs of minibatches of 256, a rate that falls
 * to zero over the same budget). Proxima starts its broker, a learner and two actors as processes.
 *   bun bench/cartpole.ts [--cores 2] [--quick] [--rounds N] [--only PEER]
 * Environment steps per second from the end of the first iteration to the end of the last; seconds from the start of the command
 * to an iteration whose episodes return 475 in the mean; memory of all processes at its peak; the mean return of greedy episodes
 * at the end. The seed is the number of the pair.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ProgramEvent, run } from "./peers/program.ts";
import { peerPython, peerScript, pinned } from "./peers/python.ts";
import { benchOptions, type Comparison, type Figures, type Measure, sideBySide } from "./peers/side-by-side.ts";

const SOLVED = 475;
const PPO = {
  totalEnvSteps: 100_000,
  stepsPerIteration: 4096,
  minibatch: 256,
  epochs: 4,
  learningRate: 1.5e-3,
  gamma: 0.99,
  gaeLambda: 0.95,
  clip: 0.2,
  valueCoefficient: 0.5,
  maxGradNorm: 1,
};

const proxima = join(import.meta.dirname, "../deploy/proxima.ts");
const options = benchOptions("cartpole", { rounds: 2, quickRounds: 1 }, { cores: "2" });
const cores = Number(options.extra.cores);
const onCores = cores === 1 ? "0" : `0-${cores - 1}`;

/** What Proxima says of an iteration and what the peers' scripts say, as one. */
function read(event: ProgramEvent): { atMs: number; envSteps: number; meanReturn: number } {
  const values = event.values as Record<string, number> | undefined;
  return {
    atMs: event.atMs,
    envSteps: Number(event.envSteps),
    meanReturn: Number(values ? values["episode/return"] : (event.meanReturn ?? 0)),
  };
}

async function train(command: readonly string[], cwd?: string): Promise<Figures> {
  const { events, peakMiB } = await run(command, { cwd, cores: onCores, env: { OMP_NUM_THREADS: "1" } });
  const iterations = events.filter(({ type }) => type === "iteration").map(read);
  const [first, last] = [iterations[0]!, iterations.at(-1)!];
  const solved = iterations.find(({ meanReturn }) => meanReturn >= SOLVED);
  const evaluation = events.find(({ type }) => type === "evaluation") as
    | { meanReturn?: number; greedy?: { meanReturn: number } }
    | undefined;
  return {
    envStepsPerSecond: (1000 * (last.envSteps - first.envSteps)) / (last.atMs - first.atMs),
    secondsToSolved: solved ? solved.atMs / 1000 : null,
    envStepsToSolved: solved?.envSteps ?? null,
    peakMiB,
    greedyReturn: evaluation?.greedy?.meanReturn ?? evaluation?.meanReturn ?? null,
  };
}

async function ours(seed: number): Promise<Figures> {
  const folder = mkdtempSync(join(tmpdir(), "proxima-bench-cartpole-"));
  try {
    const settings = { env: "cartpole", seed, totalEnvSteps: PPO.totalEnvSteps, learnerThreads: cores, actors: cores };
    const given = Object.entries(settings).flatMap(([key, value]) => [`--${key}`, String(value)]);
    return await train([process.execPath, proxima, "dev", ...given, "--json"], folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function beside(peer: string, script: string, list: string, goal: number): Comparison {
  const measures: Measure[] = [
    { figure: "envStepsPerSecond", unit: "env steps/s", better: "more", goal },
    { figure: "secondsToSolved", unit: `s to a return of ${SOLVED}`, better: "less" },
    { figure: "peakMiB", unit: "MiB at the peak", better: "less" },
    { figure: "greedyReturn", unit: "return in the end", better: "same" },
  ];
  const theirs = async (seed: number) => {
    const settings = { ...PPO, seed, cores, envs: 16 };
    return train([peerPython(list), peerScript(script), JSON.stringify(settings)]);
  };
  return { name: `CartPole, ${cores} core${cores > 1 ? "s" : ""}`, peer, measures, ours, theirs };
}

await sideBySide({ ...options, benchmark: `cartpole-${cores}` }, [
  beside(`Stable-Baselines3 ${pinned("torch", "stable-baselines3")}`, "cartpole_sb3.py", "torch", 10),
  beside(`CleanRL's recipe, PyTorch ${pinned("torch", "torch")}`, "cartpole_recipe.py", "torch", 10),
  beside(`RLlib ${pinned("torch", "ray")}`, "cartpole_rllib.py", "torch", 50),
  beside(
    `Sample Factory ${pinned("sample-factory", "sample-factory")}`,
    "cartpole_sample_factory.py",
    "sample-factory",
    2,
  ),
]);
