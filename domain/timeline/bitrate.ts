import type { Segment } from "./segment.ts";

/** Bits per second of the largest segment and of all. Never 0: players divide by it. */
export function measureBitrate(segments: Segment[], declared: number): { peak: number; average: number } {
  let bits = 0;
  let seconds = 0;
  let peak = declared;
  for (const segment of segments) {
    if (segment.gap) continue;
    bits += segment.size * 8;
    seconds += segment.duration;
    peak = Math.max(peak, (segment.size * 8) / segment.duration);
  }
  const average = seconds > 0 ? bits / seconds : declared;
  return { peak: Math.max(1, peak), average: Math.max(1, average) };
}
