import { describe, expect, test } from "bun:test";
import { bits } from "../../tensor/conformance.ts";
import { initialise, KernelModel, type Model } from "../../tensor/index.ts";
import { SimdKernels } from "../../tensor/simd/kernels.ts";
import { simdProvider } from "../../tensor/simd/provider.ts";
import { type CausalConfig, smallConfig } from "./config.ts";
import { draw, Generator, type SamplingOptions } from "./generate.ts";
import { type CausalModel, causal, type PackedTokens } from "./model.ts";

const provider = simdProvider();

const CONFIG: CausalConfig = {
  ...smallConfig({ vocabulary: 40, hidden: 32, layers: 3, heads: 4, keyHeads: 2, contextLimit: 200 }),
  windows: [0, 9, 0],
};

/** Weights large enough for distributions that are not flat. */
function make(config = CONFIG): { model: Model; lm: CausalModel } {
  const lm = causal(config);
  const model = provider.model(lm.layout);
  model.load(initialise(lm.layout, 1).map((x) => (Math.abs(x) < 0.5 ? 8 * x : x)));
  return { model, lm };
}

function packed(...sequences: readonly (readonly number[])[]): PackedTokens {
  const offsets = Uint32Array.of(0, ...sequences.map((tokens) => tokens.length));
  for (let i = 1; i < offsets.length; i++) offsets[i] += offsets[i - 1];
  return { tokens: Int32Array.from(sequences.flat()), offsets };
}

const numbers = (count: number, seed: number): number[] =>
  Array.from({ length: count }, (_, i) => (((i + 7) * (seed * 2 + 13) * 2654435761) >>> 7) % 40);

/** Uniform numbers that depend on a name and an index alone. */
const uniformOf =
  (seed: number) =>
  (i: number): number =>
    ((Math.imul(i + 1, 2654435761) ^ Math.imul(seed + 1, 0x9e3779b1)) >>> 0) / 2 ** 32;

const decode = (tokens: number[]): string => tokens.map((token) => String.fromCharCode(48 + token)).join("");

test("a sequence has the same log-probabilities to the bit alone and packed with others", async () => {
  const { model, lm } = make();
  const [a, b] = [numbers(50, 1), numbers(70, 2)];
  const alone = await model.evaluate((t) => ({
    ...lm.tokenLogProbs(
      t,
      packed(b),
      Uint32Array.from({ length: 69 }, (_, i) => i + 1),
    ),
  }));
  const together = await model.evaluate((t) => ({
    ...lm.tokenLogProbs(
      t,
      packed(a, b),
      Uint32Array.from({ length: 69 }, (_, i) => i + 51),
    ),
  }));
  expect(together).toEqual(alone);
  model.dispose();
});

test("probabilities of all continuations add up to one, and the entropy is theirs", async () => {
  const { model, lm } = make();
  const prompt = numbers(20, 3);
  const { logProb, entropy } = await model.evaluate((t) =>
    lm.tokenLogProbs(
      t,
      packed(...Array.from({ length: 40 }, (_, word) => [...prompt, word])),
      Uint32Array.from({ length: 40 }, (_, i) => 21 * i + 20),
    ),
  );
  const p = Array.from(logProb, Math.exp);
  expect(p.reduce((x, y) => x + y, 0)).toBeCloseTo(1, 5);
  const expected = p.reduce((sum, x) => sum - x * Math.log(x), 0);
  for (const found of entropy) expect(found).toBeCloseTo(expected, 4);
  model.dispose();
});

test("recomputed layers give the same gradients to the bit, and need less memory", async () => {
  const batch = packed(numbers(50, 1), numbers(70, 2));
  const positions = Uint32Array.from({ length: 69 }, (_, i) => i + 51);
  const gradients = [false, true].map((recompute) => {
    const kernels = new SimdKernels();
    const lm = causal({ ...CONFIG, windows: new Array(8).fill(0), layers: 8 }, { recompute });
    const model = new KernelModel(kernels, lm.layout);
    model.load(initialise(lm.layout, 1));
    model.differentiate((t) => {
      const { logProb, entropy } = lm.tokenLogProbs(t, batch, positions);
      return { loss: t.add(t.mean(logProb), t.mean(entropy)) };
    });
    return { gradient: bits(model.gradients() as Float32Array), memory: kernels.allocated };
  });
  expect(gradients[1].gradient).toEqual(gradients[0].gradient);
  expect(gradients[1].memory).toBeLessThan(gradients[0].memory / 2);
});

