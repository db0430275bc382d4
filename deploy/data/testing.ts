/** What the tests of `data fetch` share: a file server that misbehaves on request, and archives made by hand. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { crc32, deflateRawSync } from "node:zlib";

export interface FileServer {
  url: string;
  /** "GET /path" or "GET /path bytes=5-", in order. */
  requests: string[];
  close(): Promise<void>;
}

type Answer = (request: IncomingMessage, response: ServerResponse, attempt: number) => void;

/** Serves each path by its answer; other paths are 404. */
export async function serveFiles(answers: Record<string, Buffer | Answer>): Promise<FileServer> {
  const requests: string[] = [];
  const attempts = new Map<string, number>();
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    requests.push(`${request.method} ${path}${request.headers.range ? ` ${request.headers.range}` : ""}`);
    const attempt = (attempts.get(path) ?? 0) + 1;
    attempts.set(path, attempt);
    const answer = answers[path];
    if (answer === undefined) response.writeHead(404).end();
    else if (typeof answer === "function") answer(request, response, attempt);
    else sendRange(request, response, answer);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** As ordinary servers answer; with `until` it leaves off after that byte of the file and says no more. */
export function sendRange(request: IncomingMessage, response: ServerResponse, file: Buffer, until?: number): void {
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
  if (start >= file.length) {
    response.writeHead(416, { "content-range": `bytes */${file.length}` }).end();
    return;
  }
  const range = start > 0 ? { "content-range": `bytes ${start}-${file.length - 1}/${file.length}` } : {};
  response.writeHead(start > 0 ? 206 : 200, { "content-length": file.length - start, ...range });
  if (until === undefined) response.end(file.subarray(start));
  else response.write(file.subarray(start, until));
}

/** A zip of these files, whatever their names. `declared` lies about the size of each unpacked. */
export function zipOf(files: Record<string, string | Buffer>, declared?: number): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [name, content] of Object.entries(files)) {
    const data = Buffer.from(content);
    const packed = deflateRawSync(data);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(0x800, 2); // names are UTF-8
    common.writeUInt16LE(8, 4);
    common.writeUInt32LE(crc32(data), 10);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(declared ?? data.length, 18);
    common.writeUInt16LE(Buffer.byteLength(name), 22);
    const local = Buffer.concat([Buffer.from("PK\x03\x04"), common, Buffer.from(name), packed]);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(offset, 10);
    directory.push(Buffer.concat([Buffer.from("PK\x01\x02\x14\x00", "latin1"), common, rest, Buffer.from(name)]));
    parts.push(local);
    offset += local.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", 0, "latin1");
  end.writeUInt16LE(directory.length, 8);
  end.writeUInt16LE(directory.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, central, end]);
}

/** A tar of these files, whatever their names; a text that begins with "->" makes a symbolic link to what follows. */
export function tarOf(files: Record<string, string | Buffer>): Buffer {
  const blocks: Buffer[] = [];
  for (const [name, content] of Object.entries(files)) {
    const link = typeof content === "string" && content.startsWith("->") ? content.slice(2) : undefined;
    const data = link === undefined ? Buffer.from(content) : Buffer.alloc(0);
    const header = Buffer.alloc(512);
    header.write(name, 0, 100);
    header.write("0000644\0", 100);
    header.write(`${data.length.toString(8).padStart(11, "0")}\0`, 124);
    header.write("00000000000\0", 136);
    header.write("        ", 148);
    header.write(link === undefined ? "0" : "2", 156);
    if (link !== undefined) header.write(link, 157, 100);
    header.write("ustar\x0000", 257, "latin1");
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    blocks.push(header, data, Buffer.alloc((512 - (data.length % 512)) % 512));
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}
