import type { Declared, Track } from "../../domain/protocol/origin-link.ts";
import { AudioClock } from "./audio-clock.ts";
import { AudioSegmenter } from "./audio-segmenter.ts";
import { BoxSplitter } from "./boxes.ts";
import { CadenceProbe, computeAudioCadence, type VideoCadence } from "./cadence.ts";
import { parseFragment } from "./fragment.ts";
import { type AudioInit, parseInit, type VideoInit } from "./init.ts";
import { InputChanged } from "./input-changed.ts";
import { isIdr, x264KeyInterval } from "./nal.ts";
import type { Sample } from "./sample.ts";
import { TrackWriter } from "./track-writer.ts";
import { VideoSegmenter } from "./video-segmenter.ts";

/** What one encoder connection becomes. Bytes are the caller's to keep. */
export interface PackagerSink {
  /** Once, before any init or part. */
  onTracks(tracks: { target_duration: number; renditions: Track[] }): void;
  /** The init segment; once for each rendition, before its first part. */
  onInit(rendition: string, bytes: Uint8Array): void;
  /** Parts of a rendition in order, numbered from 0 within a segment; `duration` in seconds. */
  onPart(part: PackagedPart): void;
  /** After the last part of the segment; `bytes` is their concatenation (CM1). */
  onSegment(segment: PackagedSegment): void;
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
  video: boolean;
  audio: boolean;
  /** Number of the first segment, in every rendition. */
  nextMsn: number;
  segmentTarget: number;
  partTarget: number;
  declared: Declared | null;
  metadata: EncoderMetadata | null;
}

/** Rendition name of the video as the encoder sent it. */
export const VIDEO_RENDITION = "source";
/** Rendition name of the audio. */
export const AUDIO_RENDITION = "audio";

const MAX_HELD_FRAMES = 6000;

/** One track's byte stream from FFmpeg on its way to samples. */
interface TrackInput {
  splitter: BoxSplitter;
  moov: Buffer | null;
  moof: Buffer | null;
}

/** Turns FFmpeg's single-frame fragments into parts and segments. Holds everything back until the cadence is decided. Errors mean that the input is unusable. */
export class Packager {
  readonly #options: PackagerOptions;
  readonly #sink: PackagerSink;
  readonly #probe: CadenceProbe;
  readonly #inputs = { video: newInput(), audio: newInput() };
  #videoInit: VideoInit | null = null;
  #audioInit: AudioInit | null = null;
  #audioClock: AudioClock | null = null;
  #heldVideo: Sample[] = [];
  #heldAudio: Sample[] = [];
  #videoSegmenter: VideoSegmenter | null = null;
  #audioSegmenter: AudioSegmenter | null = null;
  /** Presentation time that segment starts count from, seconds. */
  #origin: number | null = null;
  #nextOwnBoundary = 0;
  #started = false;
  #ended = false;

  constructor(options: PackagerOptions, sink: PackagerSink) {
    this.#options = options;
    this.#sink = sink;
    const { segmentTarget, partTarget, declared, metadata } = options;
    const input = { segmentTarget, partTarget, declared, announcedFrameRate: metadata?.frameRate ?? null };
    this.#probe = new CadenceProbe(input, VIDEO_RENDITION);
  }

