/**
 * Proxima beside a peer on the same machine. A benchmark lists comparisons; the two sides of each are run in turn (ours, peer,
 * ours, peer, …), a ratio is taken within each such pair, and what is reported is the median of the ratios with their range.
 *
 *   const options = benchOptions("cartpole", { rounds: 3, quickRounds: 1 });
 *   await sideBySide(options, [
 *     { name: "CartPole, 2 cores", peer: "SB3 2.9.2", measures: [{ figure: "envStepsPerSecond", unit: "steps/s", better: "more", goal: 10 }],
 *       ours: async (round) => ({ envStepsPerSecond }), theirs: async (round) => ({ envStepsPerSecond }) },
 *   ]);
 *
 * Figures may hold more than the measures name (what was learned, say): all are kept in `bench/results/<name>.json`. The table
 * goes between `<!-- bench <name> -->` and `<!-- /bench <name> -->` in docs/benchmarks.md. A run with options that make it smaller
 * (`--quick`, `--only`) writes nothing. A side that fails is written down with its reason, and the other comparisons go on.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { median } from "../credit-assignment/statistics.ts";

const root = join(import.meta.dirname, "../..");

/** By name; null where it has none, such as seconds to a goal that was not reached. */
export type Figures = Record<string, number | null>;

export interface Measure {
  /** Name of the figure, the same on both sides. */
  figure: string;
  unit: string;
  /** Which is better. The ratio says how many times better ours is; with "same" it is ours over theirs. */
  better: "more" | "less" | "same";
  /** Ratio aimed at, at least. */
  goal?: number;
}

export interface Comparison {
  name: string;
  /** Name and version of the peer. */
  peer: string;
  measures: readonly Measure[];
  ours(round: number): Promise<Figures>;
  theirs(round: number): Promise<Figures>;
}

export interface BenchOptions {
  benchmark: string;
  rounds: number;
  quick: boolean;
  /** Part of "comparison: peer"; everything when empty. */
  only: string;
  command: string;
  /** The benchmark's own options. */
  extra: Record<string, string>;
}

/** Reads `--quick`, `--rounds N`, `--only TEXT` and the benchmark's own options (names and defaults) from the command line. */
export function benchOptions(
  benchmark: string,
  defaults: { rounds: number; quickRounds: number },
  extra: Record<string, string> = {},
): BenchOptions {
  const own = Object.entries(extra).map(([name, value]) => [name, { type: "string", default: value }] as const);
  const { values } = parseArgs({
    options: {
      ...Object.fromEntries(own),
      quick: { type: "boolean", default: false },
      rounds: { type: "string" },
      only: { type: "string", default: "" },
    },
  });
  const rounds = Number(values.rounds ?? (values.quick ? defaults.quickRounds : defaults.rounds));
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new RangeError(`Cannot repeat pairs: --rounds must be a whole number from 1 on, found ${values.rounds}`);
  const command = ["bun run bench", benchmark, ...process.argv.slice(2)].join(" ");
  const given = values as unknown as Record<string, string>;
  return {
    benchmark,
    rounds,
    quick: values.quick,
    only: values.only,
    command,
    extra: Object.fromEntries(Object.keys(extra).map((name) => [name, given[name]!])),
  };
}

export interface Spread {
  median: number;
  least: number;
  most: number;
}

export interface Row {
  comparison: string;
  peer: string;
  measure: Measure;
  /** Absent where a side had no figure in any round. */
  ours?: Spread;
  theirs?: Spread;
  /** Of the pairs in which both sides had a figure. */
  ratio?: Spread;
  pairs: number;
  /** Why there is nothing to compare. */
  failure?: string;
}

export interface Result {
  benchmark: string;
  command: string;
  finishedAt: string;
  machine: string;
  /** One-minute load average, before the first run and after the last. */
  load: [number, number];
  rounds: number;
  rows: Row[];
  pairs: { comparison: string; peer: string; ours: Figures; theirs: Figures }[];
}

export async function sideBySide(options: BenchOptions, comparisons: readonly Comparison[]): Promise<Result> {
  const wanted = comparisons.filter(({ name, peer }) => `${name}: ${peer}`.includes(options.only));
  if (!wanted.length) {
    const names = comparisons.map(({ name, peer }) => `  ${name}: ${peer}`).join("\n");
    throw new RangeError(`Nothing to compare: --only "${options.only}" is part of none of\n${names}`);
  }
  const before = loadavg()[0]!;
  const pairs: Result["pairs"] = [];
  const rows: Row[] = [];
  for (const comparison of wanted) {
    const { name, peer } = comparison;
    const label = `${name}: ${peer}`;
    const mine: Result["pairs"] = [];
    let failure: string | undefined;
    for (let round = 0; round < options.rounds && !failure; round++) {
      let ours: Figures | undefined;
      try {
        ours = await comparison.ours(round);
        const theirs = await comparison.theirs(round);
        mine.push({ comparison: name, peer, ours, theirs });
        console.error(`${label}, pair ${round + 1} of ${options.rounds}: ${told(ours)} | ${told(theirs)}`);
      } catch (error) {
        failure = (error as Error).message;
        if (ours) mine.push({ comparison: name, peer, ours, theirs: {} });
        console.error(`${label}${ours ? ` (${told(ours)})` : ""}: ${failure}`);
      }
    }
    pairs.push(...mine);
    rows.push(...comparison.measures.map((measure) => rowOf(comparison, measure, mine, failure)));
  }
  const result: Result = {
    benchmark: options.benchmark,
    command: options.command,
    finishedAt: new Date().toISOString(),
    machine: describeMachine(),
    load: [before, loadavg()[0]!],
    rounds: options.rounds,
    rows,
    pairs,
  };
  console.log(renderResult(result));
  if (!options.quick && !options.only) keep(result);
  return result;
}

