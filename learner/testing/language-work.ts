/** A tiny language policy for tests: adapters on the random weights of a frozen base. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { causalLayout, readConfig, readTokenizer, writeCheckpoint } from "../../policy/language/causal/index.ts";
import { language } from "../../policy/language/language.ts";
import { newModel } from "../../policy/language/new-model.ts";
import { resolvePolicyOptions } from "../../policy/options.ts";
import type { Policy } from "../../policy/policy.ts";
import { createPolicy } from "../../policy/registry.ts";
import { initialise } from "../../policy/tensor/initialise.ts";

/** @param folder where its files go; each step is a sequence by itself */
export async function adaptedLanguagePolicy(folder: string): Promise<Policy> {
  const size = { vocabulary: 259, width: 16, layers: 2, heads: 2, context: 240 };
  const told = { mode: "window", history: 0, form: "bare", answerTokens: 24 };
  const options = { ...size, ...told, model: folder, lora: 4, format: "bf16" };
  const observation = { type: "text", maxLength: 1000 } as const;
  const spec = { name: "language", observation, action: { type: "admissible" } as const, options };
  newModel(folder, { ...spec, options: resolvePolicyOptions(language, options) }, []);
  const config = readConfig(JSON.parse(readFileSync(join(folder, "config.json"), "utf8")));
  writeCheckpoint(folder, config, initialise(causalLayout(config), 1), [readTokenizer(folder).endToken!]);
  return createPolicy(spec);
}
