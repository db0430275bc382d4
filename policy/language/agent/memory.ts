/** What an agent that is asked anew at every step is told of the steps before. */

/** A step that lies behind. */
export interface PastStep {
  /** From 1. */
  number: number;
  observation: string;
  action: string;
  /** Absent where the answer held none. */
  thought?: string;
}

/**
 * Follows one episode. Depends on what it was given and nothing else, so that a replay of the episode remembers the same.
 *
 *   memory.remember(step);                    // after every step, in order
 *   const told = memory.recall(turn, 2);      // the steps that {history} tells, oldest first
 */
export interface Memory {
  remember(step: PastStep): void;
  /**
   * @param observation what is seen now: a memory may look for what resembles it
   * @param most steps that may be told; asked again with fewer when the prompt grows too long. 0 gives none.
   */
  recall(observation: string, most: number): readonly PastStep[];
}

/** The last steps, as verl-agent tells them. */
export class LastSteps implements Memory {
  readonly #steps: PastStep[] = [];

  remember(step: PastStep): void {
    this.#steps.push(step);
  }

  recall(_observation: string, most: number): readonly PastStep[] {
    return most > 0 ? this.#steps.slice(-most) : [];
  }
}
