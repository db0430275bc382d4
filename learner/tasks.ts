/**
 * Issues group tasks. Which task a group plays, from which seed and in which generation of the environment is a hash of (run seed,
 * iteration, group): it depends neither on time nor on actors.
 */

import { mix32 } from "../envs/random.ts";
import type { Bus } from "../proto/bus/bus.ts";
import { encodeGroupTask } from "../proto/codec.ts";
import type { Subjects } from "../proto/subjects.ts";
import type { Generations } from "./generations.ts";

export interface TaskIssuerOptions {
  bus: Bus;
  subjects: Subjects;
  generations: Generations;
  seed: number;
  incarnation: number;
  maxStaleness: number;
}

export interface WantedMembers {
  iteration: number;
  group: number;
  members: number[];
  attempt: number;
}

// Tags keep the two hashes of a group apart.
const TASK = 1;
const SEED = 2;

export class TaskIssuer {
  readonly #options: TaskIssuerOptions;

  constructor(options: TaskIssuerOptions) {
    this.#options = options;
  }

  /** Which task a group plays, from which seed, in which generation. */
  assignment(name: Pick<WantedMembers, "iteration" | "group">) {
    const { generations, seed } = this.#options;
    const { iteration, group } = name;
    const { record, tasks } = generations.of(name);
    const size = Math.min(tasks.size, 2 ** 31);
    return {
      task: tasks.at(mix32(seed, iteration, group, TASK) % size),
      seed: mix32(seed, iteration, group, SEED),
      environmentGeneration: record.generation,
    };
  }

  /** The stalest version with which an iteration's tasks may be played. */
  oldestWeights(iteration: number): number {
    return Math.max(0, iteration - this.#options.maxStaleness);
  }

  async issue({ iteration, group, members, attempt }: WantedMembers): Promise<void> {
    const { bus, subjects, incarnation } = this.#options;
    const task = {
      run: subjects.run,
      incarnation,
      iteration,
      group,
      ...this.assignment({ iteration, group }),
      members,
      attempt,
      minWeights: this.oldestWeights(iteration),
      maxWeights: iteration,
    };
    await bus.publish(subjects.task(task), encodeGroupTask(task), { id: subjects.taskId(task), timeoutMs: 60_000 });
  }
}
