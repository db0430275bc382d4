/** What the page asks for, by name, and what it may ask a learner to do. */
import { estimators } from "../../learner/advantage/index.ts";
import { toArguments } from "../../proto/arguments.ts";
import { ConfigError } from "../../proto/config.ts";
import type { CreditView } from "./credit-view.ts";
import type { NodeDirectory } from "./node-directory.ts";
import { type Axis, axes } from "./run-series.ts";
import type { WatchedRuns } from "./watched-runs.ts";
import { parseOptions } from "./written-options.ts";

const MAX_RUNS = 16;
const MAX_METRICS = 100;
const CONTROL_TIMEOUT_MS = 60_000;

export class NotFound extends Error {
  override readonly name = "NotFound";
}

/** @throws NotFound, or ConfigError when a parameter is not what it must be */
export async function answerApi(
  runs: WatchedRuns,
  credit: CreditView,
  nodes: NodeDirectory,
  what: string,
  given: URLSearchParams,
): Promise<object> {
  const run = () => runs.load(given.get("run") ?? "") ?? unknownRun(given.get("run") ?? "");
  switch (what) {
    case "runs":
      return {
        runs: await Promise.all(runs.names().map((name) => runs.get(name)!.line())),
        shown: runs.shown,
      };
    case "run":
      return run().detail();
    case "actors":
      return { actors: await run().actors() };
    case "nodes":
      return nodes.of(run());
    case "series":
      return series(runs, given);
    case "credit":
      return credit.answer(run(), {
        iteration: whole(given, "iteration", 0),
        estimator: given.get("estimator") ?? "",
        options: (given.get("options") ?? "").slice(0, 1000),
        group: optional(given, "group"),
        member: optional(given, "member"),
        step: optional(given, "step"),
      });
    case "estimators":
      return {
        estimators: Object.values(estimators).map(({ name, summary, needsCritic, needsAnchors, options }) => ({
          name,
          summary,
          needsCritic,
          needsAnchors,
          options: Object.entries(options).map(([option, { default: value, about: what }]) => ({
            name: option,
            default: value,
            about: what,
          })),
        })),
      };
    default:
      throw new NotFound(`There is nothing named ${what.slice(0, 100)} here.`);
  }
}

async function series(runs: WatchedRuns, given: URLSearchParams): Promise<object> {
  const names = given.getAll("run");
  const metrics = given.getAll("metric");
  const axis = (given.get("axis") ?? "envSteps") as Axis;
  const problems: string[] = [];
  if (names.length < 1 || names.length > MAX_RUNS)
    problems.push(`expected 1 to ${MAX_RUNS} runs, found ${names.length}`);
  if (metrics.length < 1 || metrics.length > MAX_METRICS)
    problems.push(`expected 1 to ${MAX_METRICS} metrics, found ${metrics.length}`);
  if (!axes.includes(axis)) problems.push(`axis must be one of ${axes.join(", ")}`);
  if (problems.length > 0) throw new ConfigError(problems);
  const query = {
    metrics,
    axis,
    buckets: whole(given, "buckets", 300, { min: 10, max: 2000 }),
    smooth: whole(given, "smooth", 0, { max: 10_000 }),
    from: number(given, "from"),
    to: number(given, "to"),
  };
  const drawn = names.map(async (name) => {
    const run = runs.load(name) ?? unknownRun(name);
    const { revision } = await run.line();
    return { run: name, revision, metrics: await run.draw(query) };
  });
  return { axis, runs: await Promise.all(drawn) };
}

/** @throws NotFound, ConfigError when it is nothing that can be asked, or StatusError when the learner refuses */
export async function control(runs: WatchedRuns, given: unknown): Promise<object> {
  const { run: name, action, reason, swap } = (given ?? {}) as Record<string, unknown>;
  const run = runs.get(String(name)) ?? unknownRun(String(name));
  const link = run.link();
  if (!link) throw new ConfigError([`run '${run.folder.name}' has no learner that is alive`]);
  const until = { timeoutMs: CONTROL_TIMEOUT_MS };
  run.forgetStatus();
  try {
    switch (action) {
      case "pause": {
        const said = typeof reason === "string" && reason !== "" ? reason : "paused from the page";
        return { iteration: Number((await link.client.pause({ reason: said }, until)).iteration) };
      }
      case "resume":
        return { iteration: Number((await link.client.resume({}, until)).iteration) };
      case "checkpoint": {
        const { path, iteration } = await link.client.checkpoint({}, until);
        return { path, iteration: Number(iteration) };
      }
      case "swap": {
        const { environment } = await link.client.swapEnvironment(swapRequest(swap), until);
        return { generation: Number(environment?.generation ?? 0n) };
      }
      default:
        throw new ConfigError([
          `a learner can be asked for pause, resume, checkpoint or swap, found ${JSON.stringify(action)}`,
        ]);
    }
  } finally {
    run.forgetStatus();
  }
}

/** @throws ConfigError when it is no swap that the page would ask for */
function swapRequest(given: unknown) {
  const { environment, bundle, options, canaryShare, expectedGeneration } = (given ?? {}) as Record<string, unknown>;
  const isText = (value: unknown) => typeof value === "string" && value.length <= 1000;
  if (!isText(environment) || !isText(bundle) || !isText(options))
    throw new ConfigError(["a swap names an environment, a bundle and options, as text of at most 1000 characters"]);
  if (typeof canaryShare !== "number" || !Number.isSafeInteger(expectedGeneration))
    throw new ConfigError(["a swap says which share of groups tries it, and which generation it takes the place of"]);
  return {
    environmentId: environment as string,
    bundleDigest: bundle as string,
    arguments: toArguments(parseOptions(options as string)),
    canaryShare,
    expectedGeneration: BigInt(expectedGeneration as number),
  };
}

function unknownRun(name: string): never {
  throw new NotFound(`There is no run '${name.slice(0, 100)}' among those that are shown.`);
}

function number(given: URLSearchParams, key: string): number | undefined {
  const text = given.get(key);
  if (text === null || text === "") return undefined;
  const value = Number(text);
  if (!Number.isFinite(value)) throw new ConfigError([`${key} must be a number, found '${text.slice(0, 40)}'`]);
  return value;
}

function whole(given: URLSearchParams, key: string, otherwise: number, { min = 0, max = 2 ** 31 } = {}): number {
  const value = number(given, key) ?? otherwise;
  if (!Number.isInteger(value) || value < min || value > max)
    throw new ConfigError([`${key} must be a whole number from ${min} to ${max}, found ${value}`]);
  return value;
}

const optional = (given: URLSearchParams, key: string) => (given.has(key) ? whole(given, key, 0) : undefined);
