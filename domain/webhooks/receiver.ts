import type { Millis } from "../time.ts";

/** When a delivery may be attempted: now; soon, within a second; after some seconds; or not while its receiver is silent. */
export type Turn = { kind: "now" } | { kind: "soon"; delayMs: Millis } | { kind: "later"; delayMs: Millis } | { kind: "skip" };

/** An attempt under way. */
export interface AttemptUnderWay {
  startedAt: Millis;
}

/** How many attempts a receiver has under way at once: one until it has answered, and again while it is slow. */
export const MAX_UNDER_WAY = 5;
/** What takes longer is slow. */
const SLOW_MS: Millis = 2_000;
/** What answers within this will have a place free in a moment. */
const QUICK_MS: Millis = 250;
const MIN_PACE_MS: Millis = 10;
/** How long a slow receiver is left alone after an attempt, the first time and at most. */
const MIN_PAUSE_MS: Millis = 10_000;
const MAX_PAUSE_MS: Millis = 60_000;
/** A queue counts in seconds. */
const MIN_DELAY_MS: Millis = 1_000;
/** How far ahead places are given away; beyond it the sweep brings deliveries back. */
const MAX_DELAY_MS: Millis = 60_000;

/**
 * How one webhook's receiver bears up, and whether another attempt may begin. A quick one is sent a lot, a slow or silent one is asked now and
 * then whether it is back. It knows what happened since it was made, and nothing from before.
 */
export class Receiver {
  readonly #underWay = new Set<AttemptUnderWay>();
  /** How long the last answer took; null before the first. */
  #lastTookMs: Millis | null = null;
  /** Slow attempts in a row, each begun after the one before had ended. */
  #slowInARow = 0;
  #lastSlowAt: Millis = 0;
  #pausedUntil: Millis = 0;
  /** When the next place is free that nobody has been given. */
  #nextPlaceAt: Millis = 0;

  /** Whether nothing is under way. */
  get isIdle(): boolean {
    return this.#underWay.size === 0;
  }

  /** Whether another attempt may begin now. What is told "later" has its place then, most likely. */
  decideTurn(now: Millis): Turn {
    const waitedMs = this.#longestWait(now);
    if (this.#slowInARow > 0 || waitedMs > SLOW_MS) return this.#decideSlowTurn(now);
    const places = this.#lastTookMs === null ? 1 : MAX_UNDER_WAY;
    if (this.#underWay.size < places) return { kind: "now" };
    const paceMs = Math.max(this.#lastTookMs ?? 0, waitedMs, MIN_PACE_MS);
    this.#nextPlaceAt = Math.max(this.#nextPlaceAt, now) + paceMs / places;
    const delayMs = this.#nextPlaceAt - now;
    return paceMs < QUICK_MS && delayMs < MIN_DELAY_MS ? { kind: "soon", delayMs } : later(delayMs);
  }

  /** An attempt begins. */
  begin(now: Millis): AttemptUnderWay {
    const attempt = { startedAt: now };
    this.#underWay.add(attempt);
    return attempt;
  }

  /** An attempt has ended, with an answer, whatever it said, or without: then the receiver is silent. */
  end(attempt: AttemptUnderWay, now: Millis, isAnswered: boolean): void {
    this.#underWay.delete(attempt);
    const tookMs = now - attempt.startedAt;
    if (isAnswered && tookMs <= SLOW_MS) {
      this.#lastTookMs = tookMs;
      this.#slowInARow = 0;
      return;
    }
    // What began together fails together, and counts once.
    if (this.#slowInARow === 0 || attempt.startedAt >= this.#lastSlowAt) this.#slowInARow += 1;
    this.#lastSlowAt = now;
    this.#pausedUntil = now + Math.min(MIN_PAUSE_MS * 2 ** (this.#slowInARow - 1), MAX_PAUSE_MS);
  }

  /** An attempt was not made after all. */
  cancel(attempt: AttemptUnderWay): void {
    this.#underWay.delete(attempt);
  }

  #decideSlowTurn(now: Millis): Turn {
    if (this.isIdle && now >= this.#pausedUntil) return { kind: "now" };
    // It may have been a hiccup: what comes meanwhile is tried after it. What stays silent is left to the sweep.
    return this.#slowInARow > 1 ? { kind: "skip" } : later(Math.max(this.#pausedUntil - now, MIN_PAUSE_MS));
  }

  #longestWait(now: Millis): Millis {
    // A set keeps the order in which things came.
    const [oldest] = this.#underWay;
    return oldest === undefined ? 0 : now - oldest.startedAt;
  }
}

function later(delayMs: Millis): Turn {
  return delayMs > MAX_DELAY_MS ? { kind: "skip" } : { kind: "later", delayMs: Math.max(delayMs, MIN_DELAY_MS) };
}
