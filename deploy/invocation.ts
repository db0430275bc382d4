import { basename } from "node:path";

/** How to type a further command, given how this one was started: people copy it from the screen. */
export function invocation(
  argv: readonly string[] = process.argv,
  env: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const name = basename(argv[1] ?? "");
  if (name === "proxima") return "proxima";
  if (name === "proxima.js") return "npx proxima"; // the package
  return env.npm_command === "exec" ? "npx -y bun@1.4 run proxima" : "bun run proxima";
}
