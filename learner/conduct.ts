/**
 * How each actor behaves. An actor whose trajectories had to be refused too often is quarantined: nothing more is taken from
 * it, and what it sends goes to the dead letters. Only messages that decode count, for only those say who sent them; the name is
 * what they say, so whoever holds a node's key can speak under another's.
 */
import type { Trajectory } from "../proto/trajectory.ts";
import { succeeded } from "./batch.ts";

export interface ConductOptions {
  /** Refusals after which an actor is quarantined; 0: never. */
  quarantineAfter: number;
  /** Told once for each. */
  onQuarantine(actor: string, reason: string): void;
}

interface Account {
  /** Over the whole run. */
  refusals: number;
  /** Since the last lap. */
  messages: number;
  refused: number;
  noResult: number;
  successes: number;
}

/** Actors that are remembered; of the others a new one takes the oldest's place. */
const MAX_ACTORS = 10_000;
/** Below this many episodes a success rate says little. */
const MIN_EPISODES = 10;

export class Conduct {
  readonly #options: ConductOptions;
  readonly #accounts = new Map<string, Account>();

  constructor(options: ConductOptions) {
    this.#options = options;
  }

  /** Takes note of a trajectory; why it is refused, if it is. @param problem what is wrong with the trajectory itself */
  judge({ lineage, outcome }: Trajectory, problem: string | undefined): string | undefined {
    const { quarantineAfter, onQuarantine } = this.#options;
    const account = this.#account(lineage.actor);
    account.messages++;
    const isQuarantined = quarantineAfter > 0 && account.refusals >= quarantineAfter;
    if (problem !== undefined || isQuarantined) account.refused++;
    else if (outcome.type === "noResult") account.noResult++;
    else if (succeeded({ outcome })) account.successes++;
    if (isQuarantined) return `actor ${lineage.actor} is quarantined after ${quarantineAfter} refused trajectories`;
    if (problem !== undefined && ++account.refusals === quarantineAfter) onQuarantine(lineage.actor, problem);
    return problem;
  }

  /**
   * The worst actor's figures since this was asked last: shares of its messages that were refused or had no result, and how many
   * standard errors its success rate is away from that of all.
   */
  lap(): Record<string, number> {
    const active = [...this.#accounts.values()].filter(({ messages }) => messages > 0);
    if (!active.length) return {};
    const played = active.map(({ messages, refused, noResult, successes }) => ({
      n: messages - refused - noResult,
      successes,
    }));
    const all = played.reduce((n, one) => n + one.n, 0);
    const rate = played.reduce((n, { successes }) => n + successes, 0) / Math.max(1, all);
    const deviations = played
      .filter(({ n }) => n >= MIN_EPISODES)
      .map(({ n, successes }) => Math.abs(successes / n - rate) / Math.sqrt((rate * (1 - rate)) / n || 1));
    const figures = {
      actorRefusedShareMax: Math.max(...active.map(({ refused, messages }) => refused / messages)),
      actorNoResultShareMax: Math.max(...active.map(({ noResult, messages }) => noResult / messages)),
      ...(deviations.length > 1 ? { actorSuccessDeviationMax: Math.max(...deviations) } : {}),
    };
    for (const account of active) Object.assign(account, { messages: 0, refused: 0, noResult: 0, successes: 0 });
    return figures;
  }

  #account(actor: string): Account {
    let account = this.#accounts.get(actor);
    if (!account) {
      account = { refusals: 0, messages: 0, refused: 0, noResult: 0, successes: 0 };
      this.#accounts.set(actor, account);
      if (this.#accounts.size > MAX_ACTORS) this.#accounts.delete(this.#accounts.keys().next().value!);
    }
    return account;
  }
}

/** Bounds on what an episode may claim; 0: none. */
export interface RewardBounds {
  maxReward: number;
  maxReturn: number;
}

/** In words, how a trajectory claims more than is possible; undefined when it does not. */
export function excess({ steps, outcome }: Trajectory, { maxReward, maxReturn }: RewardBounds): string | undefined {
  if (outcome.type === "noResult") return undefined;
  if (maxReturn > 0 && Math.abs(outcome.return) > maxReturn) {
    return `its return is ${outcome.return}, maxReturn allows ${maxReturn} either way`;
  }
  const step = maxReward > 0 ? (steps?.rewards.findIndex((reward) => Math.abs(reward) > maxReward) ?? -1) : -1;
  return step < 0
    ? undefined
    : `the reward of step ${step} is ${steps!.rewards[step]}, maxReward allows ${maxReward} either way`;
}
