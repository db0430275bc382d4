import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { household } from "../../envs/alfworld/household/household.ts";
import { loadEnvironment } from "../../envs/registry.ts";
import { runCommandLine } from "../command-line.ts";
import { type Dataset, datasets, type RemoteFile } from "./datasets.ts";
import { fetchDataset } from "./fetch.ts";
import { type FileServer, serveFiles, tarOf, zipOf } from "./testing.ts";

const [alfworld, webshop] = datasets as [Dataset, Dataset];

/** Games of our own making under the names of the original's. */
function games(...splits: string[]): Record<string, string> {
  const game = JSON.stringify(household("a", "Pick", false));
  const files = splits.flatMap((split) => [
    [`json_2.1.1/${split}/pick_and_place_simple-Mug-None-Desk-1/trial_1/game.tw-pddl`, game],
    [`json_2.1.1/${split}/pick_and_place_simple-Mug-None-Desk-1/trial_1/traj_data.json`, "{}"],
  ]);
  return Object.fromEntries([...files, ["json_2.1.1/logic/alfred.pddl", ";"]]);
}

const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

function withFiles(dataset: Dataset, files: readonly RemoteFile[]): Dataset {
  return { ...dataset, files: () => files };
}

let home: string;
let server: FileServer | undefined;
const before = { ...process.env };

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "proxima-data-"));
  for (const name of ["PROXIMA_DATA", "ALFWORLD_DATA", "WEBSHOP_DATA"]) delete process.env[name];
  process.env.PROXIMA_CACHE = home;
});
afterEach(async () => {
  for (const name of ["PROXIMA_DATA", "ALFWORLD_DATA", "WEBSHOP_DATA", "PROXIMA_CACHE"]) {
    if (before[name] === undefined) delete process.env[name];
    else process.env[name] = before[name];
  }
  await server?.close();
  server = undefined;
  rmSync(home, { recursive: true });
});

const quiet = { from: "", unverified: false };

async function type(...argv: string[]) {
  const [heard, complaints]: string[][] = [[], []];
  const streams = { out: (text: string) => heard.push(text), err: (text: string) => complaints.push(text) };
  const code = await runCommandLine(["data", ...argv], streams, new AbortController().signal);
  return { code, out: heard.join(""), err: complaints.join("") };
}

