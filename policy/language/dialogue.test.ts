import { describe, expect, test } from "bun:test";
import type { Turn } from "../../envs/environment.ts";
import { takeRows } from "../rows.ts";
import { initialise } from "../tensor/initialise.ts";
import { defaultProvider } from "../tensor/provider.ts";
import { answersOf, packAnswers, tokensOf } from "./answer-rows.ts";
import { echoPolicy } from "./testing/echo.ts";

const policyOf = (mode: "window" | "conversation") =>
  echoPolicy({
    name: "echo",
    observation: { type: "text", maxLength: 100 },
    action: { type: "text", maxLength: 20 },
    options: { mode },
  });
const seen = ["one", "two", "three"].map((observation): Turn => ({ observation }));
const bytes = (text: string) => Int32Array.from(new TextEncoder().encode(text));
const END = 256;

/** The contexts of an episode with these answers, one after each observation. */
function contexts(mode: "window" | "conversation", answers: Int32Array[]): Int32Array[] {
  const encoder = policyOf(mode).encoder();
  return answers.map((answer, i) => {
    const context = encoder.context(seen[i]!);
    encoder.answered(answer);
    return context;
  });
}

/** The rows of the same. */
function rowsOf(mode: "window" | "conversation", answers: Int32Array[]) {
  const policy = policyOf(mode);
  const builder = policy.rows();
  const encoder = policy.encoder();
  for (const [i, answer] of answers.entries()) {
    encoder.encode(seen[i]!, builder);
    encoder.acted("", "", answer);
  }
  return builder.finish();
}

describe("a dialogue", () => {
  const answers = [Int32Array.of(...bytes("hi"), END), Int32Array.of(...bytes("well"), END), bytes("cut off")];

  test("of a conversation begins each context with the context and the answer before, token by token", () => {
    const [first, second, third] = contexts("conversation", answers);
    expect(first).toEqual(bytes("\none>"));
    expect(second).toEqual(Int32Array.of(...first!, ...answers[0]!, ...bytes("\ntwo>")));
    expect(third).toEqual(Int32Array.of(...second!, ...answers[1]!, ...bytes("\nthree>")));
  });

  test("closes an answer that was cut off before its end", () => {
    const [, , third] = contexts("conversation", [answers[0]!, answers[2]!, answers[1]!]);
    expect(third!.slice(-8)).toEqual(Int32Array.of(END, ...bytes("\nthree>")));
  });

  test("keeps the tokens that the model gave, even where its words would be cut into others", () => {
    // The bytes of "é" decode to "Ã©" here, whose own bytes are four.
    const odd = Int32Array.of(0xc3, 0xa9, END);
    const [, second] = contexts("conversation", [odd, answers[1]!]);
    expect(second!.slice(5, 8)).toEqual(odd);
  });

  test("that is asked anew at every step knows nothing of the answer before", () => {
    expect(contexts("window", answers)[1]).toEqual(bytes("\ntwo>"));
  });

  test("reads the words of an answer without the token that ended it", () => {
    const encoder = policyOf("conversation").encoder();
    encoder.context(seen[0]!);
    expect(encoder.answered(answers[0]!)).toEqual({ action: "hi", valid: true });
    encoder.context(seen[1]!);
    expect(encoder.answered(Int32Array.of(END))).toEqual({ action: "(nothing)", valid: false });
  });

  test("gives a demonstrated action as the answer that names it, ended", () => {
    const policy = policyOf("conversation");
    const builder = policy.rows();
    const encoder = policy.encoder();
    encoder.encode(seen[0]!, builder);
    encoder.acted(2, "alpha");
    encoder.encode(seen[1]!, builder);
    encoder.acted("beta", "beta");
    expect(answersOf(builder.finish()).values).toEqual(Int32Array.of(...bytes("alpha"), END, ...bytes("beta"), END));
  });
});

describe("rows of answers", () => {
  const answers = [Int32Array.of(...bytes("hi"), END), bytes("no end"), Int32Array.of(END)];

  test("of a conversation are one packed sequence, those of a window one each", () => {
    const whole = contexts("conversation", answers);
    const packed = packAnswers(rowsOf("conversation", answers));
    expect(packed.tokens).toEqual(Int32Array.of(...whole[2]!, ...answers[2]!));
    expect(packed.offsets).toEqual(Uint32Array.of(0, packed.tokens.length));
    expect(Array.from(packed.targets, (at) => packed.tokens[at])).toEqual(answers.flatMap((answer) => [...answer]));

    const apart = packAnswers(rowsOf("window", answers));
    expect(apart.offsets.length).toBe(4);
    expect(apart.tokens.slice(apart.offsets[1], apart.offsets[2])).toEqual(
      Int32Array.of(...bytes("\ntwo>"), ...answers[1]!),
    );
  });

  test("count every token once", () => {
    const rows = rowsOf("conversation", answers);
    const counted = [0, 1, 2].map(tokensOf(rows));
    expect(counted.reduce((a, b) => a + b)).toBe(packAnswers(rows).tokens.length);
  });

  test("cannot begin in the middle of a conversation", () => {
    const rows = rowsOf("conversation", answers);
    expect(() => packAnswers(takeRows(rows, [1, 2]))).toThrow("middle of a sequence");
  });

  test("of a packed conversation have the log-probabilities that each context by itself gives", async () => {
    const policy = policyOf("conversation");
    const model = defaultProvider().model(policy.layout);
    model.load(initialise(policy.layout, 1));
    const packed = await model.evaluate((t) => ({
      logProbs: policy.forward(rowsOf("conversation", answers), t).logits,
    }));
    const apart: number[] = [];
    for (const [i, context] of contexts("conversation", answers).entries()) {
      const builder = policy.rows();
      builder.dense("continues", [0]);
      builder.items("context", context);
      builder.items("answer", answers[i]!);
      builder.endRow();
      const read = await model.evaluate((t) => ({ logProbs: policy.forward(builder.finish(), t).logits }));
      apart.push(...read.logProbs);
    }
    expect(packed.logProbs).toEqual(Float32Array.from(apart));
    model.dispose();
  });
});
