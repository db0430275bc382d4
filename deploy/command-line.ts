/** From `argv` to an exit code: finds the command, gives it its settings, tells people what went wrong. */
import packageJson from "../package.json" with { type: "json" };
import { ConfigError, suggestion } from "../proto/config.ts";
import { parseArguments } from "./arguments.ts";
import { exitCodes } from "./command.ts";
import { commands } from "./commands.ts";
import { commandHelp } from "./help.ts";
import { output, type Streams } from "./output.ts";

export async function runCommandLine(argv: readonly string[], streams: Streams, signal: AbortSignal): Promise<number> {
  const say = output(argv.includes("--json"), streams);
  const [name, ...rest] = argv.filter((argument, i) => i > 0 || argument !== "--json");
  if (name === "--version" || name === "-v") {
    streams.out(`${packageJson.version}\n`);
    return exitCodes.ok;
  }
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    if (rest[0] !== undefined && Object.hasOwn(commands, rest[0]))
      return runCommandLine([rest[0], "--help"], streams, signal);
    const topics = await import("./help-topics.ts");
    if (rest[0] === "policies") streams.out(`${topics.policiesHelp()}\n`);
    else if (rest[0] === "estimators") streams.out(`${topics.estimatorsHelp()}\n`);
    else if (rest[0] === "templates") streams.out(`${topics.templatesHelp()}\n`);
    else streams.out(`${overview()}\n`);
    return exitCodes.ok;
  }
  if (!Object.hasOwn(commands, name)) {
    const hint = suggestion(name, Object.keys(commands)).replace(/; see --help.*/, "");
    say.error(`proxima: there is no command '${name}'${hint} ('proxima help' lists them)`);
    return exitCodes.usage;
  }
  try {
    const { command } = await commands[name]!.load();
    const given = parseArguments(rest, command.schema);
    if (given.help) {
      streams.out(`${commandHelp(command)}\n`);
      return exitCodes.ok;
    }
    if (given.words.length > 0 && !command.takesWords) {
      throw new ConfigError([`'${given.words[0]}' belongs to no setting: settings are written --key value`]);
    }
    return await command.run({ arguments: given, output: say, signal });
  } catch (error) {
    if (error instanceof ConfigError) {
      say.error(`proxima ${name}: ${error.message}\n'proxima ${name} --help' lists its settings.`);
      return exitCodes.usage;
    }
    if (signal.aborted) return exitCodes.interrupted;
    say.error(`proxima ${name} failed: ${explain(error)}`);
    return exitCodes.failure;
  }
}

function overview(): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length));
  return [
    `Proxima ${packageJson.version}: distributed reinforcement learning for multi-turn agents.`,
    "",
    "Usage: proxima COMMAND [--key value]…",
    "",
    ...Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`),
    `  ${"help".padEnd(width)}  this; help COMMAND: its settings; help policies, help estimators, help templates: what there is`,
  ].join("\n");
}

/** The message and those of its causes; the stack only where it is a bug and not a circumstance. */
export function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const lines = [error.message];
  for (let cause = error.cause; cause instanceof Error && lines.length < 5; cause = cause.cause) {
    if (!lines.at(-1)!.includes(cause.message)) lines.push(`because: ${cause.message}`);
  }
  const isBug = error instanceof TypeError || error instanceof ReferenceError || process.env.PROXIMA_DEBUG;
  return isBug && error.stack ? `${lines.join("\n")}\n${error.stack}` : lines.join("\n");
}
