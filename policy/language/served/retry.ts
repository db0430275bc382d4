/** When to ask an endpoint again. Pure: delays are computed here and waited for elsewhere. */

export interface Backoff {
  /** The first pause; each further one is twice as long. */
  firstMs: number;
  /** No pause of our own is longer. */
  longestMs: number;
  /** A longer Retry-After is not waited for: the episode ends without a result. */
  longestRetryAfterMs: number;
}

export const defaultBackoff: Backoff = { firstMs: 500, longestMs: 30_000, longestRetryAfterMs: 120_000 };

/** Worth another try: the server was busy, restarting, or the request was lost on the way. */
export function isTransient(status: number): boolean {
  return status === 408 || status === 409 || status === 425 || status === 429 || status >= 500;
}

/**
 * Milliseconds to wait before the next attempt; undefined where the server asks for more than is waited for.
 * @param failures attempts that failed so far, from 1
 * @param jitter in [0, 1): spreads those that failed together
 * @param retryAfterMs what the server asked for
 */
export function pauseMs(failures: number, jitter: number, retryAfterMs: number | undefined, backoff: Backoff) {
  if (retryAfterMs !== undefined && retryAfterMs > backoff.longestRetryAfterMs) return undefined;
  const pause = Math.min(backoff.longestMs, backoff.firstMs * 2 ** (failures - 1)) * (0.5 + 0.5 * jitter);
  return Math.max(pause, retryAfterMs ?? 0);
}

/** Reads `Retry-After` (seconds, or a date) and the finer `Retry-After-Ms` of some servers. @param now Unix time in ms */
export function retryAfterMs(headers: Headers, now: number): number | undefined {
  const fine = Number(headers.get("retry-after-ms") ?? Number.NaN);
  if (fine >= 0) return fine;
  const given = headers.get("retry-after");
  if (given === null || given.trim() === "") return undefined;
  const wait = Number.isNaN(Number(given)) ? Date.parse(given) - now : Number(given) * 1000;
  return Number.isNaN(wait) ? undefined : Math.max(0, wait);
}
