import type { Segment } from "./segment.ts";

/** A segment behind the live edge, as it is kept in a row beside others: its parts and its digest are of no more use. */
export type PackedSegment = [
  msn: number,
  epoch: number,
  duration: number,
  pdt: number,
  size: number,
  gap: 0 | 1,
  start: number | null,
  ticks: number | null,
  timescale: number | null,
];

/** A segment without what only the live edge needs. */
export function packSegment({ msn, epoch, duration, pdt, size, gap, time }: Segment): PackedSegment {
  return [msn, epoch, duration, pdt, size, gap ? 1 : 0, time?.start ?? null, time?.duration ?? null, time?.timescale ?? null];
}

export function unpackSegment([msn, epoch, duration, pdt, size, gap, start, ticks, timescale]: PackedSegment): Segment {
  const time = start === null || ticks === null || timescale === null ? null : { start, duration: ticks, timescale };
  return { msn, epoch, duration, pdt, size, gap: gap === 1, time, digest: "", parts: [] };
}
