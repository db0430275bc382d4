/**
 * How long an iteration lasts where processors are the limit: as long as its work takes (docs/scaling.md says where the constants
 * come from).
 *   T · u · C = S·(e + M·m) + N·v + T · (N·k + H·b + R·r)
 */

/** Seconds of processor time. */
export interface Costs {
  /** e: a step, but for the networks: playing it, moving it, learning from it. */
  step: number;
  /** m: one multiplication and addition of a network. */
  multiplyAdd: number;
  /** v: a version of weights to one actor, at both ends: of whatever size, and a MB. */
  version: number;
  weightsMegabyte: number;
  /** k: of an actor that does nothing, a second. */
  idleActor: number;
  /** b: a heartbeat, at actor, broker and learner. */
  heartbeat: number;
  /** r: a report of a version in use. */
  report: number;
}

export const COSTS: Costs = {
  step: 23.4e-6,
  multiplyAdd: 0.063e-9,
  version: 0.02e-3,
  weightsMegabyte: 4e-3,
  idleActor: 0.2e-3,
  heartbeat: 0.28e-3,
  report: 1.44e-3,
};

/** u: what share of the cores is at work. The others wait while the learner's one thread computes. */
export const USED = 0.895;

export interface Run {
  /** C: of learner, broker and actors together. */
  cores: number;
  /** N. */
  actors: number;
  /** S: of an iteration. */
  envSteps: number;
  /** M: multiplications and additions for each of them. */
  multiplyAdds: number;
  weightsBytes: number;
}

const REPORTS_PER_SECOND = 100;

/** H: heartbeats a second of a fleet, as actors/heartbeats.ts sends them: every 1.25 s, about 100 a second of all, at least every 15 s. */
export const heartbeatsPerSecond = (actors: number): number => Math.max(Math.min(actors / 1.25, 100), actors / 15);

/** T. Infinite where the actors' mere presence takes all cores. */
export function secondsPerIteration(run: Run, costs: Costs = COSTS): number {
  const { cores, actors, envSteps, multiplyAdds, weightsBytes } = run;
  const steps = envSteps * (costs.step + multiplyAdds * costs.multiplyAdd);
  const versions = actors * (costs.version + (weightsBytes / 1e6) * costs.weightsMegabyte);
  const free = USED * cores - actors * costs.idleActor - heartbeatsPerSecond(actors) * costs.heartbeat;
  const positive = (seconds: number) => (seconds > 0 ? seconds : Number.POSITIVE_INFINITY);
  // R is N / T, a report of each actor in an iteration, unless that were more than are sent in a second.
  const each = positive((steps + versions + actors * costs.report) / free);
  if (actors / each <= REPORTS_PER_SECOND) return each;
  return positive((steps + versions) / (free - REPORTS_PER_SECOND * costs.report));
}

/** A policy and a critic of their own, with layers of these sizes, learnt from for so many epochs. */
export function network(sizes: readonly number[], actions: number, epochs: number) {
  const weights = (outputs: number) => {
    const layers = [...sizes, outputs];
    return layers.slice(1).reduce((sum, size, i) => sum + layers[i]! * size, 0);
  };
  const [policy, critic] = [weights(actions), weights(1)];
  // The actor and the values before the update: forward. Each epoch: forward, and twice as much backward.
  return { multiplyAdds: (1 + 3 * epochs) * (policy + critic), weightsBytes: 4 * (policy + critic) };
}
