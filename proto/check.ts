/**
 * Turns `unknown` into trajectories and group tasks, or refuses with a bounded sentence that names the field, what was
 * expected and what was found. The result is rebuilt from the known fields, so extra ones are dropped and every accepted
 * object has the same shape.
 */
import type {
  GroupTask,
  Lineage,
  Outcome,
  Steps,
  TextColumn,
  TokenColumn,
  Trajectory,
  VectorColumn,
} from "./trajectory.ts";

/** What is wrong with which field. The codec wraps it in the error that its caller should see. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly field: string;
  constructor(field: string, expected: string, found: string) {
    super(`${field || "the message"} must be ${expected}, found ${found}`);
    this.field = field;
  }
}

/** Names of runs become subject tokens, bucket names and folders, so they are plain. */
export const RUN_NAME = /^[A-Za-z0-9_-]{1,64}$/;
const SHA256 = /^[0-9a-f]{64}$/;
const MAX_STEPS = 1 << 20;
const MAX_MEMBERS = 1 << 12;
const MAX_UINT32 = 0xffff_ffff;
/** Vocabularies are smaller; so no number read from the wire can ask for a large table. */
const MAX_TOKEN = (1 << 24) - 1;
/** Rounding in a log-softmax may leave a probability of 1 a little above 0. */
const LOG_PROB_TOLERANCE = 1e-4;
/** Tokens' log-probabilities may have been added up in another order or precision than here. */
const SUM_TOLERANCE = 1e-4;
/** `return` may have been added up in another order or precision than the rewards are here. */
const RETURN_TOLERANCE = 1e-4;

/** A bounded description that never runs code of the value, whatever the value is. */
function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  if (value === null || typeof value === "boolean" || typeof value === "number") return String(value);
  if (typeof value !== "object") return `a ${typeof value}`;
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    return `${typedArrayName(value)} of ${(value as Uint8Array).length}`;
  }
  return Object.getPrototypeOf(value) === Object.prototype ? "an object" : "an object that is not plain";
}

function typedArrayName(value: object): string {
  const prototype = Object.getPrototypeOf(Object.getPrototypeOf(value) ?? {});
  const tag = Object.getOwnPropertyDescriptor(prototype ?? {}, Symbol.toStringTag)?.get?.call(value);
  return typeof tag === "string" ? tag : "a typed array";
}

function refuse(field: string, expected: string, value: unknown): never {
  throw new Refusal(field, expected, describe(value));
}

type Fields = Record<string, unknown>;

function record(value: unknown, field: string): Fields {
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) {
    refuse(field, "a plain object", value);
  }
  return value as Fields;
}

function integer(value: unknown, field: string, max: number = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0 || value > max) {
    refuse(field, `an integer from 0 to ${max}`, value);
  }
  return value;
}

function finite(value: unknown, field: string): number {
  if (typeof value !== "number" || !Number.isFinite(value)) refuse(field, "a finite number", value);
  return value;
}

function text(value: unknown, field: string, maxLength: number, minLength = 0): string {
  if (typeof value !== "string" || value.length < minLength || value.length > maxLength) {
    refuse(field, `a string of ${minLength} to ${maxLength} characters`, value);
  }
  return value;
}

function matching(value: unknown, field: string, pattern: RegExp, expected: string): string {
  if (typeof value !== "string" || !pattern.test(value)) refuse(field, expected, value);
  return value;
}

type TypedArrayType<A> = { new (length: number): A; readonly name: string };

function typed<A extends { length: number }>(
  value: unknown,
  field: string,
  type: TypedArrayType<A>,
  length?: number,
): A {
  if (!(value instanceof type) || (length !== undefined && value.length !== length)) {
    refuse(field, length === undefined ? `a ${type.name}` : `a ${type.name} of ${length}`, value);
  }
  return value;
}

/** NaN and infinities survive a sum, so the ordinary case is one pass of additions. */
function allFinite(values: Float32Array | Float64Array, field: string): void {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  if (Number.isFinite(sum)) return;
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) refuse(`${field}[${i}]`, "a finite number", values[i]);
  }
}

function below(index: Uint32Array, limit: number, field: string): void {
  for (let i = 0; i < index.length; i++) {
    if (index[i] >= limit) refuse(`${field}[${i}]`, `an index below ${limit}`, index[i]);
  }
}

function binary(values: Uint8Array, field: string): void {
  for (let i = 0; i < values.length; i++) if (values[i] > 1) refuse(`${field}[${i}]`, "0 or 1", values[i]);
}

