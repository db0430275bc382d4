/** A learner that spawns its own rollout actors onto whatever nodes there are. */
import { Rollout } from "../actors/rollout-kind.ts";
import { ActorSystem, type Handle, type SpawnOptions } from "../actors/system/index.ts";
import { runLearner } from "../learner/run.ts";
import type { Learn } from "./train-run.ts";

export interface SpawnedActorsOptions extends Pick<SpawnOptions, "cpus" | "memory" | "labels" | "runtime"> {
  actors: number;
  slots: number;
  provider: string;
  /** How a person starts a node for them. */
  nodeCommand: string;
}

/** How long an actor may take to leave when the run is over. */
const LEAVE_MS = 30_000;

/** Learns like `runLearner`; actors are spawned when the run can be joined, and leave when it is over. */
export function learnWithActors({ actors, slots, provider, nodeCommand, ...needs }: SpawnedActorsOptions): Learn {
  return async (config, deps, signal) => {
    const system = new ActorSystem(deps.bus);
    const lost = new AbortController();
    const name = `${config.run}-actor`;
    let spawned: Handle<unknown>[] = [];
    const failed = new Set<string>();
    await system.onFailure((actor, because) => {
      if (!actor.startsWith(`${name}-`) || failed.has(actor)) return;
      failed.add(actor);
      deps.onNotice(`${actor} is given up: ${because}`);
      if (failed.size === actors)
        lost.abort(new Error(`No actor is left to play: all ${actors} were given up. ${because}`));
    });
    const spawn = async () => {
      // Those of a learner that was killed play on, and join this one by themselves.
      const options = { ...needs, name, count: actors, getIfExists: true };
      spawned = await system.spawn(Rollout, { run: config.run, slots, provider: provider as "simd" }, options);
      const nodes = await system.nodes();
      const free = nodes.reduce((sum, { cpus, cpusUsed }) => sum + cpus - cpusUsed, 0);
      deps.onNotice(
        nodes.length > 0
          ? `Asked for ${actors} actors; free cpus: ${free}, on ${nodes.length} ${nodes.length === 1 ? "node" : "nodes"}.`
          : `Waits for nodes to run its ${actors} actors: there is none yet. Start one on any machine with: ${nodeCommand}`,
      );
    };
    try {
      const onReady: typeof deps.onReady = async (info) => {
        await deps.onReady?.(info);
        await spawn();
      };
      return await runLearner(config, { ...deps, onReady }, AbortSignal.any([signal, lost.signal]));
    } finally {
      await Promise.allSettled(spawned.map((actor) => actor.drain({ timeoutMs: LEAVE_MS })));
      await system.close();
    }
  };
}
