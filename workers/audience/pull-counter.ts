import { MAX_PULL_KEYS, PLAYER_KEYS, type PullReport } from "../../domain/protocol/audience.ts";
import type { StreamId } from "../../domain/stream-id.ts";
import type { Millis } from "../../domain/time.ts";

/** Least time between two reports of this isolate to one stream's object. */
export const REPORT_INTERVAL_MS: Millis = 10_000;
const MAX_STREAMS = 1_000;

/** Who was heard of longer ago has most likely gone, and is not reported; players ask at least every few seconds. */
const STALE_MS: Millis = 15_000;

interface Heard {
  /** Those below the threshold, since the last report, and when each asked last. */
  keys: Map<number, Millis>;
  threshold: number;
  reportedAt: Millis;
}

/**
 * Players that this isolate has served live playlists to, by stream. The first one in a quiet time is reported at once; then there is at most one
 * report in 10 s, with the first request that comes after it. Where no request comes any more there is nobody left to report: whoever was
 * served before has been counted, or was there for less than those 10 s.
 */
export class PullCounter {
  /** The longest unheard of first. */
  readonly #streams = new Map<StreamId, Heard>();

  /** A player has asked. Returns the report that is due now, else null. */
  note(stream: StreamId, player: number, now: Millis): PullReport | null {
    const heard = this.#streams.get(stream) ?? { keys: new Map(), threshold: PLAYER_KEYS, reportedAt: Number.NEGATIVE_INFINITY };
    this.#streams.delete(stream);
    this.#streams.set(stream, heard);
    const [oldest] = this.#streams.keys();
    if (this.#streams.size > MAX_STREAMS && oldest !== undefined) this.#streams.delete(oldest);

    if (player < heard.threshold) heard.keys.set(player, now);
    while (heard.keys.size > MAX_PULL_KEYS) {
      heard.threshold /= 2;
      for (const key of heard.keys.keys()) if (key >= heard.threshold) heard.keys.delete(key);
    }
    const since = now - heard.reportedAt;
    // A clock that was set back must not silence the isolate.
    if (since >= 0 && since < REPORT_INTERVAL_MS) return null;
    const keys = [...heard.keys].filter(([, askedAt]) => now - askedAt < STALE_MS).map(([key]) => key);
    this.#streams.set(stream, { keys: new Map(), threshold: PLAYER_KEYS, reportedAt: now });
    return { keys, threshold: heard.threshold };
  }
}
