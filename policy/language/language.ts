/**
 * A language model as a policy: a causal model (`causal/`), spoken to by an agent (`agent/`), in a folder as Hugging Face's libraries write
 * it. Where the folder has no weights, all of them are trained, from the seed; otherwise adapters on them, or the weights themselves.
 */
import type { PolicyDefinition, PolicySpec } from "../policy.ts";

export const language: PolicyDefinition = {
  name: "language",
  summary: "A language model that answers in words: text observations, free-text or admissible actions.",
  options: {
    model: {
      default: "",
      about:
        "Folder with config.json, tokenizer.json and, but for a model that is to be trained from nothing, safetensors; `proxima imitate` makes one when empty.",
    },
    lora: { default: 0, about: "Rank of the adapters to train on the folder's weights; 0: train all weights." },
    loraAlpha: { default: 0, about: "The adapters' share is scaled by this over the rank; 0: twice the rank." },
    loraTargets: { default: "", about: "Projections with adapters, such as q_proj,v_proj; all when empty." },
    format: { default: "stored", about: "Weights that are not trained: as stored, bf16, or int8." },
    recompute: {
      default: false,
      about: "Compute layers again for their gradient: a third more time, a fraction of the memory.",
    },
    template: {
      default: "plain",
      about: "What the model is told: plain, alfworld, webshop, or the path of a template file (TOML).",
    },
    mode: {
      default: "conversation",
      about: "conversation: the transcript grows, each token is computed once. window: every step is asked anew.",
    },
    history: {
      default: 2,
      about: "Last steps that a prompt tells in words: in each window, or where a conversation begins anew.",
    },
    form: { default: "action", about: "How an answer is written: think (<think>, then <action>), action, or bare." },
    promptTokens: { default: 0, about: "Tokens that a prompt may have; 0: all that the model has room for." },
    answerTokens: { default: 64, about: "Tokens after which an answer is cut off." },
    temperature: { default: 1, about: "The logits are divided by it, when acting and in the loss." },
    vocabulary: { default: 1024, about: "`proxima imitate` without a folder: tokens of the tokenizer that it trains." },
    width: { default: 128, about: "`proxima imitate` without a folder: width of the model that it makes." },
    layers: { default: 3, about: "`proxima imitate` without a folder: its layers." },
    heads: { default: 4, about: "`proxima imitate` without a folder: its attention heads." },
    context: { default: 2048, about: "`proxima imitate` without a folder: most tokens of prompt and answer together." },
  },
  async prepare(spec, demonstrations, folder): Promise<PolicySpec["options"]> {
    if (spec.options.model !== "") return {};
    const { newModel } = await import("./new-model.ts");
    newModel(folder, spec, demonstrations);
    return { model: folder };
  },
  create() {
    throw new TypeError('Policy "language" reads files: it is opened, not created');
  },
  /** What most actors never need is loaded by those that do. */
  async open(spec: PolicySpec) {
    const { openLanguagePolicy } = await import("./open.ts");
    return openLanguagePolicy(spec);
  },
};
