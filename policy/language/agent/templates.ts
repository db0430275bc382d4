/**
 * Templates that are built in. Those of ALFWorld and WebShop tell what verl-agent's prompts tell, in the same order and in words of our own:
 * task, how many steps were taken, the last of them, what is seen, what is possible, and the form of the answer.
 */
import type { AgentTemplate } from "./template.ts";

const CHOOSE = "Choose exactly one action and write it between <action> and </action>.";

const plain: AgentTemplate = {
  system: "",
  first: `{instruction}
{lessons}You see: {observation}
{admissible}

{form}`,
  next: `{instruction}
{lessons}You have taken {taken} step(s). The last {told}:
{history}
This is step {step}. You see: {observation}
{admissible}

{form}`,
  follow: `You see: {observation}
{admissible}`,
  past: "{number}. You saw: {observation}\n   You did: {action}",
  action: "- {action}",
  free: "Any text is an action.",
  think: `First think it through between <think> and </think>. ${CHOOSE}`,
  act: CHOOSE,
  bare: "Answer with the action alone.",
  lessons: "From earlier attempts at this task you have learnt:\n{lessons}\n",
  reflect: `You tried this task and failed ({outcome}): {instruction}
What you saw and did:
{history}

In two or three sentences: where did it go wrong, and what exactly will you do differently when you try the same task again?`,
  hidden: [],
  afterInstruction: false,
  lowerCase: false,
  refuseChinese: false,
};

export const templates: Readonly<Record<string, AgentTemplate>> = {
  plain,
  alfworld: {
    ...plain,
    first: `You act in a household that is described in words.
Your task is to: {instruction}
{lessons}You see: {observation}
You can do one of these now:
{admissible}

{form}`,
    next: `You act in a household that is described in words.
Your task is to: {instruction}
{lessons}So far you have taken {taken} step(s). The last {told} observation(s), each with what you did:
{history}
This is step {step}. You see: {observation}
You can do one of these now:
{admissible}

{form}`,
    follow: `You see: {observation}
You can do one of these now:
{admissible}`,
    // Asking for help is possible everywhere and tells nothing that is not in the list.
    hidden: ["help"],
    lowerCase: true,
    refuseChinese: true,
  },
  webshop: {
    ...plain,
    first: `You shop in an online store, page by page, and buy what best fits a wish.
The wish: {instruction}
{lessons}You see this page: {observation}
You can do one of these now:
{admissible}

{form}`,
    next: `You shop in an online store, page by page, and buy what best fits a wish.
The wish: {instruction}
{lessons}So far you have taken {taken} step(s). The last {told} page(s), each with what you did:
{history}
This is step {step}. You see this page: {observation}
You can do one of these now:
{admissible}

{form}`,
    follow: `You see this page: {observation}
You can do one of these now:
{admissible}`,
    free: "- search[<words to search for>]",
    afterInstruction: true,
    lowerCase: true,
    refuseChinese: true,
  },
};
