/**
 * A language model behind an OpenAI-compatible endpoint: vLLM, SGLang, llama.cpp, Ollama, `transformers serve`, a vendor's.
 *
 *   const model = new ServedModel({ baseUrl: "http://127.0.0.1:8000/v1", model: "Qwen/Qwen2.5-7B-Instruct" });
 *   const { text, usage } = await model.answer(messages, { seed, signal });
 *
 * Plain `fetch`, because what matters here is what a client library leaves open: how much of an answer is read, which failures are worth
 * another try, and that the rest end as an error which says why. Runs unchanged on Bun, Deno and Node.
 */
import type { ChatMessage } from "../agent/agent.ts";
import { errorMessage, ProtocolError, parseJson, readAnswer, readEvents, type ServedAnswer, shown } from "./answer.ts";
import { checkedUrl, linesOf, post, textOf } from "./http.ts";
import { type Backoff, defaultBackoff, isTransient, pauseMs, retryAfterMs } from "./retry.ts";

export interface ServedModelOptions {
  /** With the version in its path: http://127.0.0.1:8000/v1 */
  baseUrl: string;
  /** As the endpoint knows it. */
  model: string;
  /** Sent as a bearer token; never part of an error. Refused over plain HTTP to another machine. */
  apiKey?: string;
  /** chat: /chat/completions, where the server knows the chat template. completions: /completions, for models that only go on. Default chat. */
  api?: "chat" | "completions";
  /** Read the answer as it is written, which lets an endless one be cut. Default false. */
  stream?: boolean;
  /** Requests under way at once; others wait for their turn. Default 8. */
  concurrency?: number;
  /** For each attempt, to the last byte. Default 120,000. */
  timeoutMs?: number;
  /** Of a request, the first included. Default 6. */
  attempts?: number;
  /** Sampling; what is absent is the endpoint's to choose. */
  temperature?: number;
  topP?: number;
  /** Of an answer. Default 512. */
  answerTokens?: number;
  /** Ask for the log-probabilities of the answer's tokens. Default false. */
  logProbs?: boolean;
  /** Longer answers are cut here. Default 65,536. */
  longestAnswer?: number;
  backoff?: Backoff;
  clock?: Clock;
}

export interface Clock {
  /** Unix time in ms. */
  now(): number;
  /** In [0, 1), to spread those that failed together. */
  jitter(): number;
  /** Rejects with the signal's reason. */
  sleep(ms: number, signal: AbortSignal | undefined): Promise<void>;
}

/** The endpoint gave no answer. `isFinal`: asking again will not help (wrong address, key or model), whoever asks. */
export class ServedModelError extends Error {
  override readonly name = "ServedModelError";
  readonly isFinal: boolean;
  constructor(message: string, isFinal: boolean, options?: ErrorOptions) {
    super(message, options);
    this.isFinal = isFinal;
  }
}

/** One attempt that failed. */
interface Failure {
  reason: string;
  isTransient: boolean;
  isFinal?: boolean;
  retryAfterMs?: number;
  cause?: unknown;
}

export class ServedModel {
  readonly #options: ServedModelOptions;
  readonly #url: string;
  readonly #clock: Clock;
  readonly #waiting: (() => void)[] = [];
  #free: number;
  /** Newer models of OpenAI refuse `max_tokens`. */
  #limitName = "max_tokens";

  /** @throws RangeError when the address cannot be one, or a key would travel unprotected */
  constructor(options: ServedModelOptions) {
    const base = checkedUrl(options.baseUrl, options.apiKey !== undefined);
    this.#options = options;
    this.#url = `${base}/${options.api === "completions" ? "completions" : "chat/completions"}`;
    this.#clock = options.clock ?? realClock;
    this.#free = options.concurrency ?? 8;
  }

