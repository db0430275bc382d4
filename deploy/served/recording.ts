/** The successes of a served model as kept trajectories, so that `proxima imitate --from` can learn from them. */
import { Recorder } from "../../actors/recorder.ts";
import type { EnvironmentSpec } from "../../envs/environment.ts";
import { TrajectoryArchive } from "../../learner/archive.ts";
import { assembleGroups, type PlayedTrajectory, succeeded } from "../../learner/batch.ts";
import { encodeTrajectory } from "../../proto/codec.ts";
import type { TranscriptLine } from "./transcripts.ts";

interface Origin {
  folder: string;
  /** As a run's configuration names it. */
  environment: string;
  spec: EnvironmentSpec;
  digest: string;
  /** Of the evaluation. */
  name: string;
}

/** Replaces what the folder holds. Returns how many there are. */
export async function keepSuccesses(lines: Iterable<TranscriptLine>, origin: Origin): Promise<number> {
  const { folder, environment, name } = origin;
  const episodes = [...lines].sort((a, b) => a.episode - b.episode).flatMap((line) => trajectoryOf(line, origin) ?? []);
  if (episodes.length === 0) return 0;
  let problem: string | undefined;
  const archive = new TrajectoryArchive({
    ...{ folder, keep: 1, run: name, environment },
    estimator: { name: "none", options: {} },
    onNotice: (message) => {
      problem = message;
    },
  });
  const groups = assembleGroups(episodes);
  const advantages = new Float32Array(groups.rewards.length);
  await archive.keep(0, { groups }, { advantages }, episodes.map(encodeTrajectory));
  await archive.close();
  if (problem !== undefined) throw new Error(problem);
  return episodes.length;
}

/**
 * The deciding episode, as an actor would have recorded it. Where actions are admissible ones, steps whose action was none are left out: no
 * policy could be taught them.
 */
function trajectoryOf(
  { episode, task, seed, instruction, attempts }: TranscriptLine,
  origin: Origin,
): PlayedTrajectory | undefined {
  const { steps, outcome, last } = attempts.at(-1)!;
  if (outcome.type === "noResult" || !succeeded({ outcome })) return undefined;
  const { spec, digest, name } = origin;
  const isChoice = spec.action.type === "admissible";
  const recorder = new Recorder();
  for (const { observation, admissible, action, reward, valid } of steps) {
    const choice = admissible?.indexOf(action) ?? -1;
    if (isChoice && choice < 0) continue;
    const turn = { observation, instruction, admissible };
    recorder.observe(turn);
    recorder.act(turn, isChoice ? { choice } : { value: action }, 0); // what was demonstrated is not doubted: log 1
    recorder.result(reward, valid);
  }
  if (recorder.count === 0) return undefined;
  recorder.observe({ observation: last ?? "" });
  return {
    lineage: {
      ...{ run: name, iteration: 0, group: episode, member: 0, attempt: 0, task, seed },
      environment: { id: spec.id, generation: 0, digest },
      actor: "served-model",
      weights: { counter: 0, sha256: "0".repeat(64) },
    },
    steps: recorder.steps(),
    outcome: { ...outcome, return: recorder.return },
  };
}
