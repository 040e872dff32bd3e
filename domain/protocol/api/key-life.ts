import { z } from "zod";

/** How long what was rotated is valid beside its successor at most, seconds. */
const MAX_OVERLAP_SECONDS = 604_800;
const DEFAULT_OVERLAP_SECONDS = 86_400;

/** Where the years end that a key may live through, exclusive: a time far from now is a mistake, and dates past year 9999 have no ISO form. */
const LIFE_END = Date.UTC(2101, 0, 1);

/** When a key ends by itself, in the year 2100 at the latest: the field `expires_at` of a new one. */
export function expiresAt(description: string) {
  return z.iso
    .datetime({ offset: true })
    .refine((time) => Date.parse(time) < LIFE_END, "a time up to the year 2100")
    .optional()
    .meta({ description: `${description}. In the year 2100 at the latest` });
}

/** The body of a rotation: how long the old key, or secret, is valid beside the new one. */
export function rotation(id: string, description: string) {
  const overlap_seconds = z.number().int().min(0).max(MAX_OVERLAP_SECONDS).default(DEFAULT_OVERLAP_SECONDS).meta({ description });
  return z.strictObject({ overlap_seconds }).meta({ id, example: { overlap_seconds: 3600 } });
}
