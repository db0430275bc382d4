/** Plays the demonstrations that an environment offers and writes them down as trajectories, as an actor would. */
import { Episode } from "../actors/episode.ts";
import type { Action, EnvironmentSource, Space, Turn } from "../envs/environment.ts";
import { mix32 } from "../envs/random.ts";
import { succeeded } from "../learner/batch.ts";
import type { Trajectory } from "../proto/trajectory.ts";
import { taskIndices } from "./evaluate.ts";

export interface Demonstrations {
  /** Successful episodes, in the order of their tasks. */
  trajectories: Trajectory[];
  /** How many were left out, by reason. */
  refused: Record<string, number>;
}

export interface DemonstrationOptions {
  run: string;
  seed: number;
  /** Tasks of the train split: one demonstration each, or this many seeds of an only task. */
  tasks: number;
  stepTimeoutMs?: number;
  signal?: AbortSignal;
  onProgress?(done: number, of: number): void;
}

/** Keeps these episodes apart from those of training and evaluation. */
const DEMONSTRATION = 0xde30;

/** Only writes down; turns become rows once for all when training begins. */
const recording = { encoder: () => ({ encode() {}, acted() {} }) };

export async function demonstrations(
  source: EnvironmentSource,
  digest: string,
  options: DemonstrationOptions,
): Promise<Demonstrations> {
  const { demonstrate, spec } = source;
  if (!demonstrate) throw new TypeError(`Environment '${spec.id}' offers no demonstrations`);
  const { run, seed, signal, onProgress } = options;
  const tasks = source.tasks("train");
  const count = tasks.size > 1 ? Math.min(options.tasks, tasks.size) : options.tasks;
  const indices = taskIndices(count, tasks.size, mix32(seed, DEMONSTRATION));
  const trajectories: Trajectory[] = [];
  const refused: Record<string, number> = {};
  const environment = source.create();
  try {
    for (let group = 0; group < count; group++) {
      signal?.throwIfAborted();
      const start = { task: tasks.at(indices.next().value!), seed: mix32(seed, DEMONSTRATION, group) };
      const lineage = { runSeed: seed, iteration: 0, group, member: 0 };
      const episode = new Episode(environment, recording, lineage, {
        stepTimeoutMs: options.stepTimeoutMs ?? 30_000,
      });
      const reason = await follow(episode, start, () => demonstrate.call(source, start), spec.action);
      const { outcome, steps } = episode.finish();
      if (reason !== undefined) refused[reason] = (refused[reason] ?? 0) + 1;
      else
        trajectories.push({
          lineage: {
            ...{ run, iteration: 0, group, member: 0, attempt: 0, ...start },
            environment: { id: spec.id, generation: 0, digest },
            actor: "demonstration",
            weights: { counter: 0, sha256: "" },
          },
          steps,
          outcome,
        });
      onProgress?.(group + 1, count);
      if (group % 64 === 63) await new Promise((resolve) => setImmediate(resolve)); // lets a signal in
    }
  } finally {
    await environment.close();
  }
  return { trajectories, refused };
}

/** Plays the demonstrated actions. Says why that did not lead to success, or nothing where it did. */
async function follow(
  episode: Episode,
  start: { task: string; seed: number },
  demonstrate: () => readonly Action[] | Promise<readonly Action[]>,
  space: Space,
): Promise<string | undefined> {
  let actions: readonly Action[];
  try {
    actions = await demonstrate();
  } catch (error) {
    return `there is none: ${error instanceof Error ? error.message : error}`.slice(0, 300);
  }
  if (actions.length === 0) return "the environment knows none";
  await episode.reset(start);
  for (const action of actions) {
    if (episode.ended) break;
    const chosen = choiceOf(episode.turn!, action, space);
    if (chosen === undefined) return "an action is not admissible";
    await episode.act(chosen, 0); // a demonstrator has no doubts: log 1
  }
  if (!episode.ended) return "the episode goes on after the last action";
  const { outcome } = episode.finish();
  if (outcome.type === "noResult") return outcome.reason;
  return succeeded({ outcome }) ? undefined : "the episode ends without success";
}

/** The action as a policy would choose it: a number or a vector; undefined when it is not allowed at this turn. */
function choiceOf({ admissible, actionMask }: Turn, action: Action, space: Space): number | Float32Array | undefined {
  if (space.type === "admissible") {
    const choice = typeof action === "string" ? (admissible?.indexOf(action) ?? -1) : -1;
    return choice < 0 ? undefined : choice;
  }
  if (space.type === "discrete") {
    const isChoice = typeof action === "number" && Number.isInteger(action) && action >= 0 && action < space.n;
    return isChoice && actionMask?.[action] !== 0 ? action : undefined;
  }
  if (space.type !== "box" || !(action instanceof Float32Array)) return undefined;
  return action.length === space.shape.reduce((n, size) => n * size, 1) ? action : undefined;
}
