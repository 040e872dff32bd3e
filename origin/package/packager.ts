import type { Declared, Track } from "../../domain/protocol/origin-link.ts";
import { AudioClock } from "./audio-clock.ts";
import { AudioSegmenter } from "./audio-segmenter.ts";
import { CadenceProbe, computeAudioCadence, type VideoCadence } from "./cadence.ts";
import { FollowingSegmenter } from "./following-segmenter.ts";
import type { AudioInit, VideoInit } from "./init.ts";
import type { Sample } from "./sample.ts";
import { TrackWriter } from "./track-writer.ts";
import { VideoSegmenter } from "./video-segmenter.ts";

/** What one epoch becomes. Bytes are the caller's to keep. */
export interface PackagerSink {
  /** Once, before any init or part. */
  onTracks(tracks: { target_duration: number; renditions: Track[] }): void;
  /** The init segment; once for each rendition, before its first part. */
  onInit(rendition: string, bytes: Uint8Array): void;
  /** Parts of a rendition in order, numbered from 0 within a segment; `duration` in seconds. */
  onPart(part: PackagedPart): void;
  /** After the last part of the segment; `bytes` is their concatenation (CM1). */
  onSegment(segment: PackagedSegment): void;
  /** A rendition has nothing for a segment that the others have (PL12). In order with its segments. */
  onGap(gap: PackagedGap): void;
  /** For the broadcaster, in words. */
  onWarning(message: string): void;
}

/** A part as viewers fetch it. */
export interface PackagedPart {
  rendition: string;
  msn: number;
  part: number;
  duration: number;
  independent: boolean;
  bytes: Uint8Array;
}

/** A segment as viewers fetch it. */
export interface PackagedSegment {
  rendition: string;
  msn: number;
  duration: number;
  /** Seconds since the epoch's first video presentation time (first audio frame without video); audio may be half a frame below 0. */
  start: number;
  bytes: Uint8Array;
}

/** A segment that a rendition does not have; `start` and `duration` as in a segment. */
export type PackagedGap = Omit<PackagedSegment, "bytes">;

/** What the encoder says of itself in `onMetaData`; null where it does not. */
export interface EncoderMetadata {
  width: number | null;
  height: number | null;
  frameRate: number | null;
  /** Bits per second. */
  videoBitrate: number | null;
  /** Bits per second. */
  audioBitrate: number | null;
}

/** Which tracks there are, and what timing the broadcast asks for or has declared before; targets in seconds. */
export interface PackagerOptions {
  /** The video renditions; the first one's key frames say where all are cut. `bandwidth` in bits per second, 0 where it is not known. */
  videos: readonly { name: string; bandwidth: number }[];
  audio: { bandwidth: number } | null;
  /** Number of the first segment, in every rendition. */
  nextMsn: number;
  segmentTarget: number;
  partTarget: number;
  declared: Declared | null;
  /** Frames per second as announced; null where nothing was. */
  frameRate: number | null;
  /** Seconds between IDRs where it is we who make them; null otherwise. */
  keyInterval: number | null;
}

/** Rendition name of the audio. */
export const AUDIO_RENDITION = "audio";

const MAX_HELD_FRAMES = 6000;

interface VideoTrackState {
  name: string;
  bandwidth: number;
  init: VideoInit | null;
  held: Sample[];
  segmenter: VideoSegmenter | FollowingSegmenter | null;
}

/**
 * Turns the frames of an epoch's renditions into parts and segments, all cut at the same times. Holds everything back until every rendition
 * is known and the cadence is decided. Errors mean that the input is unusable.
 */
export class Packager {
  readonly #options: PackagerOptions;
  readonly #sink: PackagerSink;
  readonly #probe: CadenceProbe;
  readonly #videos: VideoTrackState[];
  #audioInit: AudioInit | null = null;
  #audioClock: AudioClock | null = null;
  #heldAudio: Sample[] = [];
  #audioSegmenter: AudioSegmenter | null = null;
  /** Presentation time that segment starts count from, seconds. */
  #origin: number | null = null;
  #nextOwnBoundary = 0;
  #started = false;
  #ended = false;

  constructor(options: PackagerOptions, sink: PackagerSink) {
    this.#options = options;
    this.#sink = sink;
    this.#videos = options.videos.map((video) => ({ ...video, init: null, held: [], segmenter: null }));
    const { segmentTarget, partTarget, declared, frameRate, keyInterval } = options;
    const input = { segmentTarget, partTarget, declared, announcedFrameRate: frameRate, keyInterval };
    this.#probe = new CadenceProbe(input, options.videos[0]?.name ?? "");
  }

