/** Everything that can be told of one run: from its folder, and from its learner while one is alive. */

import { stat } from "node:fs/promises";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { keptIterations } from "../../learner/archive.ts";
import { runSchema } from "../../learner/config.ts";
import { LearnerService, Phase, type StatusResponse } from "../../proto/gen/proxima/v1/learner_pb.ts";
import { connect, type Security } from "../../proto/grpc.ts";
import { bottleneckInWords, type Section, sectionsOf } from "../bottleneck.ts";
import { readConfigFile } from "../config-file.ts";
import { type LearnerLink, learnerAddress } from "../learner-link.ts";
import { type Notice, readNotices } from "../notices.ts";
import type { RunFolder } from "../run-folder.ts";
import { firstRowFrom, rowsToDraw, smoothed } from "./downsample.ts";
import { type Axis, newestLine, RunSeries } from "./run-series.ts";

export type RunPaths = Omit<RunFolder, "release">;

/** A status this old is asked for again. */
const STATUS_AGE_MS = 1000;
const STATUS_TIMEOUT_MS = 2000;
/** Shares of time are those of this many newest iterations. */
const RECENT_ITERATIONS = 100;
const MAX_NOTICES = 50;

export interface RunLine {
  name: string;
  env: string;
  how: string;
  /** Iterations trained. */
  iterations: number;
  /** Another one whenever there are other metrics. */
  revision: string;
  envSteps: number;
  success?: number;
  return?: number;
  live: boolean;
  /** When its metrics were last written, in ms since 1970; 0: never. */
  updatedMs: number;
}

export interface LiveStatus {
  phase: "starting" | "collecting" | "updating" | "paused" | "finished" | "unknown";
  pausedReason: string;
  /** Who waits for whom, and what to try, in the watchdog's words. */
  waiting: string;
  waitingSinceMs?: number;
  weights: { counter: number; sha256: string };
  episodesInFlight: number;
  environment: { generation: number; id: string; canaryShare: number };
  actors: { count: number; maxLag: number; refused: number };
}

export interface ActorLine {
  actor: string;
  /** The machine from which it subscribes. */
  node: string;
  held?: number;
  lag: number;
  connectedSinceMs: number;
  refused: number;
  refusedReason: string;
}

export interface RunDetail extends RunLine {
  folder: string;
  config: Readonly<Record<string, unknown>>;
  metrics: string[];
  latest: Readonly<Record<string, number>>;
  time: { sections: Section[]; iterations: number; inWords: string };
  ledger: { started: number; trained: number; dropped: number; inFlight: number; reasons: [string, number][] };
  notices: Notice[];
  kept: number[];
  status?: LiveStatus;
  /** Why a learner that should be alive said nothing. */
  silence?: string;
}

export interface SeriesQuery {
  metrics: readonly string[];
  axis: Axis;
  /** Stretches a chart tells apart. */
  buckets: number;
  /** Iterations that a smoothed value stands for; 0: none wanted. */
  smooth: number;
  from?: number;
  to?: number;
}

export interface DrawnSeries {
  x: number[];
  y: number[];
  smooth?: number[];
}

const phases: Readonly<Record<number, LiveStatus["phase"]>> = {
  [Phase.UNSPECIFIED]: "unknown",
  [Phase.STARTING]: "starting",
  [Phase.COLLECTING]: "collecting",
  [Phase.UPDATING]: "updating",
  [Phase.PAUSED]: "paused",
  [Phase.FINISHED]: "finished",
};

/** actor-2 before actor-10. */
const byName = new Intl.Collator("en", { numeric: true });

export class WatchedRun {
  readonly folder: RunPaths;
  readonly #security: Security | undefined;
  #series: RunSeries | undefined;
  #line: RunLine | undefined;
  #link: LearnerLink | undefined;
  #status: { atMs: number; answer: Promise<StatusResponse> } | undefined;

  /** @param security for calls to its learner */
  constructor(folder: RunPaths, security?: Security) {
    this.folder = folder;
    this.#security = security;
  }

  /** Its columns, in memory from now on. */
  get series(): RunSeries {
    this.#series ??= new RunSeries(this.folder.metrics);
    return this.#series;
  }

  forgetSeries(): void {
    this.#series = undefined;
  }

  /** Settings by flat key, as they are stored; none where the file cannot be read. */
  get config(): Readonly<Record<string, unknown>> {
    try {
      return readConfigFile(this.folder.config, runSchema).values;
    } catch {
      return {};
    }
  }

  /** What a list of runs shows; reads no more than the newest line, and that only when it is another. */
  async line(): Promise<RunLine> {
    const { metrics, name, path } = this.folder;
    const found = await stat(metrics).catch(() => undefined);
    const revision = found ? `${found.size}-${found.mtimeMs}` : "";
    if (this.#line?.revision !== revision) {
      const newest = found && (await newestLine(metrics).catch(() => undefined));
      const { env = "", estimator = "", policy = "", mode = "" } = this.config as Record<string, string | undefined>;
      this.#line = {
        name,
        env,
        how: [estimator, policy, mode].filter(Boolean).join(" · "),
        iterations: newest ? newest.iteration + 1 : 0,
        revision,
        envSteps: newest?.envSteps ?? 0,
        success: newest?.values["episode/success"],
        return: newest?.values["episode/return"],
        live: false,
        updatedMs: found?.mtimeMs ?? 0,
      };
    }
    return { ...this.#line, live: learnerAddress(path) !== undefined };
  }

