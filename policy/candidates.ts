import { CandidateFeaturiser } from "./candidate-features.ts";
import { layerSizes, oneOf, wholeNumber } from "./options.ts";
import type { EpisodeEncoder, Policy, PolicyDefinition, PolicyOutput, PolicySpec } from "./policy.ts";
import {
  type NestedColumn,
  type RaggedColumn,
  type Rows,
  type RowsBuilder,
  rowsBuilder,
  type SharedColumn,
} from "./rows.ts";
import type { Activation, ParameterSpec, Tensor, Tensors } from "./tensor/tensors.ts";

const ACTIVATIONS = ["relu", "tanh", "gelu", "silu"] as const;

function weight(name: string, shape: readonly number[], gain = Math.SQRT2): ParameterSpec {
  return { name, shape, init: { type: "orthogonal", value: gain } };
}

function bias(name: string, size: number): ParameterSpec {
  return { name, shape: [size], init: { type: "constant", value: 0 } };
}

class Candidates implements Policy {
  readonly spec: PolicySpec;
  readonly head = "categorical";
  readonly hasValue: boolean;
  readonly layout: readonly ParameterSpec[];
  private readonly hidden: readonly number[];
  private readonly activation: Activation;
  private twos = new Uint32Array(0);
  private readonly featuriser: CandidateFeaturiser;

  constructor(spec: PolicySpec) {
    const { observation, action, options } = spec;
    if (observation.type !== "text" || action.type !== "admissible")
      throw new TypeError(
        `Policy "candidates" needs text observations and admissible actions; found ${observation.type} observations and ` +
          `${action.type} actions${observation.type === "box" ? ' (policy "mlp" suits those)' : ""}`,
      );
    const tableBits = wholeNumber("tableBits", options.tableBits, 4, 24);
    const width = wholeNumber("embedding", options.embedding, 1, 1024);
    this.spec = spec;
    this.hasValue = options.value === true;
    this.activation = oneOf("activation", options.activation, ACTIVATIONS);
    this.hidden = layerSizes("hidden", String(options.hidden));
    if (this.hidden.length === 0)
      throw new RangeError('Policy option "hidden" of "candidates" needs at least one layer');
    this.featuriser = new CandidateFeaturiser(
      {
        pairs: options.pairs === true,
        overlap: options.overlap === true,
        counts: options.counts === true,
        notes: options.notes === true,
        wishes: options.wishes === true,
      },
      tableBits,
    );
    const [first, ...rest] = this.hidden;
    this.layout = [
      { name: "table", shape: [2 ** tableBits, width], init: { type: "normal", value: 0.1 } },
      weight("candidate.weight", [width, first]),
      weight("state.weight", [width, first]),
      bias("hidden.0.bias", first),
      ...rest.flatMap((size, i) => [
        weight(`hidden.${i + 1}.weight`, [this.hidden[i], size]),
        bias(`hidden.${i + 1}.bias`, size),
      ]),
      weight("score.weight", [this.hidden[this.hidden.length - 1], 1], 0.01),
      ...(this.hasValue
        ? [
            weight("value.0.weight", [width, first]),
            bias("value.0.bias", first),
            weight("value.1.weight", [first, 1], 1),
            bias("value.1.bias", 1),
          ]
        : []),
    ];
  }

  rows(): RowsBuilder {
    return rowsBuilder({ state: { type: "ragged" }, candidates: { type: "nested" }, shared: { type: "shared" } });
  }

  encoder(): EpisodeEncoder {
    return this.featuriser.episode();
  }

  /** Offsets of two shared lists (what lasts, and what its verb remembers) for each of so many candidates. */
  private pairs(count: number): Uint32Array {
    if (this.twos.length <= count) this.twos = new Uint32Array(2 * count + 1).map((_, i) => 2 * i);
    return this.twos.subarray(0, count + 1);
  }

  forward(rows: Rows, t: Tensors): PolicyOutput {
    const state = rows.columns.state as RaggedColumn;
    const candidates = rows.columns.candidates as NestedColumn;
    const shared = rows.columns.shared as SharedColumn;
    const table = t.parameter("table");
    const stateBag = t.embeddingBag(table, t.indices(state.values), t.indices(state.offsets));
    const own = t.embeddingBag(table, t.indices(candidates.values), t.indices(candidates.offsets));
    // What a candidate has in common with others is embedded once for all of them.
    const lists = t.embeddingBag(table, t.indices(shared.listValues), t.indices(shared.listOffsets));
    const bags = t.add(own, t.embeddingBag(lists, t.indices(shared.values), t.indices(this.pairs(own.shape[0]))));
    // [candidate, state]·W without repeating the state for each of its candidates before the product.
    const fromState = t.expand(t.matmul(stateBag, t.parameter("state.weight")), t.indices(candidates.lists));
    const fromCandidate = t.linear(bags, t.parameter("candidate.weight"), t.parameter("hidden.0.bias"));
    let h = t.activate(t.add(fromCandidate, fromState), this.activation);
    for (let i = 1; i < this.hidden.length; i++)
      h = t.linear(h, t.parameter(`hidden.${i}.weight`), t.parameter(`hidden.${i}.bias`), this.activation);
    const scores = t.matmul(h, t.parameter("score.weight"));
    const output = { logits: t.reshape(scores, [scores.size]), offsets: candidates.lists };
    if (!this.hasValue) return output;
    const { activation } = this;
    let value: Tensor | undefined;
    return {
      ...output,
      get value() {
        value ??= critic(t, stateBag, activation);
        return value;
      },
    };
  }
}

/** [B, width] → [B] */
function critic(t: Tensors, stateBag: Tensor, activation: Activation): Tensor {
  const hidden = t.linear(stateBag, t.parameter("value.0.weight"), t.parameter("value.0.bias"), activation);
  return t.reshape(t.linear(hidden, t.parameter("value.1.weight"), t.parameter("value.1.bias")), [stateBag.shape[0]]);
}

/**
 * Scores each admissible action by what the agent has read: hashed features of the action, the instruction and the memory of the
 * transcript go through an embedding bag and a small network to one logit per action. Knows no environment in particular.
 */
export const candidates: PolicyDefinition = {
  name: "candidates",
  summary: "Scores each admissible text action by its words, the instruction and a memory of the episode.",
  options: {
    tableBits: { default: 13, about: "The embedding table has 2^tableBits rows; features share rows by hash." },
    embedding: { default: 16, about: "Width of a feature's embedding." },
    hidden: { default: "64,32", about: "Sizes of the hidden layers, separated by commas." },
    activation: { default: "relu", about: `Between layers: ${ACTIVATIONS.join(", ")}.` },
    value: { default: false, about: "Adds a critic that reads the state's features." },
    pairs: { default: true, about: "Features of each word of the action with each word of the instruction." },
    overlap: { default: true, about: "Features of the words that the action and the instruction have in common." },
    counts: { default: true, about: "Features of how often and how recently an action and its entities were used." },
    notes: { default: true, about: "Features of what was seen last at each entity, and of each verb's last command." },
    wishes: {
      default: false,
      about:
        "Features of what the instruction asks for to the letter and what is on offer of it, and of places in the list.",
    },
  },
  create: (spec) => new Candidates(spec),
};
