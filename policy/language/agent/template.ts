/**
 * The words around an environment, as data that a user can replace: a TOML file names the built-in template it starts from and the parts
 * that differ.
 *
 *   base = "alfworld"
 *   first = '''
 *   Your task is to: {instruction}
 *   …'''
 *
 * `{names}` stand for what is told; other braces are left alone.
 */
import { parse } from "smol-toml";
import { suggestion } from "../../../proto/config.ts";
import { templates } from "./templates.ts";

export interface AgentTemplate {
  /** System message; none where empty. {instruction} */
  system: string;
  /** The user's message while nothing is told of earlier steps: {instruction} {lessons} {observation} {admissible} {form} {step}. */
  first: string;
  /** The user's message with earlier steps: also {history}, {told} (how many it tells) and {taken} (how many there were). */
  next: string;
  /** In a conversation, the user's message that answers an action: {observation} {admissible} {step}. */
  follow: string;
  /** One earlier step in {history}: {number} {observation} {action} {thought}. One a line. */
  past: string;
  /** One action in {admissible}: {action}. One a line. */
  action: string;
  /** {admissible} where a turn lists no actions. */
  free: string;
  /** {form}, by the form of the answer. */
  think: string;
  act: string;
  bare: string;
  /** {lessons} in `first` and `next`, where there are any: {lessons}, one a line. Ends with a line break. */
  lessons: string;
  /** Asks for a lesson after a failure: {instruction} {history} {outcome}. */
  reflect: string;
  /** Actions that are not told: possible everywhere, and useless. */
  hidden: readonly string[];
  /** Where an observation repeats the instruction, only what follows it is told. */
  afterInstruction: boolean;
  lowerCase: boolean;
  refuseChinese: boolean;
}

/**
 * @param nameOrText a built-in's name, or the text of a TOML file
 * @throws RangeError for a name that is not built in; TypeError for a text that is no template, saying what is wrong
 */
export function agentTemplate(nameOrText: string): AgentTemplate {
  if (Object.hasOwn(templates, nameOrText)) return templates[nameOrText]!;
  if (!/[\n=]/.test(nameOrText))
    throw new RangeError(
      `There is no agent template '${nameOrText}'${suggestion(nameOrText, templateNames)}; built in are ${templateNames.join(", ")}`,
    );
  let parsed: Record<string, unknown>;
  try {
    parsed = parse(nameOrText);
  } catch (error) {
    throw new TypeError(`The agent template is no TOML: ${(error as Error).message}`, { cause: error });
  }
  const { base = "plain", ...given } = parsed;
  if (typeof base !== "string" || !Object.hasOwn(templates, base))
    throw new TypeError(
      `The agent template's "base" must be one of ${templateNames.join(", ")}, found ${JSON.stringify(base)}`,
    );
  const standard = templates[base]!;
  for (const [key, value] of Object.entries(given)) {
    if (!Object.hasOwn(standard, key))
      throw new TypeError(`An agent template has no part '${key}'${suggestion(key, Object.keys(standard))}`);
    const wanted = standard[key as keyof AgentTemplate];
    const fits = Array.isArray(wanted)
      ? Array.isArray(value) && value.every((item) => typeof item === "string")
      : typeof value === typeof wanted;
    if (!fits)
      throw new TypeError(
        `The agent template's "${key}" must be ${Array.isArray(wanted) ? "a list of texts" : `a ${typeof wanted}`}, found ${JSON.stringify(value)}`,
      );
  }
  return { ...standard, ...given };
}

/** Of the templates that are built in. */
export const templateNames: readonly string[] = Object.keys(templates);

/** The built-in template that suits an environment. */
export function templateFor(environmentId: string): string {
  return Object.hasOwn(templates, environmentId) ? environmentId : "plain";
}

/** In one pass, so that braces in what is told are left alone. */
export function fill(template: string, parts: Readonly<Record<string, string | number>>): string {
  return template.replace(/\{(\w+)\}/g, (whole, part: string) =>
    Object.hasOwn(parts, part) ? String(parts[part]) : whole,
  );
}
