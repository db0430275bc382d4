/** The credit of kept iterations, step by step and side by side for two estimators, as the page asks for it. */
import { estimators } from "../../learner/advantage/index.ts";
import { ArchiveError, readIteration } from "../../learner/archive.ts";
import { ConfigError } from "../../proto/config.ts";
import { Replay, type Side } from "../replay.ts";
import type { WatchedRun } from "./watched-run.ts";
import { parseOptions } from "./written-options.ts";

/** Iterations held with what estimators made of them: people go back and forth between a few. */
const MAX_HELD = 4;
const MAX_SIDES = 8;
const MAX_NEIGHBOURS = 50;

export interface CreditQuery {
  iteration: number;
  /** The other side: an estimator with options, written "tau=0.2 omega=1". Empty: none. */
  estimator: string;
  options: string;
  group?: number;
  member?: number;
  step?: number;
}

interface Held {
  replay: Replay;
  sides: Map<string, Side>;
}

export class CreditView {
  readonly #held = new Map<string, Promise<Held>>();

  /**
   * The groups of an iteration; with a group its members; with a member its steps; with a step the accounts of it.
   * @throws ConfigError when there is no such thing, naming what there is
   */
  async answer(run: WatchedRun, query: CreditQuery): Promise<object> {
    const held = await this.#hold(run, query.iteration);
    const { replay } = held;
    const sides = [replay.own, ...otherSide(held, query)];
    const labels = sides.map(({ label }) => label);
    const { group, member, step } = query;
    if (group === undefined) {
      const compared = sides[1] && replay.compare(sides[1], 20);
      return { ...replay.overview(), labels, scale: sides.map(scaleOf), comparison: compared };
    }
    if (member === undefined) {
      const members = replay.group(group, sides).map(({ steps, ...episode }) => ({
        ...episode,
        envSteps: steps.length,
        meanAdvantages: sides.map((_, s) => steps.reduce((sum, each) => sum + each.advantages[s]!, 0) / steps.length),
      }));
      return { labels, members };
    }
    if (step === undefined) return { labels, scale: sides.map(scaleOf), ...replay.episode(group, member, sides) };
    return {
      labels,
      accounts: sides.map((side) => {
        const account = replay.account(group, member, step, side);
        if (account.type === "proxmo" && account.stepTerm) {
          const { neighbours } = account.stepTerm;
          return {
            ...account,
            stepTerm: { ...account.stepTerm, neighbours: neighbours.slice(0, MAX_NEIGHBOURS), all: neighbours.length },
          };
        }
        return account;
      }),
    };
  }

  async #hold(run: WatchedRun, iteration: number): Promise<Held> {
    const key = `${run.folder.path}/${iteration}`;
    let held = this.#held.get(key);
    this.#held.delete(key);
    held ??= open(run, iteration);
    this.#held.set(key, held);
    held.catch(() => this.#held.delete(key));
    for (const oldest of this.#held.keys()) {
      if (this.#held.size <= MAX_HELD) break;
      this.#held.delete(oldest);
    }
    return held;
  }
}

async function open({ folder, config }: WatchedRun, iteration: number): Promise<Held> {
  try {
    const kept = await readIteration(folder.trajectories, iteration, String(config.env));
    return { replay: new Replay(kept), sides: new Map() };
  } catch (error) {
    if (error instanceof ArchiveError) throw new ConfigError([error.message]);
    throw error;
  }
}

function otherSide({ replay, sides }: Held, { estimator, options }: CreditQuery): Side[] {
  if (estimator === "" && options === "") return [];
  if (estimator !== "" && !Object.hasOwn(estimators, estimator))
    throw new ConfigError([`there is no estimator '${estimator}': there are ${Object.keys(estimators).join(", ")}`]);
  const key = `${estimator} ${options}`;
  const side = sides.get(key) ?? replay.side(estimator, parseOptions(options));
  if (sides.size >= MAX_SIDES) sides.delete(sides.keys().next().value!);
  sides.set(key, side);
  return [side];
}

/** Where colours are full: nine steps in ten are weaker. */
function scaleOf({ credit }: Side): number {
  const sizes = credit.advantages.map(Math.abs).sort();
  return sizes[Math.floor(0.9 * (sizes.length - 1))] || sizes.at(-1) || 1;
}
