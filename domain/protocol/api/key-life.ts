import { z } from "zod";

/** How long what was rotated is valid beside its successor at most, seconds. */
const MAX_OVERLAP_SECONDS = 604_800;
const DEFAULT_OVERLAP_SECONDS = 86_400;

/** When a key ends by itself: the field `expires_at` of a new one. */
export function expiresAt(description: string) {
  return z.iso.datetime({ offset: true }).optional().meta({ description });
}

/** The body of a rotation: how long the old key, or secret, is valid beside the new one. */
export function rotation(id: string, description: string) {
  const overlap_seconds = z.number().int().min(0).max(MAX_OVERLAP_SECONDS).default(DEFAULT_OVERLAP_SECONDS).meta({ description });
  return z.strictObject({ overlap_seconds }).meta({ id, example: { overlap_seconds: 3600 } });
}
