import { NovaError } from "../../domain/errors.ts";
import type { Millis } from "../../domain/time.ts";

/** What decides whether a key of either kind can be rotated. */
interface KeyState {
  revokedAt: Millis | null;
  expiresAt: Millis | null;
  replacedBy: string | null;
}

/** Why a key cannot be rotated; null for one that is valid and has no successor. */
export function rotationRefusal({ revokedAt, expiresAt, replacedBy }: KeyState, now: Millis): NovaError | null {
  if (revokedAt !== null) return alreadyRevoked();
  // Before its end: a key that was rotated without an overlap has expired, too.
  if (replacedBy !== null) return new NovaError(409, "already_rotated", "this key was rotated before: rotate its successor");
  if (expiresAt !== null && expiresAt <= now) return new NovaError(409, "key_expired", "this key has expired: create a new one");
  return null;
}

/** The refusal of what can be done once only. */
export function alreadyRevoked(): NovaError {
  return new NovaError(409, "already_revoked", "this key was revoked before");
}