/** What the pairs say of one figure. */
export function rowOf(
  { name, peer }: Pick<Comparison, "name" | "peer">,
  measure: Measure,
  pairs: readonly { ours: Figures; theirs: Figures }[],
  failure?: string,
): Row {
  const { figure, better } = measure;
  const have = (side: "ours" | "theirs") => pairs.map((pair) => pair[side][figure]).filter((value) => value != null);
  const ratios = pairs.flatMap(({ ours: { [figure]: a }, theirs: { [figure]: b } }) =>
    a == null || b == null ? [] : [better === "less" ? b / a : a / b],
  );
  return {
    comparison: name,
    peer,
    measure,
    ours: spread(have("ours")),
    theirs: spread(have("theirs")),
    ratio: spread(ratios),
    pairs: ratios.length,
    ...(failure ? { failure } : {}),
  };
}

function spread(values: readonly number[]): Spread | undefined {
  if (!values.length) return undefined;
  return { median: median(values), least: Math.min(...values), most: Math.max(...values) };
}

/** A table in Markdown, with what is needed to repeat it. */
export function renderResult({ rows, machine, load, command, finishedAt, rounds }: Result): string {
  const header = ["what", "peer", "Proxima", "peer's", "ratio (range)", "goal"];
  const cells = rows.map(({ comparison, peer, measure, ours, theirs, ratio, failure }) => [
    `${comparison}: ${measure.unit}`,
    peer,
    ours ? number(ours.median) : "–",
    theirs ? number(theirs.median) : "–",
    ratio
      ? `${times(ratio.median)} (${number(ratio.least)}–${number(ratio.most)})`
      : failure
        ? `failed: ${failure.split("\n")[0]!.slice(0, 160).replaceAll("|", "/")}`
        : "–",
    goalOf(measure, ratio),
  ]);
  const widths = header.map((title, i) => Math.max(title.length, ...cells.map((row) => row[i]!.length)));
  const line = (row: readonly string[]) => `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  const spreadOf =
    rounds > 1 ? `Medians of ${rounds} pairs; the range is of the ratios within a pair.` : "A single pair.";
  const about =
    `\`${command}\` on ${finishedAt.slice(0, 10)}: ${machine}; load average ${load[0].toFixed(1)} before and ` +
    `${load[1].toFixed(1)} after. ${spreadOf}`;
  return [line(header), rule, ...cells.map(line), "", about].join("\n");
}

function goalOf({ goal }: Measure, ratio: Spread | undefined): string {
  if (goal === undefined) return "–";
  return `${number(goal)} ×: ${!ratio ? "open" : ratio.median >= goal ? "met" : "missed"}`;
}

const times = (ratio: number) => `${number(ratio)} ×`;

/** Three digits that count. */
export function number(value: number): string {
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toLocaleString("en", { maximumFractionDigits: Math.min(digits, 6), maximumSignificantDigits: 3 });
}

const told = (figures: Figures) =>
  Object.entries(figures)
    .map(([name, value]) => `${name} ${value === null ? "–" : number(value)}`)
    .join(", ");

function describeMachine(): string {
  const [first] = cpus();
  const gibibytes = Math.round(totalmem() / 2 ** 30);
  return `${cpus().length} cores (${first?.model.trim() ?? "unknown"}), ${gibibytes} GiB, Bun ${Bun.version}`;
}

/** Writes the result, and its table into the page. */
function keep(result: Result): void {
  const folder = join(root, "bench/results");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${result.benchmark}.json`), `${JSON.stringify(result, null, 2)}\n`);
  const page = join(root, "docs/benchmarks.md");
  writeFileSync(page, withTable(readFileSync(page, "utf8"), result.benchmark, renderResult(result)));
}

/** The page with another table between the benchmark's marks. */
export function withTable(page: string, benchmark: string, table: string): string {
  const [begin, end] = [`<!-- bench ${benchmark} -->`, `<!-- /bench ${benchmark} -->`];
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from)
    throw new Error(`Cannot write the table of ${benchmark}: the page needs ${begin} and after it ${end}, found none`);
  return `${page.slice(0, from + begin.length)}\n\n${table}\n\n${page.slice(to)}`;
}
