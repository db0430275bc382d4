/** The policy that a spec and a model folder describe. */
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { AnswerWriter, PolicySpec, TokenPolicy } from "../policy.ts";
import type { Rows } from "../rows.ts";
import type { Tensors } from "../tensor/tensors.ts";
import { languageAgents } from "./agent/index.ts";
import { answerRows, answersOf, packAnswers } from "./answer-rows.ts";
import { readJson } from "./causal/checkpoint.ts";
import {
  adaptedWeights,
  BASE_FORMATS,
  type CausalConfig,
  CheckpointError,
  causal,
  checkTokenizer,
  frozenBase,
  Generator,
  mergeAdapters,
  type Projection,
  readCheckpoint,
  readConfig,
  readTokenizer,
  type SamplingOptions,
  type Session,
  weightsOf,
  writeAdapters,
  writeCheckpoint,
} from "./causal/index.ts";
import type { Weights } from "./causal/model.ts";
import { Dialogue, type Speech } from "./dialogue.ts";
import { agentOptions, oneOf, wholeNumber } from "./settings.ts";

/**
 * @throws TypeError when the spaces are not words, or no folder is named; RangeError for options that mean nothing; CheckpointError
 *   for a folder that holds no model
 */
export function openLanguagePolicy(spec: PolicySpec): TokenPolicy {
  const { observation, action, options } = spec;
  if (observation.type !== "text" || (action.type !== "text" && action.type !== "admissible"))
    throw new TypeError(
      `Policy "language" needs text observations and actions in words (text or admissible); found ${observation.type} observations and ${action.type} actions`,
    );
  const folder = String(options.model);
  if (folder === "")
    throw new TypeError(
      'Policy "language" needs --policy.model: the folder of a Hugging Face model, or the one that "proxima imitate --policy language" makes',
    );
  const { config, weights, first, identity, stopTokens, saveAdapters, merge } = readModel(folder, options);
  const tokenizer = readTokenizer(folder);
  checkTokenizer(tokenizer, config.vocabulary, folder);
  const ends = stopTokens.length ? stopTokens : tokenizer.endToken === undefined ? [] : [tokenizer.endToken];
  if (ends.length === 0)
    throw new CheckpointError(
      `Cannot tell where an answer of the model in ${folder} ends: neither generation_config.json nor config.json has an eos_token_id`,
    );
  const answerTokens = wholeNumber(options, "answerTokens", 1);
  const maxContext = config.contextLimit - answerTokens;
  if (maxContext < 1)
    throw new RangeError(
      `Policy option "answerTokens" is ${answerTokens}, which leaves no room for a prompt: the model's context limit is ${config.contextLimit}`,
    );
  const temperature = Number(options.temperature);
  if (!(temperature > 0)) throw new RangeError(`Policy option "temperature" must be above 0, found ${temperature}`);
  const spoken = agentOptions(options);
  const encode = (text: string) => Int32Array.from(tokenizer.encode(text));
  const speech: Speech = {
    agents: languageAgents({
      ...spoken,
      promptTokens: Math.min(wholeNumber(options, "promptTokens", 0) || maxContext, maxContext),
      countTokens: (text) => tokenizer.encode(text).length,
    }),
    render: (messages) => tokenizer.chat(messages),
    encode,
    decode: (tokens) => tokenizer.decode(tokens),
    ends,
    maxContext,
  };
  const model = causal(config, { weights, recompute: options.recompute === true });
  return {
    spec,
    head: "tokens",
    hasValue: false,
    vocabulary: config.vocabulary,
    answerTokens,
    base: createHash("sha256")
      .update(JSON.stringify([config, ends, spoken, identity]))
      .update(tokenizerFiles(folder))
      .digest("hex"),
    layout: model.layout,
    firstWeights: first,
    rows: answerRows,
    encoder: () => new Dialogue(speech),
    forward(rows: Rows, t: Tensors) {
      const { tokens, offsets, targets } = packAnswers(rows);
      const { logProb, entropy } = model.tokenLogProbs(t, { tokens, offsets }, targets, { temperature });
      return { logits: logProb, tokens: { entropy, offsets: answersOf(rows).offsets } };
    },
    save(into, trained, whole) {
      if (saveAdapters && !whole) return saveAdapters(into, trained);
      writeCheckpoint(into, config, merge ? merge(trained) : trained, ends);
      for (const name of tokenizerNames(folder)) copyFileSync(join(folder, name), join(into, name));
      return "the whole model, with its tokenizer, as Hugging Face's libraries read it";
    },
    writer(of) {
      const generator = new Generator(of, model, (answer) => tokenizer.decode(answer));
      return answerWriter(generator, { maxTokens: answerTokens, stopTokens: ends, temperature });
    },
  };
}

