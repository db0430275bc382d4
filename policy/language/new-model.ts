/**
 * A small model that knows nothing yet, as a folder: the tokenizer is trained on what an agent would say and hear in the demonstrated
 * episodes, the shape comes from the policy's options, and weights there are none.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Turn } from "../../envs/environment.ts";
import type { Trajectory } from "../../proto/trajectory.ts";
import { encodeTrajectory } from "../acting.ts";
import type { PolicySpec } from "../policy.ts";
import { rowsBuilder } from "../rows.ts";
import { type LanguageAgents, languageAgents } from "./agent/index.ts";
import { configJson } from "./causal/checkpoint.ts";
import { smallConfig, trainTokenizer, writeTokenizer } from "./causal/index.ts";
import { agentOptions, wholeNumber } from "./settings.ts";

/** Three marks a step and no names of roles: who speaks follows from the mark before. */
const TERSE_CHAT =
  "{% for message in messages %}{% if message.role == 'assistant' %}{{ message.content }}<|im_end|>" +
  "{% else %}<|im_start|>{{ message.content + '\\n' }}{% endif %}{% endfor %}";

/** Throws RangeError for sizes that make no model. */
export function newModel(folder: string, spec: PolicySpec, demonstrations: readonly Trajectory[]): void {
  const { options } = spec;
  const config = smallConfig({
    vocabulary: wholeNumber(options, "vocabulary", 259),
    hidden: wholeNumber(options, "width", 2),
    layers: wholeNumber(options, "layers", 1),
    heads: wholeNumber(options, "heads", 1),
    contextLimit: wholeNumber(options, "context", 2),
  });
  const trained = trainTokenizer(told(languageAgents(agentOptions(options)), demonstrations), config.vocabulary);
  mkdirSync(folder, { recursive: true });
  writeTokenizer(folder, { ...trained, chatTemplate: TERSE_CHAT });
  writeFileSync(join(folder, "config.json"), `${JSON.stringify(configJson(config), null, 2)}\n`);
}

/** Every message of these episodes, each text once. */
function told(agents: LanguageAgents, demonstrations: readonly Trajectory[]): Set<string> {
  const texts = new Set<string>();
  const encoder = () => {
    const agent = agents.begin();
    return {
      encode(turn: Turn) {
        for (const { content } of agent.prompt(turn)) texts.add(content);
      },
      acted(action: number | Float32Array | string, label = String(action)) {
        const answer = agents.answerWith(label);
        texts.add(answer);
        agent.answered(answer);
      },
    };
  };
  for (const demonstration of demonstrations) encodeTrajectory({ encoder }, demonstration, rowsBuilder({}));
  return texts;
}
