/** What OpenAI-compatible endpoints answer, read without trust: whole, and as server-sent events. */

export interface TokenUsage {
  promptTokens: number;
  answerTokens: number;
}

export interface ServedToken {
  text: string;
  /** Natural logarithm of its probability, as the server says it. */
  logProb: number;
}

export interface ServedAnswer {
  /**
   * What the model said. Where the server keeps the thought apart, or the chat template opens it in the prompt, it stands in front between
   * <think> and </think>.
   */
  text: string;
  /** Why it ended: "stop", "length", …; "cut" where it was longer than what is read. */
  finish: string;
  /** Absent where the server does not count. */
  usage?: TokenUsage;
  /** Of the answer's tokens, where they were asked for and offered. */
  tokens?: readonly ServedToken[];
}

/** The server's message is not what the protocol says. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

interface Parts {
  content: string;
  thought: string;
  finish: string | undefined;
  usage: TokenUsage | undefined;
  tokens: ServedToken[];
}

/** @param body parsed JSON of a chat or text completion; only its first choice is read */
export function readAnswer(body: unknown, longest: number): ServedAnswer {
  const parts = noParts();
  add(parts, body, "message");
  return finished(parts, longest);
}

/**
 * Reads server-sent events until [DONE], the end, or an answer that is longer than `longest` characters.
 * @param lines of the body, without their ends
 */
export async function readEvents(lines: AsyncIterable<string>, longest: number): Promise<ServedAnswer> {
  const parts = noParts();
  let events = 0;
  for await (const line of lines) {
    if (line === "" || line.startsWith(":") || /^(event|id|retry):/.test(line)) continue;
    if (!line.startsWith("data:")) throw new ProtocolError(`streams a line that is no event: ${shown(line)}`);
    const data = line.slice("data:".length).trim();
    if (data === "[DONE]") break;
    add(parts, parseJson(data), "delta");
    events++;
    if (parts.content.length + parts.thought.length > longest) break;
  }
  if (events === 0) throw new ProtocolError("streams no event");
  return finished(parts, longest);
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ProtocolError(`answers something that is no JSON: ${shown(text)}`);
  }
}

const noParts = (): Parts => ({ content: "", thought: "", finish: undefined, usage: undefined, tokens: [] });

function add(parts: Parts, body: unknown, role: "message" | "delta"): void {
  if (!isRecord(body)) throw new ProtocolError(`answers ${shown(JSON.stringify(body))} instead of an object`);
  if (body.error !== undefined && body.error !== null)
    throw new ProtocolError(`answers with an error: ${shown(errorMessage(body) ?? "")}`);
  parts.usage = usageOf(body.usage) ?? parts.usage;
  if (!Array.isArray(body.choices))
    throw new ProtocolError(`answers without "choices": ${shown(JSON.stringify(body))}`);
  const choice: unknown = body.choices[0];
  if (choice === undefined && role === "delta") return; // the event that only counts tokens
  if (!isRecord(choice)) throw new ProtocolError("answers without a choice");
  const message = isRecord(choice[role]) ? choice[role] : choice;
  parts.content += text(message.content) ?? text(choice.text) ?? text(message.refusal) ?? "";
  parts.thought += text(message.reasoning_content) ?? text(message.reasoning) ?? "";
  parts.finish = text(choice.finish_reason) ?? parts.finish;
  parts.tokens.push(...tokensOf(choice.logprobs));
}

function finished({ content, thought, finish = "", usage, tokens }: Parts, longest: number): ServedAnswer {
  if (content === "" && thought === "")
    throw new ProtocolError(`answers without a text${finish === "" ? "" : ` (finish_reason ${shown(finish)})`}`);
  let whole = thought === "" || content.includes("<think>") ? content : `<think>${thought}</think>${content}`;
  if (whole.includes("</think>") && !whole.includes("<think>")) whole = `<think>${whole}`;
  const isCut = whole.length > longest;
  return {
    text: isCut ? whole.slice(0, longest) : whole,
    finish: isCut ? "cut" : finish,
    ...(usage === undefined ? {} : { usage }),
    ...(tokens.length === 0 || isCut ? {} : { tokens }),
  };
}

/** {content: [{token, logprob}]} of chat completions; {tokens, token_logprobs} of text completions. */
function tokensOf(logProbs: unknown): ServedToken[] {
  if (!isRecord(logProbs)) return [];
  const pairs: unknown[][] = Array.isArray(logProbs.content)
    ? logProbs.content.map((entry) => (isRecord(entry) ? [entry.token, entry.logprob] : []))
    : Array.isArray(logProbs.tokens) && Array.isArray(logProbs.token_logprobs)
      ? logProbs.tokens.map((token, i) => [token, (logProbs.token_logprobs as unknown[])[i]])
      : [];
  return pairs.map(([token, logProb]) => {
    if (typeof token !== "string" || typeof logProb !== "number")
      throw new ProtocolError("answers with log-probabilities that are none");
    return { text: token, logProb };
  });
}

function usageOf(usage: unknown): TokenUsage | undefined {
  if (!isRecord(usage)) return undefined;
  const [promptTokens, answerTokens] = [usage.prompt_tokens, usage.completion_tokens];
  return isCount(promptTokens) && isCount(answerTokens) ? { promptTokens, answerTokens } : undefined;
}

/** What an endpoint says about a failure: {error: {message}}, {error: text}, {message}, {detail}. */
export function errorMessage(body: unknown): string | undefined {
  if (!isRecord(body)) return undefined;
  const { error, message, detail } = body;
  return (isRecord(error) ? text(error.message) : text(error)) ?? text(message) ?? text(detail) ?? undefined;
}

const text = (value: unknown) => (typeof value === "string" ? value : undefined);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
/** On one line, short. */
export const shown = (value = "") => {
  const line = value.replace(/\s+/g, " ").trim();
  return line.length > 120 ? `${line.slice(0, 119)}…` : line;
};
