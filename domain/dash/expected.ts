import type { Track } from "../protocol/origin-link.ts";
import type { MediaTime, Segment } from "../timeline/segment.ts";

/** How many segments are listed before they are whole: the open one, and the next, because a player's manifest is a moment old. */
const AHEAD = 2;
/** Segments whose lengths differ by less than this follow a regular cadence. */
const REGULAR_WITHIN_SECONDS = 0.05;
/** How many segments have to agree. */
const OBSERVED = 3;

/**
 * Where the segments after the last listed one will lie, as far as the ones before tell: empty where their lengths are irregular. Audio
 * follows the video's boundaries, to the nearest frame, so its lengths are taken over several segments.
 */
export function expectSegments(listed: readonly (Segment & { time: MediaTime })[], track: Track): MediaTime[] {
  const recent = listed.slice(-OBSERVED).map((segment) => segment.time);
  const last = recent.at(-1);
  const first = recent[0];
  if (first === undefined || last === undefined) return [];
  const { timescale } = last;
  const lengths = recent.map((time) => time.duration);
  if (Math.max(...lengths) - Math.min(...lengths) >= REGULAR_WITHIN_SECONDS * timescale) return [];
  const expected: MediaTime[] = [];
  let start = last.start + last.duration;
  if (track.kind === "video") {
    for (let index = 0; index < AHEAD; index++, start += last.duration) expected.push({ start, duration: last.duration, timescale });
    return expected;
  }
  const frame = greatestCommonDivisor(lengths);
  const average = (start - first.start) / recent.length;
  for (let index = 0; index < AHEAD; index++) {
    const duration = Math.round(average / frame) * frame;
    expected.push({ start, duration, timescale });
    start += duration;
  }
  return expected;
}

/** Of audio segments' lengths: a whole number of frames, and no less exact than one. */
function greatestCommonDivisor(numbers: number[]): number {
  return numbers.reduce((a, b) => {
    let [left, right] = [a, b];
    while (right !== 0) [left, right] = [right, left % right];
    return left;
  });
}
