import type { Declared } from "../../domain/protocol/origin-link.ts";
import type { VideoEncoder } from "../config.ts";
import type { Log } from "../log.ts";
import { encodeAudioInit, encodeVideoInit } from "../package/init.ts";
import { x264KeyInterval } from "../package/nal.ts";
import { AUDIO_RENDITION, Packager, type PackagerSink } from "../package/packager.ts";
import type { VideoConfig } from "../package/video-config.ts";
import type { InputTracks } from "./input.ts";
import type { Frame } from "./key-gate.ts";
import { encodeAacBody, encodeAvcBody, encodeMp3Body } from "./media-tag.ts";
import type { Plan } from "./plan.ts";
import { remuxAudio, VideoRemuxer } from "./remuxer.ts";
import { Transcoder } from "./transcoder.ts";

/** What renditions are made with; targets in seconds. */
export interface ProductionOptions {
  videoEncoder: VideoEncoder;
  renderDevice: string;
  segmentTarget: number;
  partTarget: number;
  /** Number of the first segment, in every rendition. */
  nextMsn: number;
  declared: Declared | null;
  /** An existing directory with a short path, for sockets. */
  runDirectory: string;
  log: Log;
}

/** What a production reports. */
export interface ProductionEvents {
  sink: PackagerSink;
  /** Nothing more can be made of the input, in words for the broadcaster. */
  onFailure(message: string): void;
  /** What has to be encoded cannot be, but there is the encoder's own picture to go on with. */
  onEncodingLost(message: string): void;
  /** A transcoder died and another one took over. */
  onRestart(): void;
}

/** Distance between the IDRs that we make, seconds. */
const FORCED_KEY_INTERVAL = 2;

/** Makes an epoch's renditions of its frames: carries on what can be carried on, has encoded what must be, and has all of it packaged. */
export class Production {
  readonly plan: Plan;
  readonly #tracks: InputTracks;
  readonly #events: ProductionEvents;
  readonly #packager: Packager;
  readonly #remuxer = new VideoRemuxer();
  readonly #transcoder: Transcoder | null;
  /** Of a NAL unit's length field in H.264; null in other codecs. */
  readonly #lengthSize: number | null;
  /** Ticks a second of audio that is carried on; null where none is. */
  #audioTimescale: number | null = null;
  #isHinted = false;
  #isBroken = false;

  /** Throws in words for the broadcaster. */
  constructor(input: { tracks: InputTracks; video: VideoConfig | null; plan: Plan }, options: ProductionOptions, events: ProductionEvents) {
    const { tracks, video, plan } = input;
    this.plan = plan;
    this.#tracks = tracks;
    this.#events = events;
    this.#lengthSize = video?.codec === "H.264" ? video.lengthSize : null;
    this.#packager = new Packager(packagerOptions(tracks, plan, options), events.sink);
    this.#transcoder = plan.rungs.length > 0 || plan.audio === "transcode" ? this.#createTranscoder(options) : null;
    if (plan.copy !== null && video !== null) this.#packager.start(plan.copy, encodeVideoInit(video));
    if (plan.audio === "copy" && tracks.audio?.codec === "AAC") {
      const init = encodeAudioInit(tracks.audio.config);
      this.#audioTimescale = init.timescale;
      this.#packager.start(AUDIO_RENDITION, init);
    }
  }

  /** FFmpeg's process number; null while none runs. */
  get ffmpegPid(): number | null {
    return this.#transcoder?.pid ?? null;
  }

  /** How far what is encoded lies behind the input, milliseconds. */
  get lagMs(): number {
    return this.#transcoder?.progress().lagMs ?? 0;
  }

  /** Frames that could not be put on the timeline. */
  get dropped(): number {
    return this.#packager.dropped;
  }

  /** The next frame, decodable and in order. */
  push(frame: Frame): void {
    if (frame.type === "video") this.#pushVideo(frame);
    else this.#pushAudio(frame);
  }

