/**
 * What the directory knows of an actor and of a node. Entries come from other machines, so reading one checks every field
 * and refuses what does not fit with a bounded sentence.
 */
import { ACTOR_NAME } from "../../proto/actor-subjects.ts";

export const runtimes = ["bun", "deno", "node"] as const;
export type Runtime = (typeof runtimes)[number];

export type Labels = Readonly<Record<string, string>>;

/** What an actor takes of a node. Actors that need the same wait in the same queue. */
export interface Resources {
  /** May be a fraction; nothing is enforced but the sum. */
  cpus: number;
  /** Bytes. */
  memory: number;
  /** The node must have all of these. */
  labels: Labels;
  runtime: Runtime;
}

export interface Backoff {
  /** Pause before the first restart; doubled for each further death in a row. */
  firstMs: number;
  maxMs: number;
}

export type ActorState =
  /** Waits for a node. `because` tells why it is no longer where it was. */
  | { type: "pending"; because?: string }
  | { type: "starting" }
  | { type: "running" }
  | { type: "restarting"; because: string; atMs: number }
  /** Given up; stays in the directory until it is killed or spawned anew. */
  | { type: "failed"; because: string };

export interface ActorEntry {
  name: string;
  kind: string;
  /** "proxima:" and a path in this package, or the absolute path of a file. */
  module: string;
  /** base64 of plain data. */
  arguments: string;
  resources: Resources;
  /** A process of its own, or a thread of the node's. */
  isolation: "process" | "thread";
  /** Restarts in a row before it is given up. */
  maxRestarts: number;
  backoff: Backoff;
  /** Calls that may wait in its mailbox. */
  mailbox: number;
  /** Calls answered side by side. */
  concurrency: number;
  /** Unique for each spawn: a name may be used again. */
  id: string;
  spawnedAtMs: number;
  state: ActorState;
  /** What was asked for since. */
  wanted: "running" | "drained" | "killed";
  /** Who holds it: the node's name and that node's own life. */
  holder?: { node: string; boot: string };
  /** Counts its lives, from 1; 0 before the first. */
  incarnation: number;
  /** In its whole life, for people. */
  restarts: number;
  /** Deaths since it last lived long enough to count as healthy. */
  deathsInARow: number;
  startedAtMs?: number;
}

/** How an actor fares, as its node tells with every heartbeat. */
export interface ActorLoad {
  /** Calls waiting. */
  mailbox: number;
  /** Calls answered since it started. */
  calls: number;
  /** Since it last gave a sign of life; a method that computes for long gives none meanwhile. */
  silentMs: number;
  pid?: number;
}

export interface NodeEntry {
  name: string;
  boot: string;
  host: string;
  pid: number;
  cpus: number;
  cpusUsed: number;
  memory: number;
  memoryUsed: number;
  labels: Labels;
  runtimes: Runtime[];
  /** Takes no more actors. */
  draining: boolean;
  sentAtMs: number;
  actors: Record<string, ActorLoad>;
}

/** An actor as `list()` and `info()` tell it. */
export interface ActorInfo extends Omit<ActorEntry, "arguments" | "holder"> {
  node?: string;
  /** Absent until its node has told. */
  load?: ActorLoad;
}

/** The same needs give the same text, which names their queue. */
export function resourcesText({ cpus, memory, labels, runtime }: Resources): string {
  const sorted = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([cpus, memory, runtime, sorted]);
}

