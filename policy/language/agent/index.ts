/** Agents around a language model: see docs/language-models.md. */
export {
  AGENT_MODES,
  type AgentMode,
  type AgentOptions,
  type ChatMessage,
  type LanguageAgent,
  type LanguageAgents,
  languageAgents,
} from "./agent.ts";
export type { Memory, PastStep } from "./memory.ts";
export { ANSWER_FORMS, type Answer, type AnswerForm } from "./projection.ts";
export { type AgentTemplate, agentTemplate, templateFor, templateNames } from "./template.ts";
