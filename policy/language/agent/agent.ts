/**
 * What stands between an environment and a language model that plays it: turns become chat messages, answers become actions.
 *
 *   const agents = languageAgents({ template: "alfworld", form: "think", mode: "window", history: 2 });
 *   const agent = agents.begin();                              // one an episode
 *   for (let turn = await env.reset(start); ; ) {
 *     const { action, valid } = agent.answered(await model(agent.prompt(turn)));
 *     const next = await env.step(action);                     // the step counts as valid where both say so
 *     if (next.terminated || next.truncated) break;
 *     turn = next;
 *   }
 *
 * An agent is a function of the turns and answers it was given, without clock, chance or files: whoever replays an episode through it gets
 * every prompt again.
 */
import type { Turn } from "../../../envs/environment.ts";
import { LastSteps, type Memory, type PastStep } from "./memory.ts";
import { type Answer, type AnswerForm, answerWith, project } from "./projection.ts";
import { type AgentTemplate, agentTemplate, fill } from "./template.ts";

export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

/**
 * window: every step is asked anew, in one message that tells the last steps. conversation: the transcript grows and nothing in it changes,
 * so that a prompt begins with the prompt and the answer of the step before.
 */
export const AGENT_MODES = ["window", "conversation"] as const;
export type AgentMode = (typeof AGENT_MODES)[number];

export interface AgentOptions {
  /** A built-in template's name, or the text of a template file (`template.ts`). */
  template: string;
  form: AnswerForm;
  mode: AgentMode;
  /** How many of the last steps are told; 0 for none. In a conversation: when it has to begin anew. */
  history: number;
  /** Tokens that a prompt may have; absent or Infinity: no limit. What is left out when it would have more is said at `Plan`. */
  promptTokens?: number;
  /** Tokens of a text by the model's tokenizer, or an estimate; called on the content of each message. */
  countTokens?(text: string): number;
  /** Tokens that the chat template adds to a message; default 8, enough for the usual ones. */
  messageTokens?: number;
  /** Default: the last steps. */
  memory?(): Memory;
}

/** Follows one episode: turns come in order, each is asked for once and then answered. */
export interface LanguageAgent {
  /** What to ask the model. @throws RangeError when not even the shortest prompt is within the budget */
  prompt(turn: Turn): readonly ChatMessage[];
  /** The answer to the prompt before. */
  answered(answer: string): Answer;
  /** Asks for the lesson of an episode that failed. @param outcome in words */
  reflection(outcome: string): readonly ChatMessage[];
}

export interface LanguageAgents {
  /** @param lessons of earlier attempts at the same task, oldest first */
  begin(lessons?: readonly string[]): LanguageAgent;
  /** What a model would answer to do this: for imitation. */
  answerWith(action: string, thought?: string): string;
}

/** @throws RangeError or TypeError for options that mean nothing, naming what would */
export function languageAgents(options: AgentOptions): LanguageAgents {
  const { history, promptTokens, countTokens, form } = options;
  if (!Number.isSafeInteger(history) || history < 0)
    throw new RangeError(`An agent's history must be a whole number of steps from 0, found ${history}`);
  if (promptTokens !== undefined && !(promptTokens > 0))
    throw new RangeError(`An agent's promptTokens must be above 0, found ${promptTokens}`);
  if (promptTokens !== undefined && promptTokens < Number.POSITIVE_INFINITY && countTokens === undefined)
    throw new TypeError("An agent with a limit of promptTokens needs countTokens");
  const template = agentTemplate(options.template);
  return {
    begin: (lessons = []) => new EpisodeAgent(template, options, lessons),
    answerWith: (action, thought) => answerWith(form, action, thought),
  };
}

/**
 * How much of everything a prompt tells. What does not fit into the budget is left out in this order, and no more of it than must be: the
 * oldest told steps, the oldest lessons, the observation from its end, the listed actions from their end.
 */
interface Plan {
  steps: number;
  lessons: number;
  /** UTF-16 code units. */
  observation: number;
  actions: number;
}

class EpisodeAgent implements LanguageAgent {
  readonly #template: AgentTemplate;
  readonly #options: AgentOptions;
  readonly #lessons: readonly string[];
  readonly #memory: Memory;
  readonly #budget: number;
  readonly #past: PastStep[] = [];
  #instruction = "";
  #turn: Turn | undefined;
  #observation = "";
  /** The conversation so far, with its tokens. */
  #messages: ChatMessage[] = [];
  #tokens = 0;

  constructor(template: AgentTemplate, options: AgentOptions, lessons: readonly string[]) {
    this.#template = template;
    this.#options = options;
    this.#lessons = lessons;
    this.#memory = options.memory?.() ?? new LastSteps();
    this.#budget = options.promptTokens ?? Number.POSITIVE_INFINITY;
  }

