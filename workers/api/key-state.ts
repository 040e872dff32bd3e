import { NovaError } from "../../domain/errors.ts";
import type { Millis } from "../../domain/time.ts";
import { invalidFields } from "../surface.ts";

/** What decides what can be done with a key of either kind. */
interface KeyState {
  revokedAt: Millis | null;
  expiresAt: Millis | null;
  replacedBy: string | null;
}

/** A key's state, as lists show it. */
export function keyStatus({ revokedAt, expiresAt }: Omit<KeyState, "replacedBy">, now: Millis): "valid" | "expired" | "revoked" {
  if (revokedAt !== null) return "revoked";
  return expiresAt !== null && expiresAt <= now ? "expired" : "valid";
}

/** When a new key is to end; null for never. Throws 400 `invalid_request` for a time that has passed. */
export function parseExpiry(text: string | undefined, now: Millis): Millis | null {
  const expiresAt = text === undefined ? null : Date.parse(text);
  if (expiresAt !== null && expiresAt <= now) throw invalidFields([{ field: "expires_at", message: "a time to come" }]);
  return expiresAt;
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
