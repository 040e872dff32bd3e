import { type BroadcastSummary, type PackedSummary, packSummary, unpackSummary } from "../../../domain/analytics/broadcast-summary.ts";
import {
  type Aggregate,
  addAggregate,
  emptyAggregate,
  type PackedAggregate,
  packAggregate,
  unpackAggregate,
} from "../../../domain/metrics/aggregate.ts";
import { MINUTES_KEPT, SECONDS_KEPT } from "../../../domain/metrics/resolution.ts";
import { type PackedSample, packSample, rowOf, type Sample, type UnixSecond, unpackSample } from "../../../domain/metrics/sample.ts";
import type { Millis } from "../../../domain/time.ts";

const MINUTE: UnixSecond = 60;
const HOUR: UnixSecond = 3_600;
const DAY: UnixSecond = 86_400;

/** Minutes of an hour, by their number in it. Beside them lies the aggregate of all, so that a month is read in a moment. */
type PackedHour = Record<number, PackedAggregate>;

/**
 * The figures of a stream in its object's SQLite: ten seconds a row, the minutes of an hour in one, and one for each broadcast. A row written costs the
 * same whatever it holds, and ten seconds are what a crash may cost.
 */
export class MetricRows {
  readonly #sql: SqlStorage;
  #oldestSeconds: UnixSecond | null;
  #oldestHour: UnixSecond | null;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`
      CREATE TABLE IF NOT EXISTS metric_seconds (at INTEGER PRIMARY KEY, samples TEXT NOT NULL);
      CREATE TABLE IF NOT EXISTS metric_hours (at INTEGER PRIMARY KEY, total TEXT NOT NULL, minutes TEXT NOT NULL);
      CREATE TABLE IF NOT EXISTS broadcasts (number INTEGER PRIMARY KEY, summary TEXT NOT NULL);
    `);
    this.#oldestSeconds = this.#oldest("metric_seconds");
    this.#oldestHour = this.#oldest("metric_hours");
  }

  /** Writes the samples of a row down, in place of what it had. */
  saveRow(row: UnixSecond, samples: readonly Sample[]): void {
    const packed = JSON.stringify(samples.map(packSample));
    this.#sql.exec("INSERT OR REPLACE INTO metric_seconds (at, samples) VALUES (?, ?)", row, packed);
    this.#oldestSeconds = Math.min(this.#oldestSeconds ?? row, row);
  }

  /** Samples from a second up to, and without, another, in order. */
  samples(from: UnixSecond, until: UnixSecond): Sample[] {
    return this.#sql
      .exec<{ at: number; samples: string }>(
        "SELECT at, samples FROM metric_seconds WHERE at >= ? AND at < ? ORDER BY at",
        rowOf(from),
        Math.min(until, Number.MAX_SAFE_INTEGER),
      )
      .toArray()
      .flatMap(({ at, samples }) => (JSON.parse(samples) as PackedSample[]).map((packed) => unpackSample(at, packed)))
      .filter(({ at }) => at >= from && at < until);
  }

  /** Writes minutes down, each in place of what it was. */
  saveMinutes(minutes: Map<UnixSecond, Aggregate>): void {
    const hours = new Map<UnixSecond, PackedHour>();
    for (const [at, aggregate] of minutes) {
      const hour = at - (at % HOUR);
      const packed = hours.get(hour) ?? this.#hours(hour, hour + HOUR)[0]?.minutes ?? {};
      packed[(at - hour) / MINUTE] = packAggregate(aggregate);
      hours.set(hour, packed);
    }
    for (const [hour, packed] of hours) {
      const total = emptyAggregate();
      for (const minute of Object.values(packed)) addAggregate(total, unpackAggregate(minute));
      const query = "INSERT OR REPLACE INTO metric_hours (at, total, minutes) VALUES (?, ?, ?)";
      this.#sql.exec(query, hour, JSON.stringify(packAggregate(total)), JSON.stringify(packed));
      this.#oldestHour = Math.min(this.#oldestHour ?? hour, hour);
    }
  }

  /** Minutes from a second up to, and without, another, by the second that they begin with. */
  minutes(from: UnixSecond, until: UnixSecond): Map<UnixSecond, Aggregate> {
    const minutes = new Map<UnixSecond, Aggregate>();
    for (const { at, minutes: packed } of this.#hours(from - (from % HOUR), until)) {
      for (const [index, minute] of Object.entries(packed)) minutes.set(at + Number(index) * MINUTE, unpackAggregate(minute));
    }
    return minutes;
  }

  /** Whole hours, by the same. */
  hours(from: UnixSecond, until: UnixSecond): [UnixSecond, Aggregate][] {
    return this.#sql
      .exec<{ at: number; total: string }>("SELECT at, total FROM metric_hours WHERE at >= ? AND at < ? ORDER BY at", from, until)
      .toArray()
      .map(({ at, total }) => [at, unpackAggregate(JSON.parse(total) as PackedAggregate)]);
  }

  saveSummary(summary: BroadcastSummary): void {
    const packed = JSON.stringify(packSummary(summary));
    this.#sql.exec("INSERT OR REPLACE INTO broadcasts (number, summary) VALUES (?, ?)", summary.broadcast, packed);
  }

  /** Summaries of broadcasts up to and with a number, the latest first. */
  summaries(upTo: number, limit: number): BroadcastSummary[] {
    return this.#sql
      .exec<{ summary: string }>("SELECT summary FROM broadcasts WHERE number <= ? ORDER BY number DESC LIMIT ?", upTo, limit)
      .toArray()
      .map(({ summary }) => unpackSummary(JSON.parse(summary) as PackedSummary));
  }

  /** When there is something to delete; null where nothing is kept. Seconds go by the hour, minutes by the day. */
  nextPurgeAt(): Millis | null {
    const times = [
      this.#oldestSeconds === null ? null : this.#oldestSeconds + SECONDS_KEPT + HOUR,
      this.#oldestHour === null ? null : this.#oldestHour + MINUTES_KEPT + DAY,
    ].filter((at) => at !== null);
    return times.length === 0 ? null : Math.min(...times) * 1000;
  }

  /** Deletes what is kept no longer. */
  purge(now: Millis): void {
    const second = Math.floor(now / 1000);
    this.#sql.exec("DELETE FROM metric_seconds WHERE at < ?", second - SECONDS_KEPT);
    this.#sql.exec("DELETE FROM metric_hours WHERE at < ?", second - MINUTES_KEPT);
    this.#oldestSeconds = this.#oldest("metric_seconds");
    this.#oldestHour = this.#oldest("metric_hours");
  }

  #hours(from: UnixSecond, until: UnixSecond): { at: UnixSecond; minutes: PackedHour }[] {
    return this.#sql
      .exec<{ at: number; minutes: string }>("SELECT at, minutes FROM metric_hours WHERE at >= ? AND at < ? ORDER BY at", from, until)
      .toArray()
      .map(({ at, minutes }) => ({ at, minutes: JSON.parse(minutes) as PackedHour }));
  }

  /** The lower end of a primary key: one row read. */
  #oldest(table: "metric_seconds" | "metric_hours"): UnixSecond | null {
    return this.#sql.exec<{ at: number | null }>(`SELECT min(at) AS at FROM ${table}`).one().at;
  }
}
