import type { Millis } from "../time.ts";

/** The least time between two announcements of the count. */
export const ANNOUNCE_INTERVAL_MS: Millis = 1_000;

/** Coalesces changes of the viewer count: at once when it was quiet, at most one a second when it is not. */
export class Announcer {
  #lastAt: Millis = Number.NEGATIVE_INFINITY;
  #pending = false;

  /** The count changed. Says when to announce: 0 for now, a delay in ms, or null where an announcement is already due. */
  changed(now: Millis): Millis | null {
    if (this.#pending) return null;
    const wait = Math.max(0, this.#lastAt + ANNOUNCE_INTERVAL_MS - now);
    this.#pending = true;
    return wait;
  }

  /** The count was announced. */
  announced(now: Millis): void {
    this.#lastAt = now;
    this.#pending = false;
  }
}