  async detail(): Promise<RunDetail> {
    const line = await this.line();
    const { series, config, folder } = this;
    await series.refresh();
    const latest = series.latest?.values ?? {};
    const count = (name: string) => latest[`ledger/${name}`] ?? 0;
    const reasons = Object.entries(latest)
      .filter(([name]) => name.startsWith("dropped/"))
      .map(([name, value]): [string, number] => [name.slice("dropped/".length), value])
      .sort(([, a], [, b]) => b - a);
    const sections = this.#recentSections();
    return {
      ...line,
      folder: folder.path,
      config,
      metrics: series.names,
      latest,
      time: {
        sections,
        iterations: Math.min(series.rows, RECENT_ITERATIONS),
        inWords: bottleneckInWords(sections, String(config.mode ?? "")),
      },
      ledger: {
        started: count("started"),
        trained: count("trained"),
        dropped: count("dropped"),
        inFlight: count("inFlight"),
        reasons,
      },
      notices: readNotices(folder, MAX_NOTICES),
      kept: await keptIterations(folder.trajectories),
      ...(await this.#liveStatus()),
    };
  }

  /** The columns as points to draw, by metric; metrics that the run has not are left out. */
  async draw({ metrics, axis, buckets, smooth, from, to }: SeriesQuery): Promise<Record<string, DrawnSeries>> {
    await this.series.refresh();
    const x = this.series.axis(axis);
    const first = from === undefined ? 0 : Math.max(0, firstRowFrom(x, from) - 1);
    const end = to === undefined ? x.length : Math.min(x.length, firstRowFrom(x, to) + 1);
    const drawn: Record<string, DrawnSeries> = {};
    for (const metric of metrics) {
      const column = this.series.column(metric);
      if (!column) continue;
      const rows = rowsToDraw(column, first, end, buckets);
      if (rows.length === 0) continue;
      drawn[metric] = { x: rows.map((row) => short(x[row]!)), y: rows.map((row) => short(column[row]!)) };
      if (smooth > 0) {
        const smoothColumn = smoothed(column, smooth);
        drawn[metric].smooth = rows.map((row) => short(smoothColumn[row]!));
      }
    }
    return drawn;
  }

  /** Those that receive weights now, those furthest behind first; none where no learner answers. */
  async actors(): Promise<ActorLine[]> {
    const status = await this.#askStatus()?.catch(() => undefined);
    return (status?.subscribers ?? [])
      .map(({ actor, peer, heldCounter, lagVersions, connectedSince, refused, refusedReason }) => ({
        actor,
        node: peer.replace(/:\d+$/, ""),
        held: heldCounter === undefined ? undefined : Number(heldCounter),
        lag: Number(lagVersions),
        connectedSinceMs: connectedSince ? timestampMs(connectedSince) : 0,
        refused: Number(refused),
        refusedReason,
      }))
      .sort((a, b) => b.lag - a.lag || byName.compare(a.actor, b.actor));
  }

  /** The learner's services; undefined where none is alive. */
  link(): LearnerLink | undefined {
    const address = learnerAddress(this.folder.path);
    if (this.#link?.address !== address) {
      this.close();
      this.#link = address === undefined ? undefined : connect(LearnerService, address, this.#security);
    }
    return this.#link;
  }

  /** What was heard of the learner is old: somebody has just asked it for something. */
  forgetStatus(): void {
    this.#status = undefined;
  }

  close(): void {
    this.#link?.close();
    this.#link = undefined;
    this.#status = undefined;
  }

  #recentSections(): Section[] {
    const { series } = this;
    return sectionsOf(
      series.names
        .filter((name) => name.startsWith("time/"))
        .map((name): [string, number] => {
          const recent = series.column(name)!.subarray(-RECENT_ITERATIONS);
          return [name, recent.reduce((sum, value) => sum + (Number.isFinite(value) ? value : 0), 0)];
        }),
    );
  }

  #askStatus(): Promise<StatusResponse> | undefined {
    const link = this.link();
    if (!link) return undefined;
    if (!this.#status || Date.now() - this.#status.atMs > STATUS_AGE_MS)
      this.#status = { atMs: Date.now(), answer: link.client.status({}, { timeoutMs: STATUS_TIMEOUT_MS }) };
    return this.#status.answer;
  }

  async #liveStatus(): Promise<Pick<RunDetail, "status" | "silence">> {
    try {
      const status = await this.#askStatus();
      return status ? { status: liveStatus(status) } : {};
    } catch (error) {
      return { silence: (error as Error).message };
    }
  }
}

function liveStatus(status: StatusResponse): LiveStatus {
  const { subscribers, waiting, environment } = status;
  return {
    phase: phases[status.phase] ?? "unknown",
    pausedReason: status.pausedReason,
    waiting: [waiting?.what, waiting?.advice].filter(Boolean).join(" "),
    waitingSinceMs: waiting?.since && timestampMs(waiting.since),
    weights: { counter: Number(status.weightsCounter), sha256: Buffer.from(status.weightsSha256).toString("hex") },
    episodesInFlight: Number(status.episodes?.inFlight ?? 0n),
    environment: {
      generation: Number(environment?.generation ?? 0n),
      id: environment?.environmentId ?? "",
      canaryShare: environment?.canaryShare ?? 1,
    },
    actors: {
      count: subscribers.length,
      maxLag: subscribers.reduce((most, { lagVersions }) => Math.max(most, Number(lagVersions)), 0),
      refused: subscribers.reduce((sum, { refused }) => sum + Number(refused), 0),
    },
  };
}

/** Six digits are more than a chart shows. */
const short = (value: number) => Number(value.toPrecision(6));