function answerWriter(generator: Generator, options: SamplingOptions): AnswerWriter {
  const sessions = new Map<object, Session>();
  return {
    answer(prompts, { greedy }) {
      const requests = prompts.map(({ dialogue, context, uniform }) => {
        const session = sessions.get(dialogue) ?? generator.session();
        sessions.set(dialogue, session);
        return { session, tokens: context, uniform };
      });
      return generator.generate(requests, greedy ? { ...options, temperature: 0 } : options);
    },
    forget(dialogue) {
      sessions.get(dialogue)?.close();
      sessions.delete(dialogue);
    },
  };
}

interface ModelFolder {
  config: CausalConfig;
  stopTokens: readonly number[];
  /** How the model computes, where it trains adapters on a frozen base. */
  weights?: Weights;
  /** Of what is not trained. */
  identity: string;
  /** The folder's weights, where they are what is trained. */
  first?(): Float32Array;
  /** Where adapters are what is trained. */
  saveAdapters?(into: string, adapters: Float32Array): string;
  merge?(adapters: Float32Array): Float32Array;
}

/** With weights a folder is a base for adapters, or where training starts; without, the shape of a model that knows nothing yet. */
function readModel(folder: string, options: PolicySpec["options"]): ModelFolder {
  const rank = wholeNumber(options, "lora", 0);
  if (!existsSync(folder)) throw new CheckpointError(`Cannot read a model from ${folder}: there is no such folder`);
  if (!readdirSync(folder).some((name) => /\.(safetensors|bin)(\.index\.json)?$/.test(name))) {
    const json = readJson(folder, "config.json");
    if (json === undefined) throw new CheckpointError(`Cannot read a model from ${folder}: it has no config.json`);
    if (rank > 0)
      throw new RangeError(
        `Policy option "lora" is ${rank}, but ${folder} has no weights that adapters could be trained on`,
      );
    return { config: readConfig(json), stopTokens: [], identity: "" };
  }
  const checkpoint = readCheckpoint(folder);
  const { config, generation } = checkpoint;
  if (rank === 0)
    return { config, stopTokens: generation.stopTokens, identity: "", first: () => weightsOf(checkpoint) };
  const base = frozenBase(checkpoint, oneOf(options, "format", BASE_FORMATS));
  const alpha = Number(options.loraAlpha) || undefined;
  const targets = options.loraTargets === "" ? undefined : (String(options.loraTargets).split(",") as Projection[]);
  const lora = { rank, alpha, targets };
  return {
    config,
    stopTokens: generation.stopTokens,
    weights: adaptedWeights(base, lora),
    identity: base.identity(),
    saveAdapters(into, adapters) {
      writeAdapters(into, config, lora, adapters, resolve(folder));
      return `adapters of rank ${rank} for ${resolve(folder)}, as PEFT, vLLM and SGLang load them`;
    },
    merge: (adapters) => mergeAdapters(checkpoint, lora, adapters),
  };
}

/** All that decides which tokens a text is and how a conversation is written. */
function tokenizerNames(folder: string): string[] {
  const names = ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"];
  return names.filter((name) => existsSync(join(folder, name)));
}

function tokenizerFiles(folder: string): Buffer {
  return Buffer.concat(tokenizerNames(folder).map((name) => readFileSync(join(folder, name))));
}
