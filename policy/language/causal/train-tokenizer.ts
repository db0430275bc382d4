/**
 * A small byte-level BPE (Sennrich et al. 2016; Radford et al. 2019) learned from texts, as the `tokenizer.json` that Hugging Face's libraries
 * read: for models trained from nothing, whose texts have few words.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Words as Qwen's tokenizers cut them, digits one by one; in every engine's dialect. */
const WORDS =
  "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

export const TURN_START = "<|im_start|>";
export const TURN_END = "<|im_end|>";
const TEXT_END = "<|endoftext|>";

/** ChatML: each message between its marks. */
const CHAT_TEMPLATE = `{% for message in messages %}{{ '${TURN_START}' + message.role + '\\n' + message.content + '${TURN_END}\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '${TURN_START}assistant\\n' }}{% endif %}`;

export interface TrainedTokenizer {
  /** The contents of tokenizer.json, tokenizer_config.json and chat_template.jinja. */
  json: Record<string, unknown>;
  config: Record<string, unknown>;
  chatTemplate: string;
}

/**
 * At most `size` tokens: three special ones (0 <|endoftext|>, 1 <|im_start|>, 2 <|im_end|>), the 256 bytes, then the commonest pairs, as long as
 * they occur twice. The same texts give the same tokenizer. Throws RangeError when size has no room for the bytes.
 */
export function trainTokenizer(texts: Iterable<string>, size: number): TrainedTokenizer {
  const special = [TEXT_END, TURN_START, TURN_END];
  const alphabet = [...byteCharacters()].sort((a, b) => (a < b ? -1 : 1));
  if (!Number.isSafeInteger(size) || size < special.length + alphabet.length) {
    throw new RangeError(
      `Cannot train a tokenizer of ${size} tokens: expected at least ${special.length + alphabet.length}, its special tokens and the 256 bytes`,
    );
  }
  const symbols = [...special, ...alphabet];
  const merges = learnMerges(countWords(texts, special), symbols, size);
  const vocabulary = Object.fromEntries(symbols.map((symbol, id) => [symbol, id]));
  const json = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: special.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: WORDS }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: vocabulary,
      merges,
    },
  };
  const config = {
    tokenizer_class: "PreTrainedTokenizerFast",
    eos_token: TURN_END,
    pad_token: TEXT_END,
    clean_up_tokenization_spaces: false,
  };
  return { json, config, chatTemplate: CHAT_TEMPLATE };
}

/** Into a model's folder, where `readTokenizer` and Hugging Face's libraries find it. */
export function writeTokenizer(folder: string, { json, config, chatTemplate }: TrainedTokenizer): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(json));
  writeFileSync(join(folder, "tokenizer_config.json"), `${JSON.stringify(config, null, 2)}\n`);
  writeFileSync(join(folder, "chat_template.jinja"), chatTemplate);
}

/** The character that stands for each byte: itself where it can be seen, else one from 256 on (GPT-2's table). */
function byteCharacters(): string[] {
  let unseen = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const seen = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    return String.fromCharCode(seen ? byte : unseen++);
  });
}

/** How often each word occurs, in the characters of its bytes. */
function countWords(texts: Iterable<string>, special: readonly string[]): Map<string, number> {
  const words = new RegExp(WORDS, "gu");
  const characters = byteCharacters();
  const encoder = new TextEncoder();
  const counts = new Map<string, number>();
  for (const text of texts) {
    let parts = [text];
    for (const mark of special) parts = parts.flatMap((part) => part.split(mark));
    for (const part of parts) {
      for (const [word] of part.matchAll(words)) counts.set(word, (counts.get(word) ?? 0) + 1);
    }
  }
  const inBytes = new Map<string, number>();
  for (const [word, count] of counts)
    inBytes.set(Array.from(encoder.encode(word), (b) => characters[b]).join(""), count);
  return inBytes;
}

interface Word {
  symbols: number[];
  count: number;
}

interface Pair {
  first: number;
  second: number;
  count: number;
  words: Set<Word>;
}

/** Joins the commonest pair of neighbours (of equals, the one of the smallest tokens) until there are `size` symbols, which it adds. */
function learnMerges(counts: ReadonlyMap<string, number>, symbols: string[], size: number): [string, string][] {
  const ids = new Map(symbols.map((symbol, id) => [symbol, id]));
  const pairs = new Map<number, Pair>();
  const change = (word: Word, sign: 1 | -1): void => {
    const { symbols: parts, count } = word;
    for (let i = 0; i + 1 < parts.length; i++) {
      const key = parts[i] * 2 ** 24 + parts[i + 1];
      let pair = pairs.get(key);
      if (pair === undefined) {
        pair = { first: parts[i], second: parts[i + 1], count: 0, words: new Set() };
        pairs.set(key, pair);
      }
      pair.count += sign * count;
      if (sign > 0) pair.words.add(word);
      else if (pair.count === 0) pairs.delete(key);
    }
  };
  for (const [text, count] of counts) change({ symbols: Array.from(text, (c) => ids.get(c)!), count }, 1);

  const merges: [string, string][] = [];
  while (symbols.length < size) {
    let best: Pair | undefined;
    for (const pair of pairs.values()) {
      if (best === undefined || pair.count > best.count || (pair.count === best.count && isBefore(pair, best)))
        best = pair;
    }
    if (best === undefined || best.count < 2) break;
    const { first, second } = best;
    merges.push([symbols[first], symbols[second]]);
    // Two ways to the same text are one token.
    const text = symbols[first] + symbols[second];
    const joined = ids.get(text) ?? symbols.push(text) - 1;
    ids.set(text, joined);
    for (const word of [...best.words]) {
      change(word, -1);
      const after: number[] = [];
      for (let i = 0; i < word.symbols.length; i++) {
        const together = word.symbols[i] === first && word.symbols[i + 1] === second;
        after.push(together ? joined : word.symbols[i]);
        if (together) i++;
      }
      word.symbols = after;
      change(word, 1);
    }
  }
  return merges;
}

function isBefore(a: Pair, b: Pair): boolean {
  return a.first < b.first || (a.first === b.first && a.second < b.second);
}
