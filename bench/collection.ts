/**
 * Collecting without learning: two rollout actors that play with a network of 64 × 64 and send their episodes over NATS to a
 * learner that takes them in, beside Gymnasium's vector environments in one program, each with the number of environments (16 or 64)
 * at which it is faster; and the same with the environment in yet another process, beside RLlib's external environment and OpenEnv's server
 * with their own clients. Everybody has two cores. All weights are the first ones: episodes of CartPole are some 22 steps long, of
 * Pendulum 200.
 *   bun bench/collection.ts [--quick] [--rounds N] [--only TEXT]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startServer } from "./peers/environment-server.ts";
import { run } from "./peers/program.ts";
import { peerPython, peerScript, pinned } from "./peers/python.ts";
import { benchOptions, type Comparison, type Figures, type Measure, sideBySide } from "./peers/side-by-side.ts";

const options = benchOptions("collection", { rounds: 3, quickRounds: 1 });
const seconds = options.quick ? 2 : 3;
const iterations = 8;
const CORES = "0,1";
const proxima = join(import.meta.dirname, "../deploy/proxima.ts");

const measures = (goal?: number): Measure[] => [
  { figure: "envStepsPerSecond", unit: "env steps/s", better: "more", goal },
  { figure: "meanReturn", unit: "mean return", better: "same" },
];

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * Groups of one have nothing to be compared with: under GRPO they carry no signal, and nothing is learned. The rate is taken from the
 * third iteration on, for actors join during the first ones.
 */
async function collect(environment: readonly string[], groups: number, iterations: number): Promise<Figures> {
  const folder = mkdtempSync(join(tmpdir(), "proxima-bench-collection-"));
  const size = { groupsPerIteration: groups, stepsPerIteration: 0, iterations, totalEnvSteps: 0, groupSize: 1 };
  const network = { policy: "mlp", "policy.hidden": "64,64", "policy.valueHead": "none" };
  const settings = { ...size, ...network, estimator: "grpo", mode: "async", maxStaleness: 2, keepTrajectories: 0 };
  const given = Object.entries(settings).flatMap(([key, value]) => [`--${key}`, String(value)]);
  try {
    const command = [process.execPath, proxima, "dev", ...environment, ...given, "--json"];
    const { events } = await run(command, { cwd: folder, cores: CORES, until: ({ type }) => type === "end" });
    const seen = events.filter(({ type }) => type === "iteration");
    const [first, last] = [seen[2]!, seen.at(-1)!];
    const envSteps = Number(last.envSteps) - Number(first.envSteps);
    return {
      envStepsPerSecond: (1000 * envSteps) / (last.atMs - first.atMs),
      meanReturn: mean(seen.slice(3).map(({ values }) => (values as Record<string, number>)["episode/return"]!)),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function peer(list: string, script: string, settings: object): Promise<Figures> {
  const command = [peerPython(list), peerScript(script), JSON.stringify({ seconds, seed: 1, ...settings })];
  const { events } = await run(command, { cores: CORES, until: ({ type }) => type === "collected" });
  const { envStepsPerSecond, meanReturn } = events.find(({ type }) => type === "collected") as unknown as Figures;
  return { envStepsPerSecond: envStepsPerSecond!, meanReturn: meanReturn! };
}

/** Gymnasium's CartPole in a Python process, through the EnvironmentService. */
async function elsewhere(): Promise<Figures> {
  const server = await startServer(peerPython("torch"), CORES);
  try {
    return await collect(["--env", "remote", "--env.address", server.address], 400, iterations);
  } finally {
    await server.stop();
  }
}

const gymnasium = `Gymnasium ${pinned("torch", "gymnasium")}`;
const worlds = {
  CartPole: { id: "CartPole-v1", settings: ["--env", "cartpole"], groups: 2000 },
  Pendulum: { id: "Pendulum-v1", settings: ["--env", "pendulum"], groups: 400 },
};

function vector(
  name: keyof typeof worlds,
  kind: "sync" | "async",
  policy: "network" | "random",
  envs: number,
  goal?: number,
): Comparison {
  const { id, settings, groups } = worlds[name];
  return {
    name,
    peer: `${gymnasium}, ${kind}, ${envs} environments, ${policy === "network" ? "network" : "random actions"}`,
    measures: measures(goal),
    ours: () => collect(settings, groups, iterations),
    theirs: () => peer("torch", "collect_gymnasium.py", { world: id, vector: kind, policy, envs }),
  };
}

await sideBySide(options, [
  vector("CartPole", "async", "network", 16, 10),
  vector("CartPole", "async", "random", 16),
  vector("CartPole", "sync", "network", 64),
  vector("Pendulum", "async", "network", 16, 10),
  vector("Pendulum", "sync", "network", 64),
  {
    name: "CartPole in another process",
    peer: `RLlib ${pinned("torch", "ray")}, external environment`,
    measures: measures(20),
    ours: elsewhere,
    theirs: async () => peer("torch", "collect_rllib_external.py", { port: await freePort() }),
  },
  {
    name: "CartPole in another process",
    peer: `OpenEnv ${pinned("openenv", "openenv-core")}, 16 sessions, random actions`,
    measures: measures(),
    ours: elsewhere,
    theirs: async () => peer("openenv", "collect_openenv.py", { port: await freePort(), sessions: 16 }),
  },
]);

/** One that was free a moment ago. */
function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
