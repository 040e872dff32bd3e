import type { AudioTrack, Track, VideoTrack } from "../protocol/origin-link.ts";
import { type Millis, type Seconds, totalDuration } from "../time.ts";
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

/** Path of a media object below `/media/`, and its key in R2: immutable, for an epoch's bytes are never another's. */
export function mediaPath(streamId: string, broadcast: number, rendition: string, file: string): string {
  return `${streamId}/${broadcast}/${rendition}/${file}`;
}

/** File name of an epoch's init segment. */
export function initFile(epoch: number): string {
  return `init-${epoch}.mp4`;
}

/** File name of a segment. The epoch is part of it, so that a fenced origin's late bytes can never stand under it. */
export function segmentFile(epoch: number, msn: number): string {
  return `${epoch}-${msn}.m4s`;
}

/** File name of a part. */
export function partFile(epoch: number, msn: number, part: number): string {
  return `${epoch}-${msn}.${part}.m4s`;
}

/** The live window of one rendition as a media playlist. */
export function composeMediaPlaylist(timeline: Timeline, rendition: string, facts: BroadcastFacts): MediaPlaylist {
  const listed = timeline.listed(rendition);
  const open = facts.ended || !facts.parts ? null : timeline.open(rendition);
  const firstEpoch = timeline.epochs[0]?.epoch;
  const partsFrom = firstWithParts(listed, facts, open?.parts ?? []);
  let mapped: number | null = null;
  const head = (msn: number, epoch: number, gap: boolean, pdt: Millis | null, isFirst: boolean, parts: Part[]): SegmentHead => {
    const opensEpoch = timeline.epochs.some((start) => start.epoch !== firstEpoch && start.firstMsn === msn);
    // A gap has no bytes to initialise; the next segment with bytes brings the map.
    const map = gap || epoch === mapped ? null : initFile(epoch);
    if (map !== null) mapped = epoch;
    return {
      discontinuity: opensEpoch,
      map: map === null ? null : uri(facts, rendition, map),
      programDateTime: isFirst || opensEpoch ? pdt : null,
      parts: parts.map((part, index) => ({
        uri: uri(facts, rendition, partFile(epoch, msn, index)),
        duration: part.duration,
        independent: part.independent,
      })),
    };
  };
  const segments = listed.map(
    (segment, index): MediaSegment => ({
      ...head(segment.msn, segment.epoch, segment.gap, segment.pdt, index === 0, segment.msn >= partsFrom ? segment.parts : []),
      uri: uri(facts, rendition, segmentFile(segment.epoch, segment.msn)),
      duration: segment.duration,
      gap: segment.gap,
    }),
  );
  const openHead = open === null ? null : head(open.msn, open.epoch.epoch, false, open.epoch.startedAt, listed.length === 0, open.parts);
  return {
    targetDuration: facts.targetDuration,
    partTarget: facts.parts ? (facts.partTargets[rendition] ?? null) : null,
    serverControl: composeServerControl(facts),
    mediaSequence: listed[0]?.msn ?? timeline.firstMsn,
    discontinuitySequence: timeline.discontinuitySequence(),
    segments,
    open: openHead,
    preloadHint: facts.ended || !facts.parts ? null : uri(facts, rendition, hintedFile(timeline, rendition, facts)),
    renditionReports: facts.ended ? [] : composeReports(timeline, rendition, facts),
    ended: facts.ended,
  };
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

/** An open segment this close to the target duration is full: what comes next belongs to the one after it. */
const FULL_WITHIN: Seconds = 0.05;

/** The part that comes next: of the open segment, of the one after it, or of the connection that will follow (PL9). */
function hintedFile(timeline: Timeline, rendition: string, facts: BroadcastFacts): string {
  const { complete } = timeline.head(rendition);
  if (facts.nextEpoch !== null) return partFile(facts.nextEpoch, timeline.nextMsn(), 0);
  const parts = timeline.open(rendition)?.parts ?? [];
  const duration = totalDuration(parts);
  const full = duration > facts.targetDuration - FULL_WITHIN;
  const msn = full ? complete + 2 : complete + 1;
  return partFile(timeline.epochAt(msn)?.epoch ?? 1, msn, full ? 0 : parts.length);
}

function composeReports(timeline: Timeline, rendition: string, facts: BroadcastFacts): RenditionReport[] {
  return Object.keys(facts.partTargets)
    .filter((other) => other !== rendition)
    .map((other) => {
      const { msn, part } = timeline.newest(other);
      const { complete, partsOf, openParts } = timeline.head(other);
      if (!facts.parts) return { uri: `../${other}/index.m3u8`, lastMsn: complete, lastPart: null };
      const hasParts = openParts > 0 || partsOf(complete) > 0;
      return { uri: `../${other}/index.m3u8`, lastMsn: msn, lastPart: hasParts ? part : null };
    });
}

/** The broadcast's renditions as a multivariant playlist; bandwidths are measured over the window, or the encoder's word where that is higher. */
export function composeMultivariantPlaylist(timeline: Timeline, facts: BroadcastFacts): MultivariantPlaylist {
  const video = facts.tracks.filter((track): track is VideoTrack => track.kind === "video");
  const audio = facts.tracks.find((track): track is AudioTrack => track.kind === "audio") ?? null;
  const audioRates = audio === null ? { peak: 0, average: 0 } : measureBitrate(timeline.listed(audio.name), audio.bandwidth);
  const variants = video.map((track): Variant => {
    const rates = measureBitrate(timeline.listed(track.name), track.bandwidth);
    return {
      uri: `${track.name}/index.m3u8`,
      bandwidth: rates.peak + audioRates.peak,
      averageBandwidth: rates.average + audioRates.average,
      codecs: audio === null ? [track.codec] : [track.codec, audio.codec],
      resolution: { width: track.width, height: track.height },
      frameRate: track.frame_rate,
    };
  });
  if (audio !== null && variants.length === 0) {
    variants.push({
      uri: `${audio.name}/index.m3u8`,
      bandwidth: audioRates.peak,
      averageBandwidth: audioRates.average,
      codecs: [audio.codec],
      resolution: null,
      frameRate: null,
    });
    return { independentSegments: timeline.independent, audio: null, variants };
  }
  return {
    independentSegments: timeline.independent,
    audio: audio === null ? null : { name: "Audio", uri: `${audio.name}/index.m3u8`, channels: audio.channels },
    variants,
  };
}

/** Bits per second of the largest segment and of all. Never 0: players divide by it. */
function measureBitrate(segments: Segment[], declared: number): { peak: number; average: number } {
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

/** Relative to `/hls/{stream}/{rendition}/`, so that a token's path prefix carries over. */
function uri(facts: BroadcastFacts, rendition: string, file: string): string {
  return `../../../media/${mediaPath(facts.streamId, facts.broadcast, rendition, file)}`;
}
