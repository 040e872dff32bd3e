import { PLAYER_KEYS, PullReport } from "../protocol/audience.ts";
import type { Millis } from "../time.ts";

/** How long a player counts after a report that names it; its isolate reports every 10 s while it goes on asking. */
export const PULL_LEASE_MS: Millis = 30_000;
/** A report may tell of what a player asked for so long ago. */
const REPORT_DELAY_MS: Millis = 12_000;
/** How many players are remembered one by one; of more, an evenly drawn part. */
const MAX_PLAYERS = 4_096;

/**
 * Players that only fetch playlists, as the isolates that serve them report: a set of keys, so that one seen by many isolates counts once. Keys are
 * evenly spread, so that those below a threshold are a fair sample: exact while all fit, an unbiased estimate beyond. Memory only: a
 * lost one is whole again after the next reports.
 */
export class PullAudience {
  /** Until when each player counts; the first to go are first. */
  readonly #players = new Map<number, Millis>();
  /** Players whose page has gone, and until when reports may still be of the time before. */
  readonly #left = new Map<number, Millis>();
  /** Keys from here on are not remembered. */
  #intake = PLAYER_KEYS;
  /** Thresholds that were in force when something was left out, and until when players may be missing for it. */
  readonly #gaps = new Map<number, Millis>();

  /** An isolate has heard of players. What is no valid report is not heard. */
  report(input: PullReport, now: Millis): void {
    const { success, data } = PullReport.safeParse(input);
    if (!success) return;
    this.#forget(now);
    const until = now + PULL_LEASE_MS;
    for (const key of data.keys) {
      if (key >= Math.min(this.#intake, data.threshold) || this.#left.has(key)) continue;
      this.#players.delete(key);
      this.#players.set(key, until);
    }
    while (this.#players.size > MAX_PLAYERS) this.#halve();
    const lowest = Math.min(this.#intake, data.threshold);
    if (lowest < PLAYER_KEYS) this.#gaps.set(lowest, until);
    // Twice as many would still fit twice.
    if (this.#intake < PLAYER_KEYS && this.#players.size <= MAX_PLAYERS / 4) this.#intake *= 2;
  }

  /** The socket that went with these players was closed: they play no more, though they asked a moment ago. Who does play on is heard of again. */
  leave(players: readonly number[], now: Millis): void {
    for (const player of players) {
      this.#players.delete(player);
      this.#left.delete(player);
      this.#left.set(player, now + REPORT_DELAY_MS);
    }
    this.#forget(now);
  }

  /** How many players watch without a socket; `hasSocket` says whether one with this key has one, and knows it of keys below `known` only. */
  count(now: Millis, hasSocket: (player: number) => boolean, known = PLAYER_KEYS): number {
    this.#forget(now);
    const threshold = Math.min(known, ...this.#gaps.keys());
    let sample = 0;
    for (const player of this.#players.keys()) if (player < threshold && !hasSocket(player)) sample += 1;
    return Math.round(sample * (PLAYER_KEYS / threshold));
  }

  /** When the next player no longer counts if it is not heard of again; null without players. As of the last report or count. */
  nextExpiryAt(): Millis | null {
    const [next] = this.#players.values();
    return next ?? null;
  }

  #halve(): void {
    this.#intake /= 2;
    for (const player of this.#players.keys()) if (player >= this.#intake) this.#players.delete(player);
  }

  #forget(now: Millis): void {
    for (const [player, until] of this.#players) {
      if (until > now) break;
      this.#players.delete(player);
    }
    for (const [player, until] of this.#left) {
      if (until > now) break;
      this.#left.delete(player);
    }
    for (const [threshold, until] of this.#gaps) if (until <= now) this.#gaps.delete(threshold);
  }
}
