import { addTallies, type PlaybackTally } from "../metrics/quality-tally.ts";
import type { Millis } from "../time.ts";
import type { Member } from "./shard-plan.ts";
import type { MemberLoad } from "./shard-planner.ts";

/** How long a shard's number holds without a newer one. */
export const SHARD_LEASE_MS: Millis = 70_000;
/** How often a shard reports though nothing has changed: two may be lost within a lease. */
export const SHARD_RENEWAL_MS: Millis = 30_000;

/** What a shard tells the root: the size of its set, never a difference. */
export interface ShardReport {
  shard: Member;
  /** Rises with each life of the shard, also where its sockets have outlived its memory. Kept in its storage. */
  boot: number;
  /** Rises with each report of a life. */
  seq: number;
  /** Distinct viewers whose socket is open and answers. */
  connected: number;
  /** The same with those who lost their socket to a restart a moment ago. */
  sockets: number;
  /** The version of the newest plan that the shard knows. */
  knows: number;
  /** What its players say; a shard that runs an earlier version does not tell. */
  playback?: PlaybackTally;
}

interface Entry {
  report: ShardReport;
  expiresAt: Millis;
}

/** The shards' numbers as the root has them. Entries stay when they expire, so that no late report of before counts as new. */
export class ShardLedger {
  readonly #entries: Map<Member, Entry>;
  /** Stalls and stays that shards have told of in this life of the ledger. */
  #stalls = 0;
  #joins = 0;

  constructor(kept: Entry[] = []) {
    this.#entries = new Map(kept.map((entry) => [entry.report.shard, entry]));
  }

  /** Takes a report over, for the time of a lease. False where it is not newer than the last one, which then holds on as it did. */
  accept(report: ShardReport, now: Millis): boolean {
    const last = this.#entries.get(report.shard)?.report;
    if (last !== undefined && (report.boot - last.boot || report.seq - last.seq) <= 0) return false;
    // Each life of a shard counts from 0.
    const before = last?.boot === report.boot ? last.playback : undefined;
    this.#stalls += Math.max(0, (report.playback?.stalls ?? 0) - (before?.stalls ?? 0));
    this.#joins += Math.max(0, (report.playback?.joins ?? 0) - (before?.joins ?? 0));
    this.#entries.set(report.shard, { report, expiresAt: now + SHARD_LEASE_MS });
    return true;
  }

  /** Viewers of all shards, with those who lost their socket to a restart; the root's own are not in it. */
  total(now: Millis): number {
    return this.#live(now).reduce((sum, { report }) => sum + report.sockets, 0);
  }

  /** Viewers of all shards whose socket is open. */
  connected(now: Millis): number {
    return this.#live(now).reduce((sum, { report }) => sum + report.connected, 0);
  }

  /** What the players at all shards say, as of their last reports. */
  playback(now: Millis): PlaybackTally {
    const tallies = this.#live(now).flatMap(({ report }) => report.playback ?? []);
    const { renditions } = tallies.reduce(addTallies, { renditions: {}, stalls: 0, joins: 0 });
    return { renditions, stalls: this.#stalls, joins: this.#joins };
  }

  /** When the numbers next change by themselves; null where they don't. */
  nextExpiryAt(now: Millis): Millis | null {
    return this.#live(now)
      .filter(({ report }) => report.sockets > 0)
      .reduce<Millis | null>((next, { expiresAt }) => Math.min(next ?? expiresAt, expiresAt), null);
  }

  /** What the planner decides by. */
  loads(now: Millis): Map<Member, MemberLoad> {
    return new Map(
      [...this.#entries.values()].map(({ report, expiresAt }) => [
        report.shard,
        { sockets: report.sockets, knows: report.knows, expired: expiresAt <= now },
      ]),
    );
  }

  /** Those of a plan's shards that are to be asked for a report: a crashed one that nobody calls any more would never send its 0. */
  silent(shards: readonly Member[], now: Millis): Member[] {
    return shards.filter((shard) => (this.#entries.get(shard)?.expiresAt ?? 0) <= now);
  }

  snapshot(): Entry[] {
    return [...this.#entries.values()];
  }

  #live(now: Millis): Entry[] {
    return [...this.#entries.values()].filter(({ expiresAt }) => expiresAt > now);
  }
}
