/**
 * The smallest language policy: tokens are bytes, and the next one is predicted from the last few. It knows nothing of the models in
 * `causal/`, so that what surrounds them can be tested without them.
 */
import type { EpisodeEncoder, PolicyOutput, PolicySpec, TokenPolicy } from "../../policy.ts";
import type { Rows } from "../../rows.ts";
import { mostProbable, sampleCategorical } from "../../sampling.ts";
import type { ParameterSpec, Tensor, Tensors } from "../../tensor/tensors.ts";
import type { ChatMessage } from "../agent/index.ts";
import { answerRows, answersOf, packAnswers } from "../answer-rows.ts";
import { Dialogue, type Speech } from "../dialogue.ts";

const END = 256;
const VOCABULARY = 257;
/** Tokens that the next one depends on. */
const REACH = 3;
const WIDTH = 8;
const LONGEST_ANSWER = 12;

const layout: readonly ParameterSpec[] = [
  { name: "seen", shape: [REACH * VOCABULARY, WIDTH], init: { type: "normal", value: 0.5 } },
  { name: "next", shape: [WIDTH, VOCABULARY], init: { type: "normal", value: 0.5 } },
  { name: "bias", shape: [VOCABULARY], init: { type: "constant", value: 0 } },
];

/** window: every step is asked anew. conversation: nothing of what was said before changes. */
export type EchoMode = "window" | "conversation";

function speech(mode: EchoMode): Speech {
  return {
    agents: {
      begin: () => {
        let messages: ChatMessage[] = [];
        return {
          prompt: ({ observation }) => {
            const seen = { role: "user", content: String(observation) } as const;
            messages = mode === "window" ? [seen] : [...messages, seen];
            return messages;
          },
          answered: (text) => {
            messages.push({ role: "assistant", content: text });
            const action = text.trim() || "(nothing)";
            return { action, valid: text.trim() !== "" };
          },
        };
      },
      answerWith: (action) => action.slice(0, LONGEST_ANSWER - 1),
    },
    render: (messages) =>
      messages.map(({ role, content }) => (role === "user" ? `\n${content}>` : `${content}\u0100`)).join(""),
    encode: (text) => Int32Array.from([...new TextEncoder().encode(text)].flatMap(byteOrEnd)),
    decode: (tokens) => Array.from(tokens, (token) => (token === END ? "" : String.fromCharCode(token))).join(""),
    ends: [END],
    maxContext: 4000,
  };
}

/** U+0100 is two bytes in UTF-8, and one token. */
const byteOrEnd = (byte: number, i: number, all: number[]) =>
  byte === 0xc4 && all[i + 1] === 0x80 ? [END] : byte === 0x80 && all[i - 1] === 0xc4 ? [] : [byte];

/** The last tokens before place `at`, each by how far back it is. */
function reach(tokens: ArrayLike<number>, from: number, at: number): number[] {
  const seen: number[] = [];
  for (let back = 1; back <= REACH && at - back >= from; back++)
    seen.push((back - 1) * VOCABULARY + tokens[at - back]!);
  return seen;
}

/** log π of every token of the vocabulary after each of these places [n, V]. */
function predictions(t: Tensors, seen: readonly number[][]): { logProbs: Tensor; offsets: Uint32Array } {
  const bags = Uint32Array.from([
    0,
    ...seen.map(
      (
        (sum) => (ids: number[]) =>
          (sum += ids.length)
      )(0),
    ),
  ]);
  const hidden = t.activate(
    t.embeddingBag(t.parameter("seen"), t.indices(Uint32Array.from(seen.flat())), t.indices(bags)),
    "tanh",
  );
  const logits = t.linear(hidden, t.parameter("next"), t.parameter("bias"));
  const offsets = Uint32Array.from({ length: seen.length + 1 }, (_, i) => i * VOCABULARY);
  return { logProbs: t.segmentLogSoftmax(t.reshape(logits, [seen.length * VOCABULARY]), t.indices(offsets)), offsets };
}

function forward(rows: Rows, t: Tensors): PolicyOutput {
  const { tokens, offsets, targets } = packAnswers(rows);
  let sequence = 0;
  const seen = Array.from(targets, (at) => {
    while (offsets[sequence + 1]! <= at) sequence++;
    return reach(tokens, offsets[sequence]!, at);
  });
  const { logProbs, offsets: choices } = predictions(t, seen);
  const taken = Uint32Array.from(targets, (at, i) => choices[i]! + tokens[at]!);
  const plogp = t.mul(t.exp(logProbs), logProbs);
  return {
    logits: t.gather(logProbs, t.indices(taken)),
    tokens: { entropy: t.affine(t.segmentSum(plogp, t.indices(choices)), -1), offsets: answersOf(rows).offsets },
  };
}

export function echoPolicy(spec: PolicySpec): TokenPolicy {
  const spoken = speech(spec.options.mode === "window" ? "window" : "conversation");
  return {
    spec,
    head: "tokens",
    hasValue: false,
    vocabulary: VOCABULARY,
    answerTokens: LONGEST_ANSWER,
    layout,
    rows: answerRows,
    encoder: (): Dialogue & EpisodeEncoder => new Dialogue(spoken),
    forward,
    writer: (model) => ({
      async answer(prompts, { greedy }) {
        return Promise.all(
          prompts.map(async ({ context, uniform }) => {
            const all = Array.from(context);
            const logProbs: number[] = [];
            do {
              const read = await model.evaluate((t) => ({
                logProbs: predictions(t, [reach(all, 0, all.length)]).logProbs,
              }));
              const token = greedy
                ? mostProbable(read.logProbs, 0, VOCABULARY)
                : sampleCategorical(read.logProbs, 0, VOCABULARY, uniform(logProbs.length));
              logProbs.push(read.logProbs[token]!);
              all.push(token);
            } while (all.at(-1) !== END && logProbs.length < LONGEST_ANSWER);
            return { tokens: Int32Array.from(all.slice(context.length)), logProbs: Float32Array.from(logProbs) };
          }),
        );
      },
      forget() {},
    }),
  };
}

/** As a policy file would export it: gradient threads load it by its path. */
export default {
  name: "echo",
  summary: "Predicts bytes from the last few.",
  options: { mode: { default: "conversation", about: "window or conversation." } },
  create: echoPolicy,
};
