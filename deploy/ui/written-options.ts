import { ConfigError, type Options } from "../../proto/config.ts";

/** Options as people write them in one line: "tau=0.2 psc=true". @throws ConfigError when a word is none */
export function parseOptions(text: string): Options {
  return Object.fromEntries(
    text
      .split(/[\s,]+/)
      .filter(Boolean)
      .map((word) => {
        const equals = word.indexOf("=");
        if (equals < 1)
          throw new ConfigError([`options are written name=value, separated by spaces; found '${word.slice(0, 40)}'`]);
        return [word.slice(0, equals), scalarOf(word.slice(equals + 1))];
      }),
  );
}

function scalarOf(text: string): string | number | boolean {
  if (text === "true" || text === "false") return text === "true";
  return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}
