/**
 * Keeps an actor supplied with the newest weights of its run. What does not verify is refused and the version before it stays
 * in use; while the server is away the client tries again for ever.
 *
 *   const weights = weightsClient({ address: "learner:7400", run, actor: "rollout-1" });
 *   const { version, weights: parameters } = await weights.waitFor(0, { timeoutMs: 30_000 });
 *   …
 *   weights.close();
 *
 * Runs on Bun, Deno and Node.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  Compression,
  type Manifest,
  type SubscribeResponse,
  WeightsService,
} from "../proto/gen/proxima/v1/weights_pb.ts";
import { connect, type Security, StatusError, status } from "../proto/grpc.ts";
import { checkRunName } from "../proto/subjects.ts";
import type { WeightsVersion } from "../proto/trajectory.ts";
import {
  type Acceptance,
  type Assembly,
  assemble,
  encodings,
  type WeightsEncoding,
  WeightsRefusedError,
} from "../proto/weights.ts";
import { hasZstd } from "../proto/zstd.ts";

export interface WeightsClientOptions extends Security {
  /** host:port of the learner or of a relay. */
  address: string;
  run: string;
  /** Name under which the learner lists this subscriber. */
  actor: string;
  /** Default f32. bf16 halves the bytes and rounds the weights. */
  encoding?: WeightsEncoding;
  /** What is taken, and what refused. */
  accept?: Acceptance;
  /** Hears of every change of connection, refusals included. */
  onStatus?: (status: WeightsClientStatus) => void;
}

/** Verified weights. The array is never written to again, so it may be kept while newer versions arrive. */
export interface HeldWeights {
  readonly version: WeightsVersion;
  /** The learner process that published it; counters compare only within one. */
  readonly incarnation: string;
  readonly weights: Float32Array;
  /** Hex SHA-256 of what they build on, where they are not whole. */
  readonly base?: string;
  readonly publishedAtMs: number;
  readonly receivedAtMs: number;
}

export interface WeightsClientStatus {
  /** connected: the subscription stands, as far as is known. */
  state: "connecting" | "connected" | "away" | "closed";
  sinceMs: number;
  /** Why the server is away, why a version was refused, or how a listener failed. */
  reason?: string;
  /** Versions refused so far because they did not verify. */
  refused: number;
  /** Subscriptions begun so far. */
  subscriptions: number;
}

export interface WaitOptions {
  timeoutMs: number;
  signal?: AbortSignal;
}

export interface WeightsClient {
  /** The newest verified weights; undefined before the first. */
  current(): HeldWeights | undefined;
  /**
   * The current weights as soon as their counter is at least the number, or the predicate holds. Rejects with
   * WeightsTimeoutError past the deadline, with the signal's reason when aborted, with Error when closed.
   */
  waitFor(what: number | ((held: HeldWeights) => boolean), options: WaitOptions): Promise<HeldWeights>;
  /** Calls the listener with every version from now on, in order of arrival. Returns the function that stops it. */
  onWeights(listener: (held: HeldWeights) => void): () => void;
  status(): WeightsClientStatus;
  close(): void;
}

/** The weights waited for did not come in time. */
export class WeightsTimeoutError extends Error {
  override readonly name = "WeightsTimeoutError";
}

const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 2000;
const REPORT_TIMEOUT_MS = 5000;
/** A version in use is reported once the other actors have had time to get it: a report costs as much as 300 KiB of weights. */
const LEAST_REPORT_DELAY_MS = 100;
const MOST_REPORT_DELAY_MS = 30_000;

