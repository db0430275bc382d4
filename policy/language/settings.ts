/** The policy's options as its parts want them. All functions throw RangeError for values that mean nothing. */
import { readFileSync } from "node:fs";
import type { PolicySpec } from "../policy.ts";
import { AGENT_MODES, type AgentOptions, ANSWER_FORMS } from "./agent/index.ts";

type Options = PolicySpec["options"];

/** Everything about the agent but its budget, which is the model's. */
export function agentOptions(options: Options): AgentOptions {
  return {
    template: templateText(String(options.template)),
    form: oneOf(options, "form", ANSWER_FORMS),
    mode: oneOf(options, "mode", AGENT_MODES),
    history: wholeNumber(options, "history", 0),
  };
}

/** A built-in template's name, or what is in the file. */
function templateText(nameOrPath: string): string {
  if (!nameOrPath.endsWith(".toml")) return nameOrPath;
  try {
    return readFileSync(nameOrPath, "utf8");
  } catch (cause) {
    throw new RangeError(`Cannot read the template of policy "language": ${(cause as Error).message}`, { cause });
  }
}

export function wholeNumber(options: Options, name: string, least: number): number {
  const value = Number(options[name]);
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new RangeError(`Policy option "${name}" must be a whole number of at least ${least}, found ${options[name]}`);
}

export function oneOf<T extends string>(options: Options, name: string, known: readonly T[]): T {
  const found = known.find((value) => value === options[name]);
  if (found !== undefined) return found;
  throw new RangeError(`Policy option "${name}" must be one of ${known.join(", ")}, found ${options[name]}`);
}
