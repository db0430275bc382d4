/** `proxima help policies`, `help estimators` and `help templates`: what there is to choose from, as one writes it. */
import { estimators } from "../learner/advantage/index.ts";
import { type AgentTemplate, agentTemplate, templateNames } from "../policy/language/agent/index.ts";
import { builtInPolicies } from "../policy/registry.ts";

interface Described {
  name: string;
  summary: string;
  options: Readonly<Record<string, { default: unknown; about: string; choices?: readonly string[] }>>;
}

export function policiesHelp(): string {
  return describe("policy", "policy", builtInPolicies);
}

export function estimatorsHelp(): string {
  return describe("estimator", "credit", Object.values(estimators));
}

/** Each template as the file that a user would write: what to copy and change. */
export function templatesHelp(): string {
  const files = templateNames.map((name) => `# --template ${name}\nbase = "${name}"\n${asToml(agentTemplate(name))}`);
  return `# Prompts of language models; {names} stand for what is told. A file needs the parts that differ only.\n\n${files.join("\n\n")}`;
}

function asToml(template: AgentTemplate): string {
  return Object.entries(template)
    .map(([part, value]) => {
      const isLong = typeof value === "string" && value.includes("\n");
      return `${part} = ${isLong ? `'''\n${value}'''` : JSON.stringify(value)}`;
    })
    .join("\n");
}

function describe(key: string, prefix: string, described: readonly Described[]): string {
  return described
    .map(({ name, summary, options }) =>
      [
        `--${key} ${name}: ${summary}`,
        ...Object.entries(options).map(([option, { default: value, about, choices }]) => {
          const allowed = choices ? ` [${choices.join(" | ")}]` : "";
          return `    --${prefix}.${option} ${JSON.stringify(value)}  ${about}${allowed}`;
        }),
      ].join("\n"),
    )
    .join("\n\n");
}
