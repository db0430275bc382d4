/** One hidden layer from a vector of numbers to one score for each choice. */
import { type DenseColumn, type PolicyDefinition, rowsBuilder } from "proxima/policy";

const twoLayers: PolicyDefinition = {
  name: "two-layers",
  summary: "One hidden layer of rectified units.",
  options: { hidden: { default: 32, about: "Units of the hidden layer." } },
  create(spec) {
    const { observation, action } = spec;
    if (observation.type !== "box" || action.type !== "discrete")
      throw new TypeError("two-layers needs box observations and discrete actions");
    const width = observation.shape.reduce((a, b) => a * b, 1);
    const hidden = Number(spec.options.hidden);
    const choices = action.n;
    return {
      spec,
      head: "categorical",
      hasValue: false,
      layout: [
        { name: "in", shape: [width, hidden], init: { type: "orthogonal", value: 1.4 } },
        { name: "inBias", shape: [hidden], init: { type: "constant", value: 0 } },
        { name: "out", shape: [hidden, choices], init: { type: "orthogonal", value: 0.01 } },
      ],
      rows: () => rowsBuilder({ observation: { type: "dense", width } }),
      encoder: () => ({
        encode({ observation }, into) {
          into.dense("observation", observation as Float32Array);
          into.endRow();
        },
        acted() {},
      }),
      forward({ count, columns }, t) {
        const x = t.input((columns.observation as DenseColumn).values, [count, width]);
        const features = t.linear(x, t.parameter("in"), t.parameter("inBias"), "relu");
        const scores = t.matmul(features, t.parameter("out"));
        const offsets = Uint32Array.from({ length: count + 1 }, (_, row) => row * choices);
        return { logits: t.reshape(scores, [count * choices]), offsets };
      },
    };
  },
};

export default twoLayers;
