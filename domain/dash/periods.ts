import { initFile, mediaPath } from "../media-address.ts";
import type { Track } from "../protocol/origin-link.ts";
import type { Millis, Seconds } from "../time.ts";
import { measureBitrate } from "../timeline/bitrate.ts";
import type { EpochStart, MediaTime, Segment } from "../timeline/segment.ts";
import { endsOf, expectAudioSegments, expectSegments, type TimedSegment } from "./expected.ts";
import type { DashWindow } from "./live-mpd.ts";
import type { AdaptationSet, Period, Representation, TimelineEntry } from "./mpd.ts";

/** What a period lists of a track. */
interface TrackRun {
  track: Track;
  listed: TimedSegment[];
  /** Nothing of the track in this period lies after it: what comes next belongs to it. */
  isOpen: boolean;
}

/** After so many segments of a period a track that has none is not waited for. */
const PATIENCE_SEGMENTS = 2;

const CONTENT_TYPES = ["video", "audio"] as const;

/** The periods of one connection: one, and one more after each gap (DA3). Those that left the window are dropped. */
export function composePeriods(window: DashWindow, epoch: EpochStart, isLatest: boolean, availabilityStart: Millis): Period[] {
  const { origin, startedAt } = epoch;
  if (origin === null || startedAt === null) return [];
  const tracks = window.tracksOfEpochs[epoch.epoch] ?? [];
  const begins = [{ msn: epoch.firstMsn, at: origin }, ...epoch.breaks];
  return begins.flatMap(({ msn, at }, index): Period[] => {
    const next = begins[index + 1]?.msn;
    const until = next ?? Number.POSITIVE_INFINITY;
    const goesOn = isLatest && next === undefined && window.connected && !window.ended;
    const runs = tracks.flatMap((track): TrackRun[] => {
      const inPeriod = (window.segments[track.name] ?? []).filter((one) => one.epoch === epoch.epoch && one.msn >= msn && one.msn < until);
      const listed = firstRun(inPeriod);
      return listed.length === 0 ? [] : [{ track, listed, isOpen: goesOn && listed.at(-1) === inPeriod.at(-1) }];
    });
    const reference = referenceOf(runs);
    if (reference === undefined) return [];
    // Players do not expect a choice to grow within a period: it begins with all its tracks, unless one is late.
    if (goesOn && runs.length < tracks.length && runs.every(({ listed }) => listed.length < PATIENCE_SEGMENTS)) return [];
    // A live period starts where it did when it was first published; of one that is over, what is gone is not announced.
    const begin = window.ended ? startOf(reference.listed) : at;
    const expected = window.partTarget === null ? new Map<string, MediaTime[]>() : expectAll(runs, reference);
    const representation = ({ track, listed }: TrackRun) =>
      composeRepresentation(window, epoch.epoch, track, listed, begin, expected.get(track.name) ?? []);
    const adaptationSets = CONTENT_TYPES.flatMap((contentType, number): AdaptationSet[] => {
      const representations = runs.filter(({ track }) => track.kind === contentType).map(representation);
      return representations.length === 0 ? [] : [{ id: number + 1, contentType, mimeType: `${contentType}/mp4`, representations }];
    });
    const start = (startedAt - availabilityStart) / 1000 + begin - origin;
    return [{ id: msn === epoch.firstMsn ? `${epoch.epoch}` : `${epoch.epoch}-${msn}`, start, duration: null, adaptationSets }];
  });
}

/** When a period's longest track ends, on the presentation's clock. */
export function endOfPeriod({ start, adaptationSets }: Period): Seconds {
  const ends = adaptationSets.flatMap(({ representations }) =>
    representations.map(({ template }) => {
      const { timescale, presentationTimeOffset, timeline } = template;
      const last = timeline.at(-1);
      return last === undefined ? 0 : (last.start + last.duration * last.count - presentationTimeOffset) / timescale;
    }),
  );
  return start + Math.max(0, ...ends);
}

/** The segments up to the first that cannot be listed. Where that is the first of all, those after it. */
function firstRun(segments: Segment[]): TimedSegment[] {
  const from = segments.findIndex(isTimed);
  if (from < 0) return [];
  const until = segments.findIndex((segment, index) => index > from && !isTimed(segment));
  return segments.slice(from, until < 0 ? undefined : until).filter(isTimed);
}

