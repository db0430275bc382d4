/** The policy that a spec and a model folder describe. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { AnswerWriter, PolicySpec, TokenPolicy } from "../policy.ts";
import type { Rows } from "../rows.ts";
import type { Tensors } from "../tensor/tensors.ts";
import { AGENT_MODES, type AgentMode, ANSWER_FORMS, type AnswerForm, languageAgents } from "./agent/index.ts";
import { answerRows, answersOf, packAnswers } from "./answer-rows.ts";
import { readCheckpoint, readJson, weightsOf } from "./causal/checkpoint.ts";
import {
  type CausalConfig,
  CheckpointError,
  causal,
  Generator,
  readConfig,
  type SamplingOptions,
  type Session,
} from "./causal/index.ts";
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
    firstWeights: first,
    rows: answerRows,
    encoder: () => new Dialogue(speech),
    forward(rows: Rows, t: Tensors) {
      const { tokens, offsets, targets } = packAnswers(rows);
      const { logProb, entropy } = model.tokenLogProbs(t, { tokens, offsets }, targets, { temperature });
      return { logits: logProb, tokens: { entropy, offsets: answersOf(rows).offsets } };
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

/** A folder with weights is a base; one without tells the shape of a model that is trained from nothing. */
function readModel(folder: string): {
  config: CausalConfig;
  stopTokens: readonly number[];
  hash: string;
  first?(): Float32Array;
} {
  const hasWeights = readdirSync(folder).some((name) => name.endsWith(".safetensors"));
  if (hasWeights) {
    const checkpoint = readCheckpoint(folder);
    const { config, generation } = checkpoint;
    return { config, stopTokens: generation.stopTokens, hash: checkpoint.hash(), first: () => weightsOf(checkpoint) };
  }
  const json = readJson(folder, "config.json");
  if (json === undefined) throw new CheckpointError(`Cannot read a model from ${folder}: it has no config.json`);
  return { config: readConfig(json), stopTokens: [], hash: "" };
}

/** All that decides which tokens a text is and how a conversation is written. */
function tokenizerFiles(folder: string): Buffer {
  const files = ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"].map((name) => join(folder, name));
  return Buffer.concat(files.filter((path) => existsSync(path)).map((path) => readFileSync(path)));
}

/** A built-in template's name, or what is in the file. */
function templateText(nameOrPath: string): string {
  if (!nameOrPath.endsWith(".toml")) return nameOrPath;
  try {
    return readFileSync(nameOrPath, "utf8");
  } catch (cause) {
    throw new RangeError(`Cannot read the template of policy "language": ${(cause as Error).message}`, { cause });
  }
}

function wholeNumber(options: PolicySpec["options"], name: string, least: number): number {
  const value = Number(options[name]);
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new RangeError(`Policy option "${name}" must be a whole number of at least ${least}, found ${options[name]}`);
}

function oneOf<T extends string>(options: PolicySpec["options"], name: string, known: readonly T[]): T {
  const found = known.find((value) => value === options[name]);
  if (found !== undefined) return found;
  throw new RangeError(`Policy option "${name}" must be one of ${known.join(", ")}, found ${options[name]}`);
}
