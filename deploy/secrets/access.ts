/** Decides which bearer token may call which method, from a file of hashes that may change at any time. */
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { StatusError, status } from "../../proto/grpc.ts";
import { mayCall, type Role } from "../../proto/roles.ts";

/** One token as the learner's machine knows it. */
export interface KnownToken {
  role: Role;
  /** Hex SHA-256 of the token; tokens are random, so a plain hash does. */
  sha256: string;
  /** ISO time from which it is no longer accepted. */
  until?: string;
}

export const hashToken = (token: string) => createHash("sha256").update(token).digest("hex");

/** How long a changed file may go unnoticed. */
const LOOK_AGAIN_MS = 1_000;

/** @throws StatusError UNAUTHENTICATED for a token that is not known, PERMISSION_DENIED for one whose role may not. */
export function accessControl(file: string): (token: string | undefined, path: string) => void {
  let version = statSync(file).mtimeMs;
  let known = read(file);
  let lookedAtMs = performance.now();
  return (token, path) => {
    if (performance.now() - lookedAtMs > LOOK_AGAIN_MS) {
      lookedAtMs = performance.now();
      try {
        const { mtimeMs } = statSync(file);
        if (mtimeMs !== version) known = read(file);
        version = mtimeMs;
      } catch {
        // Being replaced, or damaged: what was read last holds.
      }
    }
    const role = token === undefined ? undefined : roleOf(known, token);
    if (role === undefined) {
      throw new StatusError(
        status.UNAUTHENTICATED,
        `a valid token is required, found ${token ? "one that is not known, or no longer" : "none"}; use --secrets`,
      );
    }
    if (!mayCall(role, path)) {
      throw new StatusError(status.PERMISSION_DENIED, `role ${role} may not call ${path.split("/").at(-1)}`);
    }
  };
}

function read(file: string): Map<string, KnownToken> {
  const tokens = JSON.parse(readFileSync(file, "utf8")) as KnownToken[];
  return new Map(tokens.map((token) => [token.sha256, token]));
}

/** Looking up a hash tells nothing of a token by the time it takes. */
function roleOf(known: ReadonlyMap<string, KnownToken>, token: string): Role | undefined {
  const found = known.get(hashToken(token));
  if (!found || (found.until !== undefined && Date.parse(found.until) <= Date.now())) return undefined;
  return found.role;
}
