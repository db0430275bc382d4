/**
 * The weights versions an actor plays with. An episode keeps the version it began with, so while a new version takes over there
 * is one table for each version still in play; a version nobody plays any more gives its memory back.
 */
import type { Policy } from "../policy/policy.ts";
import type { Model, TensorProvider } from "../policy/tensor/tensors.ts";
import type { Episode } from "./episode.ts";
import { Table } from "./play.ts";
import type { HeldWeights } from "./weights-client.ts";

interface Version {
  held: HeldWeights;
  model: Model;
  table: Table;
}

export class Versions {
  readonly #policy: Policy;
  readonly #provider: TensorProvider;
  #versions: Version[] = [];

  constructor(policy: Policy, provider: TensorProvider) {
    this.#policy = policy;
    this.#provider = provider;
  }

  get live(): number {
    return this.#versions.reduce((n, v) => n + v.table.live, 0);
  }

  /** Since when the slowest environment has been at its step, by the monotonic clock. */
  get busySince(): number | undefined {
    for (const { table } of this.#versions) if (table.busySince !== undefined) return table.busySince; // the oldest version
    return undefined;
  }

  /** The table that plays with these weights. */
  table(held: HeldWeights): Table {
    let version = this.#versions.find((v) => v.held === held);
    if (!version) {
      const spare = this.#versions.findIndex((v) => v.table.live === 0);
      const model = spare >= 0 ? this.#versions.splice(spare, 1)[0]!.model : this.#provider.model(this.#policy.layout);
      model.load(held.weights);
      version = { held, model, table: new Table(this.#policy, model, { greedy: false }) };
      this.#versions.push(version);
    }
    return version.table;
  }

  /** One action for every live episode. */
  async tick(): Promise<Episode[]> {
    const ended: Episode[] = [];
    for (const { table } of this.#versions) if (table.live) ended.push(...(await table.tick()));
    return ended;
  }

  dispose(): void {
    for (const { model } of this.#versions) model.dispose();
    this.#versions = [];
  }
}
