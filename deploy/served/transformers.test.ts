/** Against a real server that others wrote: Hugging Face's `transformers serve`, with a tiny random Qwen2 on the CPU. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ServedModel, ServedModelError } from "../../policy/language/served/index.ts";
import { pythonWith } from "../../proto/testing/python.ts";
import { runCommandLine } from "../command-line.ts";

const wantedFor = "served language models against transformers serve";
const python = pythonWith("transformers", wantedFor) && pythonWith("openai", wantedFor);
setDefaultTimeout(240_000); // PyTorch takes long to start on a machine that does much else

const folder = mkdtempSync(join(tmpdir(), "proxima-served-"));
const before = process.cwd();
/** Nothing is looked for on a hub. */
const env = { ...process.env, HF_HUB_OFFLINE: "1", TRANSFORMERS_VERBOSITY: "error" };
const question = [{ role: "user", content: "What do you see?" }] as const;
const limit = 8;

/** A model of a token a byte, written to the folder; prints what it goes on with, greedily, after the question as a chat and as a text. */
const makeModel = `
import json, sys, torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
folder, question, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
vocabulary = special + sorted(pre_tokenizers.ByteLevel.alphabet())
bytewise = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(vocabulary)}, merges=[]))
bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
bytewise.decoder = decoders.ByteLevel()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytewise, eos_token=special[2], pad_token=special[0], additional_special_tokens=special)
tokenizer.chat_template = "{% for m in messages %}<|im_start|>{{ m.role }}\\n{{ m.content }}<|im_end|>\\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\\n{% endif %}"
tokenizer.save_pretrained(folder)
torch.manual_seed(3)
model = Qwen2ForCausalLM(Qwen2Config(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=8192, eos_token_id=2, pad_token_id=0))
model.save_pretrained(folder)
chat = tokenizer.apply_chat_template([{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False)
def go_on(text):
    tokens = tokenizer(text, return_tensors="pt", add_special_tokens=False)
    said = model.generate(**tokens, do_sample=False, max_new_tokens=limit)[0, tokens["input_ids"].shape[1]:]
    return {"prompt": tokens["input_ids"].shape[1], "answer": len(said), "text": tokenizer.decode(said, skip_special_tokens=True)}
print(json.dumps({"chat": go_on(chat), "text": go_on(question + "\\n")}))
`;

interface Expected {
  prompt: number;
  answer: number;
  text: string;
}

describe.skipIf(python === undefined)("transformers serve", () => {
  let server: ChildProcess;
  let baseUrl: string;
  let expected: { chat: Expected; text: Expected };
  const ask = (options: object = {}) =>
    new ServedModel({ baseUrl, model: folder, temperature: 0, answerTokens: limit, attempts: 1, ...options });

  beforeAll(async () => {
    process.chdir(folder);
    const made = spawnSync(python!, ["-c", makeModel, folder, question[0].content, String(limit)], { env });
    if (made.status !== 0) throw new Error(String(made.stderr));
    expected = JSON.parse(String(made.stdout));
    const start = "from transformers.cli.transformers import main; main()";
    const args = ["serve", folder, "--device", "cpu", "--host", "127.0.0.1", "--port", "0"];
    server = spawn(python!, ["-c", start, ...args], { env, stdio: ["ignore", "ignore", "pipe"] });
    baseUrl = await listening(server);
  });

  afterAll(async () => {
    process.chdir(before);
    if (server?.exitCode === null) {
      const gone = once(server, "exit");
      server.kill();
      await gone;
    }
    rmSync(folder, { recursive: true, force: true });
  });

  test("answers a chat with what the model itself goes on with, and counts its tokens", async () => {
    const { chat } = expected;
    expect(await ask().answer(question)).toMatchObject({
      text: chat.text,
      finish: "length",
      usage: { promptTokens: chat.prompt, answerTokens: chat.answer },
    });
  });

  test("streams the same answer", async () => {
    const { text, usage } = await ask({ stream: true }).answer(question);
    // It keeps back a character that is not whole, as a random model's last one seldom is.
    expect(expected.chat.text.replace(/\ufffd+$/, "")).toBe(text.replace(/\ufffd+$/, ""));
    expect(usage).toEqual({ promptTokens: expected.chat.prompt, answerTokens: expected.chat.answer });
  });

  test("goes on from a text where there is no chat", async () => {
    const { text, usage } = await ask({ api: "completions" }).answer(question);
    expect(text).toBe(expected.text.text);
    expect(usage!.promptTokens).toBe(expected.text.prompt);
  });

  test("answers many at once", async () => {
    const model = ask({ concurrency: 2 });
    const answers = await Promise.all(Array.from({ length: 4 }, () => model.answer(question)));
    expect(new Set(answers.map(({ text }) => text))).toEqual(new Set([expected.chat.text]));
  });

  test("has no other model, which is an error and no answer", async () => {
    const error = await ask({ model: "nobody/no-such-model" })
      .answer(question)
      .catch((reason) => reason);
    expect(error).toBeInstanceOf(ServedModelError);
    expect(error.message).toContain("model nobody/no-such-model");
  });

  test("is evaluated as an agent: a random model says nothing that the household understands", async () => {
    const out: string[] = [];
    const argv = [
      "eval",
      "--policy",
      `openai:${folder}`,
      "--base-url",
      baseUrl,
      "--env",
      "alfworld",
      "--env.data",
      "household",
    ];
    const small = [
      "--env.maxEpisodeSteps",
      "2",
      "--episodes",
      "2",
      "--answerTokens",
      String(limit),
      "--agent",
      "react",
      "--json",
    ];
    const streams = { out: (text: string) => void out.push(text), err: (text: string) => void out.push(text) };
    expect(await runCommandLine([...argv, ...small], streams, new AbortController().signal), out.join("")).toBe(0);
    const events = out
      .join("")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(events.find(({ type }) => type === "evaluation")).toMatchObject({
      episodes: 2,
      noResults: {},
      success: { successes: 0, episodes: 2 },
      invalidActions: 1,
      spent: { requests: 4, answerTokens: 4 * limit, uncounted: 0 },
    });
  });
});

/** The address that the server says it listens at. */
function listening(server: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = "";
    server.stderr!.on("data", (bytes) => {
      said += String(bytes);
      const [, address] = /running on (http:\S+)/.exec(said) ?? [];
      if (address) resolve(`${address}/v1`);
    });
    server.once("exit", (code) => reject(new Error(`transformers serve ended with ${code}: ${said.slice(-2000)}`)));
  });
}
