import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type UnpackOptions, unpack } from "./archive.ts";
import { tarOf, zipOf } from "./testing.ts";

let folder: string;
let into: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "proxima-archive-"));
  into = join(folder, "in", "to");
});
afterEach(() => rmSync(folder, { recursive: true }));

const xz = spawnSync("xz", ["--version"]).status === 0;
if (!xz) process.stderr.write("archive.test.ts: skipped tar.xz, there is no xz\n");

type Files = Record<string, string | Buffer>;
const kinds: Record<string, (files: Files) => Buffer> = {
  zip: (files) => zipOf(files),
  tar: tarOf,
  "tar.gz": (files) => gzipSync(tarOf(files)),
  ...(xz ? { "tar.xz": (files: Files) => spawnSync("xz", ["-c"], { input: tarOf(files) }).stdout } : {}),
};

function archive(content: Buffer): string {
  const path = join(folder, "archive");
  writeFileSync(path, content);
  return path;
}

const all: UnpackOptions = { wanted: (path) => path };

for (const [kind, make] of Object.entries(kinds)) {
  describe(kind, () => {
    test("wanted files come out where they belong, others stay inside", async () => {
      const long = "text ".repeat(50_000);
      const path = archive(
        make({ "a/": "", "a/one.txt": "1", "a/two.txt": long, "b/three.bin": Buffer.alloc(70_000, 7) }),
      );
      const wanted = (name: string) => (name.endsWith("one.txt") ? undefined : `x/${name}`);
      expect(await unpack(path, into, { wanted })).toBe(2);
      expect(readdirSync(into, { recursive: true }).sort()).toEqual([
        "x",
        "x/a",
        "x/a/two.txt",
        "x/b",
        "x/b/three.bin",
      ]);
      expect(readFileSync(join(into, "x/a/two.txt"), "utf8")).toBe(long);
      expect(readFileSync(join(into, "x/b/three.bin"))).toEqual(Buffer.alloc(70_000, 7));
    });

    test("names that lead out of the archive are refused, wanted or not", async () => {
      for (const name of ["../out.txt", "a/../../out.txt", "/out.txt", "a\\..\\..\\out.txt", "C:/out.txt"]) {
        for (const options of [all, { wanted: () => undefined }])
          await expect(unpack(archive(make({ "fine.txt": "1", [name]: "2" })), into, options)).rejects.toThrow(
            "a file outside of itself",
          );
      }
      expect(existsSync(join(folder, "out.txt")) || existsSync(join(folder, "in", "out.txt"))).toBe(false);
    });

    test("more than the limits is refused", async () => {
      const limits = { entries: 3, fileBytes: 100_000, bytes: 150_000 };
      const bomb = Buffer.alloc(20_000_000);
      await expect(unpack(archive(make({ bomb })), into, { ...all, limits })).rejects.toThrow(/larger than/);
      const two = { a: bomb.subarray(0, 90_000), b: bomb.subarray(0, 90_000) };
      await expect(unpack(archive(make(two)), into, { ...all, limits })).rejects.toThrow(/larger than any/);
      await expect(unpack(archive(make(two)), into, { wanted: () => undefined, limits })).rejects.toThrow(
        /larger than any/,
      );
      await expect(unpack(archive(make({ a: "", b: "", c: "", d: "" })), into, { ...all, limits })).rejects.toThrow(
        "3 entries",
      );
      expect(await unpack(archive(make({ a: "1", b: "2", c: "3" })), into, { ...all, limits })).toBe(3);
    });

    test("a damaged archive is refused by its name", async () => {
      const whole = make({ "a.txt": Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7919) >> 2)) });
      const path = archive(whole.subarray(0, whole.length >> 1));
      await expect(unpack(path, into, all)).rejects.toThrow(`${path} was not unpacked: `);
    });
  });
}

test("a zip that lies about sizes is caught while it is unpacked", async () => {
  const path = archive(zipOf({ bomb: Buffer.alloc(20_000_000) }, 10));
  await expect(unpack(path, into, all)).rejects.toThrow("was not unpacked");
});

test("links are refused where a file is wanted", async () => {
  const path = archive(tarOf({ "a.txt": "->/etc/passwd" }));
  await expect(unpack(path, into, all)).rejects.toThrow("a link or a device");
  expect(await unpack(path, into, { wanted: () => undefined })).toBe(0);
});

test("what is no archive is refused", async () => {
  for (const content of ["<html>", "", "x".repeat(5000)])
    await expect(unpack(archive(Buffer.from(content)), into, all)).rejects.toThrow("was not unpacked: ");
});
