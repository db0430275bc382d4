/** The policy that a spec and a model folder describe. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { PolicySpec, TokenPolicy } from "../policy.ts";
import type { Rows } from "../rows.ts";
import { initialise } from "../tensor/initialise.ts";
import type { Model, Tensors } from "../tensor/tensors.ts";
import { AGENT_MODES, type AgentMode, ANSWER_FORMS, type AnswerForm, languageAgents } from "./agent/index.ts";
import { answerRows, answersOf, packAnswers } from "./answer-rows.ts";
import { CheckpointError, causal, Generator, readConfig, type Session } from "./causal/index.ts";
import { readCheckpoint, readJson, weightsOf } from "./causal/checkpoint.ts";
import { checkTokenizer, readTokenizer } from "./causal/tokenizer.ts";
import { Dialogue, type Speech } from "./dialogue.ts";

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
  const { config, first, hash: weightsHash, stopTokens } = readModel(folder);
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
  const template = templateText(String(options.template));
  const encode = (text: string) => Int32Array.from(tokenizer.encode(text));
  const speech: Speech = {
    agents: languageAgents({
      template,
      form: oneOf<AnswerForm>(options, "form", ANSWER_FORMS),
      mode: oneOf<AgentMode>(options, "mode", AGENT_MODES),
      history: wholeNumber(options, "history", 0),
      promptTokens: Math.min(wholeNumber(options, "promptTokens", 0) || maxContext, maxContext),
      countTokens: (text) => tokenizer.encode(text).length,
    }),
    render: (messages) => tokenizer.chat(messages),
    encode,
    decode: (tokens) => tokenizer.decode(tokens),
    ends,
    maxContext,
  };
  const model = causal(config);
  return {
    spec,
    head: "tokens",
    hasValue: false,
    vocabulary: config.vocabulary,
    base: createHash("sha256")
      .update(JSON.stringify([config, ends, template, weightsHash]))
      .update(tokenizerFiles(folder))
      .digest("hex"),
    layout: model.layout,
    firstWeights: first ?? ((seed) => initialise(model.layout, seed)),
    rows: answerRows,
    encoder: () => new Dialogue(speech),
    forward(rows: Rows, t: Tensors) {
      const { tokens, offsets, targets } = packAnswers(rows);
      const { logProb, entropy } = model.tokenLogProbs(t, { tokens, offsets }, targets, { temperature });
      return { logits: logProb, tokens: { entropy, offsets: answersOf(rows).offsets } };
    },
    writer: (of) => writer(new Generator(of, model, speech.decode as never), { maxTokens: answerTokens, stopTokens: ends, temperature }),
  };
}
