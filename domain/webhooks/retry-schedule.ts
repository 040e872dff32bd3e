import type { Millis } from "../time.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** How long to wait after the first attempt, the second, …: a day in all, nearly. */
export const RETRY_DELAYS_MS: readonly Millis[] = [
  5 * SECOND,
  30 * SECOND,
  2 * MINUTE,
  10 * MINUTE,
  30 * MINUTE,
  1 * HOUR,
  2 * HOUR,
  4 * HOUR,
  8 * HOUR,
  8 * HOUR,
];

/** How often a delivery is attempted before it is given up. */
export const MAX_ATTEMPTS = RETRY_DELAYS_MS.length + 1;

/** By how much a wait may be shorter or longer, so that what failed together does not come back together. */
const JITTER = 0.1;

/**
 * How long to wait after so many failed attempts; null where there is no further one.
 *
 * @param random from 0 to 1
 */
export function computeRetryDelay(attempts: number, random: number): Millis | null {
  const delay = RETRY_DELAYS_MS[attempts - 1];
  return delay === undefined ? null : Math.round(delay * (1 - JITTER + 2 * JITTER * random));
}
