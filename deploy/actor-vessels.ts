/** What a node starts an actor in, by the actor's isolation and runtime. */
import { extname, join } from "node:path";
import type { HostedDependencies } from "../actors/system/hosted-actor.ts";
import { processVessel, threadVessel } from "../actors/system/vessel.ts";
import { ConfigError } from "../proto/config.ts";
import { type ActorRuntime, actorCommand, actorRuntimes, nodeBundle } from "./actor-runtime.ts";

/** TypeScript in a checkout, JavaScript in the package. */
const here = (name: string) => join(import.meta.dirname, name + extname(import.meta.filename));
const main = here("hosted-actor-main");
const thread = here("hosted-actor-thread");

/** The runtimes that this machine has. */
export async function offeredRuntimes(): Promise<ActorRuntime[]> {
  const offered: ActorRuntime[] = [];
  for (const runtime of actorRuntimes) {
    try {
      await actorCommand(runtime, main);
      offered.push(runtime);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
    }
  }
  return offered;
}

export const openVessel: HostedDependencies["vessel"] = async (entry, module, events) => {
  if (entry.isolation === "thread") return { vessel: threadVessel(thread, events), module };
  const { runtime } = entry.resources;
  const vessel = processVessel(await actorCommand(runtime, main), events);
  return { vessel, module: runtime === "node" ? await nodeBundle(module) : module };
};