describe("fetching alfworld", () => {
  const folder = () => join(home, "alfworld");

  test("takes the known archive from its address; the environment then plays its games by itself", async () => {
    const zip = zipOf(games("train", "valid_train"));
    server = await serveFiles({ "/games.zip": zip });
    const file = {
      name: "games.zip",
      about: "games",
      urls: [`${server.url}/games.zip`],
      bytes: zip.length,
      sha256: sha256(zip),
    };
    const splits = ["train", "valid_train", "valid_seen"];
    const result = await fetchDataset(withFiles(alfworld, [file]), { ...quiet, splits, folder: alfworld.home() });
    expect(result).toEqual({
      folder: folder(),
      present: {},
      fetched: { train: "1 game", valid_train: "1 game" },
      absent: ["valid_seen"],
      unverified: [],
    });
    expect(readdirSync(folder())).toEqual(["json_2.1.1"]);
    expect(
      readdirSync(folder(), { recursive: true }).filter((path) => /\.json$|pddl$/.test(String(path))),
    ).toHaveLength(2);
    const { source } = await loadEnvironment("alfworld");
    expect(source.tasks("train").at(0)).toBe("train/pick_and_place_simple-Mug-None-Desk-1/trial_1");
    expect(source.splits).toContain("eval");

    // A second time there is only what is missing to fetch.
    const again = await fetchDataset(withFiles(alfworld, [file]), { ...quiet, splits: ["train"], folder: folder() });
    expect(again).toMatchObject({ present: { train: "1 game" }, fetched: {} });
    expect(server.requests).toEqual(["GET /games.zip"]);
  });

  test("tries the next address when one fails, and says what to do by hand when all do", async () => {
    const zip = zipOf(games("train"));
    server = await serveFiles({
      "/b/games.zip": zip,
      "/page": (_, r) => void r.writeHead(200, { "content-type": "text/html" }).end(),
    });
    const known = { name: "games.zip", about: "games", bytes: zip.length, sha256: sha256(zip) };
    const urls = [`${server.url}/a/games.zip`, `${server.url}/page`];
    const wish = { ...quiet, splits: ["train"], folder: folder() };
    const failure = fetchDataset(withFiles(alfworld, [{ ...known, urls }]), wish);
    await expect(failure).rejects.toThrow(
      /answers 404(.|\n)*a web page(.|\n)*By hand: get http(.|\n)*fetch alfworld --from FILE/,
    );
    expect(existsSync(join(folder(), "json_2.1.1"))).toBe(false);
    const better = { ...known, urls: [...urls, `${server.url}/b/games.zip`] };
    expect(await fetchDataset(withFiles(alfworld, [better]), wish)).toMatchObject({ fetched: { train: "1 game" } });
  });

  test("an archive that is hostile or of something else leaves nothing behind", async () => {
    server = await serveFiles({
      "/hostile.zip": zipOf({ ...games("train"), "../json_2.1.1/train/x": "x" }),
      "/other.tar.gz": gzipSync(tarOf({ "readme.txt": "hello" })),
    });
    const from = (name: string) => type("fetch", "alfworld", "--from", `${(server as FileServer).url}/${name}`);
    expect(await from("hostile.zip")).toMatchObject({
      code: 1,
      err: expect.stringContaining("a file outside of itself"),
    });
    expect(await from("other.tar.gz")).toMatchObject({
      code: 1,
      err: expect.stringContaining("holds nothing of train"),
    });
    expect(readdirSync(folder()).filter((name) => name !== ".downloads")).toEqual([]);
  });

  test("archives of a folder, split by split, are taken as they are and said to be unverified", async () => {
    const shelf = join(home, "shelf");
    mkdirSync(shelf);
    writeFileSync(join(shelf, "train.tar.gz"), gzipSync(tarOf({ "train/a/b/game.tw-pddl": "{}" })));
    writeFileSync(join(shelf, "seen.zip"), zipOf({ "x/valid_seen/a/b/game.tw-pddl": "{}" }));
    const { code, out } = await type(
      "fetch",
      "alfworld",
      "--split",
      "train,valid_seen",
      "--from",
      shelf,
      "--dir",
      join(home, "to"),
    );
    expect(code).toBe(0);
    expect(out).toContain(`train: 1 game in ${join(home, "to")}`);
    expect(out).toContain("Not verified: seen.zip, train.tar.gz");
    expect(out).toContain(`--env alfworld --env.data ${join(home, "to")}`);
    expect(readFileSync(join(home, "to", "json_2.1.1/valid_seen/a/b/game.tw-pddl"), "utf8")).toBe("{}");
  });
});

describe("fetching webshop", () => {
  const contents = {
    "items_shuffle_1000.json": "[1]",
    "items_ins_v2_1000.json": "{}",
    "items_human_ins.json": '{"a":1}',
  };
  const files = (url: string) =>
    Object.entries(contents).map(([name, text]) => {
      const bytes = Buffer.from(text);
      return { name, about: name, urls: [`${url}/${name}`], bytes: bytes.length, sha256: sha256(bytes) };
    });
  const wish = () => ({ ...quiet, splits: ["small"], folder: webshop.home() });
  const served = () =>
    Object.fromEntries(Object.entries(contents).map(([name, text]) => [`/${name}`, Buffer.from(text)]));

  test("takes each file from its address, a mirror, a folder or an archive, and checks every one", async () => {
    server = await serveFiles(served());
    const dataset = withFiles(webshop, files(server.url));
    const shelf = join(home, "shelf");
    mkdirSync(shelf);
    for (const [name, text] of Object.entries(contents)) writeFileSync(join(shelf, name), text);
    writeFileSync(
      join(home, "all.zip"),
      zipOf(Object.fromEntries(Object.entries(contents).map(([n, t]) => [`data/${n}`, t]))),
    );
    for (const from of ["", `${server.url}/`, shelf, join(home, "all.zip")]) {
      const result = await fetchDataset(dataset, { ...wish(), from });
      expect(result).toMatchObject({ fetched: { small: "1,000 products" }, absent: [], unverified: [] });
      expect(webshop.found("small")).toBe(webshop.home());
      rmSync(webshop.home(), { recursive: true });
    }
    expect(readFileSync(join(shelf, "items_shuffle_1000.json"), "utf8")).toBe("[1]"); // copied, not moved
  });

  test("a file that only bears an original's name is refused, unless its user vouches for it", async () => {
    server = await serveFiles(served());
    const shelf = join(home, "shelf");
    mkdirSync(shelf);
    for (const name of Object.keys(contents)) writeFileSync(join(shelf, name), "[]");
    writeFileSync(join(home, "all.zip"), zipOf({ "items_shuffle_1000.json": "[2]" }));
    const dataset = withFiles(webshop, files(server.url));
    await expect(fetchDataset(dataset, { ...wish(), from: shelf })).rejects.toThrow(
      /items_human_ins\.json bears the name of an original file but is another: expected 7 bytes, found 2.*--unverified/,
    );
    await expect(fetchDataset(dataset, { ...wish(), from: join(home, "all.zip") })).rejects.toThrow(
      "is not the original file",
    );
    expect(webshop.found("small")).toBeUndefined();
    const taken = await fetchDataset(dataset, { ...wish(), from: shelf, unverified: true });
    expect(taken.unverified.sort()).toEqual(Object.keys(contents).sort());
    expect(webshop.found("small")).toBe(webshop.home());
  });

  test("a data set larger than the disk is refused before anything is fetched", async () => {
    server = await serveFiles(served());
    const dataset = withFiles(
      webshop,
      files(server.url).map((file) => ({ ...file, bytes: 1e18 })),
    );
    await expect(fetchDataset(dataset, wish())).rejects.toThrow(/needs about .* GB and .* left: free some space/);
    expect(server.requests).toEqual([]);
  });

  test.skipIf(!existsSync("/dev/full"))(
    "a disk that fills up while a file comes is named, with what to do",
    async () => {
      server = await serveFiles(served());
      const downloads = join(webshop.home(), ".downloads");
      mkdirSync(downloads, { recursive: true });
      symlinkSync("/dev/full", join(downloads, "items_shuffle_1000.json.part"));
      await expect(fetchDataset(withFiles(webshop, files(server.url)), wish())).rejects.toThrow(
        `the disk that holds ${webshop.home()} is full: free some space, or choose another folder with --dir`,
      );
      expect(webshop.found("small")).toBeUndefined();
    },
  );
});

