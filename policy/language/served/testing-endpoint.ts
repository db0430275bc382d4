/** An HTTP endpoint for tests, on loopback: keeps what it was asked and answers as a test says. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Asked {
  path: string;
  headers: IncomingMessage["headers"];
  body: Record<string, unknown> & { messages: { role: string; content: string }[] };
}

/** Answers a request; it may also hang, or destroy the socket. */
export type Responder = (asked: Asked, response: ServerResponse, number: number) => void | Promise<void>;

export class TestingEndpoint implements AsyncDisposable {
  readonly asked: Asked[] = [];
  readonly #server = createServer((request, response) => this.#serve(request, response));
  #responder: Responder;

  constructor(responder: Responder) {
    this.#responder = responder;
  }

  static async start(responder: Responder): Promise<TestingEndpoint> {
    const endpoint = new TestingEndpoint(responder);
    await new Promise<void>((resolve) => endpoint.#server.listen(0, "127.0.0.1", resolve));
    return endpoint;
  }

  /** With /v1. */
  get baseUrl(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = "";
    for await (const part of request) text += part;
    const asked = { path: request.url ?? "", headers: request.headers, body: text === "" ? {} : JSON.parse(text) };
    this.asked.push(asked as Asked);
    await this.#responder(asked as Asked, response, this.asked.length);
  }
}

export function json(response: ServerResponse, body: unknown, status = 200, headers: Record<string, string> = {}) {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}

/** A chat completion with that content. */
export function chat(response: ServerResponse, content: string, usage = { prompt_tokens: 10, completion_tokens: 5 }) {
  json(response, { choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }], usage });
}

/** Server-sent events, one a text; objects as JSON. */
export function events(response: ServerResponse, ...data: (object | string)[]) {
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (const each of data) response.write(`data: ${typeof each === "string" ? each : JSON.stringify(each)}\n\n`);
  response.end();
}