function textColumn(fields: Fields, field: string, rows: number, strings: number): TextColumn {
  const index = typed(fields.index, `${field}.index`, Uint32Array, rows);
  below(index, strings, `${field}.index`);
  return { type: "text", index };
}

function vectorColumn(fields: Fields, field: string, rows: number): VectorColumn {
  const width = integer(fields.width, `${field}.width`, MAX_UINT32);
  if (width === 0) refuse(`${field}.width`, "at least 1", width);
  const values = typed(fields.values, `${field}.values`, Float32Array, rows * width);
  allFinite(values, `${field}.values`);
  return { type: "vector", width, values };
}

function observationColumn(value: unknown, field: string, rows: number, strings: number): TextColumn | VectorColumn {
  const fields = record(value, field);
  if (fields.type === "text") return textColumn(fields, field, rows, strings);
  if (fields.type === "vector") return vectorColumn(fields, field, rows);
  return refuse(`${field}.type`, '"text" or "vector"', fields.type);
}

/** The table as it travels: one string, which is far quicker to read than hundreds of short ones. */
export interface JoinedStrings {
  text: string;
  /** UTF-16 code units of each string. */
  lengths: Uint32Array;
}

export function joinStrings(strings: readonly string[]): JoinedStrings {
  // UTF-8 has no half surrogates: left in, they would come back with another length.
  return { text: strings.join("").toWellFormed(), lengths: Uint32Array.from(strings, ({ length }) => length) };
}

function splitStrings(value: unknown, field: string): string[] {
  const fields = record(value, field);
  const joined = text(fields.text, `${field}.text`, MAX_UINT32);
  const lengths = typed(fields.lengths, `${field}.lengths`, Uint32Array);
  const strings = new Array<string>(lengths.length);
  let end = 0;
  for (let i = 0; i < lengths.length; i++) {
    const start = end;
    end += lengths[i];
    strings[i] = joined.slice(start, end);
  }
  if (end !== joined.length) {
    throw new Refusal(`${field}.lengths`, `lengths that add up to ${joined.length}`, `${end} in all`);
  }
  return strings;
}

/** Joined, or as an array of strings, which is simpler to write in another language. */
function stringTable(value: unknown, field: string): string[] {
  if (!Array.isArray(value)) return splitStrings(value, field);
  for (let i = 0; i < value.length; i++) {
    if (typeof value[i] !== "string") refuse(`${field}[${i}]`, "a string", value[i]);
  }
  return value;
}

function admissibleLists(value: unknown, field: string, count: number, strings: number): Steps["admissible"] {
  if (value === undefined) return undefined;
  const fields = record(value, field);
  const index = typed(fields.index, `${field}.index`, Uint32Array);
  const offsets = offsetsOf(fields.offsets, `${field}.offsets`, count, index.length, 0);
  below(index, strings, `${field}.index`);
  return { offsets, index };
}

/** Where each of `count` lists begins, and the last ends. Each has at least `least` items, all together `items`. */
function offsetsOf(value: unknown, field: string, count: number, items: number, least: number): Uint32Array {
  const offsets = typed(value, field, Uint32Array, count + 1);
  if (offsets[0] !== 0) refuse(`${field}[0]`, "0", offsets[0]);
  for (let t = 0; t < count; t++) {
    if (offsets[t + 1] < offsets[t] + least)
      refuse(`${field}[${t + 1}]`, `at least ${offsets[t] + least}`, offsets[t + 1]);
  }
  if (offsets[count] !== items) refuse(`${field}[${count}]`, `${items}`, offsets[count]);
  return offsets;
}

/** @param logProbs of the steps: each must be the sum of its tokens' */
function tokenColumn(value: unknown, field: string, count: number, logProbs: Float32Array): TokenColumn | undefined {
  if (value === undefined) return undefined;
  const fields = record(value, field);
  const values = typed(fields.values, `${field}.values`, Int32Array);
  const offsets = offsetsOf(fields.offsets, `${field}.offsets`, count, values.length, 1);
  for (let i = 0; i < values.length; i++) {
    if (values[i] < 0 || values[i] > MAX_TOKEN) refuse(`${field}.values[${i}]`, `from 0 to ${MAX_TOKEN}`, values[i]);
  }
  const each = typed(fields.logProbs, `${field}.logProbs`, Float32Array, values.length);
  probabilities(each, `${field}.logProbs`);
  for (let t = 0; t < count; t++) {
    let sum = 0;
    for (let i = offsets[t]; i < offsets[t + 1]; i++) sum += each[i];
    if (Math.abs(sum - logProbs[t]) > SUM_TOLERANCE * (1 - sum))
      refuse(`steps.logProbs[${t}]`, `the sum over the answer's tokens, ${sum}`, logProbs[t]);
  }
  return { offsets, values, logProbs: each };
}

