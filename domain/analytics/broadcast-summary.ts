import { type Aggregate, addSample, emptyAggregate, type PackedAggregate, packAggregate, unpackAggregate } from "../metrics/aggregate.ts";
import type { Sample, UnixSecond } from "../metrics/sample.ts";
import type { Millis } from "../time.ts";

/** The largest value of a figure, and when it was. */
export interface Peak {
  value: number;
  at: Millis;
}

/** What is kept of a broadcast for ever. */
export interface BroadcastSummary {
  broadcast: number;
  startedAt: Millis;
  /** Null while it goes on. */
  endedAt: Millis | null;
  /** It ended by a fault. */
  failed: boolean;
  endReason: string | null;
  /** How often its encoder came back. */
  reconnects: number;
  peakViewers: Peak;
  peakIngressKbps: Peak;
  hasVideo: boolean;
  hasAudio: boolean;
  /** What its origin had to say, each once; the first ten. */
  warnings: string[];
  /** Samples of seconds before are in `total`. */
  countedUntil: UnixSecond;
  total: Aggregate;
}

/** The same, as it lies in a row. */
export type PackedSummary = Omit<BroadcastSummary, "total"> & { total: PackedAggregate };

const MAX_WARNINGS = 10;

/** The summary of a broadcast that begins; samples before the second `from` are of another. */
export function beginSummary(broadcast: number, startedAt: Millis, from: UnixSecond): BroadcastSummary {
  return {
    broadcast,
    startedAt,
    endedAt: null,
    failed: false,
    endReason: null,
    reconnects: 0,
    peakViewers: { value: 0, at: startedAt },
    peakIngressKbps: { value: 0, at: startedAt },
    hasVideo: true,
    hasAudio: true,
    warnings: [],
    countedUntil: from,
    total: emptyAggregate(),
  };
}

/** A summary with those samples in it that it does not have yet, and that are of seconds before `until`. */
export function countSamples(summary: BroadcastSummary, samples: Iterable<Sample>, until: UnixSecond): BroadcastSummary {
  const total = { ...summary.total, renditions: { ...summary.total.renditions } };
  let { peakViewers, peakIngressKbps } = summary;
  for (const sample of samples) {
    if (sample.at < summary.countedUntil || sample.at >= until) continue;
    addSample(total, sample);
    peakViewers = higher(peakViewers, sample.viewers, sample.at * 1000);
    peakIngressKbps = higher(peakIngressKbps, sample.ingressKbps, sample.at * 1000);
  }
  return { ...summary, peakViewers, peakIngressKbps, total, countedUntil: Math.max(summary.countedUntil, until) };
}

/** The higher one of a peak and what is seen now. */
export function higher(peak: Peak, value: number, at: Millis): Peak {
  return value > peak.value ? { value, at } : peak;
}

/** A summary with what its origin says. */
export function noteWarnings(summary: BroadcastSummary, warnings: readonly string[]): BroadcastSummary {
  const all = [...new Set([...summary.warnings, ...warnings])].slice(0, MAX_WARNINGS);
  return all.length === summary.warnings.length ? summary : { ...summary, warnings: all };
}

/** A summary as it lies in a row. */
export function packSummary(summary: BroadcastSummary): PackedSummary {
  return { ...summary, total: packAggregate(summary.total) };
}

/** The summary of a row. */
export function unpackSummary(packed: PackedSummary): BroadcastSummary {
  return { ...packed, total: unpackAggregate(packed.total) };
}
