/** Keeps an actor's entry in the directory of its run. */
import { hostname } from "node:os";
import process from "node:process";
import { encodeHeartbeat, type Heartbeat, heartbeatEveryMs } from "../policy/heartbeat.ts";
import type { KeyValue } from "../proto/bus/bus.ts";

export type Told = Omit<Heartbeat, "actor" | "host" | "pid" | "sentAtMs" | "everyMs">;

/**
 * Says what `tell` answers, now and again and again until stopped. The directory counts its entries, so the revisions of an
 * actor's last two tell how many heartbeats the whole fleet sends: nobody needs to be asked how large it is.
 */
export function keepBeating(directory: KeyValue, actor: string, tell: () => Told): { stop(): void } {
  const identity = { actor, host: hostname(), pid: process.pid };
  let revision = Number.NaN;
  let everyMs = heartbeatEveryMs(Number.NaN);
  let timer: ReturnType<typeof setTimeout>;
  const beat = () => {
    timer = setTimeout(beat, everyMs);
    directory.put(actor, encodeHeartbeat({ ...identity, ...tell(), sentAtMs: Date.now(), everyMs })).then(
      (stored) => {
        everyMs = heartbeatEveryMs(stored - revision);
        revision = stored;
      },
      () => {}, // the broker is away: the next one may find it
    );
  };
  beat();
  return { stop: () => clearTimeout(timer) };
}