/** Finite, and at most 0 but for rounding. */
function probabilities(logProbs: Float32Array, field: string): void {
  allFinite(logProbs, field);
  for (let t = 0; t < logProbs.length; t++) {
    if (logProbs[t] > LOG_PROB_TOLERANCE) refuse(`${field}[${t}]`, "at most 0", logProbs[t]);
  }
}

function mask(value: unknown, field: string, count: number): Uint8Array | undefined {
  if (value === undefined) return undefined;
  const values = typed(value, field, Uint8Array);
  if (values.length === 0 || values.length % count !== 0) {
    refuse(field, `a Uint8Array with the same number of entries for each of ${count} steps`, value);
  }
  binary(values, field);
  return values;
}

/** A choice must have been on offer: within the step's admissible list, and allowed by its mask. */
function choices(values: Int32Array, field: string, steps: Pick<Steps, "count" | "admissible" | "actionMask">): void {
  const { count, admissible, actionMask } = steps;
  const width = actionMask ? actionMask.length / count : 0;
  for (let t = 0; t < count; t++) {
    const choice = values[t];
    const limit = admissible ? admissible.offsets[t + 1] - admissible.offsets[t] : actionMask ? width : MAX_UINT32;
    if (choice < 0 || choice >= limit) refuse(`${field}[${t}]`, `from 0 to ${limit - 1}`, choice);
    if (actionMask && (choice >= width || actionMask[t * width + choice] !== 1)) {
      refuse(`${field}[${t}]`, "an action that its mask allows", choice);
    }
  }
}

function actionColumn(
  value: unknown,
  field: string,
  strings: number,
  steps: Pick<Steps, "count" | "admissible" | "actionMask">,
): Steps["actions"] {
  const fields = record(value, field);
  if (fields.type === "text") return textColumn(fields, field, steps.count, strings);
  if (fields.type === "vector") return vectorColumn(fields, field, steps.count);
  if (fields.type !== "choice") return refuse(`${field}.type`, '"choice", "vector" or "text"', fields.type);
  const values = typed(fields.values, `${field}.values`, Int32Array, steps.count);
  choices(values, `${field}.values`, steps);
  return { type: "choice", values };
}

function stepColumns(value: unknown, field: string): Steps {
  const fields = record(value, field);
  const count = integer(fields.count, `${field}.count`, MAX_STEPS);
  if (count === 0) refuse(`${field}.count`, "at least 1", count);
  const strings = stringTable(fields.strings, `${field}.strings`);
  const instruction =
    fields.instruction === undefined ? undefined : text(fields.instruction, `${field}.instruction`, MAX_UINT32);
  const observations = observationColumn(fields.observations, `${field}.observations`, count + 1, strings.length);
  const admissible = admissibleLists(fields.admissible, `${field}.admissible`, count, strings.length);
  const actionMask = mask(fields.actionMask, `${field}.actionMask`, count);
  const actions = actionColumn(fields.actions, `${field}.actions`, strings.length, { count, admissible, actionMask });

  const logProbs = typed(fields.logProbs, `${field}.logProbs`, Float32Array, count);
  // The density of a continuous action may exceed 1, a probability may not.
  if (actions.type === "vector") allFinite(logProbs, `${field}.logProbs`);
  else probabilities(logProbs, `${field}.logProbs`);
  if (fields.tokens !== undefined && actions.type !== "text")
    refuse(`${field}.tokens`, "absent where actions are no text", fields.tokens);
  const tokens = tokenColumn(fields.tokens, `${field}.tokens`, count, logProbs);
  const rewards = typed(fields.rewards, `${field}.rewards`, Float64Array, count);
  allFinite(rewards, `${field}.rewards`);
  const valid = typed(fields.valid, `${field}.valid`, Uint8Array, count);
  binary(valid, `${field}.valid`);

  const steps: Steps = { count, strings, observations, actions, logProbs, rewards, valid };
  if (instruction !== undefined) steps.instruction = instruction;
  if (admissible !== undefined) steps.admissible = admissible;
  if (actionMask !== undefined) steps.actionMask = actionMask;
  if (tokens !== undefined) steps.tokens = tokens;
  return steps;
}

