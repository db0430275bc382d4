/** A TOML file as a layer of configuration. */
import { readFileSync } from "node:fs";
import { parse } from "smol-toml";
import { ConfigError, type Fields, flattenTables, type Layer } from "../proto/config.ts";
import type { Arguments } from "./arguments.ts";

/** @throws ConfigError when there is no such file or it is not TOML */
export function readConfigFile(path: string, schema: { fields: Fields }): Layer {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError([`cannot read the configuration file ${path}: ${(error as Error).message}`]);
  }
  try {
    return { source: path, values: flattenTables(schema, parse(text)) };
  } catch (error) {
    throw new ConfigError([`${path} is not a TOML file: ${(error as Error).message}`]);
  }
}

/** What was asked for: the configuration file, if one was named, and over it the command line. Throws as `readConfigFile`. */
export function givenLayers({ config, settings }: Arguments, schema: { fields: Fields }): Layer[] {
  const line: Layer = { source: "command line", values: settings, parse: true };
  return config === undefined ? [line] : [readConfigFile(config, schema), line];
}
