/**
 * ProxMO: Fang et al., "Proximity-Based Multi-Turn Optimization", arXiv:2602.19225.
 *   A(a_t) = Ã^E(τ) + ω·A^S(a_t)
 * The episode term Ã^E compares an episode with its group and weighs it by how hard the task is (`episode-term.ts`,
 * `polarized-signal.ts`). The step term A^S = R_t − B_t compares a step with the returns seen from similar states
 * (`soft-baseline.ts`, `proximity.ts`).
 */
import { type Anchors, distinctAnchors } from "./anchors.ts";
import { creditFrom } from "./credit.ts";
import type { Diagnostics } from "./diagnostics.ts";
import { type EpisodeTerm, type EpisodeTermOptions, episodeTerm, episodeTermOptions } from "./episode-term.ts";
import type { EstimatorDefinition, Groups } from "./estimator.ts";
import { betaOf } from "./polarized-signal.ts";
import { type Embed, embeddingProximity, exactProximity, type Proximity, tfidfProximity } from "./proximity.ts";
import { pools, type Scope, type SoftBaseline, softBaseline } from "./soft-baseline.ts";

export interface ProxmoOptions extends EpisodeTermOptions {
  preset: "default" | "paper" | "reference";
  tau: number;
  omega: number;
  psa: boolean;
  scope: Scope;
  selfWeight: "include" | "exclude";
  proximity: "tfidf" | "exact" | "embedding";
  maxFeatures: number;
  emptyVocabulary: "mean" | "zero";
  /** For `proximity: embedding`; see `proxmoWithEmbedding`. */
  embed?: Embed;
}

export const proxmo: EstimatorDefinition<ProxmoOptions> = {
  name: "proxmo",
  summary: "Episode term weighed by difficulty plus a step term over similar states (arXiv:2602.19225).",
  options: {
    preset: {
      default: "default",
      choices: ["default", "paper", "reference"],
      about: "paper: the equations. reference: the published code, to the digit. default: the paper, own row excluded.",
    },
    ...episodeTermOptions,
    tau: { default: 0.1, min: 1e-6, about: "Temperature τ of the softmax over similarity." },
    omega: {
      default: 1,
      min: 0,
      about: "Weight ω of the step term. At 4 it is the louder of the two: faster, but quicker to settle on less.",
    },
    psa: { default: true, about: "Add the step term (proximity-based soft aggregation)." },
    scope: {
      default: "group",
      choices: ["group", "same-step"],
      about: "States that form a baseline. group: every step of the group. same-step: those with the same step index.",
    },
    selfWeight: {
      default: "exclude",
      choices: ["include", "exclude"],
      about:
        "Whether a step's own return is part of its baseline. Included, it is its own nearest neighbour and shrinks the " +
        "advantage, to 8 % at 100 rows of mean similarity 0.3.",
    },
    proximity: {
      default: "tfidf",
      choices: ["tfidf", "exact", "embedding"],
      about: "Similarity of anchors: cosine of TF-IDF, identity, or cosine of an embedding given in code.",
    },
    maxFeatures: {
      default: 0,
      min: 0,
      integer: true,
      about: "TF-IDF keeps this many terms, those with the highest total count. 0: all.",
    },
    emptyVocabulary: {
      default: "mean",
      choices: ["mean", "zero"],
      about:
        "When no anchor has a term to compare by. mean: the plain mean of the returns is the baseline. zero: no step " +
        "term, as the published code has it. Either is counted in vectoriserFailures.",
    },
  },
  presets: {
    default: {},
    paper: { selfWeight: "include" },
    reference: {
      normalize: "none",
      samples: "rows",
      successRate: "score",
      beta: betaOf(0.05),
      selfWeight: "include",
      maxFeatures: 1024,
      emptyVocabulary: "zero",
    },
  },
  needsCritic: false,
  needsAnchors: true,
  estimate(groups, options) {
    const { advantages, diagnostics } = proxmoTerms(groups, options);
    return creditFrom(groups, advantages, diagnostics);
  },
};

/** ProxMO with similarity from the user's own vectors. */
export function proxmoWithEmbedding(embed: Embed): EstimatorDefinition<ProxmoOptions> {
  return {
    ...proxmo,
    options: { ...proxmo.options, proximity: { ...proxmo.options.proximity, default: "embedding" } },
    estimate: (groups, options) => proxmo.estimate(groups, { ...options, embed }),
  };
}

export interface ProxmoTerms extends EpisodeTerm {
  /** [R] A^S, before ω. */
  step: Float64Array;
  /** [R] */
  advantages: Float64Array;
  /** Absent where there is no step term. */
  baseline?: SoftBaseline;
  diagnostics: Diagnostics;
}

/** Every term in float64. */
export function proxmoTerms(groups: Groups, options: ProxmoOptions): ProxmoTerms {
  const term = episodeTerm(groups, options);
  const { returns, episode } = term;
  const step = new Float64Array(returns.length);
  if (!options.psa)
    return { ...term, step, advantages: episode, diagnostics: { episodeTermMeanAbs: meanAbs(episode) } };

  const anchors = distinctAnchors(groups, "proxmo");
  const proximity = proximityOf(anchors, options);
  const failed = returns.length > 0 && proximity.vocabularySize === 0;
  let baseline: SoftBaseline | undefined;
  if (!failed || options.emptyVocabulary === "mean") {
    const { tau, scope, selfWeight } = options;
    baseline = softBaseline(returns, anchors.index, pools(groups, scope), proximity, tau, selfWeight);
    for (let row = 0; row < step.length; row++) step[row] = returns[row] - baseline.baselines[row];
  }
  const diagnostics: Diagnostics = {
    episodeTermMeanAbs: meanAbs(episode),
    stepTermMeanAbs: options.omega * meanAbs(step),
    selfWeightMean: baseline ? mean(baseline.selfWeights) : 0,
    baselineSampleSize: baseline ? mean(baseline.sampleSizes) : 0,
    vocabularySize: proximity.vocabularySize,
    emptyAnchorShare: mean(anchors.index.map((id) => proximity.empty[id])),
    vectoriserFailures: Number(failed),
  };
  return { ...term, step, advantages: episode.map((a, row) => a + options.omega * step[row]), baseline, diagnostics };
}

export function proximityOf(anchors: Anchors, options: ProxmoOptions): Proximity {
  if (options.proximity === "tfidf") return tfidfProximity(anchors, options.maxFeatures);
  if (options.proximity === "exact") return exactProximity(anchors);
  if (options.embed) return embeddingProximity(anchors, options.embed);
  throw new TypeError(
    "Cannot estimate with 'proxmo': proximity is 'embedding', but no embedding was given. Use proxmoWithEmbedding(embed).",
  );
}

function mean(values: Float64Array | Uint32Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return values.length ? sum / values.length : 0;
}

const meanAbs = (values: Float64Array) => mean(values.map(Math.abs));
