/**
 * Whether a decoded trajectory can belong to this run: it is well-formed by itself (the codec saw to that), but an actor of
 * another run, another environment or bad intent can still send one that would break the batch.
 */
import type { EnvironmentSpec, Space } from "../envs/environment.ts";
import { turnOf, wordsFor } from "../policy/acting.ts";
import { hasTokens, type Policy, type TokenPolicy } from "../policy/policy.ts";
import type { Steps, Trajectory } from "../proto/trajectory.ts";
import type { MemberName } from "./ledger.ts";

const elements = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** What the learner asked for. */
export interface Asked extends MemberName {
  run: string;
  task: string;
  seed: number;
  environment: { generation: number; digest: string };
}

/** What is wrong with it, in words; undefined when it fits. @param weights versions that the task allowed, both ends included */
export function misfit(
  trajectory: Trajectory,
  asked: Asked,
  spec: EnvironmentSpec,
  weights: { from: number; to: number },
  policy: Policy,
): string | undefined {
  const { lineage, steps, outcome } = trajectory;
  for (const key of ["run", "iteration", "group", "member", "task", "seed"] as const) {
    if (lineage[key] !== asked[key]) return `its ${key} is ${lineage[key]}, the learner asked for ${asked[key]}`;
  }
  const { generation, digest } = lineage.environment;
  if (generation !== asked.environment.generation)
    return `it was played in generation ${generation} of the environment, the learner asked for ${asked.environment.generation}`;
  if (digest !== asked.environment.digest)
    return `it was played in an environment of digest ${digest.slice(0, 80)}, the learner has ${asked.environment.digest}`;
  const { counter } = lineage.weights;
  if (counter < weights.from || counter > weights.to) {
    return `it was played with weights version ${counter}, the task asked for ${weights.from} to ${weights.to}`;
  }
  if (outcome.type === "noResult") return undefined;
  if (!steps || steps.count < 1) return `its outcome is ${outcome.type} but it has no steps`;
  if (steps.count > spec.maxEpisodeSteps)
    return `it has ${steps.count} steps, ${spec.id} allows ${spec.maxEpisodeSteps}`;

  const { observation, action } = spec;
  if (observation.type === "text" ? steps.observations.type !== "text" : steps.observations.type !== "vector") {
    return `its observations are of type ${steps.observations.type}, ${spec.id} has ${observation.type}`;
  }
  if (observation.type === "box" && steps.observations.type === "vector") {
    const width = elements(observation.shape);
    if (steps.observations.width !== width)
      return `its observations are ${steps.observations.width} wide, ${spec.id} has ${width}`;
  }
  if (action.type === "admissible" && !steps.admissible) return "it has no admissible actions";
  if (hasTokens(policy)) return answerMisfit(steps, policy);
  if (steps.actions.type === "text") return "its actions are text, which the run's policy does not give";
  if ((action.type === "admissible" || action.type === "discrete") && steps.actions.type !== "choice") {
    return `its actions are of type ${steps.actions.type}, ${spec.id} needs choices`;
  }
  if (action.type === "discrete" && steps.actions.type === "choice") {
    const bad = steps.actions.values.findIndex((a) => a < 0 || a >= action.n);
    if (bad >= 0) return `action ${steps.actions.values[bad]} of step ${bad} is not one of ${action.n}`;
    if (steps.actionMask && steps.actionMask.length !== steps.count * action.n)
      return "its action mask has another number of actions";
  }
  if (action.type === "box" && (steps.actions.type !== "vector" || steps.actions.width !== elements(action.shape))) {
    return `its actions are not vectors of ${elements(action.shape)}`;
  }
  return undefined;
}

/** The answers must be some that the model can give, and say what was done in this episode. */
function answerMisfit(steps: Steps, policy: TokenPolicy): string | undefined {
  const { tokens, actions, strings } = steps;
  if (!tokens || actions.type !== "text") return "it has no tokens, the run's policy is a language model";
  const { vocabulary, answerTokens, spec } = policy;
  const unknown = tokens.values.find((token) => token >= vocabulary);
  if (unknown !== undefined) return `it has token ${unknown}, the run's policy knows ${vocabulary}`;
  const encoder = policy.encoder();
  for (let step = 0; step < steps.count; step++) {
    const answer = tokens.values.subarray(tokens.offsets[step], tokens.offsets[step + 1]);
    if (answer.length > answerTokens)
      return `the answer of step ${step} has ${answer.length} tokens, the run's policy gives ${answerTokens}`;
    try {
      encoder.context(turnOf(steps, step));
      const said = wordsFor(encoder.answered(answer).action, spec.action);
      const done = strings[actions.index[step]!]!;
      if (said !== done) return `the answer of step ${step} says ${quoted(said)}, what was done is ${quoted(done)}`;
    } catch (error) {
      return `step ${step} cannot be replayed: ${(error as Error).message}`;
    }
  }
  return undefined;
}

const quoted = (text: string) => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);

/** Why a policy that was built for one environment cannot be trained on another, in words; undefined when it can. */
export function unfit(offered: EnvironmentSpec, built: EnvironmentSpec): string | undefined {
  for (const role of ["observation", "action"] as const) {
    const [found, wanted] = [shape(offered[role]), shape(built[role])];
    if (found !== wanted) return `its ${role}s are ${found}, the policy was built for ${wanted}`;
  }
  if (offered.hasSuccess !== built.hasSuccess) {
    const verdict = (has: boolean) => (has ? "a verdict of success" : "no verdict of success");
    return `its episodes end with ${verdict(offered.hasSuccess)}, the run's with ${verdict(built.hasSuccess)}`;
  }
  return undefined;
}

/** What a network's inputs and outputs depend on. Bounds may change: they clip, and nothing more. */
function shape(space: Space): string {
  switch (space.type) {
    case "box":
      return `boxes of ${space.shape.join(" × ")}`;
    case "discrete":
      return `one of ${space.n}`;
    case "text":
      return "text";
    case "admissible":
      return "one of those admissible";
  }
}
