/** Writes an episode down as it is played: the columns of `Steps`, each string once. */
import type { Action, Turn } from "../envs/environment.ts";
import type { Answer } from "../policy/policy.ts";
import type { Steps, TokenColumn } from "../proto/trajectory.ts";

export class Recorder {
  #count = 0;
  #strings = new Map<string, number>();
  #texts: number[] = [];
  #vectors: Float32Array[] = [];
  #offsets: number[] = [0];
  #admissible: number[] = [];
  #masks: Uint8Array[] = [];
  #choices: number[] = [];
  #vectorActions: Float32Array[] = [];
  #textActions: number[] = [];
  #answers: Answer[] = [];
  #logProbs: number[] = [];
  #rewards: number[] = [];
  #valid: number[] = [];
  #instruction: string | undefined;
  #return = 0;

  get count(): number {
    return this.#count;
  }

  /** Undiscounted sum of rewards. */
  get return(): number {
    return this.#return;
  }

  /** The observation of a turn; the last one of an episode has no step after it. */
  observe(turn: Turn): void {
    if (turn.instruction !== undefined) this.#instruction ??= turn.instruction;
    if (typeof turn.observation === "string") this.#texts.push(this.#intern(turn.observation));
    else this.#vectors.push(turn.observation);
  }

  /** What was chosen at `turn`. A choice is an index into the admissible list, or a discrete action. */
  act(turn: Turn, action: { choice: number } | { value: Exclude<Action, number> }, logProb: number): void {
    for (const text of turn.admissible ?? []) this.#admissible.push(this.#intern(text));
    this.#offsets.push(this.#admissible.length);
    if (turn.actionMask) this.#masks.push(turn.actionMask);
    if ("choice" in action) this.#choices.push(action.choice);
    else if (typeof action.value === "string") this.#textActions.push(this.#intern(action.value));
    else this.#vectorActions.push(action.value);
    this.#logProbs.push(logProb);
  }

  /** An action that a language model gave in words, and the answer it was read from. */
  answer(turn: Turn, action: string, answer: Answer): void {
    this.#answers.push(answer);
    this.act(
      turn,
      { value: action },
      answer.logProbs.reduce((sum, logProb) => sum + logProb, 0),
    );
  }

  result(reward: number, valid: boolean): void {
    this.#rewards.push(reward);
    this.#valid.push(valid ? 1 : 0);
    this.#return += reward;
    this.#count++;
  }

  steps(): Steps {
    return {
      count: this.#count,
      strings: [...this.#strings.keys()],
      instruction: this.#instruction,
      observations: this.#vectors.length
        ? vectorColumn(this.#vectors)
        : { type: "text", index: Uint32Array.from(this.#texts) },
      admissible:
        this.#admissible.length > 0
          ? { offsets: Uint32Array.from(this.#offsets), index: Uint32Array.from(this.#admissible) }
          : undefined,
      actionMask: this.#masks.length ? flatten(this.#masks, Uint8Array) : undefined,
      actions: this.#actions(),
      ...(this.#answers.length ? { tokens: tokenColumn(this.#answers) } : {}),
      logProbs: Float32Array.from(this.#logProbs),
      rewards: Float64Array.from(this.#rewards),
      valid: Uint8Array.from(this.#valid),
    };
  }

  #actions(): Steps["actions"] {
    if (this.#vectorActions.length) return vectorColumn(this.#vectorActions);
    if (this.#textActions.length) return { type: "text", index: Uint32Array.from(this.#textActions) };
    return { type: "choice", values: Int32Array.from(this.#choices) };
  }

  #intern(text: string): number {
    let id = this.#strings.get(text);
    if (id === undefined) {
      id = this.#strings.size;
      this.#strings.set(text, id);
    }
    return id;
  }
}

function tokenColumn(answers: readonly Answer[]): TokenColumn {
  const offsets = new Uint32Array(answers.length + 1);
  for (const [t, { tokens }] of answers.entries()) offsets[t + 1] = offsets[t]! + tokens.length;
  const values = new Int32Array(offsets[answers.length]!);
  const logProbs = new Float32Array(values.length);
  for (const [t, answer] of answers.entries()) {
    values.set(answer.tokens, offsets[t]);
    logProbs.set(answer.logProbs, offsets[t]);
  }
  return { offsets, values, logProbs };
}

function vectorColumn(rows: readonly Float32Array[]): { type: "vector"; width: number; values: Float32Array } {
  return { type: "vector", width: rows[0]!.length, values: flatten(rows, Float32Array) };
}

function flatten<A extends Float32Array | Uint8Array>(rows: readonly A[], Type: new (length: number) => A): A {
  const width = rows[0]!.length;
  const out = new Type(rows.length * width);
  for (let i = 0; i < rows.length; i++) out.set(rows[i]!, i * width);
  return out;
}
