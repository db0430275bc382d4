/**
 * The life of a group as a trace: its task, its episodes, the update that it was trained in, the broadcast of the new weights
 * and their first use by an actor. One group of each iteration is traced, the first.
 */
import { createHash } from "node:crypto";
import type { Trajectory } from "../../proto/trajectory.ts";
import type { Span, SpanExporter } from "./otlp.ts";

/** What happens to groups, told as it happens. Times are milliseconds since 1970. */
export interface GroupEvents {
  issued(iteration: number, group: number, members: readonly number[], atMs: number): void;
  arrived(trajectory: Trajectory, atMs: number): void;
  /** The learner has done something for an iteration. @param section of its stopwatch */
  done(iteration: number, section: string, fromMs: number, toMs: number): void;
  /** An actor reports to use a version. */
  used(actor: string, counter: number, atMs: number): void;
}

interface Traced {
  taskAtMs: number;
  task: string;
  members: number;
  episodes: Omit<Span, "traceId" | "spanId" | "parentSpanId">[];
  sections: Omit<Span, "traceId" | "spanId" | "parentSpanId">[];
  broadcastAtMs?: number;
}

const GROUP = 0;
/** Sections of the learner's loop that belong to a group's life. */
const sections = new Set(["assemble", "advantages", "update", "broadcast"]);
/** A version that no actor takes up (the last of a run, say) is given up after so many newer ones. */
const MAX_OPEN = 16;

export class GroupTracer implements GroupEvents {
  readonly #run: string;
  readonly #incarnation: number;
  readonly #exporter: SpanExporter;
  readonly #open = new Map<number, Traced>();

  /** @param incarnation tells iterations that a resumed learner trains again from those before */
  constructor(run: string, incarnation: number, exporter: SpanExporter) {
    this.#run = run;
    this.#incarnation = incarnation;
    this.#exporter = exporter;
  }

  issued(iteration: number, group: number, members: readonly number[], atMs: number): void {
    if (group !== GROUP || this.#open.has(iteration)) return;
    this.#open.set(iteration, { taskAtMs: atMs, task: "", members: members.length, episodes: [], sections: [] });
  }

  arrived({ lineage, steps, outcome }: Trajectory, atMs: number): void {
    this.used(lineage.actor, lineage.weights.counter, atMs); // the actor's own report may be later still
    const traced = lineage.group === GROUP && this.#open.get(lineage.iteration);
    if (!traced) return;
    traced.task = lineage.task;
    traced.episodes.push({
      name: "episode",
      fromMs: traced.taskAtMs,
      toMs: atMs,
      attributes: {
        "proxima.member": lineage.member,
        "proxima.actor": lineage.actor,
        "proxima.weights_version": lineage.weights.counter,
        "proxima.steps": steps?.count ?? 0,
        "proxima.outcome": outcome.type,
      },
    });
  }

  done(iteration: number, section: string, fromMs: number, toMs: number): void {
    const traced = this.#open.get(iteration);
    if (!traced || !sections.has(section)) return;
    traced.sections.push({ name: section, fromMs, toMs, attributes: {} });
    if (section !== "broadcast") return;
    traced.broadcastAtMs = fromMs;
    for (const older of this.#open.keys()) if (older <= iteration - MAX_OPEN) this.#finish(older);
  }

  /** Counter n + 1 is what iteration n led to; whoever uses a newer one has skipped it. */
  used(actor: string, counter: number, atMs: number): void {
    for (const [iteration, { broadcastAtMs }] of this.#open)
      if (broadcastAtMs !== undefined && iteration < counter)
        this.#finish(iteration, {
          name: "first use",
          fromMs: broadcastAtMs,
          toMs: atMs,
          attributes: { "proxima.actor": actor, "proxima.weights_version": counter },
        });
  }

  /** Sends what is not whole too. */
  async close(): Promise<void> {
    for (const iteration of [...this.#open.keys()]) this.#finish(iteration);
    await this.#exporter.close();
  }

  #finish(iteration: number, firstUse?: Traced["sections"][number]): void {
    const traced = this.#open.get(iteration)!;
    this.#open.delete(iteration);
    const { taskAtMs, task, members, episodes } = traced;
    const parts = [...episodes, ...traced.sections, ...(firstUse ? [firstUse] : [])];
    if (parts.length === 0) return;
    const name = `${this.#run}/${this.#incarnation}/${iteration}/${GROUP}`;
    const traceId = digits(name, 32);
    const rootId = digits(`${name}/group`, 16);
    const arrivals = episodes.map(({ toMs }) => toMs);
    const play = { name: "task", fromMs: taskAtMs, toMs: Math.max(taskAtMs, ...arrivals), attributes: {} };
    const taskId = digits(`${name}/task`, 16);
    const idOf = (i: number) => digits(`${name}/${i}`, 16);
    this.#exporter.export([
      {
        traceId,
        spanId: rootId,
        name: "group",
        fromMs: taskAtMs,
        toMs: Math.max(...parts.map(({ toMs }) => toMs)),
        attributes: {
          "proxima.run": this.#run,
          "proxima.iteration": iteration,
          "proxima.group": GROUP,
          "proxima.task": task,
          "proxima.members": members,
        },
      },
      { traceId, spanId: taskId, parentSpanId: rootId, ...play },
      ...parts.map((part, i) => ({
        traceId,
        spanId: idOf(i),
        parentSpanId: i < episodes.length ? taskId : rootId,
        ...part,
      })),
    ]);
  }
}

const digits = (text: string, count: number) => createHash("sha256").update(text).digest("hex").slice(0, count);
