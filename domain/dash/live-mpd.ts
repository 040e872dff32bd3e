import type { Track } from "../protocol/origin-link.ts";
import type { Millis, Seconds } from "../time.ts";
import type { EpochStart, Segment } from "../timeline/segment.ts";
import type { LiveTimes, Mpd, Period } from "./mpd.ts";
import { composePeriods, endOfPeriod } from "./periods.ts";

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

/** One broadcast as a manifest (DA1–DA5). Without periods, which the schema forbids, where no segment's time is known. */
export function composeMpd(window: DashWindow): Mpd {
  const start = availabilityStart(window);
  const periods = window.epochs.flatMap((epoch, index) => composePeriods(window, epoch, index === window.epochs.length - 1, start));
  const common = {
    minBufferTime: window.partTarget ?? window.targetDuration,
    maxSegmentDuration: Math.max(window.targetDuration, longestEntry(periods)),
  };
  if (!window.ended) return { ...common, live: composeLiveTimes(window, start, periods), mediaPresentationDuration: null, periods };
  // The clock stays the one that live players already go by, so that they play on.
  const ends = periods.map((period, index) => periods[index + 1]?.start ?? endOfPeriod(period));
  const closed = periods.map((period, index) => ({ ...period, duration: (ends[index] ?? period.start) - period.start }));
  return { ...common, live: null, mediaPresentationDuration: ends.at(-1) ?? 0, periods: closed };
}

function composeLiveTimes(window: DashWindow, start: Millis, periods: Period[]): LiveTimes {
  const { partTarget, targetDuration } = window;
  const all = Object.values(window.segments).flat();
  const latest = all.reduce((end, { pdt, duration }) => Math.max(end, pdt + duration * 1000), start);
  const target = partTarget === null || isIrregular(window, periods) ? null : 3 * partTarget + LATENCY_MARGIN;
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

/** Whether segments come in a way that cannot be told beforehand: whoever joins then has to stay behind whole ones. */
function isIrregular(window: DashWindow, periods: Period[]): boolean {
  const latest = window.epochs.at(-1);
  const period = periods.at(-1);
  if (!window.connected || latest === undefined || period?.id.split("-")[0] !== String(latest.epoch)) return false;
  return period.adaptationSets.every(({ representations }) => representations.every((one) => one.template.availabilityTimeOffset === null));
}

/** The first frame of the broadcast: fixed for its life. */
function availabilityStart({ epochs }: DashWindow): Millis {
  return epochs[0]?.startedAt ?? 0;
}

function longestEntry(periods: Period[]): Seconds {
  const templates = periods.flatMap(({ adaptationSets }) =>
    adaptationSets.flatMap((set) => set.representations.map((one) => one.template)),
  );
  return Math.max(
    0,
    ...templates.map(({ timescale, timeline }) => timeline.reduce((longest, { duration }) => Math.max(longest, duration), 0) / timescale),
  );
}
