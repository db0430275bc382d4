/** Everything that can be set about a training run. Defaults suit small policies on CPUs; environments adjust them. */
import { type ConfigOf, defineConfig } from "../proto/config.ts";

export const runSchema = defineConfig({
  title: "learner",
  fields: {
    run: {
      section: "run",
      type: "text",
      default: "",
      pattern: /^([A-Za-z0-9_-]{1,64})?$/,
      expects: "at most 64 letters, digits, - or _",
      about: "Name of the run, and of its folder in runs/; the next free <env>-<n> when empty.",
    },
    resume: {
      section: "run",
      type: "flag",
      default: false,
      about: "Go on from the last checkpoint of an existing run.",
    },
    seed: {
      section: "run",
      type: "integer",
      default: 0,
      min: 0,
      max: 0xffff_ffff,
      about: "Every random choice follows from it and from an episode's lineage.",
    },
    resumeFrom: {
      section: "run",
      type: "integer",
      default: 0,
      min: 0,
      unit: "iterations",
      about: "With resume: the checkpoint to go on from; 0: the latest.",
    },
    env: { section: "run", type: "text", default: "alfworld", about: "Environment: see `proxima env list`." },
    envArguments: {
      section: "run",
      type: "options",
      prefix: "env",
      about: "Arguments of the environment: see `proxima env list`.",
    },
    policy: {
      section: "run",
      type: "text",
      default: "mlp",
      about: "Network, or the path of a module that defines one.",
    },
    policyOptions: {
      section: "run",
      type: "options",
      prefix: "policy",
      about: "Options of the policy: see `proxima help policies`.",
    },
    initialWeights: {
      section: "run",
      type: "text",
      default: "",
      about: "Safetensors file to start from (after imitation, say); freshly drawn from the seed when empty.",
    },
    iterations: {
      section: "run",
      type: "integer",
      default: 0,
      min: 0,
      about: "Stop after this many iterations; 0: no such limit.",
    },
    totalEnvSteps: {
      section: "run",
      type: "integer",
      default: 500_000,
      min: 0,
      about: "Stop once this many environment steps were trained on; 0: no such limit.",
    },

    mode: {
      section: "sampling",
      type: "choice",
      default: "sync",
      choices: ["sync", "async"],
      about: "sync: on-policy and reproducible bit for bit. async: actors never wait for an update.",
    },
    maxStaleness: {
      section: "sampling",
      type: "integer",
      default: 1,
      min: 1,
      max: 64,
      unit: "weights versions",
      about: "async only: how old the policy of an episode may be when it is trained on.",
    },
    taskSampling: {
      section: "sampling",
      type: "choice",
      default: "uniform",
      choices: ["uniform", "type", "difficulty"],
      about: "uniform: any task. type: any task type, then a task of it. difficulty: rather those won now and then.",
    },
    groupSize: {
      section: "sampling",
      type: "integer",
      default: 8,
      min: 1,
      max: 1024,
      unit: "episodes",
      about: "Episodes of one task from one initial state: what an episode is compared with.",
    },
    groupsPerIteration: {
      section: "sampling",
      type: "integer",
      default: 16,
      min: 1,
      max: 65_536,
      unit: "groups",
      about: "Tasks in an iteration; the first guess where stepsPerIteration adapts it.",
    },
    stepsPerIteration: {
      section: "sampling",
      type: "integer",
      default: 0,
      min: 0,
      unit: "environment steps",
      about: "Aim at this many steps: the number of groups follows the mean episode length; 0: fixed groups.",
    },
    dropGroupsWithoutSignal: {
      section: "sampling",
      type: "flag",
      default: true,
      about: "Leave out groups whose episodes all ended alike, as their advantages are zero (DAPO).",
    },
    refill: {
      section: "sampling",
      type: "flag",
      default: false,
      about: "Ask for further groups in place of dropped ones (DAPO's dynamic sampling).",
    },
    maxAttempts: {
      section: "sampling",
      type: "integer",
      default: 3,
      min: 1,
      max: 100,
      unit: "attempts",
      about: "How often a member without a result is asked for before its group goes on without it.",
    },

    estimator: {
      section: "credit",
      type: "text",
      default: "proxmo",
      about: "How advantages are computed: proxmo, gigpo, grpo, rloo, gae, vtrace, …",
    },
    creditOptions: {
      section: "credit",
      type: "options",
      prefix: "credit",
      about: "Options of the estimator: see `proxima help estimators`.",
    },

    epochs: {
      section: "ppo",
      type: "integer",
      default: 2,
      min: 1,
      max: 100,
      about: "Passes over an iteration's steps.",
    },
    minibatch: {
      section: "ppo",
      type: "integer",
      default: 512,
      min: 1,
      unit: "step rows",
      about: "Rows of one gradient step.",
    },
    learningRate: { section: "ppo", type: "number", default: 1e-3, above: 0, about: "Adam's step size." },
    learningRateSchedule: {
      section: "ppo",
      type: "choice",
      default: "constant",
      choices: ["constant", "linear"],
      about: "linear: falls to zero at the end of the run.",
    },
    adamBeta1: { section: "ppo", type: "number", default: 0.9, min: 0, max: 0.9999999, about: "Decay of the mean." },
    adamBeta2: {
      section: "ppo",
      type: "number",
      default: 0.999,
      min: 0,
      max: 0.9999999,
      about: "Decay of the squares.",
    },
    adamEpsilon: {
      section: "ppo",
      type: "number",
      default: 1e-8,
      above: 0,
      about: "Keeps Adam's divisor from zero.",
    },
    maxGradNorm: {
      section: "ppo",
      type: "number",
      default: 1,
      min: 0,
      about: "Gradients are scaled down to this global norm; 0: not clipped.",
    },
    clipLow: {
      section: "ppo",
      type: "number",
      default: 0.2,
      above: 0,
      max: 1,
      about: "The ratio is clipped below 1 - clipLow.",
    },
    clipHigh: {
      section: "ppo",
      type: "number",
      default: 0.2,
      above: 0,
      about: "The ratio is clipped above 1 + clipHigh (DAPO's clip-higher: 0.28).",
    },
    dualClip: {
      section: "ppo",
      type: "number",
      default: 0,
      min: 0,
      about: "Bounds the loss of bad actions that became likely, usually 3; 0: off.",
    },
    klCoefficient: {
      section: "ppo",
      type: "number",
      default: 0,
      min: 0,
      about: "Weight of the divergence from the initial policy (the paper's language models: 0.01).",
    },
    klEstimator: {
      section: "ppo",
      type: "choice",
      default: "k3",
      choices: ["k1", "k2", "k3"],
      about: "How that divergence is estimated from the actions taken.",
    },
    targetKl: {
      section: "ppo",
      type: "number",
      default: 0,
      min: 0,
      about: "End the epochs of an iteration once the policy moved this far; 0: off.",
    },
    entropyCoefficient: {
      section: "ppo",
      type: "number",
      default: 0.003,
      min: 0,
      about: "Weight of the entropy bonus.",
    },
    valueCoefficient: {
      section: "ppo",
      type: "number",
      default: 0.5,
      min: 0,
      about: "Weight of the critic's loss, where there is one.",
    },
    valueClip: {
      section: "ppo",
      type: "number",
      default: 0,
      min: 0,
      about: "A value may move this far from its old prediction in an iteration; 0: any distance.",
    },
    decoupled: {
      section: "ppo",
      type: "flag",
      default: false,
      about: "async only: clip around the policy at the start of the update, not the one that acted.",
    },
    truncateImportance: {
      section: "ppo",
      type: "number",
      default: 0,
      min: 0,
      about: "decoupled only: upper bound of the weight that corrects for the policy that acted; 0: no bound.",
    },

    checkpointEvery: {
      section: "safety",
      type: "integer",
      default: 1,
      min: 1,
      unit: "iterations",
      about: "How often everything is written; what came after the last checkpoint is trained again after a crash.",
    },
    keepCheckpoints: {
      section: "safety",
      type: "integer",
      default: 3,
      min: 1,
      unit: "checkpoints",
      about: "How many of the newest stay on disk.",
    },
    keepTrajectories: {
      section: "safety",
      type: "integer",
      default: 20,
      min: 0,
      max: 1_000_000,
      unit: "iterations",
      about: "Newest iterations whose trajectories stay on disk for `proxima replay`; 0: none.",
    },
    stallTimeoutMs: {
      section: "safety",
      type: "integer",
      default: 60_000,
      min: 1_000,
      unit: "ms",
      about: "Waiting longer than this for anything is reported: who waits for whom, and what to try.",
    },
    evalEpisodes: {
      section: "evaluation",
      type: "integer",
      default: 100,
      min: 1,
      max: 1_000_000,
      unit: "episodes",
      about: "Episodes of an evaluation, once sampled and once greedy.",
    },

    provider: {
      section: "machine",
      type: "choice",
      default: "simd",
      choices: ["simd", "typescript"],
      about: "Who computes tensors: WebAssembly SIMD, or plain TypeScript (slow and literal).",
    },
    learnerThreads: {
      section: "machine",
      type: "integer",
      default: 2,
      min: 1,
      max: 256,
      unit: "threads",
      about: "Threads of the update; a minibatch is cut into as many shards, so the last digits depend on it.",
    },
    nats: {
      section: "machine",
      type: "text",
      default: "",
      pattern: /^(memory|((nats|tls|ws|wss):\/\/)[^@]+)?$/,
      expects:
        "a URL such as nats://host:4222 without user or password (those belong in a credentials file), or 'memory'",
      about: "The broker; `proxima dev` finds or starts one when empty.",
    },
    natsCredentials: {
      section: "machine",
      type: "text",
      default: "",
      about: "Path of a NATS credentials file.",
    },
    weightsHost: {
      section: "machine",
      type: "text",
      default: "127.0.0.1",
      about: "Address on which weights are served; other than loopback needs TLS and credentials.",
    },
    weightsPort: {
      section: "machine",
      type: "integer",
      default: 0,
      min: 0,
      max: 65_535,
      about: "Port on which weights are served; 0: any free one.",
    },
    weightsEncoding: {
      section: "machine",
      type: "choice",
      default: "f32",
      choices: ["f32", "bf16"],
      about: "How weights travel; bf16 halves them, and the learner then computes with the rounded ones.",
    },
  },
  check(config) {
    const problems: string[] = [];
    const needs = (holds: boolean, problem: string) => {
      if (!holds) problems.push(problem);
    };
    needs(
      config.iterations > 0 || config.totalEnvSteps > 0,
      "iterations and totalEnvSteps are both 0, so the run would never end: set one of them",
    );
    needs(
      !config.refill || config.dropGroupsWithoutSignal,
      "refill asks for groups in place of dropped ones, but dropGroupsWithoutSignal is false: nothing is ever dropped",
    );
    needs(
      config.mode === "async" || !config.decoupled,
      "decoupled corrects for stale episodes, which mode = sync never has: use mode = async or leave it out",
    );
    needs(
      config.decoupled || config.truncateImportance === 0,
      "truncateImportance bounds a weight that only decoupled = true computes",
    );
    needs(
      config.dualClip === 0 || config.dualClip > 1,
      `dualClip bounds the ratio of bad actions from above and must exceed 1 (usually 3), found ${config.dualClip}`,
    );
    needs(config.resume || config.resumeFrom === 0, "resumeFrom chooses a checkpoint to resume from: add --resume");
    needs(!config.resume || config.run !== "", "resume needs the name of the run to go on with: --run NAME --resume");
    return problems;
  },
});

export type RunConfig = ConfigOf<typeof runSchema>;
