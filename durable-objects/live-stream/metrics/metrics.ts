import { computeAnalytics } from "../../../domain/analytics/analytics.ts";
import { type BroadcastSummary, beginSummary, countSamples, higher, noteWarnings } from "../../../domain/analytics/broadcast-summary.ts";
import { COMPARED_BROADCASTS } from "../../../domain/analytics/trends.ts";
import type { Broadcast, Connection, Transition } from "../../../domain/broadcast/broadcast.ts";
import { NovaError } from "../../../domain/errors.ts";
import { type Aggregate, addSample, emptyAggregate } from "../../../domain/metrics/aggregate.ts";
import { pointsOfAggregates, pointsOfSamples } from "../../../domain/metrics/points.ts";
import type { Resolution } from "../../../domain/metrics/resolution.ts";
import {
  mergeSamples,
  packSample,
  rowOf,
  SAMPLES_OF_ROW,
  type Sample,
  secondOf,
  type UnixSecond,
  unpackSample,
} from "../../../domain/metrics/sample.ts";
import type { Analytics } from "../../../domain/protocol/api/analytics.ts";
import type { Metrics as MetricsAnswer } from "../../../domain/protocol/api/metrics.ts";
import type { Heartbeat } from "../../../domain/protocol/origin-link.ts";
import { isoTime, type Millis } from "../../../domain/time.ts";
import type { MediaWindows } from "../media-windows.ts";
import type { Presence } from "../presence.ts";
import { MetricRows } from "./metric-rows.ts";
import { Sampler } from "./sampler.ts";

const MINUTE: UnixSecond = 60;
const HOUR: UnixSecond = 3_600;
const EVER: UnixSecond = Number.MAX_SAFE_INTEGER;

interface OpenRow {
  /** Its first second. */
  row: UnixSecond;
  samples: Sample[];
  /** All of it is in storage. */
  written: boolean;
}

/** What the figures are taken from. */
export interface MetricsOwner {
  sql: SqlStorage;
  lifecycle: Broadcast;
  windows: MediaWindows;
  presence: Presence;
}

/**
 * The stream's figures: a sample for each second of a live broadcast, kept in rows of ten, and what follows from them: minutes and the broadcast's summary,
 * when a minute is over and when the broadcast ends. Memory holds the seconds that have no row yet, at most ten.
 */
export class Metrics {
  readonly #owner: MetricsOwner;
  readonly #rows: MetricRows;
  readonly #sampler = new Sampler();
  /** The seconds of the row that is being filled; null until the first sample of this life. */
  #open: OpenRow | null = null;
  /** Of the latest broadcast; written down with each minute. */
  #summary: BroadcastSummary | null;

  constructor(owner: MetricsOwner) {
    this.#owner = owner;
    this.#rows = new MetricRows(owner.sql);
    this.#summary = this.#rows.summaries(EVER, 1)[0] ?? null;
  }

