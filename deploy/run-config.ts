/**
 * The configuration of a training run. Later wins: general defaults, the environment's `trainingDefaults`, the stored configuration
 * when a run is resumed, the file given with --config, the command line.
 */
import type { EnvironmentDefinition } from "../envs/environment.ts";
import { environment, loadEnvironment, resolveArguments } from "../envs/registry.ts";
import { estimator, resolveEstimatorOptions } from "../learner/advantage/index.ts";
import type { runSchema } from "../learner/config.ts";
import { defaultPolicyFor, policyDefinition, resolvePolicyOptions } from "../policy/registry.ts";
import {
  ConfigError,
  type ConfigOf,
  type Fields,
  type Layer,
  type Resolved,
  resolveConfig,
  type Schema,
} from "../proto/config.ts";
import type { Arguments } from "./arguments.ts";
import { givenLayers, readConfigFile } from "./config-file.ts";
import { readRunFolder } from "./run-folder.ts";

/** The learner's fields and possibly more, as `dev` has them. */
type RunFields = (typeof runSchema)["fields"] & Fields;

/** A checkpoint holds numbers of exactly these; anything else may change when a run goes on. */
const fixedForLife = ["env", "envArguments", "policy", "policyOptions", "seed"] as const;

/** @param root where runs lie, usually "runs" */
export async function resolveRunConfig<F extends RunFields>(
  schema: Schema<F>,
  given: Arguments,
  root: string,
): Promise<Resolved<ConfigOf<{ fields: F }>>> {
  const layers = givenLayers(given, schema);
  const { run, resume } = peek(schema, layers);
  let stored: Layer | undefined;
  if (resume && run !== "") {
    const file = readConfigFile(readRunFolder(root, run).config, schema);
    // The stored name may be that of a copied folder.
    stored = { source: `run ${run}`, values: { ...file.values, run, resume: true } };
    layers.unshift(stored);
  }
  const { env, policy, estimator: credit } = peek(schema, layers);
  const { definition } = await configured(() => environment(env));
  const defaults = definition.trainingDefaults ?? {};
  layers.unshift({
    source: `${definition.id}'s default`,
    // Options belong to the policy and the estimator that the environment had in mind.
    values: Object.fromEntries(
      Object.entries(defaults).filter(
        ([key]) =>
          !(key.startsWith("policy.") && policy !== undefined && policy !== defaults.policy) &&
          !(key.startsWith("credit.") && credit !== undefined && credit !== defaults.estimator),
      ),
    ),
  });
  if (policy === undefined && defaults.policy === undefined) {
    layers.unshift(await configured(async () => whatSuits(definition, env, schema, layers)));
  }
  const resolved = resolveConfig(schema, layers);
  if (stored) refuseOtherRun(schema, resolved, stored);
  const { config } = resolved as Resolved<ConfigOf<typeof runSchema>>;
  await configured(() => resolveArguments(definition, config.envArguments));
  await configured(async () => resolvePolicyOptions(await policyDefinition(config.policy), config.policyOptions));
  await configured(() => resolveEstimatorOptions(estimator(config.estimator), config.creditOptions));
  return resolved;
}

/** For an environment that names no policy: one that can play it, and an estimator that can compare its observations. */
async function whatSuits<F extends RunFields>(
  definition: EnvironmentDefinition,
  env: string,
  schema: Schema<F>,
  layers: readonly Layer[],
): Promise<Layer> {
  const { config } = resolveConfig({ ...schema, check: undefined }, layers) as Resolved<ConfigOf<typeof runSchema>>;
  const { spec } = (await loadEnvironment(env, config.envArguments)).source;
  const suitable = defaultPolicyFor(spec).name;
  const values =
    spec.observation.type === "text" ? { policy: suitable } : { policy: suitable, estimator: "gae", groupSize: 1 };
  return { source: `what suits ${definition.id}`, values };
}

/** What some layers say about the keys that decide where other layers come from. The full check comes later. */
function peek<F extends RunFields>(schema: Schema<F>, layers: readonly Layer[]) {
  const found: Record<string, unknown> = {};
  for (const { values } of layers) Object.assign(found, values);
  const text = (key: string) => (typeof found[key] === "string" ? found[key] : undefined);
  return {
    run: text("run") ?? "",
    resume: found.resume === true || found.resume === "true",
    env: text("env") ?? (schema.fields.env.default as string),
    policy: text("policy"),
    estimator: text("estimator"),
  };
}

function refuseOtherRun<F extends RunFields>(
  schema: Schema<F>,
  resolved: Resolved<ConfigOf<{ fields: F }>>,
  stored: Layer,
): void {
  const before = resolveConfig({ ...schema, check: undefined }, [stored]).config;
  const comparable = (value: unknown) =>
    JSON.stringify(
      typeof value === "object" && value !== null
        ? Object.entries(value)
            .map(([name, each]) => [name, String(each)])
            .sort()
        : value,
    );
  const changed = fixedForLife.filter((key) => comparable(before[key]) !== comparable(resolved.config[key]));
  if (changed.length === 0) return;
  throw new ConfigError(
    changed.map((key) => {
      const from = comparable(before[key]);
      const to = comparable(resolved.config[key]);
      return `cannot resume with another ${key} (${from}, now ${to}): the checkpoint was trained with the first; start a new run instead`;
    }),
  );
}

/** Errors of the registries are the user's to mend. */
async function configured<T>(resolve: () => T | Promise<T>): Promise<T> {
  try {
    return await resolve();
  } catch (error) {
    throw error instanceof ConfigError ? error : new ConfigError([(error as Error).message]);
  }
}