/** "2 cpus, 1.5 GB, label gpu=true" */
export function describeResources({ cpus, memory, labels, runtime }: Resources): string {
  const parts = [`${cpus} ${cpus === 1 ? "cpu" : "cpus"}`];
  if (memory > 0) parts.push(`${(memory / 1e9).toFixed(1)} GB`);
  for (const [key, value] of Object.entries(labels)) parts.push(`label ${key}=${value}`);
  if (runtime !== "bun") parts.push(`runtime ${runtime}`);
  return parts.join(", ");
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

export const encodeEntry = (entry: ActorEntry | NodeEntry) => encoder.encode(JSON.stringify(entry));

const LABEL = /^[A-Za-z0-9_.-]{1,64}$/;
const MAX_LABELS = 32;

/** Throws TypeError that names the field. */
export function decodeActorEntry(bytes: Uint8Array): ActorEntry {
  const entry = parse(bytes, "an actor's entry") as ActorEntry;
  const { holder, state } = entry;
  check("an actor's entry", {
    name: isName(entry.name),
    kind: isName(entry.kind),
    module: isText(entry.module, 1_000),
    arguments: isText(entry.arguments, 200_000),
    resources: isResources(entry.resources),
    isolation: entry.isolation === "process" || entry.isolation === "thread",
    maxRestarts: isCount(entry.maxRestarts),
    backoff: isAmount(entry.backoff?.firstMs) && isAmount(entry.backoff.maxMs),
    mailbox: isCount(entry.mailbox) && entry.mailbox > 0,
    concurrency: isCount(entry.concurrency) && entry.concurrency > 0,
    id: isText(entry.id, 64),
    spawnedAtMs: isAmount(entry.spawnedAtMs),
    state: ["pending", "starting", "running", "restarting", "failed"].includes(state?.type),
    wanted: ["running", "drained", "killed"].includes(entry.wanted),
    holder: holder === undefined || (isName(holder?.node) && isText(holder.boot, 64)),
    incarnation: isCount(entry.incarnation),
    restarts: isCount(entry.restarts),
    deathsInARow: isCount(entry.deathsInARow),
  });
  return entry;
}

/** Throws TypeError that names the field. */
export function decodeNodeEntry(bytes: Uint8Array): NodeEntry {
  const entry = parse(bytes, "a node's entry") as NodeEntry;
  check("a node's entry", {
    name: isName(entry.name),
    boot: isText(entry.boot, 64),
    host: isText(entry.host, 256),
    cpus: isAmount(entry.cpus) && isAmount(entry.cpusUsed),
    memory: isAmount(entry.memory) && isAmount(entry.memoryUsed),
    labels: isLabels(entry.labels),
    runtimes: Array.isArray(entry.runtimes),
    sentAtMs: isAmount(entry.sentAtMs),
    actors: isRecord(entry.actors),
  });
  return entry;
}

/** Throws RangeError that says what labels are. */
export function checkLabels(labels: Labels): Labels {
  if (!isLabels(labels)) {
    throw new RangeError(
      `Labels are at most ${MAX_LABELS} pairs of name and text, each of 1 to 64 letters, digits, '_', '.' and '-', found ${JSON.stringify(labels)?.slice(0, 80)}.`,
    );
  }
  return labels;
}

function parse(bytes: Uint8Array, what: string): object {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch (cause) {
    throw new TypeError(`Cannot read ${what}: it is not JSON`, { cause });
  }
  if (!isRecord(value)) throw new TypeError(`Cannot read ${what}: it is no object`);
  return value;
}

function check(what: string, fields: Record<string, boolean>): void {
  const wrong = Object.keys(fields).find((field) => !fields[field]);
  if (wrong) throw new TypeError(`Cannot read ${what}: its ${wrong} is missing or malformed`);
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isName = (value: unknown) => typeof value === "string" && ACTOR_NAME.test(value);
const isText = (value: unknown, maxLength: number) => typeof value === "string" && value.length <= maxLength;
const isAmount = (value: unknown): value is number => typeof value === "number" && value >= 0;
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isLabels = (value: unknown) =>
  isRecord(value) &&
  Object.keys(value).length <= MAX_LABELS &&
  Object.entries(value).every(([key, text]) => LABEL.test(key) && typeof text === "string" && LABEL.test(text));
const isResources = (value: Resources | undefined) =>
  isRecord(value) &&
  isAmount(value.cpus) &&
  isAmount(value.memory) &&
  isLabels(value.labels as Labels) &&
  runtimes.includes(value.runtime as Runtime);