describe("proxima data", () => {
  test("list says what is here and what the rest would take", async () => {
    const { code, out } = await type("list");
    expect(code).toBe(0);
    expect(out).toMatch(/train +not here; 36\.5 MB to fetch: .*proxima data fetch alfworld\n/);
    expect(out).toMatch(/full +not here; 5\.7 GB to fetch: .* data fetch webshop --split full\n/);
    mkdirSync(join(home, "alfworld/json_2.1.1/valid_seen/a/b"), { recursive: true });
    writeFileSync(join(home, "alfworld/json_2.1.1/valid_seen/a/b/game.tw-pddl"), "{}");
    expect((await type("list")).out).toMatch(/valid_seen +1 game in /);
    const events = (await type("list", "--json")).out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(events).toContainEqual(
      expect.objectContaining({ dataset: "alfworld", split: "valid_seen", amount: "1 game" }),
    );
  });

  test("asks before it downloads, and refuses where nobody can answer", async () => {
    const { code, err } = await type("fetch", "webshop", "--json");
    expect(code).toBe(2);
    expect(err).toBe("");
    const said = await type("fetch", "alfworld", "--json");
    expect(said.out).toContain("Download 36.5 MB (json_2.1.3_tw-pddl.zip");
    expect(said.out).toContain("add --yes");
  });

  test("tells of a wrong data set, split or source what there is instead", async () => {
    expect(await type("fetch", "alfword")).toMatchObject({
      code: 2,
      err: expect.stringContaining("did you mean 'alfworld'?"),
    });
    expect(await type("fetch", "webshop", "--split", "tiny")).toMatchObject({
      code: 2,
      err: expect.stringContaining("webshop has small, full and all, found 'tiny'"),
    });
    expect(await type("fetch", "webshop", "--from", join(home, "none"))).toMatchObject({
      code: 1,
      err: expect.stringContaining("which does not exist"),
    });
    mkdirSync(join(home, "empty"));
    expect(await type("fetch", "webshop", "--from", join(home, "empty"))).toMatchObject({
      code: 1,
      err: expect.stringContaining("holds neither items_shuffle_1000.json"),
    });
    expect((await type()).code).toBe(2);
  });

  test("reports progress and the result as JSON", async () => {
    const shelf = join(home, "seen.zip");
    writeFileSync(shelf, zipOf({ "valid_seen/a/b/game.tw-pddl": "{}" }));
    const { code, out } = await type("fetch", "alfworld", "--split", "valid_seen", "--from", shelf, "--json");
    expect(code).toBe(0);
    expect(JSON.parse(out.trim().split("\n").at(-1) as string)).toMatchObject({
      type: "fetched",
      dataset: "alfworld",
      fetched: { valid_seen: "1 game" },
      unverified: ["seen.zip"],
    });
  });
});
