/**
 * Plays episodes side by side: each tick encodes the turn of every live episode, asks the policy once for the whole batch, and
 * steps every environment. Free of sockets and files.
 */
import { act, drawsPerRow } from "../policy/acting.ts";
import type { Policy } from "../policy/policy.ts";
import type { RowsBuilder } from "../policy/rows.ts";
import { stepUniforms } from "../policy/sampling.ts";
import type { Model } from "../policy/tensor/tensors.ts";
import type { Episode } from "./episode.ts";

export class Table {
  readonly #policy: Policy;
  readonly #model: Model;
  readonly #greedy: boolean;
  readonly #rows: RowsBuilder;
  readonly #draws: number;
  #uniforms = new Float64Array(0);
  #live: Episode[] = [];

  constructor(policy: Policy, model: Model, options: { greedy: boolean }) {
    this.#policy = policy;
    this.#model = model;
    this.#greedy = options.greedy;
    this.#rows = policy.rows();
    this.#draws = drawsPerRow(policy);
  }

  get live(): number {
    return this.#live.length;
  }

  /** An episode that has been reset joins. */
  seat(episode: Episode): void {
    this.#live.push(episode);
  }

  /** An episode is taken out between two ticks. */
  leave(episode: Episode): void {
    this.#live = this.#live.filter((e) => e !== episode);
  }

  /** One action for every live episode; returns those that ended. */
  async tick(): Promise<Episode[]> {
    const live = this.#live;
    const draws = this.#draws;
    if (this.#uniforms.length < live.length * draws) this.#uniforms = new Float64Array(2 * live.length * draws);
    this.#rows.clear();
    for (let i = 0; i < live.length; i++) {
      live[i].encode(this.#rows);
      stepUniforms(live[i].seed, live[i].step, draws, this.#uniforms, i * draws);
    }
    const decided = act(this.#model, this.#policy, this.#rows.finish(), this.#uniforms, { greedy: this.#greedy });
    const { choices, vectors, logProbs } = decided instanceof Promise ? await decided : decided;
    const waits: Promise<void>[] = [];
    for (let i = 0; i < live.length; i++) {
      const action = choices ? choices[i] : vectors!.slice(i * draws, (i + 1) * draws);
      const wait = live[i].act(action, logProbs[i]);
      if (wait) waits.push(wait);
    }
    if (waits.length) await Promise.all(waits);
    // The batch may have grown while it waited.
    const ended = live.filter((e) => e.ended);
    if (ended.length) this.#live = this.#live.filter((e) => !e.ended);
    return ended;
  }
}
