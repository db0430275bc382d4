/** The process of one actor, started by a node: its orders come line by line on standard input. For Bun, Deno and Node. */
import process from "node:process";
import { createInterface } from "node:readline";
import { hostActor, MESSAGE_MARK, type ToActor } from "../actors/system/host.ts";
import { roleSecrets } from "./secrets/role-secrets.ts";

const FLUSH_MS = 50;

// Ctrl-C reaches the whole process group, and so may a SIGTERM: the node decides how its actors end.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => {});

const orders = createInterface({ input: process.stdin });
orders.on("close", () => process.exit(1)); // the node is gone, and will not come back for this actor

hostActor({
  secretsIn: (folder) => roleSecrets(folder, "node"),
  send: (message) => process.stdout.write(`${MESSAGE_MARK}${JSON.stringify(message)}\n`),
  onMessage: (listener) => orders.on("line", (line) => listener(JSON.parse(line) as ToActor)),
  // Messages before may still be under way to the pipe: an empty line says nothing, and a moment lets them out.
  exit: (code) => process.stdout.write("\n", () => setTimeout(() => process.exit(code), FLUSH_MS)),
});
