/** What `proxima eval` takes for a served language model, and what the agent around it is made of. */
import { existsSync, readFileSync } from "node:fs";
import { type AgentOptions, ANSWER_FORMS, templateFor } from "../../policy/language/agent/index.ts";
import { ADAPTER_SERVERS, type ServedModelOptions } from "../../policy/language/served/index.ts";
import { ConfigError, type ConfigOf } from "../../proto/config.ts";

export const servedFields = {
  policy: {
    section: "served language model",
    type: "text",
    default: "",
    pattern: /^(openai:.+)?$/s,
    expects: "openai:MODEL, with the model's name at the endpoint",
    about: "openai:MODEL plays a model behind an OpenAI-compatible endpoint, instead of a run's policy.",
  },
  baseUrl: {
    section: "served language model",
    type: "text",
    default: "",
    about: "The endpoint, with its version: $OPENAI_BASE_URL, or http://127.0.0.1:8000/v1, when empty.",
  },
  apiKeyVariable: {
    section: "served language model",
    type: "text",
    default: "OPENAI_API_KEY",
    about: "Environment variable that holds the key; none is sent where it is not set.",
  },
  api: {
    section: "served language model",
    type: "choice",
    default: "chat",
    choices: ["chat", "completions"],
    about: "completions: for base models without a chat template.",
  },
  stream: {
    section: "served language model",
    type: "flag",
    default: false,
    about: "Read answers as they are written, which cuts endless ones short.",
  },
  temperature: {
    section: "served language model",
    type: "number",
    default: 0.4,
    min: -1,
    max: 2,
    about: "Of sampling (verl-agent's validation has 0.4); -1: the endpoint's own.",
  },
  topP: {
    section: "served language model",
    type: "number",
    default: 1,
    above: 0,
    max: 1,
    about: "Nucleus of sampling.",
  },
  answerTokens: {
    section: "served language model",
    type: "integer",
    default: 512,
    min: 1,
    max: 65_536,
    unit: "tokens",
    about: "An answer is cut there, and is then mostly invalid.",
  },
  logProbs: {
    section: "served language model",
    type: "flag",
    default: false,
    about: "Keep the log-probability of each answer in the transcripts, where the endpoint offers it.",
  },
  concurrency: {
    section: "served language model",
    type: "integer",
    default: 8,
    min: 1,
    max: 1024,
    about: "Episodes side by side, each with one request at a time.",
  },
  requestTimeoutMs: {
    section: "served language model",
    type: "integer",
    default: 120_000,
    min: 1,
    max: 300_000,
    about: "For each attempt at an answer.",
  },
  attempts: {
    section: "served language model",
    type: "integer",
    default: 6,
    min: 1,
    max: 100,
    about: "Of each request, with growing pauses; then the episode has no result.",
  },
  priceIn: {
    section: "served language model",
    type: "number",
    default: 0,
    min: 0,
    about: "Of a million tokens in; gives the cost.",
  },
  priceOut: {
    section: "served language model",
    type: "number",
    default: 0,
    min: 0,
    about: "Of a million tokens out.",
  },
  adapter: {
    section: "served language model",
    type: "text",
    default: "",
    about:
      "Folder of a LoRA adapter (PEFT's files), as the server sees it: loaded for the evaluation, and unloaded after.",
  },
  adapterServer: {
    section: "served language model",
    type: "choice",
    default: "vllm",
    choices: ADAPTER_SERVERS,
    about: "Whose way of loading adapters the endpoint speaks.",
  },
  env: { section: "agent", type: "text", default: "alfworld", about: "Environment of text to play." },
  agent: {
    section: "agent",
    type: "choice",
    default: "direct",
    choices: ["direct", "react", "reflexion"],
    about:
      "direct: each step asked anew. react: one conversation, thoughts kept. reflexion: react that learns from its failures.",
  },
  form: {
    section: "agent",
    type: "choice",
    default: "think",
    choices: ANSWER_FORMS,
    about: "think: <think> and <action>. action: <action> alone. bare: nothing but the action.",
  },
  history: {
    section: "agent",
    type: "integer",
    default: 2,
    min: 0,
    max: 1000,
    unit: "steps",
    about: "Told at each step (direct), or when a conversation must begin anew.",
  },
  template: {
    section: "agent",
    type: "text",
    default: "",
    about: "The prompts: a built-in template (plain, alfworld, webshop) or a TOML file; the environment's when empty.",
  },
  promptTokens: {
    section: "agent",
    type: "integer",
    default: 8192,
    min: 0,
    unit: "tokens",
    about: "A longer prompt is shortened; estimated at three bytes a token. 0: no limit.",
  },
  trials: {
    section: "agent",
    type: "integer",
    default: 3,
    min: 1,
    max: 100,
    unit: "episodes",
    about: "reflexion only: of a task, until one succeeds.",
  },
  out: {
    section: "agent",
    type: "text",
    default: "",
    about: "Folder for transcripts; the next free evaluations/<env>-<model>-<agent>-<n> when empty.",
  },
  resume: {
    section: "agent",
    type: "text",
    default: "",
    about: "Folder of an evaluation that stopped: goes on with its settings.",
  },
} as const;

export type ServedConfig = ConfigOf<{ fields: typeof servedFields }>;

/** The key is read from the environment, and from nowhere else. */
export function modelOptions(
  config: ServedConfig,
  env: Readonly<Record<string, string | undefined>>,
): ServedModelOptions {
  const { api, stream, temperature, topP, answerTokens, logProbs, concurrency, requestTimeoutMs, attempts } = config;
  return {
    baseUrl: config.baseUrl || env.OPENAI_BASE_URL || "http://127.0.0.1:8000/v1",
    model: config.policy.slice("openai:".length),
    apiKey: env[config.apiKeyVariable] || undefined,
    ...{ api, stream, answerTokens, logProbs, concurrency, attempts, timeoutMs: requestTimeoutMs },
    ...(temperature < 0 ? {} : { temperature }),
    ...(topP === 1 ? {} : { topP }),
  };
}

/** @param environmentId as the environment calls itself */
export function agentOptions(config: ServedConfig, environmentId: string): AgentOptions {
  const { agent, form, history, promptTokens, template } = config;
  return {
    template: template || templateFor(environmentId),
    mode: agent === "direct" ? "window" : "conversation",
    ...{ form, history, promptTokens: promptTokens || Number.POSITIVE_INFINITY, countTokens: estimatedTokens },
  };
}

/** The text of a template that was named by its file, so that it is kept with the evaluation. */
export function templateText(named: string): string {
  if (!/[/\\.]/.test(named) || named.includes("\n")) return named;
  if (!existsSync(named))
    throw new ConfigError([`template must be a built-in template or a file, and there is no file ${named}`]);
  return readFileSync(named, "utf8");
}

const encoder = new TextEncoder();
/** No tokenizer is at hand for a served model; English has about four bytes a token, other scripts fewer. */
const estimatedTokens = (text: string) => Math.ceil(encoder.encode(text).length / 3);
