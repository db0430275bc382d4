/**
 * Hot swap, as far as it meets the outside: reads what operators ask for from the run's state, loads and verifies it, refuses what
 * does not fit the policy, and writes down what became of each generation before any group plays it. See docs/hot-swap.md.
 */
import { setTimeout as sleep } from "node:timers/promises";
import {
  type BackRequest,
  decodeRecord,
  decodeRequest,
  describeAssignment,
  type EnvironmentRequest,
  encodeEntry,
  type GenerationRecord,
  generationKey,
  requestKey,
  type SwapRequest,
} from "../envs/assignment.ts";
import type { EnvironmentLoader, LoadedEnvironment } from "../envs/bundle/loader.ts";
import type { EnvironmentSpec } from "../envs/environment.ts";
import type { KeyValue } from "../proto/bus/bus.ts";
import type { Generation, Generations, GenerationsState } from "./generations.ts";
import { unfit } from "./misfit.ts";

/** From accepting a generation to its first group, unless an iteration was named. */
const HEAD_START_MS = 1_000;

export interface EnvironmentSwapsOptions {
  state: KeyValue;
  loader: EnvironmentLoader;
  generations: Generations;
  /** What the policy was built for. */
  spec: EnvironmentSpec;
  onNotice(message: string): void;
  /** An operator wants to leave this generation, which is the newest. */
  onBack(): void;
}

export class EnvironmentSwaps {
  readonly #options: EnvironmentSwapsOptions;
  readonly #stop = new AbortController();
  readonly #answered = new Map<number, PromiseWithResolvers<GenerationRecord>>();
  #watching: Promise<void> = Promise.resolve();

  constructor(options: EnvironmentSwapsOptions) {
    this.#options = options;
  }

  /** A new run: what an earlier one of this name left is removed. */
  async begin(first: Generation): Promise<void> {
    const { state, generations } = this.#options;
    for (const key of await state.keys())
      if (key === requestKey || key.startsWith(`${requestKey}.`)) await state.delete(key);
    generations.add(first);
    await this.announce(first.record);
  }

  /**
   * A run that goes on. What the store says is at least as new as the checkpoint: a swap after it happens again, at its iteration.
   * @param first generation 0, which the policy was built for
   * @throws Error when a generation that is still to be played cannot be loaded
   */
  async restore(first: Generation, saved: GenerationsState | undefined, iteration: number): Promise<void> {
    const { generations } = this.#options;
    const records = new Map<number, GenerationRecord>([[0, first.record]]);
    for (const record of saved?.records ?? []) records.set(record.generation, record);
    for (const record of await this.#stored()) records.set(record.generation, record);
    for (const record of [...records.values()].sort((a, b) => a.generation - b.generation)) {
      if (record.state === "accepted") continue; // not begun: its request still stands, and is considered again
      if (record.from === undefined) {
        generations.number(record.generation); // refused, or replaced before it began
        continue;
      }
      if (record.until !== undefined && record.until <= iteration) {
        generations.remember(record);
        continue;
      }
      const loaded = record.generation === 0 ? first : await this.#options.loader.load(record);
      generations.add({ ...loaded, record });
    }
    if (saved) generations.restore(saved);
    for (const record of generations.records) await this.announce(record);
  }

  /** Answers requests until it is closed. */
  watch(): void {
    this.#watching = this.#follow();
  }

  /** Durable before this resolves: actors and a resumed learner go by it. */
  async announce(record: GenerationRecord): Promise<void> {
    await this.#options.state.put(generationKey(record.generation), encodeEntry(record));
    this.#answered.get(record.generation)?.resolve(record);
  }

  /** For whoever asks in this process: resolves once it was accepted or refused. */
  async request(request: Omit<SwapRequest, "generation" | "type">): Promise<GenerationRecord> {
    const { state, generations } = this.#options;
    const entry = await state.get(requestKey);
    const generation = generations.highest + 1;
    const answered = Promise.withResolvers<GenerationRecord>();
    this.#answered.set(generation, answered);
    try {
      const swap: EnvironmentRequest = { type: "swap", generation, ...request };
      await state.put(requestKey, encodeEntry(swap), { revision: entry?.revision ?? 0 });
      return await answered.promise;
    } finally {
      this.#answered.delete(generation);
    }
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#watching;
    this.#options.generations.closeAll();
  }

  async #follow(): Promise<void> {
    const { state, onNotice } = this.#options;
    for await (const { value, deleted } of state.watch(requestKey, this.#stop.signal)) {
      if (deleted) continue;
      try {
        const request = decodeRequest(value);
        if (request.type === "back") this.#back(request);
        else await this.#consider(request);
      } catch (error) {
        onNotice(`Cannot follow a request to swap environments: ${(error as Error).message}`);
      }
    }
  }

  #back({ generation }: BackRequest): void {
    const { generations, onBack } = this.#options;
    // Otherwise it was followed before, or is too late.
    if (generations.newest.record.generation === generation && generations.fallback) onBack();
  }

  async #consider(request: SwapRequest): Promise<void> {
    const { loader, generations, spec, onNotice } = this.#options;
    const { type: _, from, ...terms } = request;
    const { generation } = request;
    if (generation <= generations.highest) return; // decided before
    const what = `environment generation ${generation}, ${describeAssignment(request)}`;
    let loaded: LoadedEnvironment | undefined;
    try {
      loaded = await loader.load(request);
      const why = unfit(loaded.source.spec, spec);
      if (why !== undefined) throw new Error(`it does not fit the run's policy: ${why}. A new run can train on it`);
    } catch (error) {
      loaded?.close();
      generations.number(generation);
      const reason = (error as Error).message;
      onNotice(`Refused ${what}: ${reason}`);
      await this.announce({ ...terms, digest: "", state: "refused", reason });
      return;
    }
    const { source, digest, arguments: resolved, how, close } = loaded;
    const record: GenerationRecord = { ...terms, digest, arguments: resolved, state: "accepted" };
    await this.announce(record);
    onNotice(`Accepted ${what} (${how}).`);
    // Actors load it meanwhile, so that they go on playing when it begins.
    if (from === 0) await sleep(HEAD_START_MS, undefined, { signal: this.#stop.signal }).catch(() => {});
    const superseded = generations.offer({ record: { ...record, from }, source, close });
    if (!superseded) return;
    superseded.close();
    await this.announce({ ...superseded.record, from: undefined, state: "replaced" });
  }

  /** What became of each generation, as the store has it. */
  async #stored(): Promise<GenerationRecord[]> {
    const { state } = this.#options;
    const keys = (await state.keys()).filter((key) => key.startsWith(`${requestKey}.`));
    const entries = await Promise.all(keys.map((key) => state.get(key)));
    return entries.flatMap((entry) => (entry ? [decodeRecord(entry.value)] : []));
  }
}
