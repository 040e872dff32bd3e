import { initFile, mediaPath, partFile, segmentFile } from "../media-address.ts";
import type { AudioTrack, Track, VideoTrack } from "../protocol/origin-link.ts";
import { type Millis, type Seconds, totalDuration } from "../time.ts";
import { measureBitrate } from "../timeline/bitrate.ts";
import type { Part, Segment } from "../timeline/segment.ts";
import type { Timeline } from "../timeline/timeline.ts";
import type { MediaPlaylist, MediaSegment, RenditionReport, SegmentHead, ServerControl } from "./media-playlist.ts";
import type { MultivariantPlaylist, Variant } from "./multivariant-playlist.ts";

/** What playlists need to know of a broadcast besides its timeline. */
export interface BroadcastFacts {
  streamId: string;
  broadcast: number;
  targetDuration: number;
  ended: boolean;
  tracks: Track[];
  /** `PART-TARGET` of every rendition. */
  partTargets: Record<string, number>;
  /** Parts are listed: not in `standard` latency. */
  parts: boolean;
  /** The number that the next encoder connection will get, where none is there; null while one is. */
  nextEpoch: number | null;
}

/** The segments of a window that lie before the timeline's tail: read, or only counted where their number is enough. */
export interface OlderSegments {
  segments: Segment[];
  omitted: number;
}

/** The live window of one rendition as a media playlist. */
export function composeMediaPlaylist(timeline: Timeline, rendition: string, facts: BroadcastFacts, older: OlderSegments): MediaPlaylist {
  const tail = timeline.listed(rendition);
  const open = facts.ended || !facts.parts ? null : timeline.open(rendition);
  const partsFrom = firstWithParts(tail, facts, open?.parts ?? []);
  const head = composeHeads(timeline, rendition, facts);
  const segments = [...older.segments, ...tail].map((segment) =>
    composeSegment(facts, rendition, segment, head(segment, segment.msn >= partsFrom ? segment.parts : [])),
  );
  const { msn, epoch, parts } = open ?? { msn: 0, epoch: null, parts: [] };
  const mediaSequence = (older.segments[0]?.msn ?? tail[0]?.msn ?? timeline.firstMsn) - older.omitted;
  return {
    targetDuration: facts.targetDuration,
    partTarget: facts.parts ? (facts.partTargets[rendition] ?? null) : null,
    serverControl: composeServerControl(facts),
    mediaSequence,
    omitted: older.omitted,
    discontinuitySequence: timeline.discontinuitySequence(mediaSequence),
    segments,
    open: epoch === null ? null : head({ msn, epoch: epoch.epoch, gap: false, pdt: epoch.startedAt }, parts),
    preloadHint: facts.ended || !facts.parts ? null : uri(facts, rendition, hintedFile(timeline, rendition, facts)),
    renditionReports: facts.ended ? [] : composeReports(timeline, rendition, facts),
    ended: facts.ended,
  };
}

/** A whole broadcast's rendition as the playlist of its recording. */
export function composeRecordingPlaylist(timeline: Timeline, rendition: string, facts: BroadcastFacts, segments: Segment[]): MediaPlaylist {
  const head = composeHeads(timeline, rendition, facts);
  const mediaSequence = segments[0]?.msn ?? 1;
  return {
    targetDuration: facts.targetDuration,
    partTarget: null,
    serverControl: null,
    mediaSequence,
    omitted: 0,
    discontinuitySequence: timeline.discontinuitySequence(mediaSequence),
    segments: segments.map((segment) => composeSegment(facts, rendition, segment, head(segment, []))),
    open: null,
    preloadHint: null,
    renditionReports: [],
    ended: true,
  };
}

/** Composes what stands before each segment of a playlist, called in order. */
function composeHeads(timeline: Timeline, rendition: string, facts: BroadcastFacts) {
  const discontinuities = new Set(timeline.epochs.slice(1).map((start) => start.firstMsn));
  let mapped: number | null = null;
  let isFirst = true;
  return ({ msn, epoch, gap, pdt }: { msn: number; epoch: number; gap: boolean; pdt: Millis | null }, parts: Part[]): SegmentHead => {
    const discontinuity = discontinuities.has(msn);
    // A gap has no bytes to initialise; the next segment with bytes brings the map.
    const map = gap || epoch === mapped ? null : initFile(epoch);
    if (map !== null) mapped = epoch;
    const programDateTime = isFirst || discontinuity ? pdt : null;
    isFirst = false;
    return {
      discontinuity,
      map: map === null ? null : uri(facts, rendition, map),
      programDateTime,
      parts: parts.map((part, index) => ({
        uri: uri(facts, rendition, partFile(epoch, msn, index)),
        duration: part.duration,
        independent: part.independent,
      })),
    };
  };
}

function composeSegment(facts: BroadcastFacts, rendition: string, segment: Segment, head: SegmentHead): MediaSegment {
  const { epoch, msn, duration, gap } = segment;
  return { ...head, uri: uri(facts, rendition, segmentFile(epoch, msn)), duration, gap };
}

/** Three part targets is what players need to stay ahead of a part that is late (PL2). The largest counts, so that it is the same in every rendition. */
function composeServerControl({ targetDuration, partTargets, parts }: BroadcastFacts): ServerControl {
  const partTarget = Math.max(...Object.values(partTargets));
  return { holdBack: 3 * targetDuration, partHoldBack: parts ? 3 * partTarget : null, canSkipUntil: 6 * targetDuration };
}