/** Subscribes at once. Throws TypeError or RangeError for options that cannot work. */
export function weightsClient(options: WeightsClientOptions): WeightsClient {
  const { address, actor, encoding = "f32", tls, token } = options;
  const run = checkRunName(options.run);
  const { client, close: disconnect } = connect(WeightsService, address, { tls, token });
  const closing = new AbortController();
  const { signal } = closing;
  const listeners = new Set<(held: HeldWeights) => void>();
  let held: HeldWeights | undefined;
  let now: WeightsClientStatus = { state: "connecting", sinceMs: Date.now(), refused: 0, subscriptions: 0 };

  const update = (change: Partial<WeightsClientStatus>) => {
    const sinceMs = change.state && change.state !== now.state ? Date.now() : now.sinceMs;
    now = { ...now, reason: undefined, ...change, sinceMs };
    options.onStatus?.(now);
  };

  const heldMessage = () =>
    held && {
      incarnation: held.incarnation,
      counter: BigInt(held.version.counter),
      sha256: Buffer.from(held.version.sha256, "hex"),
    };

  let reportDelayMs = LEAST_REPORT_DELAY_MS;
  let unreported: { manifest: Manifest; since: number } | undefined;

  const report = ({ subscription, version }: Manifest, outcome: { refused: string } | { ageMs: number }) => {
    // A lost report is made good by the next one, or by the next subscription, which says what is held.
    const request = { subscription, version, ...outcome };
    client.report(request, { timeoutMs: REPORT_TIMEOUT_MS, signal }).then(
      ({ reportAfterMs }) => {
        reportDelayMs = Math.min(MOST_REPORT_DELAY_MS, Math.max(LEAST_REPORT_DELAY_MS, reportAfterMs));
      },
      () => {},
    );
  };

  const reportNewest = () => {
    if (!unreported) return;
    const { manifest, since } = unreported;
    unreported = undefined;
    report(manifest, { ageMs: Math.round(performance.now() - since) });
  };

  /** The report of the newest version stands for those before it. */
  const reportSoon = (manifest: Manifest) => {
    if (!unreported) setTimeout(reportNewest, reportDelayMs);
    unreported = { manifest, since: performance.now() };
  };

  const accept = (manifest: Manifest, assembly: Assembly) => {
    const { weights, sha256 } = assembly.finish();
    const { incarnation = "", counter = 0n } = manifest.version ?? {};
    const receivedAtMs = Date.now();
    const publishedAtMs = manifest.published ? timestampMs(manifest.published) : receivedAtMs;
    const version = { counter: Number(counter), sha256 };
    const base = Buffer.from(manifest.baseSha256).toString("hex");
    held = { version, incarnation, weights, ...(base === "" ? {} : { base }), publishedAtMs, receivedAtMs };
    reportSoon(manifest);
    for (const listener of [...listeners]) {
      try {
        listener(held);
      } catch (error) {
        // A mistake of whoever listens says nothing about the weights or the server.
        update({ reason: `a listener failed: ${error instanceof Error ? error.message : error}` });
      }
    }
  };

  /** Follows one subscription until it fails; it never ends otherwise. Calls `received` for each version. */
  async function follow(frames: AsyncIterable<SubscribeResponse>, received: () => void): Promise<never> {
    let manifest: Manifest | undefined;
    let assembly: Assembly | undefined;
    try {
      for await (const { frame } of frames) {
        if (frame.case === "manifest") {
          manifest = frame.value;
          if (assembly)
            throw new WeightsRefusedError("Cannot take weights: all chunks must come first, found a manifest");
          if (manifest.run !== run) {
            throw new WeightsRefusedError(`Cannot take weights: they must be of run ${run}, found "${manifest.run}"`);
          }
          assembly = assemble(manifest, options.accept);
        } else if (frame.case === "chunk" && manifest && assembly) {
          assembly.push(frame.value);
          if (!assembly.complete) continue;
          const whole = assembly;
          assembly = undefined;
          accept(manifest, whole);
          received();
        } else throw new WeightsRefusedError("Cannot take weights: a manifest must come first, found none");
      }
    } catch (error) {
      if (error instanceof WeightsRefusedError) {
        reportNewest();
        if (manifest) report(manifest, { refused: error.message });
        now = { ...now, refused: now.refused + 1 };
      }
      throw error;
    }
    throw new StatusError(status.UNAVAILABLE, `${address} ended the subscription`);
  }

  async function keepSubscribed(): Promise<void> {
    let backoffMs = FIRST_BACKOFF_MS;
    while (!signal.aborted) {
      try {
        now = { ...now, subscriptions: now.subscriptions + 1 };
        const request = {
          run,
          actor,
          encoding: encodings[encoding],
          acceptedCompressions: hasZstd ? [Compression.ZSTD] : [],
          held: heldMessage(),
        };
        const onOpen = () => update({ state: "connected" });
        await follow(client.subscribe(request, { signal, onOpen }), () => {
          backoffMs = FIRST_BACKOFF_MS;
        });
      } catch (error) {
        if (signal.aborted) return;
        update({ state: "away", reason: error instanceof Error ? error.message : String(error) });
        // Spread out, so that a restarted learner does not meet all its actors in the same instant.
        await sleep(backoffMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {});
        backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS);
      }
    }
  }

  const explainWait = (what: string, timeoutMs: number) => {
    const has = held ? `version ${held.version.counter}` : "none";
    const seconds = ((Date.now() - now.sinceMs) / 1000).toFixed(1);
    return new WeightsTimeoutError(
      `Waited ${timeoutMs} ms for weights of run ${run} from ${address} (${what}): ${actor} holds ${has}; ` +
        `${now.state} for ${seconds} s${now.reason ? ` (${now.reason})` : ""}, ${now.refused} refused. ` +
        "Check that the learner runs, serves this run at this address and is not paused",
    );
  };

  void keepSubscribed();

  return {
    current: () => held,
    waitFor(what, { timeoutMs, signal: abort }) {
      const satisfied = typeof what === "number" ? (h: HeldWeights) => h.version.counter >= what : what;
      const words = typeof what === "number" ? `counter at least ${what}` : "those that satisfy a condition";
      return new Promise<HeldWeights>((resolve, reject) => {
        if (abort?.aborted) return reject(abort.reason);
        if (held && satisfied(held)) return resolve(held);
        if (signal.aborted) return reject(new Error("Cannot wait for weights: the weights client is closed"));
        const settle = (act: () => void) => {
          clearTimeout(timer);
          listeners.delete(listener);
          abort?.removeEventListener("abort", onAbort);
          signal.removeEventListener("abort", onClose);
          act();
        };
        const listener = (h: HeldWeights) => {
          if (satisfied(h)) settle(() => resolve(h));
        };
        const onAbort = () => settle(() => reject(abort?.reason));
        const onClose = () => settle(() => reject(new Error("Cannot wait for weights: the weights client was closed")));
        const timer = setTimeout(() => settle(() => reject(explainWait(words, timeoutMs))), timeoutMs);
        listeners.add(listener);
        abort?.addEventListener("abort", onAbort);
        signal.addEventListener("abort", onClose);
      });
    },
    onWeights(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    status: () => now,
    close() {
      if (signal.aborted) return;
      closing.abort(new Error("the weights client is closed"));
      update({ state: "closed" });
      disconnect();
    },
  };
}
