import { access } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { EnvironmentSpec } from "../envs/environment.ts";
import { candidates } from "./candidates.ts";
import { language } from "./language/language.ts";
import { mlp } from "./mlp.ts";
import { didYouMean, resolvePolicyOptions } from "./options.ts";
import { pointer } from "./pointer.ts";
import type { Policy, PolicyDefinition, PolicySpec } from "./policy.ts";
import { initialise } from "./tensor/initialise.ts";

export { resolvePolicyOptions } from "./options.ts";

/** Known by name, without a file. */
export const builtInPolicies: readonly PolicyDefinition[] = [mlp, candidates, pointer, language];

function isPath(name: string): boolean {
  return /[/\\]/.test(name) || /\.[cm]?[jt]s$/.test(name);
}

/** Why `value` is not a PolicyDefinition, or undefined when it is one. */
function fault(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return `an object, found ${value === null ? "null" : typeof value}`;
  const { name, summary, options, create } = value as Record<string, unknown>;
  if (typeof name !== "string" || name === "") return `"name", a text`;
  if (typeof summary !== "string") return `"summary", one sentence`;
  if (typeof create !== "function") return `"create", a function from PolicySpec to Policy`;
  if (typeof options !== "object" || options === null) return `"options", a record (it may be empty)`;
  for (const [option, entry] of Object.entries(options)) {
    const { default: standard, about } = (entry ?? {}) as Record<string, unknown>;
    if (!["string", "number", "boolean"].includes(typeof standard) || typeof about !== "string")
      return `"options.${option}" as { default: text, number or truth value, about: one sentence }`;
  }
  return undefined;
}

/**
 * A built-in policy by name, or the default export of a file by path (relative to the working directory).
 * Throws RangeError on an unknown name, naming the nearest, and TypeError when the file does not define a policy.
 */
export async function policyDefinition(nameOrPath: string): Promise<PolicyDefinition> {
  const builtIn = builtInPolicies.find((definition) => definition.name === nameOrPath);
  if (builtIn !== undefined) return builtIn;
  const names = builtInPolicies.map((definition) => definition.name);
  if (!isPath(nameOrPath))
    throw new RangeError(
      `No policy is called "${nameOrPath}"${didYouMean(nameOrPath, names)} (built in: ${names.join(", ")}; ` +
        "a policy of your own is given as the path of its file, such as ./policy.ts)",
    );
  const path = resolve(nameOrPath);
  await access(path).catch((cause) => {
    throw new RangeError(`Cannot load policy "${nameOrPath}": there is no file ${path}`, { cause });
  });
  const module = (await import(pathToFileURL(path).href).catch((cause) => {
    throw new TypeError(`Cannot load policy "${nameOrPath}": ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  })) as { default?: unknown };
  const wanted = fault(module.default);
  if (wanted !== undefined)
    throw new TypeError(`Policy file ${path} must export a PolicyDefinition as default: expected ${wanted}`);
  return module.default as PolicyDefinition;
}

/** A policy from its definition, with the options completed by their defaults. */
export function buildPolicy(definition: PolicyDefinition, spec: PolicySpec): Policy {
  return definition.create({ ...spec, options: resolvePolicyOptions(definition, spec.options) });
}

/**
 * The policy that a spec describes. Errors are those of `policyDefinition`, `resolvePolicyOptions` and its `create`; TypeError when
 * it would build on something else than the spec says.
 */
export async function createPolicy(spec: PolicySpec): Promise<Policy> {
  const definition = await policyDefinition(spec.name);
  const resolved = { ...spec, options: resolvePolicyOptions(definition, spec.options) };
  const policy = await (definition.open?.(resolved) ?? definition.create(resolved));
  if (spec.base !== undefined && policy.base !== spec.base)
    throw new TypeError(
      `Cannot build policy "${spec.name}" on another base: expected the one with SHA-256 ${spec.base}, found ${policy.base ?? "none"} here. ` +
        `Copy the model's folder from the machine where the run was started.`,
    );
  return policy;
}

/** The weights that training starts from. */
export function firstWeights(policy: Policy, seed: number): Float32Array {
  return policy.firstWeights?.(seed) ?? initialise(policy.layout, seed);
}

/** The built-in policy that suits an environment's spaces. Throws TypeError when none does. */
export function defaultPolicyFor(environment: EnvironmentSpec): PolicyDefinition {
  const { observation, action } = environment;
  if (action.type === "admissible" && observation.type === "text") return candidates;
  if (observation.type === "box" && (action.type === "discrete" || action.type === "box")) return mlp;
  throw new TypeError(
    `No built-in policy suits environment "${environment.id}" with ${observation.type} observations and ${action.type} ` +
      `actions by itself: "mlp" takes box observations with discrete or box actions, "candidates" text with admissible actions, ` +
      `"language" text with actions in words and a model's folder. ` +
      "Write a policy file and name its path.",
  );
}
