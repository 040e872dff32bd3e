import { initFile, mediaPath } from "../media-address.ts";
import type { Track } from "../protocol/origin-link.ts";
import type { Millis, Seconds } from "../time.ts";
import { measureBitrate } from "../timeline/bitrate.ts";
import type { EpochStart, MediaTime, Segment } from "../timeline/segment.ts";
import { expectSegments } from "./expected.ts";
import type { AdaptationSet, LiveTimes, Mpd, Period, Representation, TimelineEntry } from "./mpd.ts";

/** What a manifest is made of. */
export interface DashWindow {
  streamId: string;
  broadcast: number;
  ended: boolean;
  targetDuration: number;
  dvrWindowSeconds: Seconds;
  /** Length of the longest part; null where only whole segments are listed. */
  partTarget: Seconds | null;
  /** An encoder is connected: the open segment goes on. */
  connected: boolean;
  /** All of the broadcast's, the first included. */
  epochs: readonly EpochStart[];
  tracksOfEpochs: Record<number, Track[]>;
  /** Segments that are listed, by rendition, in order. */
  segments: Record<string, Segment[]>;
  /** From the manifest's address to `/`. */
  root: string;
}

/** How far behind the camera a low-latency player is asked to be, beyond three parts: manifests are a second old, and so are its own buffers. */
const LATENCY_MARGIN: Seconds = 0.5;

/** A segment that can be listed: its bytes are there, and their times are known. */
type Timed = Segment & { time: MediaTime };

/** One broadcast as a manifest (DA1–DA5). */
export function composeMpd(window: DashWindow): Mpd {
  const periods = window.epochs.flatMap((epoch, index) => composePeriods(window, epoch, window.epochs[index + 1] === undefined));
  const all = Object.values(window.segments).flat();
  const longest = Math.max(window.targetDuration, ...all.map((segment) => segment.duration));
  const common = { minBufferTime: window.partTarget ?? window.targetDuration, maxSegmentDuration: longest };
  if (window.ended) {
    const first = periods[0]?.start ?? 0;
    const moved = periods.map((period) => ({ ...period, start: period.start - first }));
    const closed = moved.map((period, index) => ({ ...period, duration: (moved[index + 1]?.start ?? endOf(period)) - period.start }));
    const last = closed.at(-1);
    return { ...common, live: null, mediaPresentationDuration: (last?.start ?? 0) + (last?.duration ?? 0), periods: closed };
  }
  return { ...common, live: composeLiveTimes(window, all), mediaPresentationDuration: null, periods };
}

function composeLiveTimes(window: DashWindow, segments: Segment[]): LiveTimes {
  const { partTarget, targetDuration } = window;
  const start = availabilityStart(window);
  const latest = segments.reduce((end, { pdt, duration }) => Math.max(end, pdt + duration * 1000), start);
  const target = partTarget === null ? null : 3 * partTarget + LATENCY_MARGIN;
  return {
    availabilityStartTime: start,
    publishTime: Math.round(latest),
    minimumUpdatePeriod: partTarget === null ? targetDuration : 1,
    timeShiftBufferDepth: window.dvrWindowSeconds,
    suggestedPresentationDelay: target ?? 3 * targetDuration,
    latency: target === null || partTarget === null ? null : { target, min: 3 * partTarget, max: 3 * targetDuration + target },
    clock: `${window.root}time`,
  };
}

/** The first frame of the broadcast: fixed for its life. */
function availabilityStart({ epochs }: DashWindow): Millis {
  return epochs[0]?.startedAt ?? 0;
}

/** The periods of one connection: one, and one more after each gap. Those that left the window are dropped. */
function composePeriods(window: DashWindow, epoch: EpochStart, isLatest: boolean): Period[] {
  const { origin, startedAt } = epoch;
  if (origin === null || startedAt === null) return [];
  const tracks = window.tracksOfEpochs[epoch.epoch] ?? [];
  const begins = [{ msn: epoch.firstMsn, at: origin }, ...epoch.breaks];
  return begins.flatMap(({ msn, at }, index): Period[] => {
    const until = begins[index + 1]?.msn ?? Number.POSITIVE_INFINITY;
    const isOpen = isLatest && until === Number.POSITIVE_INFINITY;
    const representations = tracks.flatMap((track) => {
      const inPeriod = (window.segments[track.name] ?? []).filter((one) => one.epoch === epoch.epoch && one.msn >= msn && one.msn < until);
      const listed = firstRun(inPeriod);
      return listed.length === 0 ? [] : [{ track, representation: composeRepresentation(window, epoch, track, listed, at, isOpen) }];
    });
    const adaptationSets = (["video", "audio"] as const).flatMap((contentType): AdaptationSet[] => {
      const chosen = representations.filter(({ track }) => track.kind === contentType).map(({ representation }) => representation);
      return chosen.length === 0 ? [] : [{ id: contentType, contentType, mimeType: `${contentType}/mp4`, representations: chosen }];
    });
    if (adaptationSets.length === 0) return [];
    const start = (startedAt - availabilityStart(window)) / 1000 + at - origin;
    return [{ id: msn === epoch.firstMsn ? `${epoch.epoch}` : `${epoch.epoch}-${msn}`, start, duration: null, adaptationSets }];
  });
}