/** The first segment whose parts are listed: three target durations behind the edge (PL8). */
function firstWithParts(listed: Segment[], facts: BroadcastFacts, open: Part[]): number {
  if (facts.ended || !facts.parts) return Number.POSITIVE_INFINITY;
  let fromEnd = totalDuration(open);
  for (const segment of listed.toReversed()) {
    if (fromEnd >= 3 * facts.targetDuration) return segment.msn + 1;
    fromEnd += segment.duration;
  }
  return 0;
}

/** An open segment this close to the length that it will have is full: what comes next belongs to the one after it. */
const FULL_WITHIN: Seconds = 0.05;
/** So many segments before the open one tell how long it will be. */
const OBSERVED_SEGMENTS = 2;

/** The part that comes next: of the open segment, of the one after it, or of the connection that will follow (PL9). */
function hintedFile(timeline: Timeline, rendition: string, facts: BroadcastFacts): string {
  const { complete } = timeline.head(rendition);
  if (facts.nextEpoch !== null) return partFile(facts.nextEpoch, timeline.nextMsn(), 0);
  const parts = timeline.open(rendition)?.parts ?? [];
  const full = totalDuration(parts) > expectedDuration(timeline, rendition, facts) - FULL_WITHIN;
  const msn = full ? complete + 2 : complete + 1;
  return partFile(timeline.epochAt(msn)?.epoch ?? 1, msn, full ? 0 : parts.length);
}

/** How long the open segment will be: as long as those before it on its connection, by the encoder's key frames. */
function expectedDuration(timeline: Timeline, rendition: string, facts: BroadcastFacts): Seconds {
  const epoch = timeline.epochs.at(-1)?.epoch;
  const before = timeline.listed(rendition).slice(-OBSERVED_SEGMENTS);
  const durations = before.filter((segment) => segment.epoch === epoch && !segment.gap).map((segment) => segment.duration);
  return durations.length === 0 ? facts.targetDuration : Math.max(...durations);
}

/** How far the other renditions are (PL10). A segment without parts, as a gap is, counts as one part: who asks for the next gets what follows it. */
function composeReports(timeline: Timeline, rendition: string, facts: BroadcastFacts): RenditionReport[] {
  return Object.keys(facts.partTargets)
    .filter((other) => other !== rendition)
    .map((other) => {
      const uri = `../${other}/index.m3u8`;
      const { msn, part } = timeline.newest(other);
      return facts.parts ? { uri, lastMsn: msn, lastPart: part } : { uri, lastMsn: timeline.head(other).complete, lastPart: null };
    });
}

/** Where the media playlists of a multivariant playlist are: under it, at the stream's own address also below the broadcast's number. */
export interface PlaylistPlace {
  /** `""` or `{broadcast}/`. */
  prefix: string;
  file: "index.m3u8" | "recording.m3u8";
}

/**
 * The broadcast's renditions as a multivariant playlist. Bandwidths are measured over the segments that `listed` gives, or the
 * encoder's word where that is higher.
 */
export function composeMultivariantPlaylist(
  facts: BroadcastFacts,
  place: PlaylistPlace,
  listed: (rendition: string) => Segment[],
  independentSegments: boolean,
): MultivariantPlaylist {
  const address = (rendition: string) => `${place.prefix}${rendition}/${place.file}`;
  const video = facts.tracks.filter((track): track is VideoTrack => track.kind === "video");
  const audio = facts.tracks.find((track): track is AudioTrack => track.kind === "audio") ?? null;
  const audioRates = audio === null ? { peak: 0, average: 0 } : measureBitrate(listed(audio.name), audio.bandwidth);
  const variants = video.map((track): Variant => {
    const rates = measureBitrate(listed(track.name), track.bandwidth);
    return {
      uri: address(track.name),
      bandwidth: rates.peak + audioRates.peak,
      averageBandwidth: rates.average + audioRates.average,
      codecs: audio === null ? [track.codec] : [track.codec, audio.codec],
      resolution: { width: track.width, height: track.height },
      frameRate: track.frame_rate,
    };
  });
  if (audio !== null && variants.length === 0) {
    variants.push({
      uri: address(audio.name),
      bandwidth: audioRates.peak,
      averageBandwidth: audioRates.average,
      codecs: [audio.codec],
      resolution: null,
      frameRate: null,
    });
    return { independentSegments, audio: null, variants };
  }
  return {
    independentSegments,
    audio: audio === null ? null : { name: "Audio", uri: address(audio.name), channels: audio.channels },
    variants: inStartingOrder(variants),
  };
}

/** What a line that nobody has measured is taken to carry, bits per second. */
const START_BANDWIDTH = 3_000_000;

/** The best first, but before it the one to start with: players that measure nothing beforehand take the first (PL14). */
function inStartingOrder(variants: Variant[]): Variant[] {
  const sorted = variants.toSorted((a, b) => b.bandwidth - a.bandwidth);
  const start = sorted.find(({ bandwidth }) => bandwidth <= START_BANDWIDTH) ?? sorted.at(-1);
  return start === undefined ? [] : [start, ...sorted.filter((variant) => variant !== start)];
}

/** Relative to `/hls/{stream}/{broadcast}/{rendition}/`, so that a token's path prefix carries over. */
function uri(facts: BroadcastFacts, rendition: string, file: string): string {
  return `../../../../media/${mediaPath(facts.streamId, facts.broadcast, rendition, file)}`;
}