  /** Frames that could not be put on the timeline. */
  get dropped(): number {
    return (this.#videoSegmenter?.dropped ?? 0) + (this.#audioSegmenter?.leftOut ?? 0);
  }

  /** FFmpeg's output of the video. Throws `InputChanged` or an Error. */
  pushVideo(bytes: Uint8Array): void {
    for (const sample of this.#samples("video", bytes)) this.#onVideo(sample);
  }

  /** FFmpeg's output of the audio. Throws `InputChanged` or an Error. */
  pushAudio(bytes: Uint8Array): void {
    for (const sample of this.#samples("audio", bytes)) {
      const frame = this.#audioClock?.push(sample) ?? null;
      if (frame !== null) this.#onAudio(frame);
    }
  }

  /** A new FFmpeg takes over: what the old one left unfinished is forgotten, what it had already delivered is dropped when it comes again. */
  restart(): void {
    for (const input of [this.#inputs.video, this.#inputs.audio]) {
      input.splitter = new BoxSplitter();
      input.moof = null;
    }
  }

  /** Cuts everything that is still open into short parts and segments. Nothing may be pushed afterwards. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    const last = this.#audioClock?.end() ?? null;
    if (last !== null) this.#onAudio(last);
    this.#startIfReady(true);
    this.#videoSegmenter?.end();
    this.#audioSegmenter?.end();
  }

  #samples(track: "video" | "audio", bytes: Uint8Array): Sample[] {
    const input = this.#inputs[track];
    const samples: Sample[] = [];
    for (const box of input.splitter.push(bytes)) {
      if (box.type === "moov") this.#onMoov(track, input, box.bytes);
      else if (box.type === "moof") input.moof = box.bytes;
      else if (box.type === "mdat") {
        if (input.moof === null || input.moov === null) throw new Error("media came before its header");
        samples.push(...parseFragment(input.moof, box.bytes));
        input.moof = null;
      }
    }
    return samples;
  }

  #onMoov(track: "video" | "audio", input: TrackInput, moov: Buffer): void {
    if (input.moov !== null) {
      if (!input.moov.equals(moov)) throw new InputChanged(`the encoder changed its ${track} format`);
      return;
    }
    input.moov = moov;
    const init = parseInit(moov);
    if (init.kind !== track) throw new Error(`expected a ${track} track, got ${init.codec}`);
    if (init.kind === "video") this.#videoInit = init;
    else {
      this.#audioInit = init;
      this.#audioClock = new AudioClock({ timescale: init.timescale, frameTicks: frameTicks(init) });
    }
    this.#startIfReady(false);
  }

  #onVideo(sample: Sample): void {
    const init = this.#videoInit;
    if (init === null) return;
    const idr = isIdr(sample.data, init.lengthSize);
    const frame = { ...sample, key: idr, recovery: sample.key && !idr };
    if (this.#videoSegmenter !== null) {
      this.#videoSegmenter.push(frame);
      this.#audioSegmenter?.advance(this.#videoSegmenter.decidedUntil);
      return;
    }
    if (this.#heldVideo.length === 0) {
      if (!idr) return;
      this.#probe.hint(x264KeyInterval(sample.data, init.lengthSize));
    }
    const last = this.#heldVideo.at(-1);
    if (last !== undefined && frame.dts <= last.dts) return;
    this.#heldVideo.push(frame);
    if (this.#heldVideo.length > MAX_HELD_FRAMES) throw new Error("the audio header did not come");
    this.#probe.observe({ time: frame.dts / init.timescale, duration: frame.duration / init.timescale, idr });
    this.#startIfReady(false);
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
    if (!this.#options.video) this.#ownBoundaries((frame.dts + frame.duration) / init.timescale);
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

  #startIfReady(ended: boolean): void {
    if (this.#started) return;
    const { video, audio, declared, segmentTarget, partTarget, nextMsn } = this.#options;
    const [videoInit, audioInit] = [this.#videoInit, this.#audioInit];
    if ((video && videoInit === null) || (audio && audioInit === null)) return;
    const cadence = video ? this.#probe.decide(ended) : null;
    const firstAudio = this.#heldAudio[0];
    if (video ? cadence === null : firstAudio === undefined) return;
    this.#started = true;

    const targetDuration = cadence?.targetDuration ?? declared?.target_duration ?? Math.max(1, Math.round(segmentTarget));
    const renditions: Track[] = [];
    if (videoInit !== null && cadence !== null) renditions.push(videoTrack(videoInit, cadence, this.#options.metadata));
    if (audioInit !== null) {
      const audioCadence = computeAudioCadence({
        nominalPart: cadence?.nominalPart ?? partTarget,
        frameSeconds: frameTicks(audioInit) / audioInit.timescale,
        declaredPartTarget: declared?.part_targets[AUDIO_RENDITION] ?? null,
      });
      renditions.push(audioTrack(audioInit, audioCadence.partTarget, this.#options.metadata));
      const { timescale } = audioInit;
      this.#audioSegmenter = new AudioSegmenter(
        { timescale, frameTicks: frameTicks(audioInit), cadence: audioCadence, targetDuration, nextMsn },
        this.#writer(AUDIO_RENDITION, audioInit),
      );
    }
    this.#sink.onTracks({ target_duration: targetDuration, renditions });
    if (videoInit !== null) this.#sink.onInit(VIDEO_RENDITION, videoInit.bytes);
    if (audioInit !== null) this.#sink.onInit(AUDIO_RENDITION, audioInit.bytes);
    if (videoInit !== null && cadence !== null) this.#startVideo(videoInit, cadence);
    else if (audioInit !== null && firstAudio !== undefined) this.#origin = firstAudio.dts / audioInit.timescale;
    const heldAudio = this.#heldAudio;
    this.#heldAudio = [];
    for (const frame of heldAudio) this.#onAudio(frame);
  }

  #startVideo(init: VideoInit, cadence: VideoCadence): void {
    const writer = this.#writer(VIDEO_RENDITION, init);
    const segmenter = new VideoSegmenter(
      { timescale: init.timescale, cadence, segmentTarget: this.#options.segmentTarget, nextMsn: this.#options.nextMsn },
      {
        onPart: (part) => writer.onPart(part),
        onSegment: (segment) => writer.onSegment(segment),
        onBoundary: (time) => {
          this.#origin ??= time;
          this.#audioSegmenter?.boundary(time);
        },
        onWarning: (message) => this.#sink.onWarning(message),
      },
    );
    this.#videoSegmenter = segmenter;
    const held = this.#heldVideo;
    this.#heldVideo = [];
    for (const sample of held) segmenter.push(sample);
    this.#audioSegmenter?.advance(segmenter.decidedUntil);
  }

  #writer(rendition: string, init: VideoInit | AudioInit): TrackWriter {
    return new TrackWriter(rendition, init.trackId, () => this.#origin ?? 0, this.#sink);
  }
}

function newInput(): TrackInput {
  return { splitter: new BoxSplitter(), moov: null, moof: null };
}

/** Ticks of one coded frame; with SBR the timescale may count samples twice as fine as the core coder. */
function frameTicks(init: AudioInit): number {
  return Math.round((init.config.frameLength * init.timescale) / init.config.coreSampleRate);
}

function videoTrack(init: VideoInit, cadence: VideoCadence, metadata: EncoderMetadata | null): Track {
  return {
    kind: "video",
    name: VIDEO_RENDITION,
    codec: init.codec,
    part_target: cadence.partTarget,
    bandwidth: metadata?.videoBitrate ?? 0,
    width: init.width,
    height: init.height,
    frame_rate: cadence.frameRate === null ? null : Math.round(cadence.frameRate * 1000) / 1000,
  };
}

function audioTrack(init: AudioInit, partTarget: number, metadata: EncoderMetadata | null): Track {
  return {
    kind: "audio",
    name: AUDIO_RENDITION,
    codec: init.codec,
    part_target: partTarget,
    bandwidth: metadata?.audioBitrate ?? 0,
    channels: init.config.channels,
    sample_rate: init.config.sampleRate,
  };
}
