/**
 * A language model's answer as an action, by the rules that verl-agent trains with on ALFWorld and WebShop (Feng et al. 2025, "Group-in-Group
 * Policy Optimization", https://arxiv.org/abs/2505.10978): what stands between the first <action> and the </action> after it, trimmed and
 * in lower case; where there is no such pair, the end of the answer, which then means nothing; and an answer is valid only with a thought
 * and without Chinese characters. Two answers that pass there do not pass here: an empty action, and </think> before <think>.
 */

/**
 * How an answer is written. think: <think>…</think> and then <action>…</action>. action: <action>…</action>, with or without a thought.
 * bare: the whole answer is the action.
 */
export const ANSWER_FORMS = ["think", "action", "bare"] as const;
export type AnswerForm = (typeof ANSWER_FORMS)[number];

export interface Answer {
  /** What to step with; never empty. */
  action: string;
  /** Whether the answer keeps to the form. A valid form may still hold an action that the environment refuses. */
  valid: boolean;
  /** Absent where the answer holds none. */
  thought?: string;
}

export interface ProjectionRules {
  form: AnswerForm;
  /** Actions are compared and passed on in lower case. */
  lowerCase: boolean;
  /** An answer with Chinese characters (U+4E00 … U+9FFF) is not valid: a known way for models trained on two languages to drift. */
  refuseChinese: boolean;
}

/** An answer without an action still steps the environment: with its end, as there. */
const FALLBACK_LENGTH = 30;
/** Longer ones are no action but a model that lost its way; environments need not read them. */
const MAX_ACTION_LENGTH = 2_000;
/** Stands for an action where the model said nothing at all. */
const NOTHING = "(nothing)";

/** @param admissible where an action equals one of them but for its case, it becomes that one */
export function project(answer: string, rules: ProjectionRules, admissible?: readonly string[]): Answer {
  const spelled = rules.lowerCase ? answer.toLowerCase() : answer;
  const found = rules.form === "bare" ? spelled.trim() : between(spelled, "<action>", "</action>");
  const thought = between(answer, "<think>", "</think>");
  const isAction = found !== undefined && found !== "" && found.length <= MAX_ACTION_LENGTH;
  const action = isAction ? found : spelled.slice(-FALLBACK_LENGTH).trim() || NOTHING;
  const valid =
    isAction &&
    (rules.form !== "think" || thought !== undefined) &&
    !(rules.refuseChinese && /[\u4e00-\u9fff]/.test(answer));
  return { action: listed(action, admissible), valid, ...(thought === undefined ? {} : { thought }) };
}

/** The answer in which a model of this form says that action. */
export function answerWith(form: AnswerForm, action: string, thought = ""): string {
  if (form === "bare") return action;
  return `${form === "think" || thought !== "" ? `<think>${thought}</think>` : ""}<action>${action}</action>`;
}

/** Trimmed text from the first opening tag to the closing tag after it, tags in any case; undefined without such a pair. */
function between(text: string, open: string, close: string): string | undefined {
  const start = text.search(new RegExp(open, "i"));
  if (start < 0) return undefined;
  const rest = text.slice(start + open.length);
  const end = rest.search(new RegExp(close, "i"));
  return end < 0 ? undefined : rest.slice(0, end).trim();
}

function listed(action: string, admissible: readonly string[] | undefined): string {
  if (admissible === undefined || admissible.includes(action)) return action;
  const lower = action.toLowerCase();
  return admissible.find((candidate) => candidate.toLowerCase() === lower) ?? action;
}
