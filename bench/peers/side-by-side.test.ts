import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./program.ts";
import { pinned } from "./python.ts";
import {
  type Comparison,
  type Measure,
  number,
  type Result,
  renderResult,
  rowOf,
  sideBySide,
  withTable,
} from "./side-by-side.ts";

const root = join(import.meta.dirname, "../..");
const speed: Measure = { figure: "envStepsPerSecond", unit: "env steps/s", better: "more", goal: 10 };
const wait: Measure = { figure: "seconds", unit: "s", better: "less" };
const about = { name: "CartPole", peer: "Snail 1.0" };

describe("rowOf()", () => {
  test("takes the ratio within each pair, not of the medians", () => {
    const pairs = [
      { ours: { envStepsPerSecond: 100 }, theirs: { envStepsPerSecond: 10 } },
      { ours: { envStepsPerSecond: 50 }, theirs: { envStepsPerSecond: 2 } },
      { ours: { envStepsPerSecond: 60 }, theirs: { envStepsPerSecond: 20 } },
    ];
    const row = rowOf(about, speed, pairs);
    expect(row.ratio).toEqual({ median: 10, least: 3, most: 25 });
    expect(row.ours).toEqual({ median: 60, least: 50, most: 100 });
  });

  test("tells how many times better, also where less is better", () => {
    expect(rowOf(about, wait, [{ ours: { seconds: 2 }, theirs: { seconds: 8 } }]).ratio?.median).toBe(4);
  });

  test("leaves pairs out in which a side has no figure", () => {
    const row = rowOf(about, wait, [
      { ours: { seconds: 2 }, theirs: { seconds: null } },
      { ours: { seconds: 2 }, theirs: { seconds: 6 } },
    ]);
    expect(row.pairs).toBe(1);
    expect(row.ratio).toEqual({ median: 3, least: 3, most: 3 });
  });
});

describe("sideBySide()", () => {
  const options = {
    benchmark: "none",
    rounds: 2,
    quick: true,
    only: "",
    command: "bun run bench none --quick",
    extra: {},
  };

  test("runs the sides in turn, and goes on after a side that fails", async () => {
    const order: string[] = [];
    const side = (who: string, value: number) => async (round: number) => {
      order.push(`${who}${round}`);
      return { envStepsPerSecond: value };
    };
    const failing: Comparison = {
      name: "broken",
      peer: "Wall",
      measures: [speed],
      ours: side("a", 1),
      theirs: () => Promise.reject(new Error("it is a wall")),
    };
    const fine: Comparison = { ...about, measures: [speed], ours: side("b", 30), theirs: side("c", 10) };
    const { rows } = await sideBySide(options, [failing, fine]);
    expect(order).toEqual(["a0", "b0", "c0", "b1", "c1"]);
    expect(rows.map(({ failure, ours, ratio }) => [failure, ours?.median, ratio?.median])).toEqual([
      ["it is a wall", 1, undefined], // ours is not lost
      [undefined, 30, 3],
    ]);
  });

  test("refuses a selection that leaves nothing", () => {
    expect(sideBySide({ ...options, only: "x" }, [])).rejects.toThrow('--only "x"');
  });
});

test("a table tells medians, range, goals and failures, and replaces the one before it in the page", () => {
  const result: Result = {
    benchmark: "cartpole",
    command: "bun run bench cartpole",
    finishedAt: "2030-01-02T03:04:05Z",
    machine: "2 cores",
    load: [0.25, 1.5],
    rounds: 2,
    rows: [
      rowOf(about, speed, [{ ours: { envStepsPerSecond: 1234.5 }, theirs: { envStepsPerSecond: 200 } }]),
      rowOf(about, wait, [], "could not | be installed\nbecause"),
    ],
    pairs: [],
  };
  const table = renderResult(result);
  const [, , first, second, , last] = table.split("\n");
  expect(first!.split("|").map((cell) => cell.trim())).toEqual([
    "",
    "CartPole: env steps/s",
    "Snail 1.0",
    "1,230",
    "200",
    "6.17 × (6.17–6.17)",
    "10 ×: missed",
    "",
  ]);
  expect(second).toContain("failed: could not / be installed ");
  expect(last).toContain("load average 0.3 before and 1.5 after");

  const page = "# A\n\n<!-- bench cartpole -->\n\nold\n\n<!-- /bench cartpole -->\n\nB\n";
  expect(withTable(page, "cartpole", "new")).toBe(
    "# A\n\n<!-- bench cartpole -->\n\nnew\n\n<!-- /bench cartpole -->\n\nB\n",
  );
  expect(() => withTable(page, "other", "new")).toThrow("<!-- bench other -->");
});

test("numbers keep three digits", () => {
  expect([54_321, 12.345, 0.012345, 0].map(number)).toEqual(["54,300", "12.3", "0.0123", "0"]);
});

describe("run()", () => {
  const script = (code: string) => [process.execPath, "-e", code];

  test("reads events from lines of JSON among others, with the time of their arrival", async () => {
    const { events, wallMs } = await run(script(`console.log("hello"); console.log('{"type":"a","n":1}')`));
    expect(events).toEqual([{ type: "a", n: 1, atMs: expect.any(Number) }]);
    expect(events[0]!.atMs).toBeLessThanOrEqual(wallMs);
  });

  test("counts the memory of descendants", async () => {
    const child = `globalThis.held = new Uint8Array(2 ** 27).fill(1); console.log('{"type":"held"}'); setTimeout(() => {}, 60_000)`;
    const parent = `require("node:child_process").spawn(process.execPath, ["-e", ${JSON.stringify(child)}], { stdio: "inherit" })`;
    const { peakMiB } = await run(script(parent), { until: ({ type }) => type === "held" });
    expect(peakMiB).toBeGreaterThan(128);
  });

  test("rejects with what a failing command said, and with one that takes too long", async () => {
    expect(run(script(`console.error("no oil"); process.exit(3)`))).rejects.toThrow(/ended with 3: no oil/);
    expect(run(script("setTimeout(() => {}, 60_000)"), { timeoutMs: 50 })).rejects.toThrow("took too long");
  });
});

test("the versions of peers are those of the pinned lists", () => {
  expect(pinned("torch", "ray")).toMatch(/^\d+\.\d+\.\d+$/); // listed with an extra
  expect(() => pinned("torch", "numpy")).toThrow("does not name it");
});

test("the page has a place for the table of every kept result", () => {
  const page = readFileSync(join(root, "docs/benchmarks.md"), "utf8");
  const kept = readdirSync(join(root, "bench/results")).map((file) => file.replace(/\.json$/, ""));
  expect(kept.length).toBeGreaterThan(0);
  for (const benchmark of kept) expect(withTable(page, benchmark, "table")).toContain("table");
});
