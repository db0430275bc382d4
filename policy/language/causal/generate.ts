/**
 * Generation with a cache of keys and values: several conversations side by side, each token drawn with a number given by the caller. What a
 * conversation says depends on its tokens, the weights and its numbers alone, not on what it is batched with or on what was cached.
 */

import type { AttentionCache, Model, Tensor } from "../../tensor/index.ts";
import { ln } from "../../tensor/portable-math.ts";
import type { CausalModel } from "./model.ts";

export interface SamplingOptions {
  /** Of an answer, the token that ends it included. */
  maxTokens: number;
  /** Divides the logits; 0 takes the most probable token (the first of equals). 1 by default. */
  temperature?: number;
  /** Draws from the most probable tokens that together have at least this probability. 1 (all) by default. */
  topP?: number;
  /** Tokens that end an answer, such as the end of a turn. */
  stopTokens?: readonly number[];
  /** Texts that end an answer; they belong to its tokens but not to its text. */
  stop?: readonly string[];
}

export interface GenerationRequest {
  session: Session;
  /** All tokens so far. Those at the beginning that the session has seen before are not computed again. */
  tokens: ArrayLike<number>;
  /** In [0, 1), for the i-th token of the answer. */
  uniform(i: number): number;
}

export interface Generation {
  tokens: Int32Array;
  /**
   * Of each token, in the distribution it was drawn from: that of the logits divided by the temperature, and with a topP below 1 only of the
   * tokens that could be drawn. At temperature 0, of the logits as they are.
   */
  logProbs: Float32Array;
  /** Without the token or text that ended it. */
  text: string;
  /** stop: by a stop token or text; length: after maxTokens; context: the model's context limit is reached. */
  finish: "stop" | "length" | "context";
}

/** One conversation: the tokens whose keys and values are cached. */
export class Session {
  readonly cache: AttentionCache;
  /** @internal */
  tokens: number[] = [];

  constructor(cache: AttentionCache) {
    this.cache = cache;
  }

  /** Forgets what was computed: call it when the weights have changed. */
  reset(): void {
    this.tokens = [];
    this.cache.truncate(0);
  }

  close(): void {
    this.tokens = [];
    this.cache.dispose();
  }
}

/** Tokens of prompts and answers that are computed in one run: bounds memory, changes no result. */
const TOKENS_A_RUN = 512;

/** So often whoever else waits gets a turn, an actor's signs of life among them: answers may take minutes. */
const PAUSE_AFTER_MS = 100;

/** An answer while it is written. */
interface Answer {
  request: GenerationRequest;
  /** Not computed yet; the first of them are next. */
  pending: number[];
  tokens: number[];
  logProbs: number[];
}

export class Generator {
  private readonly model: Model;
  private readonly causal: CausalModel;
  private readonly decode: (tokens: number[]) => string;

  /** @param decode the text of tokens; special tokens give none */
  constructor(model: Model, causal: CausalModel, decode: (tokens: number[]) => string) {
    this.model = model;
    this.causal = causal;
    this.decode = decode;
  }

  session(): Session {
    const { layers, width } = this.causal.cacheShape;
    return new Session(this.model.cache(layers, width));
  }

  /** One answer to each request, in their order. Throws RangeError for an empty or too long sequence. */
  async generate(requests: readonly GenerationRequest[], options: SamplingOptions): Promise<Generation[]> {
    checkOptions(options);
    const answers = requests.map((request) => this.begin(request, options));
    const finished = new Map<Answer, Generation>();
    let active = answers;
    let pausedAt = performance.now();
    while (active.length > 0) {
      if (performance.now() - pausedAt > PAUSE_AFTER_MS) {
        await new Promise((resolve) => setImmediate(resolve));
        pausedAt = performance.now();
      }
      for (const answer of await this.run(active, options)) {
        const generation = this.finish(answer, options);
        if (generation) finished.set(answer, generation);
      }
      active = active.filter((answer) => !finished.has(answer));
    }
    return answers.map((answer) => finished.get(answer)!);
  }

  private begin(request: GenerationRequest, options: SamplingOptions): Answer {
    const { session, tokens } = request;
    const { contextLimit } = this.causal.config;
    if (tokens.length === 0 || tokens.length >= contextLimit) {
      throw new RangeError(
        `Cannot continue ${tokens.length} tokens: expected 1 to ${contextLimit - 1}, as the model's context limit is ${contextLimit}`,
      );
    }
    // The last token is computed even when it is cached: its logits are wanted.
    let known = 0;
    while (known < Math.min(session.tokens.length, tokens.length - 1) && session.tokens[known] === tokens[known])
      known++;
    session.tokens.length = known;
    session.cache.truncate(known);
    session.cache.reserve(Math.min(tokens.length + options.maxTokens, contextLimit));
    return { request, pending: Array.prototype.slice.call(tokens, known) as number[], tokens: [], logProbs: [] };
  }

