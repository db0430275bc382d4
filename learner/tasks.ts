/** Issues group tasks. The seed that a group plays from is a hash of (run seed, iteration, group). */

import { mix32 } from "../envs/random.ts";
import type { Bus } from "../proto/bus/bus.ts";
import { encodeGroupTask } from "../proto/codec.ts";
import type { Subjects } from "../proto/subjects.ts";
import type { GroupName, TaskSampling } from "./task-sampling.ts";

export interface TaskIssuerOptions {
  bus: Bus;
  subjects: Subjects;
  sampling: TaskSampling;
  seed: number;
  incarnation: number;
  maxStaleness: number;
  environmentGeneration: number;
}

export interface WantedMembers extends GroupName {
  members: number[];
  attempt: number;
  /** Counts the times that the same was asked once more, as its task had been lost. */
  again?: number;
}

/** Keeps this hash of a group apart from those that choose its task. */
const SEED = 2;

export class TaskIssuer {
  readonly #options: TaskIssuerOptions;

  constructor(options: TaskIssuerOptions) {
    this.#options = options;
  }

  /** Which task a group plays, and from which seed. */
  assignment(name: GroupName): { task: string; seed: number } {
    const { sampling, seed } = this.#options;
    return { task: sampling.task(name), seed: mix32(seed, name.iteration, name.group, SEED) };
  }

  /** The stalest version with which an iteration's tasks may be played. */
  oldestWeights(iteration: number): number {
    return Math.max(0, iteration - this.#options.maxStaleness);
  }

  async issue({ iteration, group, members, attempt, again }: WantedMembers): Promise<void> {
    const { bus, subjects, sampling, incarnation, environmentGeneration } = this.#options;
    sampling.hold({ iteration, group });
    const task = {
      run: subjects.run,
      incarnation,
      iteration,
      group,
      ...this.assignment({ iteration, group }),
      members,
      attempt,
      environmentGeneration,
      minWeights: this.oldestWeights(iteration),
      maxWeights: iteration,
    };
    const id = again ? `${subjects.taskId(task)}/${again}` : subjects.taskId(task);
    await bus.publish(subjects.task(task), encodeGroupTask(task), { id, timeoutMs: 60_000 });
  }
}
