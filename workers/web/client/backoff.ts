const BASE_MS = 500;
const CAP_MS = 15_000;
/** Nobody looks at a hidden page, and it connects at once when somebody does. */
const HIDDEN_CAP_MS = 60_000;
/** As many attempts a hidden page makes like any other: what plays in it may be heard. */
const HIDDEN_EAGER_ATTEMPTS = 6;

/**
 * How long to wait before connection attempt `attempt` (0 is the first retry), milliseconds. Full jitter, so that the audience of a
 * restarted server comes back spread out, and within 15 s of its return. `random` is in [0, 1).
 */
export function computeBackoff(attempt: number, random: number, isHidden = false): number {
  const cap = isHidden && attempt >= HIDDEN_EAGER_ATTEMPTS ? HIDDEN_CAP_MS : CAP_MS;
  return Math.round(random * Math.min(cap, BASE_MS * 2 ** Math.min(attempt, 16)));
}

/** How long to wait after the server has closed a socket for what this client sent, milliseconds: doing it again at once would not help. */
export function computeFaultBackoff(random: number): number {
  return Math.round(CAP_MS / 2 + (random * CAP_MS) / 2);
}
