import type { Millis } from "../time.ts";

/** The least time between two announcements of the count, up to 10,000 viewers. */
export const ANNOUNCE_INTERVAL_MS: Millis = 1_000;
const MAX_INTERVAL_MS: Millis = 5_000;
const VIEWERS_A_SECOND = 10_000;

/** Coalesces changes of the viewer count: at once when it was quiet, at most one a second when it is not, more slowly where it is huge. */
export class Announcer {
  #lastAt: Millis = Number.NEGATIVE_INFINITY;
  #pending = false;

  /** The count changed. Says when to announce: 0 for now, a delay in ms, or null where an announcement is already due. */
  changed(now: Millis, viewers: number): Millis | null {
    if (this.#pending) return null;
    // A clock that was set back must not silence the count.
    const since = Math.max(0, now - this.#lastAt);
    this.#pending = true;
    return Math.max(0, intervalFor(viewers) - since);
  }

  /** The count was announced. */
  announced(now: Millis): void {
    this.#lastAt = now;
    this.#pending = false;
  }
}

function intervalFor(viewers: number): Millis {
  const slower = (viewers / VIEWERS_A_SECOND) * 1000;
  return Math.min(MAX_INTERVAL_MS, Math.max(ANNOUNCE_INTERVAL_MS, slower));
}
