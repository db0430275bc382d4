import { afterEach, beforeEach, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { download, WrongFileError } from "./download.ts";
import { type FileServer, sendRange, serveFiles } from "./testing.ts";

const file = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * i) >> 3));
const known = { bytes: file.length, sha256: createHash("sha256").update(file).digest("hex") };

let folder: string;
let path: string;
let server: FileServer | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "proxima-download-"));
  path = join(folder, "deep", "file.zip");
});
afterEach(async () => {
  await server?.close();
  server = undefined;
  rmSync(folder, { recursive: true });
});

async function failure(attempt: Promise<unknown>): Promise<Error> {
  return attempt.then(
    () => expect.unreachable("it succeeded"),
    (error) => error,
  );
}

test("a file arrives whole, with its progress", async () => {
  server = await serveFiles({ "/file": file });
  const seen: number[] = [];
  await download(`${server.url}/file`, path, { known, onProgress: (bytes) => seen.push(bytes) });
  expect(readFileSync(path).equals(file)).toBe(true);
  expect([seen[0], seen.at(-1)]).toEqual([0, file.length]);
  expect(existsSync(`${path}.part`)).toBe(false);
});

test("a connection that breaks is taken up where it ended", async () => {
  let cut = () => {};
  server = await serveFiles({
    "/file": (request, response, attempt) => {
      if (attempt === 3) return sendRange(request, response, file);
      sendRange(request, response, file, 100_000 * attempt);
      cut = () => response.destroy();
    },
  });
  const onProgress = (bytes: number) => {
    if (bytes === 100_000 * (server as FileServer).requests.length) cut();
  };
  await download(`${server.url}/file`, path, { known, onProgress });
  expect(readFileSync(path).equals(file)).toBe(true);
  expect(server.requests).toEqual(["GET /file", "GET /file bytes=100000-", "GET /file bytes=200000-"]);
});

test("what an interrupted call left is used by the next", async () => {
  const stop = new AbortController();
  server = await serveFiles({
    "/file": (request, response, attempt) => {
      if (attempt > 1) return sendRange(request, response, file);
      response.writeHead(200, { "content-length": file.length });
      response.write(file.subarray(0, 120_000));
    },
  });
  const first = download(`${server.url}/file`, path, {
    known,
    signal: stop.signal,
    onProgress: (bytes) => {
      if (bytes === 120_000) stop.abort(new Error("stop"));
    },
  });
  expect((await failure(first)).message).toBe("stop");
  await download(`${server.url}/file`, path, { known });
  expect(readFileSync(path).equals(file)).toBe(true);
  expect(server.requests[1]).toBe("GET /file bytes=120000-");
});

test("a server that knows no ranges sends all of it again", async () => {
  server = await serveFiles({ "/file": (_, response) => void response.writeHead(200).end(file) });
  await Bun.write(`${path}.part`, file.subarray(0, 1000));
  await download(`${server.url}/file`, path, { known });
  expect(readFileSync(path).equals(file)).toBe(true);
});

test("another file is refused, by its size before it comes and by its sum after, and leaves nothing behind", async () => {
  const altered = Buffer.from(file);
  altered[5] ^= 1;
  server = await serveFiles({ "/short": file.subarray(1), "/altered": altered });
  const short = await failure(download(`${server.url}/short`, path, { known }));
  expect(short).toBeInstanceOf(WrongFileError);
  expect(short.message).toContain("expected 300000 bytes, found 299999");
  const wrong = await failure(download(`${server.url}/altered`, path, { known }));
  expect(wrong.message).toContain(`expected SHA-256 ${known.sha256}, found `);
  expect(existsSync(path) || existsSync(`${path}.part`)).toBe(false);
});

test("a server that sends more than the file is cut off", async () => {
  server = await serveFiles({
    "/file": (_, response) => {
      response.writeHead(200);
      const more = () => {
        while (!response.destroyed && response.write(file));
        if (!response.destroyed) response.once("drain", more);
      };
      more();
    },
  });
  expect((await failure(download(`${server.url}/file`, path, { known }))).message).toContain("more than 300000 bytes");
});

test("a missing file and a web page instead of a file are not asked for again", async () => {
  server = await serveFiles({
    "/quota": (_, response) => void response.writeHead(200, { "content-type": "text/html" }).end("<html>Quota"),
  });
  expect((await failure(download(`${server.url}/none`, path, { known }))).message).toContain("answers 404");
  expect((await failure(download(`${server.url}/quota`, path, { known }))).message).toContain("a web page instead");
  expect(server.requests).toEqual(["GET /none", "GET /quota"]);
});

test("a server that falls silent is left, and what came before is kept", async () => {
  server = await serveFiles({
    "/file": (request, response, attempt) => {
      if (attempt > 1) return sendRange(request, response, file);
      response.writeHead(200, { "content-length": file.length });
      response.write(file.subarray(0, 50_000));
    },
  });
  await download(`${server.url}/file`, path, { known, stallMs: 100 });
  expect(server.requests[1]).toBe("GET /file bytes=50000-");
});

test.skipIf(!existsSync("/dev/full"))("a full disk ends it at once", async () => {
  server = await serveFiles({ "/file": file });
  const full = join(folder, "full.zip");
  symlinkSync("/dev/full", `${full}.part`);
  const error = await failure(download(`${server.url}/file`, full, { known }));
  expect((error as NodeJS.ErrnoException).code).toBe("ENOSPC");
  expect(server.requests).toHaveLength(1);
});

test("a part that is longer than the file is thrown away", async () => {
  server = await serveFiles({ "/file": file });
  const target = join(folder, "file.zip");
  writeFileSync(`${target}.part`, Buffer.alloc(file.length + 1));
  await download(`${server.url}/file`, target, { known });
  expect(readFileSync(target).equals(file)).toBe(true);
});
