const BASE_MS = 500;
const CAP_MS = 15_000;

/**
 * How long to wait before connection attempt `attempt` (0 is the first retry), milliseconds. Full jitter, so that the
 * audience of a restarted edge does not come back in step. `random` is in [0, 1).
 */
export function computeBackoff(attempt: number, random: number): number {
  const ceiling = Math.min(CAP_MS, BASE_MS * 2 ** Math.min(attempt + 1, 16));
  return Math.round(BASE_MS + random * (ceiling - BASE_MS));
}