function isTimed(segment: Segment): segment is TimedSegment {
  return !segment.gap && segment.time !== null;
}

/** The track that the others follow: the first video, where there is one. */
function referenceOf(runs: TrackRun[]): TrackRun | undefined {
  return runs.find(({ track }) => track.kind === "video") ?? runs[0];
}

function startOf(listed: TimedSegment[]): Seconds {
  const first = listed[0];
  return first === undefined ? 0 : first.time.start / first.time.timescale;
}

/** What is expected of every track that goes on, by its name; nothing of any where the reference's cadence cannot be told (DA4). */
function expectAll(runs: TrackRun[], reference: TrackRun): Map<string, MediaTime[]> {
  const expected = new Map<string, MediaTime[]>();
  const ofReference = reference.isOpen ? expectSegments(reference.listed) : [];
  if (ofReference.length === 0) return expected;
  const ends = endsOf(reference.listed, ofReference);
  for (const { track, listed, isOpen } of runs) {
    if (!isOpen) continue;
    const follows = track.kind === "audio" && reference.track.kind === "video";
    expected.set(track.name, follows ? expectAudioSegments(listed, track, ends) : expectSegments(listed));
  }
  return expected;
}

function composeRepresentation(
  window: DashWindow,
  epoch: number,
  track: Track,
  listed: TimedSegment[],
  begin: Seconds,
  expected: MediaTime[],
): Representation {
  const [first] = listed as [TimedSegment, ...TimedSegment[]];
  const { timescale } = first.time;
  const { partTarget } = window;
  const folder = `${window.root}media/${mediaPath(window.streamId, window.broadcast, "$RepresentationID$", "")}`;
  return {
    id: track.name,
    codecs: track.codec,
    bandwidth: measureBitrate(listed, track.bandwidth).peak,
    video: track.kind === "video" ? { width: track.width, height: track.height, frameRate: encodeFrameRate(track.frame_rate) } : null,
    audio: track.kind === "audio" ? { sampleRate: track.sample_rate, channels: track.channels } : null,
    template: {
      timescale,
      presentationTimeOffset: Math.round(begin * timescale),
      media: `${folder}${epoch}-$Number$.m4s`,
      initialization: `${folder}${initFile(epoch)}`,
      startNumber: first.msn,
      // A segment can be asked for when its first part is there; the rest of it follows as it comes (DA4).
      availabilityTimeOffset: expected.length > 0 && partTarget !== null ? Math.max(0, shortest(expected) - partTarget) : null,
      timeline: encodeTimeline([...listed.map((segment) => segment.time), ...expected]),
    },
  };
}

function shortest(times: MediaTime[]): Seconds {
  return Math.min(...times.map(({ duration, timescale }) => duration / timescale));
}

/**
 * Each segment lasts until the next one starts, also where a stalled encoder left a hole in the media: players look for a segment at the end of the one
 * before, and would wait in the hole for ever. Equally long ones share an entry.
 */
function encodeTimeline(times: MediaTime[]): TimelineEntry[] {
  const entries: TimelineEntry[] = [];
  for (const [index, { start, duration: own }] of times.entries()) {
    const untilNext = (times[index + 1]?.start ?? start + own) - start;
    const duration = untilNext > 0 ? untilNext : own;
    const last = entries.at(-1);
    if (last !== undefined && last.duration === duration && last.start + last.count * duration === start) last.count += 1;
    else entries.push({ start, duration, count: 1 });
  }
  return entries;
}

/** Whole, or a fraction: what the schema allows. */
function encodeFrameRate(frameRate: number | null): string | null {
  if (frameRate === null) return null;
  if (Math.abs(frameRate - Math.round(frameRate)) < 0.001) return String(Math.round(frameRate));
  const whole = Math.round(frameRate * 1.001);
  if (Math.abs((whole * 1000) / 1001 - frameRate) < 0.002) return `${whole * 1000}/1001`;
  return `${Math.round(frameRate * 1000)}/1000`;
}
