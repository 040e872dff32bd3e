import { z } from "zod";
import type { Millis } from "../time.ts";

/** What a webhook's deliveries are signed with: the secret, and for a while the one before it. */
export const SigningSecrets = z.object({
  current: z.string(),
  previous: z.object({ secret: z.string(), until: z.number() }).nullable(),
});
export type SigningSecrets = z.infer<typeof SigningSecrets>;

/** The secrets with a new one in the place of the current, which signs along for `overlapMs`. What came before both is gone. */
export function computeRotation({ current }: SigningSecrets, next: string, overlapMs: Millis, now: Millis): SigningSecrets {
  return { current: next, previous: overlapMs > 0 ? { secret: current, until: now + overlapMs } : null };
}

/** The secrets that sign now, the current one first. */
export function listSigning({ current, previous }: SigningSecrets, now: Millis): string[] {
  return previous !== null && now < previous.until ? [current, previous.secret] : [current];
}