  /** Frames that could not be put on the timeline. */
  get dropped(): number {
    const videos = this.#videos.reduce((sum, { segmenter }) => sum + (segmenter?.dropped ?? 0), 0);
    return videos + (this.#audioSegmenter?.leftOut ?? 0) + (this.#audioClock?.dropped ?? 0);
  }

  /** The encoder's own limit on the distance between the first rendition's IDRs, in frames. */
  hint(keyInterval: number | "infinite" | null): void {
    this.#probe.hint(keyInterval);
  }

  /** A rendition's init segment; once for each, before its first frame. */
  start(rendition: string, init: VideoInit | AudioInit): void {
    if (init.kind === "audio") {
      this.#audioInit = init;
      this.#audioClock = new AudioClock({ timescale: init.timescale, frameTicks: frameTicks(init) });
    } else {
      const video = this.#videos.find(({ name }) => name === rendition);
      if (video !== undefined) video.init = init;
    }
    this.#startIfReady(false);
  }

  /** The next frame of a video rendition, in decode order; `key` must be true for real IDRs only. */
  pushVideo(rendition: string, sample: Sample): void {
    const video = this.#videos.find(({ name }) => name === rendition);
    if (video?.init == null) return;
    if (video.segmenter !== null) {
      video.segmenter.push(sample);
      if (video === this.#videos[0]) this.#advance();
      return;
    }
    const last = video.held.at(-1);
    if (last === undefined ? !sample.key : sample.dts <= last.dts) return;
    video.held.push(sample);
    if (video.held.length > MAX_HELD_FRAMES) throw new Error("not all renditions came");
    if (video !== this.#videos[0]) return;
    const { timescale } = video.init;
    this.#probe.observe({ time: sample.dts / timescale, duration: sample.duration / timescale, idr: sample.key });
    this.#startIfReady(false);
  }

  /** The next audio frame; its time is made exact here, its duration need not be right. */
  pushAudio(sample: Sample): void {
    const frame = this.#audioClock?.push(sample) ?? null;
    if (frame !== null) this.#onAudio(frame);
  }

  /** Cuts everything that is still open into short parts and segments. Nothing may be pushed afterwards. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    const last = this.#audioClock?.end() ?? null;
    if (last !== null) this.#onAudio(last);
    this.#startIfReady(true);
    for (const { segmenter } of this.#videos) segmenter?.end();
    this.#audioSegmenter?.end();
  }

  #onAudio(frame: Sample): void {
    const init = this.#audioInit;
    if (init === null) return;
    if (!this.#started) {
      this.#heldAudio.push(frame);
      if (this.#heldAudio.length > MAX_HELD_FRAMES) throw new Error("no key frame came with the video");
      this.#startIfReady(false);
      return;
    }
    if (this.#videos.length === 0) this.#ownBoundaries((frame.dts + frame.duration) / init.timescale);
    this.#audioSegmenter?.push(frame);
  }

  /** Audio alone is cut on the segment target's grid. */
  #ownBoundaries(until: number): void {
    while (this.#origin !== null && this.#origin + this.#nextOwnBoundary * this.#options.segmentTarget <= until) {
      this.#audioSegmenter?.boundary(this.#origin + this.#nextOwnBoundary * this.#options.segmentTarget);
      this.#nextOwnBoundary += 1;
    }
    this.#audioSegmenter?.advance(until);
  }

  /** The others may be cut as far as the first video rendition has been. */
  #advance(): void {
    const [leader, ...followers] = this.#videos;
    if (!(leader?.segmenter instanceof VideoSegmenter)) return;
    const { decidedUntil } = leader.segmenter;
    for (const { segmenter } of followers) if (segmenter instanceof FollowingSegmenter) segmenter.advance(decidedUntil);
    this.#audioSegmenter?.advance(decidedUntil);
  }

  #startIfReady(ended: boolean): void {
    if (this.#started) return;
    const { audio, declared, segmentTarget, partTarget } = this.#options;
    const audioInit = this.#audioInit;
    const isKnown = this.#videos.every(({ init }) => init !== null) && (audio === null || audioInit !== null);
    if (!isKnown && !ended) return;
    const hasVideo = this.#videos.length > 0;
    const cadence = hasVideo ? this.#probe.decide(ended) : null;
    const firstAudio = this.#heldAudio[0];
    if (hasVideo ? cadence === null : firstAudio === undefined) return;
    this.#started = true;

    const targetDuration = cadence?.targetDuration ?? declared?.target_duration ?? Math.max(1, Math.round(segmentTarget));
    const renditions: Track[] = [];
    for (const { init, name, bandwidth } of this.#videos) {
      if (init !== null && cadence !== null) renditions.push(videoTrack(name, init, this.#cadenceOf(name, cadence), bandwidth));
    }
    const audioCadence =
      audioInit === null
        ? null
        : computeAudioCadence({
            nominalPart: cadence?.nominalPart ?? partTarget,
            frameSeconds: frameTicks(audioInit) / audioInit.timescale,
            declaredPartTarget: declared?.part_targets[AUDIO_RENDITION] ?? null,
          });
    if (audioInit !== null && audioCadence !== null) {
      renditions.push(audioTrack(audioInit, audioCadence.partTarget, audio?.bandwidth ?? 0));
      const { timescale } = audioInit;
      this.#audioSegmenter = new AudioSegmenter(
        { timescale, frameTicks: frameTicks(audioInit), cadence: audioCadence, targetDuration, nextMsn: this.#options.nextMsn },
        this.#writer(AUDIO_RENDITION, audioInit),
      );
    }
    this.#sink.onTracks({ target_duration: targetDuration, renditions });
    for (const { name, init } of this.#videos) if (init !== null) this.#sink.onInit(name, init.bytes);
    if (audioInit !== null) this.#sink.onInit(AUDIO_RENDITION, audioInit.bytes);
    if (cadence !== null) this.#startVideos(cadence);
    else if (audioInit !== null && firstAudio !== undefined) this.#origin = firstAudio.dts / audioInit.timescale;
    const heldAudio = this.#heldAudio;
    this.#heldAudio = [];
    for (const frame of heldAudio) this.#onAudio(frame);
  }

  /** A rendition keeps the part target that the broadcast declared for it (PL1). */
  #cadenceOf(rendition: string, cadence: VideoCadence): VideoCadence {
    const partTarget = this.#options.declared?.part_targets[rendition];
    return partTarget === undefined ? cadence : { ...cadence, partTarget };
  }

  #startVideos(cadence: VideoCadence): void {
    const { nextMsn, segmentTarget } = this.#options;
    const [leader, ...followers] = this.#videos;
    for (const video of followers) {
      if (video.init === null) continue;
      const track = { timescale: video.init.timescale, cadence: this.#cadenceOf(video.name, cadence), nextMsn };
      video.segmenter = new FollowingSegmenter(track, this.#writer(video.name, video.init));
    }
    if (leader?.init == null) return;
    const writer = this.#writer(leader.name, leader.init);
    leader.segmenter = new VideoSegmenter(
      { timescale: leader.init.timescale, cadence, segmentTarget, nextMsn },
      {
        onPart: (part) => writer.onPart(part),
        onSegment: (segment) => writer.onSegment(segment),
        onBoundary: (time) => this.#onBoundary(time, followers),
        onWarning: (message) => this.#sink.onWarning(message),
      },
    );
    for (const { held, segmenter } of this.#videos) for (const sample of held) segmenter?.push(sample);
    for (const video of this.#videos) video.held = [];
    this.#advance();
  }

  #onBoundary(time: number, followers: readonly VideoTrackState[]): void {
    this.#origin ??= time;
    for (const { segmenter } of followers) if (segmenter instanceof FollowingSegmenter) segmenter.boundary(time);
    this.#audioSegmenter?.boundary(time);
  }

  #writer(rendition: string, init: VideoInit | AudioInit): TrackWriter {
    return new TrackWriter(rendition, init.trackId, () => this.#origin ?? 0, this.#sink);
  }
}

/** Ticks of one coded frame; with SBR the timescale may count samples twice as fine as the core coder. */
function frameTicks(init: AudioInit): number {
  return Math.round((init.config.frameLength * init.timescale) / init.config.coreSampleRate);
}

function videoTrack(name: string, init: VideoInit, cadence: VideoCadence, bandwidth: number): Track {
  return {
    kind: "video",
    name,
    codec: init.codec,
    part_target: cadence.partTarget,
    bandwidth,
    width: init.width,
    height: init.height,
    frame_rate: cadence.frameRate === null ? null : Math.round(cadence.frameRate * 1000) / 1000,
  };
}

function audioTrack(init: AudioInit, partTarget: number, bandwidth: number): Track {
  return {
    kind: "audio",
    name: AUDIO_RENDITION,
    codec: init.codec,
    part_target: partTarget,
    bandwidth,
    channels: init.config.channels,
    sample_rate: init.config.sampleRate,
  };
}
