/** Against Hugging Face's own libraries: the same tokens and prompts from the same folders. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pythonWith } from "../../../proto/testing/python.ts";
import { CheckpointError } from "./config.ts";
import { checkTokenizer, readTokenizer, tokenizer } from "./tokenizer.ts";
import { trainTokenizer, writeTokenizer } from "./train-tokenizer.ts";

setDefaultTimeout(60_000); // for machines that do much else at the same time

const CONVERSATIONS = [
  [{ role: "user", content: "look around" }],
  [
    { role: "system", content: "You are in a room." },
    { role: "user", content: "  what next?  \n" },
    { role: "assistant", content: "<think>\nhm\n</think>\n\n<action>go to desk 1</action>" },
    { role: "user", content: "Nothing happens. 没有 🇫🇷" },
    { role: "assistant", content: "<think>so</think><action>look</action>" },
    { role: "system", content: "Hurry." },
    { role: "user", content: "{{ not a template }} {% nor this %}" },
  ],
];
const COUNT = 10_000;

const python = pythonWith("transformers", "comparing tokenizers and chat templates with transformers");
const folder = mkdtempSync(join(tmpdir(), "proxima-tokenizer-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Sentences of a few words, as of a household game. */
const OUR_TEXTS = Array.from({ length: 400 }, (_, i) => {
  const things = ["apple", "mug", "butterknife", "desklamp", "pillow"];
  const places = ["countertop", "sidetable", "fridge", "cabinet"];
  const at = `${places[(i * 7) % 4]} ${(i * 13) % 29}`;
  return `You arrive at ${at}. On the ${at}, you see a ${things[i % 5]} ${i % 3}.\n> take ${things[(i * 3) % 5]} 1 from ${at}<|im_end|>`;
});

const ours = trainTokenizer(OUR_TEXTS, 330);

function makeTokenizers(): string {
  writeTokenizer(join(folder, "ours"), ours);
  writeFileSync(
    join(folder, "ours", "texts.json"),
    JSON.stringify(OUR_TEXTS.map((text) => text.replace("<|im_end|>", ""))),
  );
  const script = join(import.meta.dirname, "testing", "tokenizers_oracle.py");
  const input = JSON.stringify(CONVERSATIONS);
  const { status, stderr } = spawnSync(python!, [script, folder, `${COUNT}`], { input, encoding: "utf8" });
  return status === 0 ? "" : stderr;
}

const failure = python ? makeTokenizers() : "";

interface Expected {
  texts: string[];
  ids: number[][];
  decoded: string[];
  chats: { prompt: string; ids: number[] }[];
}

test("a trained tokenizer keeps every text, with less than half as many tokens as bytes for those it knows", () => {
  const made = tokenizer(ours.json, ours.config, ours.chatTemplate);
  expect(made.size).toBe(330);
  expect(made.endToken).toBe(2);
  const known = OUR_TEXTS[3].replace("<|im_end|>", "");
  for (const text of [known, "", "naïve 没有 🇫🇷\n\t\u0000"]) expect(made.decode(made.encode(text))).toBe(text);
  expect(made.encode(known).length).toBeLessThan(known.length / 2);
  expect(made.encode("<|im_start|>a<|im_end|>")).toEqual([1, made.tokenOf("a")!, 2]);
  expect(made.chat([{ role: "user", content: "hi" }])).toBe("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
});

test("the same texts give the same tokenizer, and too small a size is refused", () => {
  expect(trainTokenizer(OUR_TEXTS, 330)).toEqual(ours);
  expect(() => trainTokenizer(OUR_TEXTS, 258)).toThrow("expected at least 259");
});

test("a tokenizer that does not fit is refused with what is wrong", () => {
  const empty = mkdtempSync(join(folder, "empty-"));
  expect(() => readTokenizer(empty)).toThrow(CheckpointError);
  expect(() => readTokenizer(empty)).toThrow("it has no tokenizer.json");
  writeFileSync(join(empty, "tokenizer.json"), JSON.stringify({ model: { type: "Magic" } }));
  expect(() => readTokenizer(empty)).toThrow(CheckpointError);
  writeFileSync(join(empty, "tokenizer.json"), "[1");
  expect(() => readTokenizer(empty)).toThrow("it is not JSON");
  const made = tokenizer(ours.json, ours.config);
  expect(() => made.chat([])).toThrow("has no chat template");
  const strict = tokenizer(ours.json, ours.config, "{{ raise_exception('roles must alternate') }}");
  expect(() => strict.chat([])).toThrow("Cannot render the chat template of the tokenizer: roles must alternate");
  expect(() => checkTokenizer(made, 329, "models/small")).toThrow(
    "The tokenizer in models/small does not belong to its model: it has tokens up to 329, the vocabulary in config.json has 329",
  );
});

describe.skipIf(!python)("like Hugging Face's libraries", () => {
  test("makes the tokenizers", () => {
    expect(failure).toBe("");
  });

  test("a tokenizer trained here has the pairs that theirs learns from the same texts", () => {
    const { merges } = JSON.parse(readFileSync(join(folder, "ours.json"), "utf8")) as { merges: unknown };
    expect((ours.json.model as { merges: unknown }).merges).toEqual(merges);
  });

  for (const name of ["qwen", "llama3", "ours"]) {
    const load = () => ({
      tokenizer: readTokenizer(join(folder, name)),
      expected: JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8")) as Expected,
    });

    test(`${COUNT} texts in many scripts have the same tokens by a tokenizer like ${name}'s`, () => {
      const { tokenizer, expected } = load();
      const wrong = expected.texts.filter((text, i) => tokenizer.encode(text).join() !== expected.ids[i].join());
      expect(wrong).toEqual([]);
    });

    test(`and their tokens the same texts, ${name}`, () => {
      const { tokenizer, expected } = load();
      const wrong = expected.ids.filter((ids, i) => tokenizer.decode(ids) !== expected.decoded[i]);
      expect(wrong).toEqual([]);
    });

    test(`conversations give the same prompts, ${name}`, () => {
      const { tokenizer, expected } = load();
      const found = CONVERSATIONS.flatMap((messages) =>
        [true, false].map((addGenerationPrompt) => tokenizer.chat(messages, { addGenerationPrompt })),
      );
      expect(found).toEqual(expected.chats.map(({ prompt }) => prompt));
      expect(found.map((prompt) => tokenizer.encode(prompt))).toEqual(expected.chats.map(({ ids }) => ids));
    });
  }
});