/** The segments up to the first that cannot be listed. Where that is the first of all, those after it. */
function firstRun(segments: Segment[]): Timed[] {
  const from = segments.findIndex(isTimed);
  if (from < 0) return [];
  const until = segments.findIndex((segment, index) => index > from && !isTimed(segment));
  return segments.slice(from, until < 0 ? undefined : until).filter(isTimed);
}

function isTimed(segment: Segment): segment is Timed {
  return !segment.gap && segment.time !== null;
}

function composeRepresentation(
  window: DashWindow,
  epoch: EpochStart,
  track: Track,
  listed: Timed[],
  periodStart: Seconds,
  isOpen: boolean,
): Representation {
  const { timescale } = (listed[0] as Timed).time;
  const { partTarget } = window;
  const times: MediaTime[] = listed.map((segment) => segment.time);
  const expected = isOpen && window.connected && !window.ended && partTarget !== null ? expectSegments(listed, track) : [];
  const folder = `${window.root}media/${mediaPath(window.streamId, window.broadcast, "$RepresentationID$", "")}`;
  return {
    id: track.name,
    codecs: track.codec,
    bandwidth: measureBitrate(listed, track.bandwidth).peak,
    video: track.kind === "video" ? { width: track.width, height: track.height, frameRate: encodeFrameRate(track.frame_rate) } : null,
    audio: track.kind === "audio" ? { sampleRate: track.sample_rate, channels: track.channels } : null,
    template: {
      timescale,
      presentationTimeOffset: Math.round(periodStart * timescale),
      media: `${folder}${epoch.epoch}-$Number$.m4s`,
      initialization: `${folder}${initFile(epoch.epoch)}`,
      startNumber: (listed[0] as Timed).msn,
      // A segment can be asked for when its first part is there; the rest of it follows as it comes (DA4).
      availabilityTimeOffset: expected.length > 0 && partTarget !== null ? Math.max(0, shortest(expected) - partTarget) : null,
      timeline: encodeTimeline([...times, ...expected]),
    },
  };
}

function shortest(times: MediaTime[]): Seconds {
  return Math.min(...times.map(({ duration, timescale }) => duration / timescale));
}

/** Segments that are equally long, and follow each other without a gap, share an entry. */
function encodeTimeline(times: MediaTime[]): TimelineEntry[] {
  const entries: TimelineEntry[] = [];
  for (const { start, duration } of times) {
    const last = entries.at(-1);
    if (last !== undefined && last.duration === duration && last.start + last.count * duration === start) last.count += 1;
    else entries.push({ start, duration, count: 1 });
  }
  return entries;
}

/** Whole, or a fraction of 1001: what the schema allows. */
function encodeFrameRate(frameRate: number | null): string | null {
  if (frameRate === null) return null;
  if (Math.abs(frameRate - Math.round(frameRate)) < 0.001) return String(Math.round(frameRate));
  const whole = Math.round(frameRate * 1.001);
  if (Math.abs((whole * 1000) / 1001 - frameRate) < 0.002) return `${whole * 1000}/1001`;
  return `${Math.round(frameRate * 1000)}/1000`;
}

/** Where a period's longest track ends, on the presentation's clock. */
function endOf({ start, adaptationSets }: Period): Seconds {
  const ends = adaptationSets.flatMap(({ representations }) =>
    representations.map(({ template }) => {
      const { timescale, presentationTimeOffset, timeline } = template;
      const last = timeline.at(-1);
      return last === undefined ? 0 : (last.start + last.duration * last.count - presentationTimeOffset) / timescale;
    }),
  );
  return start + Math.max(0, ...ends);
}
