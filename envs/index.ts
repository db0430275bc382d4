/** For environments of one's own: `import type { EnvironmentDefinition } from "proxima/environment"`. */
export { type CheckOptions, checkEnvironment, renderReport } from "./check.ts";
export type {
  Action,
  Environment,
  EnvironmentArguments,
  EnvironmentDefinition,
  EnvironmentSource,
  EnvironmentSpec,
  Observation,
  Space,
  TaskSet,
  Transition,
  Turn,
} from "./environment.ts";
export { oneTask } from "./one-task.ts";
export { hash32, mix32, Random } from "./random.ts";
export { loadEnvironment } from "./registry.ts";
