/**
 * Plays episodes side by side: each tick encodes the turn of every live episode, asks the policy once for the whole batch, and
 * steps every environment. Free of sockets and files.
 */
import { mix32, uniform01 } from "../envs/random.ts";
import { act, drawsPerRow } from "../policy/acting.ts";
import { type AnswerWriter, hasTokens, type Policy } from "../policy/policy.ts";
import type { RowsBuilder } from "../policy/rows.ts";
import { stepUniforms } from "../policy/sampling.ts";
import type { Model } from "../policy/tensor/tensors.ts";
import type { Episode } from "./episode.ts";

/** A slow environment holds the others up for no longer than this; most answer together, which makes for large batches. */
const PATIENCE_MS = 50;

export class Table {
  readonly #policy: Policy;
  readonly #model: Model;
  readonly #greedy: boolean;
  readonly #rows: RowsBuilder;
  readonly #draws: number;
  /** Of a language policy. */
  readonly #writer: AnswerWriter | undefined;
  #uniforms = new Float64Array(0);
  #live: Episode[] = [];
  /** Those whose environment has not answered yet: they sit out. */
  readonly #busy = new Map<Episode, { since: number; answered: Promise<void> }>();

  constructor(policy: Policy, model: Model, options: { greedy: boolean }) {
    this.#policy = policy;
    this.#model = model;
    this.#greedy = options.greedy;
    this.#rows = policy.rows();
    this.#draws = drawsPerRow(policy);
    this.#writer = hasTokens(policy) ? policy.writer(model) : undefined;
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
    this.#busy.delete(episode);
    this.#writer?.forget(episode);
  }

  /** Since when the slowest environment has been at its step, by the monotonic clock. */
  get busySince(): number | undefined {
    return this.#busy.values().next().value?.since;
  }

  /** One action for every live episode that knows its turn; returns those that ended. */
  async tick(): Promise<Episode[]> {
    const live = this.#busy.size ? this.#live.filter((e) => !this.#busy.has(e)) : this.#live;
    if (live.length) await (this.#writer ? this.#answer(this.#writer, live) : this.#act(live));
    if (this.#busy.size) await this.#answers();
    // The batch may have grown while it waited.
    const ended = this.#live.filter((e) => e.ended);
    if (ended.length) this.#live = this.#live.filter((e) => !e.ended);
    if (this.#writer) for (const episode of ended) this.#writer.forget(episode);
    return ended;
  }

  async #act(live: readonly Episode[]): Promise<void> {
    const draws = this.#draws;
    if (this.#uniforms.length < live.length * draws) this.#uniforms = new Float64Array(2 * live.length * draws);
    this.#rows.clear();
    for (let i = 0; i < live.length; i++) {
      live[i].encode(this.#rows);
      stepUniforms(live[i].seed, live[i].step, draws, this.#uniforms, i * draws);
    }
    const decided = act(this.#model, this.#policy, this.#rows.finish(), this.#uniforms, { greedy: this.#greedy });
    const { choices, vectors, logProbs } = decided instanceof Promise ? await decided : decided;
    const since = performance.now();
    for (let i = 0; i < live.length; i++) {
      const episode = live[i];
      const action = choices ? choices[i] : vectors!.slice(i * draws, (i + 1) * draws);
      this.#await(episode, episode.act(action, logProbs[i]), since);
    }
  }

  /** Token k of an answer is decided by the k-th number of its step, so an answer is the same in any company. */
  async #answer(writer: AnswerWriter, live: readonly Episode[]): Promise<void> {
    const prompts = live.flatMap((dialogue) => {
      const context = dialogue.context();
      const seed = mix32(dialogue.seed, dialogue.step);
      return context ? [{ dialogue, context, uniform: (k: number) => uniform01(seed, k) }] : [];
    });
    const answers = await writer.answer(prompts, { greedy: this.#greedy });
    const since = performance.now();
    for (const [i, { dialogue }] of prompts.entries()) this.#await(dialogue, dialogue.answer(answers[i]!), since);
  }

  #await(episode: Episode, wait: void | Promise<void>, since: number): void {
    if (wait) this.#busy.set(episode, { since, answered: wait.then(() => void this.#busy.delete(episode)) });
  }

  /** Until every environment has answered, or patience ends. */
  async #answers(): Promise<void> {
    let timer: ReturnType<typeof setTimeout>;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, PATIENCE_MS);
    });
    const all = Promise.all([...this.#busy.values()].map(({ answered }) => answered));
    await Promise.race([all, patience]);
    clearTimeout(timer!);
  }
}
