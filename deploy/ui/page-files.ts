/** The page's files as they are served: our modules and styles, and the libraries from where npm put them. No build. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";

export interface PageFile {
  type: string;
  bytes: Buffer;
  etag: string;
}

export interface PageFiles {
  /** By path, "/" included. Nothing else of the disk is ever served. */
  files: ReadonlyMap<string, PageFile>;
  /** Content-Security-Policy: scripts, styles and data from here alone. */
  policy: string;
}

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** What a module of the page may import by name; index.html maps the names to these files. */
const libraries: Readonly<Record<string, string>> = {
  preact: import.meta.resolve("preact"),
  "preact/hooks": import.meta.resolve("preact/hooks"),
  htm: import.meta.resolve("htm"),
  uplot: import.meta.resolve("uplot/dist/uPlot.esm.js"),
};

/** @param token what the page shows to be allowed to steer */
export function loadPage(token: string): PageFiles {
  const folder = join(import.meta.dirname, "page");
  const files = new Map<string, PageFile>();
  const add = (path: string, name: string, bytes: Buffer) =>
    files.set(path, { type: types[extname(name)]!, bytes, etag: `"${sha256(bytes).slice(0, 22)}"` });
  for (const name of readdirSync(folder)) add(`/${name}`, name, readFileSync(join(folder, name)));
  for (const [name, url] of Object.entries(libraries))
    add(`/lib/${name}.js`, "library.js", withoutSourceMap(readFileSync(fileURLToPath(url))));
  add("/lib/uplot.css", "uplot.css", readFileSync(fileURLToPath(import.meta.resolve("uplot/dist/uPlot.min.css"))));

  const html = files.get("/index.html")!.bytes.toString().replace("{{token}}", token);
  const importMap = /<script type="importmap">([\s\S]*?)<\/script>/.exec(html)![1]!;
  files.delete("/index.html");
  add("/", "index.html", Buffer.from(html));
  const policy = [
    "default-src 'none'",
    `script-src 'self' 'sha256-${sha256(Buffer.from(importMap))}'`,
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
  return { files, policy };
}

/** Maps are not served, and asking for them would only fill the console. */
const withoutSourceMap = (bytes: Buffer) => Buffer.from(bytes.toString().replace(/\n?\/\/# sourceMappingURL=.*$/m, ""));

const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("base64");
