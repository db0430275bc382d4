/**
 * An episode as the model sees it: the agent's messages as tokens, and the answers' tokens as words for the agent. Actor and learner
 * follow an episode with the same class and so see the same tokens: what is sent between them is the answers alone.
 */
import type { Turn } from "../../envs/environment.ts";
import type { DialogueEncoder } from "../policy.ts";
import type { RowsBuilder } from "../rows.ts";
import type { ChatMessage, LanguageAgent, LanguageAgents } from "./agent/index.ts";

/** How a language model is spoken to. */
export interface Speech {
  agents: Pick<LanguageAgents, "answerWith"> & { begin(): Pick<LanguageAgent, "prompt" | "answered"> };
  /** The messages as one text that ends where the model's answer begins. */
  render(messages: readonly ChatMessage[]): string;
  /** Marks of the chat template become the tokens that they are. */
  encode(text: string): Int32Array;
  /** Words alone: marks give no text. */
  decode(tokens: Int32Array): string;
  /** Tokens that end an answer; a demonstration ends with the first. */
  ends: readonly number[];
  /** Tokens that a context may have. Of a longer one the beginning is cut; agents with a budget seldom let it come to that. */
  maxContext: number;
}

export class Dialogue implements DialogueEncoder {
  readonly #speech: Speech;
  readonly #agent: Pick<LanguageAgent, "prompt" | "answered">;
  /** All that has been seen and said, as text and as tokens: those that the model gave, which need not be how the text is cut otherwise. */
  #text = "";
  #tokens: Int32Array = new Int32Array(0);
  /** Of the context asked for last: how many of its tokens were there before; 0 where it begins anew. */
  #known = 0;
  /** The token that ended the last answer. */
  #end: number | undefined;
  #into: RowsBuilder | undefined;

  constructor(speech: Speech) {
    this.#speech = speech;
    this.#agent = speech.agents.begin();
  }

  context(turn: Turn): Int32Array {
    const { render, encode, maxContext } = this.#speech;
    const text = render(this.#agent.prompt(turn));
    const goesOn = this.#text !== "" && text.startsWith(this.#text);
    const tokens = goesOn ? joined(this.#tokens, this.#since(encode(text.slice(this.#text.length)))) : encode(text);
    const fits = tokens.length <= maxContext;
    this.#known = goesOn && fits ? this.#tokens.length : 0;
    this.#text = text;
    this.#tokens = fits ? tokens : tokens.slice(-maxContext);
    return this.#tokens;
  }

  answered(answer: Int32Array): { action: string; valid: boolean } {
    const { decode, ends } = this.#speech;
    const last = answer[answer.length - 1];
    this.#end = last !== undefined && ends.includes(last) ? last : undefined;
    const said = decode(this.#end === undefined ? answer : answer.subarray(0, -1));
    this.#text += said;
    this.#tokens = joined(this.#tokens, answer);
    return this.#agent.answered(said);
  }

  /** What follows an answer begins with the mark that ends it, which the model may have given itself. */
  #since(tokens: Int32Array): Int32Array {
    return this.#end !== undefined && tokens[0] === this.#end ? tokens.subarray(1) : tokens;
  }

  encode(turn: Turn, into: RowsBuilder): void {
    const context = this.context(turn);
    into.dense("continues", [this.#known > 0 ? 1 : 0]);
    into.items("context", context.subarray(this.#known));
    this.#into = into;
  }

  acted(action: number | Float32Array | string, label = String(action), answer = this.#demonstrated(label)): void {
    this.#into!.items("answer", answer);
    this.#into!.endRow();
    this.answered(answer);
  }

  #demonstrated(action: string): Int32Array {
    const { encode, agents, ends } = this.#speech;
    return joined(encode(agents.answerWith(action)), ends.slice(0, 1));
  }
}

function joined(a: Int32Array, b: ArrayLike<number>): Int32Array {
  const both = new Int32Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
