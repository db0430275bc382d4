/**
 * Text to tokens and back, and conversations to prompts: what a model folder says in `tokenizer.json`, `tokenizer_config.json` and
 * `chat_template.jinja`, by the libraries of its makers.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Template } from "@huggingface/jinja";
import { Tokenizer as Library } from "@huggingface/tokenizers";
import { readJson } from "./checkpoint.ts";
import { CheckpointError } from "./config.ts";

export interface ChatMessage {
  role: string;
  content: string;
}

export interface Tokenizer {
  /** One more than the largest token. */
  readonly size: number;
  /** Special tokens in the text are recognised; none is added. */
  encode(text: string): number[];
  /** Special tokens give no text. */
  decode(tokens: ArrayLike<number>): string;
  /** The prompt of a conversation, ready for the assistant's answer when asked. Throws CheckpointError without a chat template, or when it refuses. */
  chat(messages: readonly ChatMessage[], options?: { addGenerationPrompt?: boolean }): string;
  readonly hasChatTemplate: boolean;
  /** A token by its text; undefined when there is none. */
  tokenOf(text: string): number | undefined;
  /** The tokenizer's own end of a text, where it names one. */
  readonly endToken: number | undefined;
}

/** Throws CheckpointError when the folder has no tokenizer or one of another kind. */
export function readTokenizer(folder: string): Tokenizer {
  const json = readJson(folder, "tokenizer.json");
  if (json === undefined) {
    throw new CheckpointError(`Cannot read a tokenizer from ${folder}: it has no tokenizer.json`);
  }
  const config = readJson(folder, "tokenizer_config.json") ?? {};
  const file = join(folder, "chat_template.jinja");
  const template = existsSync(file) ? readFileSync(file, "utf8") : templateOf(config.chat_template);
  return tokenizer(json, config, template, folder);
}

/** From what the files hold. */
export function tokenizer(
  json: Record<string, unknown>,
  config: Record<string, unknown> = {},
  chatTemplate?: string,
  folder = "the tokenizer",
): Tokenizer {
  let library: Library;
  try {
    library = new Library(json, config);
  } catch (cause) {
    throw new CheckpointError(`Cannot use tokenizer.json of ${folder}: ${(cause as Error).message}`, { cause });
  }
  let size = 0;
  for (const id of library.get_vocab(true).values()) size = Math.max(size, id + 1);
  let compiled: Template | undefined;
  const special = specialTexts(config);
  return {
    size,
    hasChatTemplate: chatTemplate !== undefined,
    endToken: special.eos_token === undefined ? undefined : library.token_to_id(special.eos_token),
    encode: (text) => library.encode(text, { add_special_tokens: false }).ids,
    decode: (tokens) => (tokens.length === 0 ? "" : library.decode(Array.from(tokens), { skip_special_tokens: true })),
    tokenOf: (text) => library.token_to_id(text),
    chat(messages, { addGenerationPrompt = true } = {}) {
      if (chatTemplate === undefined) {
        throw new CheckpointError(
          `Cannot turn a conversation into a prompt: ${folder} has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json)`,
        );
      }
      try {
        compiled ??= new Template(chatTemplate);
        return compiled.render({ ...special, messages, add_generation_prompt: addGenerationPrompt });
      } catch (cause) {
        throw new CheckpointError(`Cannot render the chat template of ${folder}: ${(cause as Error).message}`, {
          cause,
        });
      }
    },
  };
}

/** Throws CheckpointError when the tokenizer knows tokens that the model's embedding table has no row for. */
export function checkTokenizer({ size }: Tokenizer, vocabulary: number, folder: string): void {
  if (size <= vocabulary) return;
  throw new CheckpointError(
    `The tokenizer in ${folder} does not belong to its model: it has tokens up to ${size - 1}, the vocabulary in config.json has ${vocabulary}`,
  );
}

/** The texts of bos_token and the like, which may be given as text or as an object. */
function specialTexts(config: Record<string, unknown>): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const [key, value] of Object.entries(config)) {
    if (!key.endsWith("_token")) continue;
    const text = typeof value === "object" && value !== null ? (value as { content?: unknown }).content : value;
    if (typeof text === "string") texts[key] = text;
  }
  return texts;
}

/** Some folders name several templates; the default one is meant. */
function templateOf(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) return undefined;
  const named = value.find((entry) => (entry as { name?: unknown })?.name === "default") as
    | { template?: unknown }
    | undefined;
  return typeof named?.template === "string" ? named.template : undefined;
}