describe("generation", () => {
  const options: SamplingOptions = { maxTokens: 30, temperature: 0.8 };

  test("records what the packed forward pass gives the tokens it drew", async () => {
    const { model, lm } = make();
    const generator = new Generator(model, lm, decode);
    const prompts = [numbers(5, 1), numbers(40, 2), numbers(1, 3)];
    const answers = await generator.generate(
      prompts.map((tokens, i) => ({ session: generator.session(), tokens, uniform: uniformOf(i) })),
      options,
    );
    for (const [i, { tokens, logProbs }] of answers.entries()) {
      const whole = [...prompts[i], ...tokens];
      const positions = Uint32Array.from({ length: tokens.length }, (_, k) => prompts[i].length + k);
      const { logProb } = await model.evaluate((t) =>
        lm.tokenLogProbs(t, packed(whole), positions, { temperature: 0.8 }),
      );
      logProbs.forEach((value, k) => {
        expect(Math.abs(value - logProb[k])).toBeLessThan(2e-6);
      });
    }
    model.dispose();
  });

  test("is the same for a conversation alone, beside others and in a session that goes on", async () => {
    const { model, lm } = make();
    const generator = new Generator(model, lm, decode);
    const ask = (tokens: number[], i: number, session = generator.session()) => ({
      session,
      tokens,
      uniform: uniformOf(i),
    });
    const first = numbers(30, 1);
    const session = generator.session();
    const [one] = await generator.generate([ask(first, 1, session)], options);
    const [, beside] = await generator.generate([ask(numbers(17, 5), 5), ask(first, 1), ask([3], 6)], options);
    expect(beside).toEqual(one);

    const second = [...first, ...one.tokens, ...numbers(10, 4)];
    const [fresh] = await generator.generate([ask(second, 2)], options);
    const [gone] = await generator.generate([ask(second, 2, session)], options);
    expect(gone).toEqual(fresh);
    // Something else than what is cached: the session goes back to where it agrees.
    const [other] = await generator.generate([ask(numbers(33, 1).reverse(), 3, session)], options);
    expect(other).toEqual((await generator.generate([ask(numbers(33, 1).reverse(), 3)], options))[0]);
    model.dispose();
  });

  test("of a prompt longer than a run is that of the whole prompt", async () => {
    const long = { ...CONFIG, contextLimit: 2000 };
    const { model, lm } = make(long);
    const generator = new Generator(model, lm, decode);
    const tokens = numbers(1300, 1);
    const [answer] = await generator.generate([{ session: generator.session(), tokens, uniform: uniformOf(1) }], {
      maxTokens: 3,
    });
    const { logProb } = await model.evaluate((t) =>
      lm.tokenLogProbs(t, packed([...tokens, ...answer.tokens]), Uint32Array.of(1300, 1301, 1302)),
    );
    answer.logProbs.forEach((value, k) => {
      expect(Math.abs(value - logProb[k])).toBeLessThan(2e-6);
    });
    model.dispose();
  });

  test("stops at stop tokens, stop texts, maxTokens and the context limit, and says which", async () => {
    const { model, lm } = make();
    const generator = new Generator(model, lm, decode);
    const ask = async (more: Partial<SamplingOptions>, tokens = numbers(5, 1)) =>
      (
        await generator.generate([{ session: generator.session(), tokens, uniform: uniformOf(1) }], {
          ...options,
          ...more,
        })
      )[0];
    const free = await ask({});
    expect(free).toMatchObject({ finish: "length", text: decode([...free.tokens]) });
    expect(free.tokens.length).toBe(30);

    const token = free.tokens[10];
    const at = free.tokens.indexOf(token);
    const stopped = await ask({ stopTokens: [token] });
    expect(stopped).toMatchObject({ finish: "stop", text: free.text.slice(0, at) });
    expect(stopped.tokens).toEqual(free.tokens.slice(0, at + 1));

    const text = free.text.slice(12, 15);
    const cut = await ask({ stop: ["never", text] });
    expect(cut).toMatchObject({ finish: "stop", text: free.text.slice(0, free.text.indexOf(text)) });

    const near = await ask({}, numbers(190, 1));
    expect(near.finish).toBe("context");
    expect(near.tokens.length).toBe(10);
    model.dispose();
  });

  test("at temperature 0 takes the most probable token whatever the numbers", async () => {
    const { model, lm } = make();
    const generator = new Generator(model, lm, decode);
    const ask = async (seed: number, temperature: number) =>
      (
        await generator.generate([{ session: generator.session(), tokens: [1, 2, 3], uniform: uniformOf(seed) }], {
          maxTokens: 20,
          temperature,
        })
      )[0].tokens;
    expect(await ask(1, 0)).toEqual(await ask(2, 0));
    expect(await ask(1, 0)).toEqual(await ask(3, 1e-4));
    expect(await ask(1, 1)).not.toEqual(await ask(2, 1));
    model.dispose();
  });

  test("refuses what it cannot continue", async () => {
    const { model, lm } = make();
    const generator = new Generator(model, lm, decode);
    const ask = (tokens: number[], more: Partial<SamplingOptions> = {}) =>
      generator.generate([{ session: generator.session(), tokens, uniform: uniformOf(1) }], { ...options, ...more });
    expect(ask([])).rejects.toThrow("Cannot continue 0 tokens: expected 1 to 199");
    expect(ask(numbers(200, 1))).rejects.toThrow("the model's context limit is 200");
    expect(ask([40])).rejects.toThrow("Cannot compute token 40 at 0: the vocabulary has 40");
    expect(ask([1], { topP: 0 })).rejects.toThrow("expected topP above 0 and at most 1, found 0");
    expect(ask([1], { stop: [""] })).rejects.toThrow("expected stop texts that are not empty");
    model.dispose();
  });
});

describe("draw()", () => {
  const probabilities = Float32Array.of(0.05, 0.4, 0.05, 0.3, 0.2);

  test("gives each token its share of the numbers", () => {
    const counts = new Array<number>(5).fill(0);
    for (let i = 0; i < 1000; i++) counts[draw(probabilities, 1, (i + 0.5) / 1000).token]++;
    expect(counts).toEqual([50, 400, 50, 300, 200]);
  });

  test("with topP draws from the fewest tokens that have it, by their share of its mass", () => {
    const counts = new Array<number>(5).fill(0);
    for (let i = 0; i < 900; i++) counts[draw(probabilities, 0.75, (i + 0.5) / 900).token]++;
    expect(counts).toEqual([0, 400, 0, 300, 200]);
    expect(draw(probabilities, 0.75, 0).probability).toBeCloseTo(0.4 / 0.9, 6);
    expect(draw(probabilities, 0.1, 0.999).token).toBe(1);
  });

  test("refuses what is no distribution", () => {
    expect(() => draw(new Float32Array(3).fill(Number.NaN), 1, 0.5)).toThrow("The weights have probably diverged");
  });
});
