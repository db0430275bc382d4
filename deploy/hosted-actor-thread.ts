/** The thread of one actor, started by a node in its own process. */
import process from "node:process";
import { parentPort } from "node:worker_threads";
import { hostActor } from "../actors/system/host.ts";
import { roleSecrets } from "./secrets/role-secrets.ts";

const port = parentPort!;
hostActor({
  secretsIn: (folder) => roleSecrets(folder, "node"),
  send: (message) => port.postMessage(message),
  onMessage: (listener) => port.on("message", listener),
  exit: (code) => process.exit(code), // ends the thread alone
});
