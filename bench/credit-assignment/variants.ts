/** What is compared, and under which settings. */

export interface Variant {
  /** As tables and figures name it. */
  label: string;
  estimator: string;
  credit: Readonly<Record<string, string | number | boolean>>;
}

const proxmo = (label: string, credit: Variant["credit"]): Variant => ({ label, estimator: "proxmo", credit });

/** By name, in the order of the tables. */
export const variants: Readonly<Record<string, Variant>> = {
  "proxmo-omega-4": proxmo("ProxMO, ω = 4", { omega: 4 }),
  proxmo: proxmo("ProxMO, default (ω = 1)", {}),
  "proxmo-omega-8": proxmo("ProxMO, ω = 8", { omega: 8 }),
  "proxmo-undivided": proxmo("ProxMO, ω = 1, not divided by σ", { normalize: "none" }),
  "proxmo-paper": proxmo("ProxMO, paper", { preset: "paper" }),
  "proxmo-reference": proxmo("ProxMO, reference", { preset: "reference" }),
  "proxmo-omega-4-without-psc": proxmo("ProxMO, ω = 4, without PSC", { omega: 4, psc: false }),
  "proxmo-without-psa": proxmo("ProxMO without PSA", { psa: false }),
  gigpo: { label: "GiGPO", estimator: "gigpo", credit: {} },
  grpo: { label: "GRPO", estimator: "grpo", credit: {} },
  rloo: { label: "RLOO", estimator: "rloo", credit: {} },
  "proxmo-alpha-1": proxmo("α = 1", { alpha: 1 }),
  "proxmo-alpha-16": proxmo("α = 16", { alpha: 16 }),
  "proxmo-beta-1": proxmo("β = 1", { beta: 1 }),
  "proxmo-beta-4": proxmo("β = 4", { beta: 4 }),
  "proxmo-tau-0.01": proxmo("τ = 0.01", { tau: 0.01 }),
  "proxmo-tau-0.03": proxmo("τ = 0.03", { tau: 0.03 }),
  "proxmo-tau-0.3": proxmo("τ = 0.3", { tau: 0.3 }),
  "proxmo-tau-1": proxmo("τ = 1", { tau: 1 }),
};

const estimators = ["proxmo-omega-4", "proxmo", "gigpo", "grpo", "rloo"];
const parts = [
  "proxmo-omega-4",
  "proxmo",
  "proxmo-paper",
  "proxmo-reference",
  "proxmo-omega-4-without-psc",
  "proxmo-without-psa",
];
const compared = [...parts, "gigpo", "grpo", "rloo"];
const weights = ["proxmo", "proxmo-omega-4", "proxmo-undivided"];
const temperatures = ["proxmo", ...Object.keys(variants).filter((name) => name.startsWith("proxmo-tau-"))];
const controllers = ["proxmo", ...Object.keys(variants).filter((name) => /^proxmo-(alpha|beta)-/.test(name))];

/** Each figure shows some variants, so that curves stay apart. */
export const figures = {
  estimators: { title: "Estimators", variants: estimators },
  proxmo: { title: "ProxMO, its presets and its parts", variants: parts },
  weight: { title: "The weight ω of ProxMO's step term", variants: weights },
  tau: { title: "ProxMO's temperature τ", variants: temperatures },
  controller: { title: "ProxMO's controller", variants: controllers },
} as const;

/** An experiment: an environment and settings of the learner that differ from its defaults. */
export interface Setting {
  /** What the reader should know of it, as the end of "Environment …,". */
  about: string;
  env: string;
  values: Readonly<Record<string, string | number | boolean>>;
  /** Every run starts from the weights that `proxima imitate` makes of the environment's demonstrations. */
  afterImitation?: boolean;
  /** The original games must be there: those that Proxima makes itself would be another experiment. */
  needsData?: boolean;
  variants: readonly string[];
  figures: readonly (keyof typeof figures)[];
  /** The setting whose file of results this one shares; its own by default. */
  resultsOf?: string;
  totalEnvSteps: number;
  /** Iterations between two evaluations. */
  evalEvery: number;
}

/** One thread a run, and nothing kept that is not looked at. */
const frugal = { learnerThreads: 1, keepTrajectories: 0 } as const;
const comparison = { variants: compared, figures: ["estimators", "proxmo"] } as const;
const games = { env: "alfworld", needsData: true, evalEvery: 8, ...comparison } as const;
const fromImitation = { ...games, afterImitation: true, totalEnvSteps: 200_000 } as const;

/** By name. Everything else is as the environment's training defaults say. */
export const settings: Readonly<Record<string, Setting>> = {
  scavenger: {
    about: "the small text environment",
    env: "scavenger",
    // As many steps in each iteration, so that a run ends within a minute or two.
    values: { ...frugal, stepsPerIteration: 2048, policy: "candidates", "env.difficulty": 1, learningRate: 2e-3 },
    ...comparison,
    totalEnvSteps: 150_000,
    evalEvery: 4,
  },
  alfworld: {
    ...games,
    about: "the original training games, from scratch",
    values: frugal,
    totalEnvSteps: 700_000,
  },
  "alfworld-weight": {
    ...games,
    about: "the original training games, from scratch, with ProxMO's step term as loud as it is and louder",
    values: frugal,
    variants: weights,
    figures: ["weight"],
    resultsOf: "alfworld",
    totalEnvSteps: 700_000,
  },
  "alfworld-50": {
    ...games,
    about: "50 of the original training games, from scratch",
    values: { ...frugal, "env.games": 50 },
    totalEnvSteps: 700_000,
  },
  "alfworld-imitation": {
    ...fromImitation,
    about: "the original training games, after imitation of their walkthroughs",
    values: { ...frugal, learningRate: 1e-3 },
  },
  "alfworld-imitation-50": {
    ...fromImitation,
    about: "50 of the original training games, after imitation of the walkthroughs of all",
    values: { ...frugal, learningRate: 1e-3, "env.games": 50 },
  },
  "alfworld-sensitivity": {
    ...fromImitation,
    about: "the original training games, after imitation, with ProxMO's constants changed one at a time",
    values: { ...frugal, learningRate: 1e-3 },
    variants: [...new Set([...temperatures, ...controllers])],
    figures: ["tau", "controller"],
  },
};