  /** Brings out everything, within `patienceMs` where an encoder is slow. */
  async end(patienceMs: number): Promise<void> {
    const { copy } = this.plan;
    const last = this.#remuxer.end();
    if (copy !== null && last !== null) this.#package(() => this.#packager.pushVideo(copy, last));
    const transcoder = this.#transcoder;
    if (transcoder !== null) {
      const timer = setTimeout(() => transcoder.kill(), patienceMs);
      await transcoder.stop();
      clearTimeout(timer);
    }
    this.#package(() => this.#packager.end());
  }

  /** Ends at once; nothing more comes out. */
  kill(): void {
    this.#isBroken = true;
    this.#transcoder?.kill();
  }

  #pushVideo({ timestamp, compositionOffset, key, recovery, payload }: Frame): void {
    const { copy, rungs } = this.plan;
    if (copy !== null) {
      if (key && !this.#isHinted && this.#lengthSize !== null) this.#packager.hint(x264KeyInterval(payload, this.#lengthSize));
      this.#isHinted ||= key;
      const sample = this.#remuxer.push({ timestamp, compositionOffset, key, recovery, data: payload });
      if (sample !== null) this.#packager.pushVideo(copy, sample);
    }
    if (rungs.length > 0) this.#transcoder?.write("video", timestamp, encodeAvcBody(1, key, compositionOffset, payload), key);
  }

  #pushAudio({ timestamp, payload }: Frame): void {
    if (this.#audioTimescale !== null) this.#packager.pushAudio(remuxAudio(timestamp, this.#audioTimescale, payload));
    if (this.plan.audio !== "transcode") return;
    const body = this.#tracks.audio?.codec === "MP3" ? encodeMp3Body(payload) : encodeAacBody(1, payload);
    this.#transcoder?.write("audio", timestamp, body, false);
  }

  #createTranscoder({ runDirectory, log, videoEncoder, renderDevice }: ProductionOptions): Transcoder {
    const { rungs, keyFrames, audio, copy } = this.plan;
    const input = this.#tracks;
    return new Transcoder(
      {
        input: {
          video: rungs.length > 0 && input.video !== null ? { config: input.video.config } : null,
          audio: audio === "transcode" && input.audio !== null ? { codec: input.audio.codec, config: input.audio.config } : null,
        },
        rungs,
        keyFrames,
        audio: audio === "transcode",
        encoder: videoEncoder,
        renderDevice,
        runDirectory,
        log,
      },
      {
        onInit: (rendition, init) => this.#package(() => this.#packager.start(rendition, init)),
        onSample: (rendition, sample) =>
          this.#package(() =>
            rendition === AUDIO_RENDITION ? this.#packager.pushAudio(sample) : this.#packager.pushVideo(rendition, sample),
          ),
        onRestart: () => this.#events.onRestart(),
        onFailure: (message) => {
          if (copy !== null && audio !== "transcode") this.#events.onEncodingLost(message);
          else this.#events.onFailure(message);
        },
      },
    );
  }

  /** What the packager throws over what FFmpeg made is the end of this production. */
  #package(work: () => void): void {
    if (this.#isBroken) return;
    try {
      work();
    } catch (error) {
      this.#isBroken = true;
      this.#events.onFailure(error instanceof Error ? error.message : String(error));
    }
  }
}

function packagerOptions(tracks: InputTracks, plan: Plan, { segmentTarget, partTarget, nextMsn, declared }: ProductionOptions) {
  const { metadata } = tracks;
  const copied = plan.copy === null ? [] : [{ name: plan.copy, bandwidth: metadata?.videoBitrate ?? 0 }];
  const rungs = plan.rungs.map(({ name, maxBitrate }) => ({ name, bandwidth: maxBitrate }));
  return {
    videos: [...copied, ...rungs],
    audio: plan.audio === null ? null : { bandwidth: metadata?.audioBitrate ?? 0 },
    nextMsn,
    segmentTarget,
    partTarget,
    declared,
    frameRate: plan.rungs[0]?.frameRate ?? metadata?.frameRate ?? null,
    keyInterval: plan.copy === null && plan.rungs.length > 0 && plan.keyFrames === "forced" ? FORCED_KEY_INTERVAL : null,
  };
}
