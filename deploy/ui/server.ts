/**
 * The page that watches runs, and the JSON it is made of. Loopback only. Nothing here can be used by a page from elsewhere: another
 * name for this address is refused (DNS rebinding), and what changes a run needs a token that only this page is told.
 *
 *   const ui = await serveUi(WatchedRuns.ofFolder("runs"), { port: 0 });
 *   console.log(ui.url);
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { ConfigError } from "../../proto/config.ts";
import { StatusError } from "../../proto/grpc.ts";
import { answerApi, control, NotFound } from "./api.ts";
import { CreditView } from "./credit-view.ts";
import { NodeDirectory, type NodeDirectoryOptions } from "./node-directory.ts";
import { loadPage, type PageFiles } from "./page-files.ts";
import { prometheusText } from "./prometheus.ts";
import type { WatchedRuns } from "./watched-runs.ts";

export interface UiOptions {
  /** 0: any free one. */
  port: number;
  /** Names besides loopback's by which a reverse proxy, which then answers for TLS and login, may ask. */
  allowedHosts?: readonly string[];
  /** Where the directory of nodes is read. Default: at the broker of each run, without credentials. */
  nodes?: NodeDirectoryOptions;
}

export interface Ui {
  url: string;
  close(): Promise<void>;
}

const MAX_BODY_BYTES = 4096;
const LOOPBACK = ["127.0.0.1", "localhost", "[::1]"];

/** Says no, with the reason. */
class Refusal extends Error {
  override readonly name = "Refusal";
  readonly status: number;
  constructor(status: number, reason: string) {
    super(reason);
    this.status = status;
  }
}

/** Rejects when the port is taken. */
export async function serveUi(
  runs: WatchedRuns,
  { port, allowedHosts = [], nodes: access = { nats: "", access: {} } }: UiOptions,
): Promise<Ui> {
  const token = randomBytes(24).toString("base64url");
  const nodes = new NodeDirectory(access);
  const hosts = [...LOOPBACK, ...allowedHosts];
  const site = { runs, token, page: loadPage(token), credit: new CreditView(), nodes, hosts };
  const server = createServer((request, response) => {
    answer(site, request, response).catch((error: Error) => {
      if (response.headersSent) response.destroy();
      else sendJson(response, statusOf(error), { error: error.message });
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const why =
        cause.code === "EADDRINUSE" ? "the port is taken; choose another, or 0 for any free one" : cause.message;
      reject(new Error(`Cannot serve the page on 127.0.0.1:${port}: ${why}`, { cause }));
    });
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async close() {
      runs.close();
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await Promise.all([closed, nodes.close()]);
    },
  };
}

interface Site {
  runs: WatchedRuns;
  token: string;
  page: PageFiles;
  credit: CreditView;
  nodes: NodeDirectory;
  hosts: readonly string[];
}

async function answer(site: Site, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { runs, page, credit, nodes } = site;
  checkHost(site, request);
  const url = new URL(request.url ?? "/", "http://ui");
  if (url.pathname === "/api/control") {
    checkControl(site, request);
    return sendJson(response, 200, await control(runs, JSON.parse(await body(request))));
  }
  if (request.method !== "GET" && request.method !== "HEAD") throw new Refusal(405, "Only GET is understood here.");
  if (url.pathname.startsWith("/api/"))
    return sendJson(
      response,
      200,
      await answerApi(runs, credit, nodes, url.pathname.slice("/api/".length), url.searchParams),
    );
  if (url.pathname === "/metrics") {
    response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8", ...always });
    response.end(await prometheusText(runs));
    return;
  }
  const file = page.files.get(url.pathname);
  if (!file) throw new Refusal(404, `There is no page ${url.pathname.slice(0, 100)}.`);
  if (request.headers["if-none-match"] === file.etag) {
    response.writeHead(304, { etag: file.etag, ...always }).end();
    return;
  }
  response.writeHead(200, {
    "content-type": file.type,
    "content-security-policy": page.policy,
    "cache-control": "no-cache",
    etag: file.etag,
    ...always,
  });
  response.end(request.method === "HEAD" ? undefined : file.bytes);
}

/** Another name for this address would let a page from elsewhere read what is here. */
function checkHost({ hosts }: Site, { headers }: IncomingMessage): void {
  const host = (headers.host ?? "").replace(/:\d+$/, "").toLowerCase();
  if (!hosts.includes(host))
    throw new Refusal(
      403,
      `This page is for ${hosts.join(", ")}, not for '${host.slice(0, 100)}': reach it through 'ssh -L', or behind a proxy that checks who asks, with --allowHost.`,
    );
}

/** What changes a run is for this page alone: its own origin, and the token it was given. */
function checkControl({ token }: Site, { method, headers }: IncomingMessage): void {
  if (method !== "POST") throw new Refusal(405, "A run is steered by POST.");
  const { origin, host } = headers;
  const site = headers["sec-fetch-site"];
  if (
    (origin !== undefined && origin.replace(/^https?:\/\//, "") !== host) ||
    (site ?? "same-origin") !== "same-origin"
  )
    throw new Refusal(403, "A page from elsewhere cannot steer a run.");
  const digest = (text: string) => createHash("sha256").update(text).digest();
  if (!timingSafeEqual(digest(String(headers["x-proxima-token"] ?? "")), digest(token)))
    throw new Refusal(403, "The token is missing or of an earlier server: load the page again.");
  if (!/^application\/json\b/.test(headers["content-type"] ?? "")) throw new Refusal(415, "Expected JSON.");
}

async function body(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new Refusal(413, `A request holds at most ${MAX_BODY_BYTES} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

const always = { "x-content-type-options": "nosniff", "referrer-policy": "no-referrer" };

function sendJson(response: ServerResponse, status: number, content: object): void {
  response.writeHead(status, {
    "content-type": "application/json; charset=utf-8",
    "cache-control": "no-store",
    ...always,
  });
  response.end(JSON.stringify(content));
}

function statusOf(error: Error): number {
  if (error instanceof Refusal) return error.status;
  if (error instanceof NotFound) return 404;
  if (error instanceof ConfigError || error instanceof SyntaxError) return 400;
  return error instanceof StatusError ? 502 : 500;
}
