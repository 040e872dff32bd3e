import type { AudioTrack, Track, VideoTrack } from "../protocol/origin-link.ts";
import type { Segment } from "../timeline/segment.ts";
import type { Timeline } from "../timeline/timeline.ts";
import type { MediaPlaylist, MediaSegment } from "./media-playlist.ts";
import type { MultivariantPlaylist, Variant } from "./multivariant-playlist.ts";

/** What playlists need to know of a broadcast besides its timeline. */
export interface BroadcastFacts {
  streamId: string;
  broadcast: number;
  targetDuration: number;
  ended: boolean;
  tracks: Track[];
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

/** The live window of one rendition as a media playlist. */
export function composeMediaPlaylist(timeline: Timeline, rendition: string, facts: BroadcastFacts): MediaPlaylist {
  const listed = timeline.listed(rendition);
  const firstEpoch = timeline.epochs[0]?.epoch;
  let mapped: number | null = null;
  const segments = listed.map((segment, index): MediaSegment => {
    const before = listed[index - 1];
    const opensEpoch = timeline.epochs.some((epoch) => epoch.epoch !== firstEpoch && epoch.firstMsn === segment.msn);
    // A gap has no bytes to initialise; the next segment with bytes brings the map.
    const map = segment.gap || segment.epoch === mapped ? null : initFile(segment.epoch);
    if (map !== null) mapped = segment.epoch;
    return {
      uri: uri(facts, rendition, segmentFile(segment.epoch, segment.msn)),
      duration: segment.duration,
      discontinuity: opensEpoch,
      map: map === null ? null : uri(facts, rendition, map),
      programDateTime: before === undefined || opensEpoch ? segment.pdt : null,
      gap: segment.gap,
    };
  });
  return {
    targetDuration: facts.targetDuration,
    mediaSequence: listed[0]?.msn ?? timeline.firstMsn,
    discontinuitySequence: timeline.discontinuitySequence(),
    segments,
    ended: facts.ended,
  };
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
