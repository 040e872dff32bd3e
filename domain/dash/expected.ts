import type { AudioTrack } from "../protocol/origin-link.ts";
import type { Seconds } from "../time.ts";
import type { MediaTime, Segment } from "../timeline/segment.ts";

/** A segment that can be listed: its bytes are there, and their times are known. */
export type TimedSegment = Segment & { time: MediaTime };

/** How many segments are listed before they are whole: the open one, and the next, because a player's manifest is a moment old. */
const AHEAD = 2;
/** Segments whose lengths differ by less than this follow a cadence: a frame or two of jitter, not odd key frames. */
const REGULAR_WITHIN: Seconds = 0.1;
/** How many segments have to agree, where there are as many. */
const AGREEING = 3;
/** How many are looked at: among eight the longest that jitter makes has mostly been seen. */
const OBSERVED = 8;

/**
 * Where the segments after the last listed one will lie: empty where the lengths before are irregular. They are taken for the longest seen. A
 * player asks for what follows the end that it was told: told too late an end it finds the next segment, too early it gets the same one again.
 */
export function expectSegments(listed: readonly TimedSegment[]): MediaTime[] {
  const last = listed.at(-1)?.time;
  if (last === undefined) return [];
  const { timescale } = last;
  let [shortest, longest, agreeing] = [last.duration, last.duration, 0];
  for (const { time } of listed.slice(-OBSERVED).reverse()) {
    const [least, most] = [Math.min(shortest, time.duration), Math.max(longest, time.duration)];
    if (most - least >= REGULAR_WITHIN * timescale) break;
    [shortest, longest, agreeing] = [least, most, agreeing + 1];
  }
  if (agreeing < Math.min(AGREEING, listed.length)) return [];
  const end = last.start + last.duration;
  return Array.from({ length: AHEAD }, (_, index) => ({ start: end + index * longest, duration: longest, timescale }));
}

/** The same for audio beside video: it ends with the frame nearest to the video's end (CM3), so no later than the first frame after. `ends` by number. */
export function expectAudioSegments(listed: readonly TimedSegment[], track: AudioTrack, ends: ReadonlyMap<number, Seconds>): MediaTime[] {
  const last = listed.at(-1);
  if (last === undefined) return [];
  const { timescale } = last.time;
  const frame = Math.round((frameLength(track) * timescale) / track.sample_rate);
  const expected: MediaTime[] = [];
  let start = last.time.start + last.time.duration;
  for (let msn = last.msn + 1; msn <= last.msn + AHEAD; msn++) {
    const end = ends.get(msn);
    if (end === undefined) break;
    const duration = Math.ceil((Math.round(end * timescale) - start) / frame) * frame;
    if (duration <= 0) break;
    expected.push({ start, duration, timescale });
    start += duration;
  }
  return expected;
}

/** When segments end on the clock that the tracks share, by number: those of the video that are listed, and those that are expected. */
export function endsOf(listed: readonly TimedSegment[], expected: readonly MediaTime[]): Map<number, Seconds> {
  const next = (listed.at(-1)?.msn ?? 0) + 1;
  const known = listed.slice(-AHEAD).map(({ msn, time }): [number, MediaTime] => [msn, time]);
  const all = [...known, ...expected.map((time, index): [number, MediaTime] => [next + index, time])];
  return new Map(all.map(([msn, { start, duration, timescale }]) => [msn, (start + duration) / timescale]));
}

/** Samples of a coded AAC frame, as they come out: HE-AAC doubles its core's. */
function frameLength({ codec }: AudioTrack): number {
  return codec === "mp4a.40.5" || codec === "mp4a.40.29" ? 2048 : 1024;
}