  /** Takes the heartbeat of a live broadcast. Never throws: a broadcast goes on whatever becomes of its figures. */
  observe({ epoch, broadcast }: Connection, heartbeat: Heartbeat, now: Millis): void {
    const { lifecycle, windows, presence } = this.#owner;
    if (lifecycle.status !== "active") return;
    guarded(() => {
      this.#summary = this.#current(now);
      const at = secondOf(now, this.#lastSecond(now));
      const media = windows.get(broadcast);
      this.#add(this.#sampler.take(at, epoch, heartbeat, this.#audience(now), media));
      const tracks = media?.tracks.tracks;
      const has = (kind: string) => tracks === undefined || tracks.some((track) => track.kind === kind);
      const summary = noteWarnings(this.#summary, heartbeat.warnings);
      // The audience may have been larger between two heartbeats.
      const peakViewers = higher(summary.peakViewers, presence.peak, at * 1000);
      this.#summary = { ...summary, peakViewers, hasVideo: has("video"), hasAudio: has("audio") };
    });
  }

  /** The broadcast begins, is interrupted, goes on or ends. Never throws. */
  apply(transition: Transition, now: Millis): void {
    guarded(() => {
      switch (transition.kind) {
        case "started":
          this.#sampler.begin(this.#audience(now));
          return this.#keep(beginSummary(transition.broadcast, now, this.#nextSecond(now)));
        case "reconnecting":
          this.#noteError();
          return this.#writeRow();
        case "resumed": {
          const summary = this.#current(now);
          return this.#keep({ ...summary, reconnects: summary.reconnects + 1 });
        }
        case "ended":
          return this.#end(transition, now);
      }
    });
  }

  /** The points of a range. */
  points(resolution: Resolution): MetricsAnswer {
    const { since, until, step, from } = resolution;
    const range = { since: isoTime(since * 1000), until: isoTime(until * 1000), step };
    if (from === "seconds") return { ...range, points: pointsOfSamples(this.#samples(since, until), resolution) };
    if (from === "minutes") return { ...range, points: pointsOfAggregates(this.#minutes(since, until), resolution) };
    // Of the hour that is not over, and what came after it, the minutes are known.
    const over = Math.min(Math.max(since, startOf(HOUR, this.#summary?.countedUntil ?? EVER)), until);
    return { ...range, points: pointsOfAggregates([...this.#rows.hours(since, over), ...this.#minutes(over, until)], resolution) };
  }

  /** How a broadcast went, by default the latest. Throws 404 `broadcast_not_found`. */
  analytics(number: number | null, now: Millis): Analytics {
    const { lifecycle } = this.#owner;
    const latest = this.#summary === null ? null : this.#upToDate(this.#summary);
    const summary = number === null || number === latest?.broadcast ? latest : this.#find(number);
    const status = summary?.broadcast === lifecycle.number ? lifecycle.status : summary?.failed ? "error" : "completed";
    const former = summary === null ? [] : this.#rows.summaries(summary.broadcast - 1, COMPARED_BROADCASTS);
    return computeAnalytics(summary, status, former, now);
  }

  /** When `purge` is due; null where there is nothing to delete. */
  nextPurgeAt(): Millis | null {
    return this.#rows.nextPurgeAt();
  }

  /** Deletes seconds that are older than 24 h and minutes that are older than 30 days, when it is due. */
  purge(now: Millis): void {
    const due = this.nextPurgeAt();
    if (due !== null && due <= now) this.#rows.purge(now);
  }

  #add(taken: Sample): void {
    const row = rowOf(taken.at);
    // Rounded as in a row: what is asked for does not change when it is written down.
    const sample = unpackSample(row, packSample(taken));
    if (this.#open?.row !== row) {
      this.#writeRow();
      this.#closeMinutes(startOf(MINUTE, sample.at), sample.at * 1000);
      // An interruption may have written a part of it.
      this.#open = this.#loadRow(row);
    }
    const { samples } = this.#open;
    this.#open.written = false;
    const index = samples.findIndex(({ at }) => at === sample.at);
    const same = samples[index];
    if (same === undefined) samples.push(sample);
    else samples[index] = mergeSamples(same, sample);
  }

  #end(transition: Extract<Transition, { kind: "ended" }>, now: Millis): void {
    const { broadcast, status, reason, startedAt, endedAt } = transition;
    const failed = status === "error";
    // A deleted stream that was not live has no broadcast that ends.
    if (startedAt === null && !failed) return;
    if (failed && startedAt !== null) this.#noteError();
    this.#writeRow();
    this.#closeMinutes(this.#nextSecond(now), now);
    const known =
      this.#summary?.broadcast === broadcast ? this.#summary : beginSummary(broadcast, startedAt ?? endedAt, this.#nextSecond(now));
    const peakViewers = higher(known.peakViewers, startedAt === null ? 0 : this.#owner.presence.peak, now);
    this.#keep({ ...known, peakViewers, endedAt, failed, endReason: reason });
  }

  #noteError(): void {
    const last = this.#open?.samples.at(-1);
    if (this.#open === null || last === undefined) return this.#sampler.noteError();
    last.errors += 1;
    this.#open.written = false;
  }

  #writeRow(): void {
    if (this.#open === null || this.#open.written) return;
    this.#rows.saveRow(this.#open.row, this.#open.samples);
    this.#open.written = true;
  }

  #loadRow(row: UnixSecond): OpenRow {
    return { row, samples: this.#rows.samples(row, row + SAMPLES_OF_ROW), written: true };
  }

  /** Writes down the minutes that are over, and the summary with them; all seconds before `until` have their rows. */
  #closeMinutes(until: UnixSecond, now: Millis): void {
    const summary = this.#current(now);
    if (summary.countedUntil >= until) return;
    const samples = this.#samples(startOf(MINUTE, summary.countedUntil), until);
    this.#rows.saveMinutes(minutesOf(samples));
    this.#keep(countSamples(summary, samples, until));
  }

  /** Minutes, also those that are not written down yet. */
  #minutes(from: UnixSecond, until: UnixSecond): Map<UnixSecond, Aggregate> {
    const open = this.#samples(startOf(MINUTE, this.#summary?.countedUntil ?? until), until);
    return new Map([...this.#rows.minutes(from, until), ...minutesOf(open)]);
  }

  #samples(from: UnixSecond, until: UnixSecond): Sample[] {
    const stored = this.#rows.samples(from, until);
    const open = this.#open;
    if (open === null) return stored;
    const others = stored.filter(({ at }) => rowOf(at) !== open.row);
    return [...others, ...open.samples.filter(({ at }) => at >= from && at < until)];
  }

  #upToDate(summary: BroadcastSummary): BroadcastSummary {
    return countSamples(summary, this.#samples(summary.countedUntil, EVER), EVER);
  }

  #find(number: number): BroadcastSummary {
    const found = this.#rows.summaries(number, 1)[0];
    if (found?.broadcast !== number) throw new NovaError(404, "broadcast_not_found", `this stream has had no broadcast ${number}`);
    return found;
  }

  /** The summary of the broadcast that is live. */
  #current(now: Millis): BroadcastSummary {
    const { phase, number } = this.#owner.lifecycle;
    if (this.#summary !== null && this.#summary.broadcast >= number) return this.#summary;
    const startedAt = phase.status === "active" || phase.status === "reconnecting" ? phase.startedAt : now;
    return beginSummary(number, startedAt, this.#nextSecond(now));
  }

  #keep(summary: BroadcastSummary): void {
    this.#summary = summary;
    this.#rows.saveSummary(summary);
  }

  #audience(now: Millis) {
    const { presence } = this.#owner;
    return { viewers: presence.viewers(now), tally: presence.playback(now) };
  }

  /** The newest second that has a sample; null where none has lately. */
  #lastSecond(now: Millis): UnixSecond | null {
    this.#open ??= this.#loadRow(rowOf(Math.floor(now / 1000)));
    return this.#open.samples.at(-1)?.at ?? null;
  }

  /** The first second that has no sample yet. */
  #nextSecond(now: Millis): UnixSecond {
    return Math.max(Math.floor(now / 1000), (this.#lastSecond(now) ?? -1) + 1);
  }
}

function minutesOf(samples: readonly Sample[]): Map<UnixSecond, Aggregate> {
  const minutes = new Map<UnixSecond, Aggregate>();
  for (const sample of samples) {
    const at = startOf(MINUTE, sample.at);
    const minute = minutes.get(at) ?? emptyAggregate();
    addSample(minute, sample);
    minutes.set(at, minute);
  }
  return minutes;
}

function startOf(length: UnixSecond, at: UnixSecond): UnixSecond {
  return at - (at % length);
}

function guarded(body: () => void): void {
  try {
    body();
  } catch (error) {
    console.warn(JSON.stringify({ event: "metrics_failed", error: String(error) }));
  }
}