  /** Computes what fits in one run, draws a token for each answer that has nothing pending then, and returns these. */
  private async run(active: readonly Answer[], options: SamplingOptions): Promise<Answer[]> {
    const parts: { answer: Answer; tokens: number[] }[] = [];
    let room = TOKENS_A_RUN;
    for (const answer of active) {
      if (room === 0) break;
      const tokens = answer.pending.splice(0, room);
      parts.push({ answer, tokens });
      room -= tokens.length;
    }
    const tokens = Int32Array.from(parts.flatMap((part) => part.tokens));
    const offsets = Uint32Array.of(0, ...parts.map((part) => part.tokens.length));
    for (let i = 1; i < offsets.length; i++) offsets[i] += offsets[i - 1];
    const caches = parts.map(({ answer }) => answer.request.session.cache);
    const ready = parts.map((_, i) => i).filter((i) => parts[i].answer.pending.length === 0);
    const lasts = Uint32Array.from(ready, (i) => offsets[i + 1] - 1);

    const { temperature = 1 } = options;
    const values = await this.model.evaluate((t): Record<string, Tensor> => {
      const hidden = this.causal.hidden(t, { tokens, offsets }, caches);
      if (ready.length === 0) return {};
      const logits = this.causal.logits(t, t.gather(hidden, t.indices(lasts)));
      if (temperature === 0) return { logits, probabilities: t.softmax(logits) };
      return { probabilities: t.softmax(temperature === 1 ? logits : t.affine(logits, 1 / temperature)) };
    });
    for (const { answer, tokens: computed } of parts) {
      const { session } = answer.request;
      session.cache.advance(computed.length);
      for (const token of computed) session.tokens.push(token);
    }
    const width = this.causal.config.vocabulary;
    return ready.map((part, row) => {
      const { answer } = parts[part];
      const probabilities = values.probabilities.subarray(row * width, (row + 1) * width);
      const { token, probability } =
        temperature === 0
          ? mostProbable(values.logits.subarray(row * width, (row + 1) * width), probabilities)
          : draw(probabilities, options.topP ?? 1, answer.request.uniform(answer.tokens.length));
      answer.tokens.push(token);
      answer.logProbs.push(ln(probability));
      answer.pending.push(token);
      return answer;
    });
  }

  private finish(answer: Answer, options: SamplingOptions): Generation | undefined {
    const { tokens, logProbs, request } = answer;
    const done = (finish: Generation["finish"], text: string): Generation => ({
      tokens: Int32Array.from(tokens),
      logProbs: Float32Array.from(logProbs),
      text,
      finish,
    });
    if (options.stopTokens?.includes(tokens[tokens.length - 1])) return done("stop", this.decode(tokens.slice(0, -1)));
    if (options.stop?.length) {
      // A text of B bytes ends within the last B tokens, so that is all to look at while nothing is found.
      const longest = Math.max(...options.stop.map((text) => new TextEncoder().encode(text).length));
      const recent = this.decode(tokens.slice(-longest - 1));
      if (options.stop.some((text) => recent.includes(text))) {
        const text = this.decode(tokens);
        const at = Math.min(...options.stop.map((stop) => text.indexOf(stop)).filter((index) => index >= 0));
        if (Number.isFinite(at)) return done("stop", text.slice(0, at));
      }
    }
    if (tokens.length >= options.maxTokens) return done("length", this.decode(tokens));
    if (request.tokens.length + tokens.length >= this.causal.config.contextLimit) {
      return done("context", this.decode(tokens));
    }
    return undefined;
  }
}

function checkOptions({ maxTokens, temperature = 1, topP = 1, stop = [] }: SamplingOptions): void {
  const wrong = (what: string, found: unknown): never => {
    throw new RangeError(`Cannot generate: expected ${what}, found ${found}`);
  };
  if (!Number.isSafeInteger(maxTokens) || maxTokens < 1) wrong("maxTokens of at least 1", maxTokens);
  if (!(temperature >= 0 && temperature < Infinity)) wrong("a temperature of 0 or more", temperature);
  if (!(topP > 0 && topP <= 1)) wrong("topP above 0 and at most 1", topP);
  if (stop.includes("")) wrong("stop texts that are not empty", '""');
}

interface Drawn {
  token: number;
  /** In the distribution that it was drawn from. */
  probability: number;
}

function mostProbable(logits: Float32Array, probabilities: Float32Array): Drawn {
  let token = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[token]) token = i;
  return checked({ token, probability: probabilities[token] });
}

/** The token where the cumulative probability of those in the nucleus (Holtzman et al. 2020) passes u. Exported for tests. */
export function draw(probabilities: Float32Array, topP: number, u: number): Drawn {
  if (topP >= 1) return pick(probabilities, undefined, 1, u);
  // Tokens of less than (1 − topP) / V have less than 1 − topP together: they are never in the nucleus.
  const least = (1 - topP) / probabilities.length;
  const likely: number[] = [];
  probabilities.forEach((p, token) => {
    if (p >= least) likely.push(token);
  });
  likely.sort((a, b) => probabilities[b] - probabilities[a] || a - b);
  let mass = 0;
  let size = 0;
  while (size < likely.length && mass < topP) mass += probabilities[likely[size++]];
  return pick(probabilities, likely.slice(0, size), mass, u);
}

/** Among these tokens (or all), whose probabilities add up to mass. */
function pick(probabilities: Float32Array, among: number[] | undefined, mass: number, u: number): Drawn {
  const wanted = u * mass;
  const count = among?.length ?? probabilities.length;
  let cumulative = 0;
  let token = -1; // rounding may leave the sum of all a little below u·mass: then the last that can be drawn
  for (let i = 0; i < count; i++) {
    const candidate = among === undefined ? i : among[i];
    const p = probabilities[candidate];
    if (p > 0) token = candidate;
    cumulative += p;
    if (wanted < cumulative) break;
  }
  return checked({ token, probability: probabilities[token] / mass });
}

function checked(drawn: Drawn): Drawn {
  if (drawn.probability > 0) return drawn;
  throw new RangeError(
    `Cannot draw a token: expected the probabilities of a distribution, found ${drawn.probability} for token ${drawn.token}. The weights have probably diverged.`,
  );
}