  /**
   * @param request seed of the sampling, where the endpoint takes one
   * @throws ServedModelError when there is no answer; the signal's reason when it is aborted
   */
  async answer(
    messages: readonly ChatMessage[],
    request: { seed?: number; signal?: AbortSignal } = {},
  ): Promise<ServedAnswer> {
    const { attempts = 6, backoff = defaultBackoff } = this.#options;
    const { seed, signal } = request;
    await this.#enter(signal);
    try {
      for (let failures = 0; ; ) {
        signal?.throwIfAborted();
        const result = await this.#attempt(messages, seed, signal);
        if ("text" in result) return result;
        signal?.throwIfAborted();
        failures++;
        const pause = result.isTransient ? pauseMs(failures, this.#clock.jitter(), result.retryAfterMs, backoff) : 0;
        if (!result.isTransient || failures >= attempts || pause === undefined)
          throw this.#error(result, failures, pause);
        await this.#clock.sleep(pause, signal);
      }
    } finally {
      this.#leave();
    }
  }

  async #attempt(
    messages: readonly ChatMessage[],
    seed: number | undefined,
    signal: AbortSignal | undefined,
  ): Promise<ServedAnswer | Failure> {
    const { timeoutMs = 120_000, stream, apiKey, longestAnswer = 65_536 } = this.#options;
    const deadline = AbortSignal.timeout(timeoutMs);
    const limitName = this.#limitName;
    try {
      const signals = signal ? AbortSignal.any([signal, deadline]) : deadline;
      const response = await post(this.#url, apiKey, this.#body(messages, seed), signals);
      if (!response.ok) {
        const failure = await this.#refused(response);
        if (limitName !== "max_tokens" || !failure.reason.includes("max_completion_tokens")) return failure;
        this.#limitName = "max_completion_tokens";
        return await this.#attempt(messages, seed, signal);
      }
      if (stream) return await readEvents(linesOf(response), longestAnswer);
      return readAnswer(parseJson(await textOf(response)), longestAnswer);
    } catch (error) {
      if (deadline.aborted) return { reason: `did not answer within ${timeoutMs} ms`, isTransient: true };
      if (error instanceof ProtocolError) return { reason: error.message, isTransient: true };
      return { reason: `cannot be asked: ${(error as Error).message}`, isTransient: true, cause: error };
    }
  }

  #body(messages: readonly ChatMessage[], seed: number | undefined): object {
    const { model, api, stream, temperature, topP, answerTokens = 512, logProbs } = this.#options;
    return {
      model,
      ...(api === "completions" ? asText(messages) : { messages }),
      [this.#limitName]: answerTokens,
      ...(temperature === undefined ? {} : { temperature }),
      ...(topP === undefined ? {} : { top_p: topP }),
      ...(seed === undefined ? {} : { seed: seed & 0x7fff_ffff }),
      ...(stream ? { stream: true, stream_options: { include_usage: true } } : {}),
      ...(logProbs ? { logprobs: api === "completions" ? 0 : true } : {}),
    };
  }

  async #refused(response: Response): Promise<Failure> {
    const { status } = response;
    let said: string;
    try {
      const body = await textOf(response);
      said = /^\s*[{[]/.test(body) ? (errorMessage(parseJson(body)) ?? body) : body;
    } catch {
      said = "";
    }
    return {
      reason: `answered ${status}${said === "" ? "" : `: ${shown(said)}`}`,
      isTransient: isTransient(status),
      isFinal: status === 401 || status === 403 || status === 404 || status === 405,
      retryAfterMs: retryAfterMs(response.headers, this.#clock.now()),
    };
  }

  #error({ reason, cause, isFinal = false, ...failure }: Failure, attempts: number, pause?: number): ServedModelError {
    const { model, apiKey } = this.#options;
    const tried = attempts > 1 ? ` (${attempts} attempts)` : "";
    const wait =
      pause === undefined && failure.retryAfterMs
        ? ` and wants ${Math.round(failure.retryAfterMs / 1000)} s of rest`
        : "";
    const message = `${this.#url} ${reason}${wait}${tried}; model ${model}`;
    return new ServedModelError(apiKey ? message.replaceAll(apiKey, "…") : message, isFinal, { cause });
  }

  async #enter(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const enter = () => {
        signal?.removeEventListener("abort", giveUp);
        resolve();
      };
      const giveUp = () => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1);
        reject(signal!.reason);
      };
      signal?.addEventListener("abort", giveUp, { once: true });
      this.#waiting.push(enter);
    });
  }

  /** Hands its place to the one that waits longest. */
  #leave(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free++;
  }
}

/** A chat as text to go on from, for models that know no chat. */
function asText(messages: readonly ChatMessage[]): { prompt: string; stop?: string[] } {
  if (messages.length === 1) return { prompt: `${messages[0]!.content}\n` };
  const names = { system: "System", user: "User", assistant: "Assistant" };
  const lines = messages.map(({ role, content }) => `${names[role]}: ${content}\n`);
  return { prompt: `${lines.join("\n")}\nAssistant:`, stop: ["\nUser:"] };
}

const realClock: Clock = {
  now: Date.now,
  jitter: Math.random,
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(done, ms);
      function done() {
        signal?.removeEventListener("abort", stop);
        resolve();
      }
      function stop() {
        clearTimeout(timer);
        reject(signal!.reason);
      }
      signal?.addEventListener("abort", stop, { once: true });
    }),
};
