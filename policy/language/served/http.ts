/** What every request to an endpoint has in common: where it may go, what it carries, and how much of the reply is read. */
import { ProtocolError } from "./answer.ts";

/** Far above any answer within `longestAnswer`, log-probabilities included. */
const MAX_BODY_BYTES = 16 * 2 ** 20;

/** Redirects are errors: a key must not follow them. */
export function post(url: string, apiKey: string | undefined, body: object, signal: AbortSignal): Promise<Response> {
  const headers = new Headers({ "content-type": "application/json" });
  if (apiKey !== undefined) headers.set("authorization", `Bearer ${apiKey}`);
  return fetch(url, {
    method: "POST",
    headers,
    body: JSON.stringify(body),
    signal,
    redirect: "error",
  });
}

/**
 * The address without a slash at its end.
 * @throws RangeError when it cannot be one, or a key would travel unprotected
 */
export function checkedUrl(given: string, hasKey: boolean): string {
  let url: URL;
  try {
    url = new URL(given);
  } catch {
    throw new RangeError(`An endpoint's address is like http://127.0.0.1:8000/v1, found ${JSON.stringify(given)}`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw new RangeError(`An endpoint is reached by http or https, found ${JSON.stringify(given)}`);
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "")
    throw new RangeError(
      "An endpoint's address holds no user, password, query or fragment: keys go in the environment",
    );
  if (hasKey && url.protocol === "http:" && !/^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname))
    throw new RangeError(
      `The API key would travel unprotected to ${url.host}: use https, a tunnel to a local port, or name no key`,
    );
  return url.href.replace(/\/+$/, "");
}

export async function textOf(response: Response): Promise<string> {
  let text = "";
  for await (const part of decoded(response)) text += part;
  return text;
}

/** Lines of the body as they come; a last one without an end too. */
export async function* linesOf(response: Response): AsyncGenerator<string> {
  let rest = "";
  for await (const part of decoded(response)) {
    const lines = (rest + part).split(/\r?\n/);
    rest = lines.pop()!;
    yield* lines;
  }
  if (rest !== "") yield rest;
}

/** Leaving the loop early ends the request. */
async function* decoded(response: Response): AsyncGenerator<string> {
  const reader = response.body?.getReader();
  if (!reader) return;
  const decoder = new TextDecoder();
  try {
    for (let bytes = 0; ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      bytes += value.length;
      if (bytes > MAX_BODY_BYTES) throw new ProtocolError(`answers more than ${MAX_BODY_BYTES} bytes`);
      yield decoder.decode(value, { stream: true });
    }
    yield decoder.decode();
  } finally {
    await reader.cancel().catch(() => {}); // it has ended or broken already
  }
}
