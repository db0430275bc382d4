/** Means over a handful of seeds, with intervals that admit how few they are. */

export { type Interval, interval } from "../../deploy/report/interval.ts";

export interface Point {
  envSteps: number;
  success: number;
}

/** Environment steps at which the curve first reaches `success`, interpolated linearly; undefined where it never does. */
export function stepsTo(success: number, curve: readonly Point[]): number | undefined {
  for (let i = 0; i < curve.length; i++) {
    const here = curve[i];
    if (here.success < success) continue;
    if (i === 0) return here.envSteps;
    const before = curve[i - 1];
    const share = (success - before.success) / (here.success - before.success);
    return before.envSteps + share * (here.envSteps - before.envSteps);
  }
  return undefined;
}

/** Success at a number of steps, interpolated linearly and constant beyond the ends. */
export function successAt(envSteps: number, curve: readonly Point[]): number {
  const after = curve.findIndex((point) => point.envSteps >= envSteps);
  if (after < 0) return curve[curve.length - 1].success;
  if (after === 0) return curve[0].success;
  const [a, b] = [curve[after - 1], curve[after]];
  return a.success + ((envSteps - a.envSteps) / (b.envSteps - a.envSteps)) * (b.success - a.success);
}

/** Mean success over the first `envSteps` steps: how much of the budget was spent knowing how. */
export function meanSuccess(curve: readonly Point[], envSteps: number): number {
  const pieces = 200;
  let sum = 0;
  for (let i = 0; i < pieces; i++) sum += successAt(((i + 0.5) / pieces) * envSteps, curve);
  return sum / pieces;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