function outcomeOf(value: unknown, field: string, steps: Steps | undefined): Outcome {
  const fields = record(value, field);
  const { type, success, interrupted, played } = fields;
  if (type === "noResult") {
    if (steps) throw new Refusal("steps", "absent when there is no result", "an object");
    const reason = text(fields.reason, `${field}.reason`, 4096);
    return played === undefined ? { type, reason } : { type, reason, played: integer(played, `${field}.played`) };
  }
  if (type !== "finished" && type !== "truncated") {
    return refuse(`${field}.type`, '"finished", "truncated" or "noResult"', type);
  }
  if (!steps) return refuse("steps", `present when the outcome is ${type}`, undefined);
  if (success !== undefined && typeof success !== "boolean") refuse(`${field}.success`, "true or false", success);
  const total = finite(fields.return, `${field}.return`);
  let sum = 0;
  let magnitude = 1;
  for (const reward of steps.rewards) {
    sum += reward;
    magnitude += Math.abs(reward);
  }
  if (Math.abs(total - sum) > RETURN_TOLERANCE * magnitude) {
    refuse(`${field}.return`, `the sum of the rewards, ${sum}`, total);
  }
  const ended = success === undefined ? { return: total } : { success, return: total };
  if (interrupted === undefined) return { type, ...ended };
  if (type !== "truncated" || interrupted !== true) {
    refuse(`${field}.interrupted`, "absent, or true for a truncated episode", interrupted);
  }
  return { type: "truncated", ...ended, interrupted: true };
}

function runName(value: unknown, field: string): string {
  return matching(value, field, RUN_NAME, "1 to 64 letters, digits, - or _");
}

function lineageOf(value: unknown, field: string): Lineage {
  const fields = record(value, field);
  const environment = record(fields.environment, `${field}.environment`);
  const weights = record(fields.weights, `${field}.weights`);
  return {
    run: runName(fields.run, `${field}.run`),
    iteration: integer(fields.iteration, `${field}.iteration`),
    group: integer(fields.group, `${field}.group`),
    member: integer(fields.member, `${field}.member`),
    attempt: integer(fields.attempt, `${field}.attempt`),
    task: text(fields.task, `${field}.task`, 65_536),
    seed: integer(fields.seed, `${field}.seed`, MAX_UINT32),
    environment: {
      id: text(environment.id, `${field}.environment.id`, 256, 1),
      generation: integer(environment.generation, `${field}.environment.generation`),
      digest: text(environment.digest, `${field}.environment.digest`, 256),
    },
    actor: text(fields.actor, `${field}.actor`, 256, 1),
    weights: {
      counter: integer(weights.counter, `${field}.weights.counter`),
      sha256: matching(weights.sha256, `${field}.weights.sha256`, SHA256, "64 lower-case hexadecimal digits"),
    },
  };
}

export function checkTrajectory(value: unknown): Trajectory {
  const fields = record(value, "");
  const lineage = lineageOf(fields.lineage, "lineage");
  const steps = fields.steps === undefined ? undefined : stepColumns(fields.steps, "steps");
  const outcome = outcomeOf(fields.outcome, "outcome", steps);
  return steps ? { lineage, steps, outcome } : { lineage, outcome };
}

export function checkGroupTask(value: unknown): GroupTask {
  const fields = record(value, "");
  const { members } = fields;
  if (!Array.isArray(members) || members.length === 0 || members.length > MAX_MEMBERS) {
    refuse("members", `an array of 1 to ${MAX_MEMBERS} member numbers`, members);
  }
  for (let i = 0; i < members.length; i++) integer(members[i], `members[${i}]`);
  if (new Set(members).size !== members.length) {
    throw new Refusal("members", "distinct", `${members.length - new Set(members).size} repeated`);
  }
  const minWeights = integer(fields.minWeights, "minWeights");
  // Infinity: any version from minWeights on.
  const maxWeights =
    fields.maxWeights === Number.POSITIVE_INFINITY ? fields.maxWeights : integer(fields.maxWeights, "maxWeights");
  if (maxWeights < minWeights) refuse("maxWeights", `at least minWeights, ${minWeights}`, maxWeights);
  return {
    run: runName(fields.run, "run"),
    incarnation: integer(fields.incarnation, "incarnation"),
    iteration: integer(fields.iteration, "iteration"),
    group: integer(fields.group, "group"),
    task: text(fields.task, "task", 65_536),
    seed: integer(fields.seed, "seed", MAX_UINT32),
    members: members as number[],
    attempt: integer(fields.attempt, "attempt"),
    environmentGeneration: integer(fields.environmentGeneration, "environmentGeneration"),
    minWeights,
    maxWeights: maxWeights as number,
  };
}