  prompt(turn: Turn): readonly ChatMessage[] {
    if (typeof turn.observation !== "string")
      throw new TypeError("A language agent needs observations of text, found numbers");
    this.#instruction = turn.instruction ?? this.#instruction;
    this.#turn = turn;
    this.#observation = this.#told(turn.observation);
    if (this.#options.mode === "window") return this.#ask();
    if (this.#messages.length === 0 || !this.#append("user", this.#follow())) {
      this.#messages = this.#ask();
      this.#tokens = this.#count(this.#messages);
    }
    return this.#messages.slice();
  }

  answered(text: string): Answer {
    if (this.#turn === undefined) throw new Error("answered() before prompt(): there is nothing to answer");
    const { form, mode } = this.#options;
    const answer = project(text, { ...this.#template, form }, this.#turn.admissible);
    const { action, thought } = answer;
    const step = { number: this.#past.length + 1, observation: this.#observation, action, thought };
    this.#past.push(step);
    this.#memory.remember(step);
    // Without room for the answer there is none for what follows it either: the next prompt begins anew.
    if (mode === "conversation" && !this.#append("assistant", text)) this.#messages = [];
    this.#turn = undefined;
    return answer;
  }

  reflection(outcome: string): readonly ChatMessage[] {
    const render = (steps: number) => [
      user(
        fill(this.#template.reflect, {
          instruction: this.#instruction,
          outcome,
          history: this.#history(this.#past.slice(this.#past.length - steps)),
        }),
      ),
    ];
    return this.#largest(this.#past.length, (left) => render(this.#past.length - left));
  }

  /** One message that tells all there is to know, as long as the budget lets it be. */
  #ask(): ChatMessage[] {
    const full: Plan = {
      steps: this.#memory.recall(this.#observation, this.#options.history).length,
      lessons: this.#lessons.length,
      observation: this.#observation.length,
      actions: this.#turn!.admissible?.length ?? 0,
    };
    const parts = Object.keys(full) as (keyof Plan)[];
    const most = parts.reduce((sum, part) => sum + full[part], 0);
    return this.#largest(most, (left) => {
      const plan = { ...full };
      for (const part of parts) {
        const taken = Math.min(left, plan[part]);
        plan[part] -= taken;
        left -= taken;
      }
      return this.#render(plan);
    });
  }

  /** The prompt with the least left out that is within the budget. @param render takes how much is left out, from 0 to `most` */
  #largest(most: number, render: (left: number) => ChatMessage[]): ChatMessage[] {
    const full = render(0);
    if (this.#count(full) <= this.#budget) return full;
    const least = render(most);
    const needed = this.#count(least);
    if (needed > this.#budget)
      throw new RangeError(
        `A prompt may have ${this.#budget} tokens, but the instruction and the words of the template alone take ${needed}: raise promptTokens or shorten the template`,
      );
    let [tooMuch, fits, best] = [0, most, least];
    while (fits - tooMuch > 1) {
      const middle = (tooMuch + fits) >> 1;
      const tried = render(middle);
      if (this.#count(tried) <= this.#budget) [fits, best] = [middle, tried];
      else tooMuch = middle;
    }
    return best;
  }

  #render(plan: Plan): ChatMessage[] {
    const { first, next, system, lessons, think, act, bare } = this.#template;
    const steps = this.#memory.recall(this.#observation, plan.steps);
    const learnt = this.#lessons.slice(this.#lessons.length - plan.lessons);
    const cut = plan.observation < this.#observation.length;
    const text = fill(steps.length > 0 ? next : first, {
      instruction: this.#instruction,
      lessons: learnt.length > 0 ? fill(lessons, { lessons: learnt.map((lesson) => `- ${lesson}`).join("\n") }) : "",
      taken: this.#past.length,
      told: steps.length,
      history: this.#history(steps),
      step: this.#past.length + 1,
      observation: cut ? `${whole(this.#observation.slice(0, plan.observation))}…` : this.#observation,
      admissible: this.#admissible(plan.actions),
      form: { think, action: act, bare }[this.#options.form],
    });
    const opening = fill(system, { instruction: this.#instruction });
    return opening === "" ? [user(text)] : [{ role: "system", content: opening }, user(text)];
  }

  #follow(): string {
    return fill(this.#template.follow, {
      observation: this.#observation,
      admissible: this.#admissible(Number.POSITIVE_INFINITY),
      step: this.#past.length + 1,
    });
  }

  #history(steps: readonly PastStep[]): string {
    return steps
      .map(({ number, observation, action, thought = "" }) =>
        fill(this.#template.past, { number, observation, action, thought }),
      )
      .join("\n");
  }

  #admissible(most: number): string {
    const { admissible = [] } = this.#turn!;
    if (admissible.length === 0) return this.#template.free;
    const lines = admissible
      .filter((action) => !this.#template.hidden.includes(action))
      .map((action) => fill(this.#template.action, { action }));
    return lines.length > most ? [...lines.slice(0, most), "…"].join("\n") : lines.join("\n");
  }

  #told(observation: string): string {
    const at =
      this.#template.afterInstruction && this.#instruction !== "" ? observation.indexOf(this.#instruction) : -1;
    return at < 0 ? observation : observation.slice(at + this.#instruction.length).replace(/^\s*(\[SEP\]\s*)?/, "");
  }

  /** Whether the conversation has room for it. */
  #append(role: "user" | "assistant", content: string): boolean {
    const message = { role, content };
    const tokens = this.#tokens + this.#count([message]);
    if (tokens > this.#budget) return false;
    this.#messages.push(message);
    this.#tokens = tokens;
    return true;
  }

  #count(messages: readonly ChatMessage[]): number {
    const { countTokens, messageTokens = 8 } = this.#options;
    if (countTokens === undefined || this.#budget === Number.POSITIVE_INFINITY) return 0;
    return messages.reduce((sum, { content }) => sum + countTokens(content) + messageTokens, 0);
  }
}

/** Without the half of a character that a cut leaves at the end. */
const whole = (cut: string) => cut.replace(/[\uD800-\uDBFF]$/, "");
const user = (content: string): ChatMessage => ({ role: "user", content });
