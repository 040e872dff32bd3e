import type { Health } from "../protocol/events.ts";

/** A Unix time in whole seconds. */
export type UnixSecond = number;

/** One second of a live broadcast. */
export interface Sample {
  at: UnixSecond;
  /** Who have a socket, or lost it to a restart a moment ago. */
  viewers: number;
  /** Players without a socket. */
  pull: number;
  /** Stays of viewers that have begun since the sample before. */
  joins: number;
  ingressKbps: number;
  /** An estimate: who plays what, by its measured bitrate. */
  egressKbps: number;
  fps: number;
  /** Frames that the origin has dropped since the sample before. */
  dropped: number;
  /** Seconds; null where it is not known yet. */
  keyframeInterval: number | null;
  /** Media time over wall time: below 1 the origin falls behind. */
  speed: number;
  /** Since the sample before, by what players have said. */
  stalls: number;
  /** Lost connections and troubles at the origin since the sample before. */
  errors: number;
  health: Health;
  /** The connection has lasted for as long as the origin measures over: before, bitrate and frame rate are those of a beginning. */
  settled: boolean;
  /** Viewers by the rendition that they play, as far as they have said. */
  renditions: Record<string, number>;
}

/** How many seconds lie in a row of samples. */
export const SAMPLES_OF_ROW = 10;

/** A heartbeat is late by less than this, as a rule. */
const LATE_MS = 500;
/** Clocks that differ by more are not two machines' any more. */
const SET_BACK_SECONDS = 60;
const HEALTHS = ["good", "fair", "poor"] as const satisfies readonly Health[];

/** A sample in a row, without names: its second within the row comes first. The order is for as long as rows are kept. */
export type PackedSample = [
  offset: number,
  viewers: number,
  pull: number,
  joins: number,
  ingressKbps: number,
  egressKbps: number,
  fps: number,
  dropped: number,
  keyframeInterval: number | null,
  speed: number,
  stalls: number,
  errors: number,
  health: number,
  settled: 0 | 1,
  renditions: Record<string, number>,
];

/** The first second of the row that a second lies in. */
export function rowOf(at: UnixSecond): UnixSecond {
  return at - (at % SAMPLES_OF_ROW);
}

/**
 * The second that a heartbeat now is of. Heartbeats come each second, more or less: one that is a little late is of the second that would else stay
 * empty, and none is of a second before `last`, unless the clock was set back.
 */
export function secondOf(nowMs: number, last: UnixSecond | null): UnixSecond {
  const second = Math.floor(nowMs / 1000);
  if (last === null || second < last - SET_BACK_SECONDS) return second;
  const isLate = second === last + 2 && nowMs - second * 1000 < LATE_MS;
  return isLate ? last + 1 : Math.max(last, second);
}

/** Two samples of one second: what happened in both, and how things stand by the later one. */
export function mergeSamples(earlier: Sample, later: Sample): Sample {
  return {
    ...later,
    viewers: Math.max(earlier.viewers, later.viewers),
    joins: earlier.joins + later.joins,
    dropped: earlier.dropped + later.dropped,
    stalls: earlier.stalls + later.stalls,
    errors: earlier.errors + later.errors,
  };
}

/** A sample as it lies in a row. */
export function packSample(sample: Sample): PackedSample {
  const { at, viewers, pull, joins, dropped, stalls, errors, renditions } = sample;
  return [
    at - rowOf(at),
    viewers,
    pull,
    joins,
    Math.round(sample.ingressKbps),
    Math.round(sample.egressKbps),
    rounded(sample.fps, 10),
    dropped,
    sample.keyframeInterval === null ? null : rounded(sample.keyframeInterval, 100),
    rounded(sample.speed, 1000),
    stalls,
    errors,
    HEALTHS.indexOf(sample.health),
    sample.settled ? 1 : 0,
    renditions,
  ];
}

/** The sample of a row that begins with the second `row`. */
export function unpackSample(row: UnixSecond, packed: PackedSample): Sample {
  const [offset, viewers, pull, joins, ingressKbps, egressKbps, fps, dropped, keyframeInterval, speed, stalls, errors, ...rest] = packed;
  const [health, settled, renditions] = rest;
  return {
    ...{ at: row + offset, viewers, pull, joins, ingressKbps, egressKbps, fps, dropped, keyframeInterval, speed, stalls, errors },
    health: HEALTHS[health] ?? "poor",
    settled: settled === 1,
    renditions,
  };
}

function rounded(value: number, parts: number): number {
  return Math.round(value * parts) / parts;
}
