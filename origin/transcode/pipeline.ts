import type { ProfileName } from "../../domain/profiles.ts";
import type { HeartbeatInput } from "../../domain/protocol/origin-link.ts";
import { repairSample, videoEntry, x264KeyInterval } from "../package/nal.ts";
import type { PackagerSink } from "../package/packager.ts";
import { parseVideoConfig, type VideoConfig } from "../package/video-config.ts";
import type { FlvTag } from "./flv.ts";
import { InputProbe, type InputTracks } from "./input.ts";
import { InputClock } from "./input-clock.ts";
import { InputStats } from "./input-stats.ts";
import { type Frame, KeyGate } from "./key-gate.ts";
import type { MediaTag } from "./media-tag.ts";
import { type Plan, planRenditions } from "./plan.ts";
import { Production, type ProductionOptions } from "./production.ts";
import { SilenceFiller } from "./silence.ts";

/** Why a pipeline gave up. */
export type PipelineFailure = "unsupported_input" | "transcoder_failed";

/** What a pipeline works with. */
export interface PipelineOptions extends ProductionOptions {
  profile: ProfileName;
  /** Encoded renditions that the machine has no room for. */
  without: readonly string[];
  /** The encoder's clock has jumped. */
  afterJump: boolean;
  /** Seconds between the encoder's key frames, as an epoch before this one has seen them; null where nobody has. */
  keyInterval: number | null;
  maxPixels: number;
  maxBitrateKbps: number;
  sink: PackagerSink;
  /** At most once, after everything that could be saved went to the sink; nothing comes out afterwards. `message` is for the broadcaster. */
  onFailure(code: PipelineFailure, message: string): void;
  /** What has to be encoded cannot be, but there is the encoder's own picture to go on with. */
  onEncodingLost(message: string): void;
  /** A transcoder died and another one took over. */
  onRestart(): void;
}

/** What became of a tag: `changed` says in words that it no longer fits what the epoch has begun with; `untaken` are that tag, and those that came after it. */
export type Taken = { state: "taken" } | { state: "changed"; message: string; clock: boolean; untaken: readonly HeldTag[] };

/** A tag, with what `parseMediaTag` read of it, and when it arrived by `performance.now()`. */
export interface HeldTag {
  tag: FlvTag;
  media: MediaTag | null;
  arrivedMs: number;
}

const TAKEN: Taken = { state: "taken" };
const MAX_HELD_TAGS = 4000;
const MAX_HELD_BYTES = 32 * 1024 * 1024;
const MAX_WARNINGS = 10;
const FAILURE_PATIENCE_MS = 5000;
const SPEED_WINDOW_MS = 5000;

/** What runs once the input is known. */
interface Running {
  tracks: InputTracks;
  video: VideoConfig | null;
  production: Production;
  /** Null where there is no video to wait for. */
  gate: KeyGate | null;
  silence: SilenceFiller | null;
}

/** One epoch of an encoder connection, from tags to parts and segments. */
export class Pipeline {
  readonly #options: PipelineOptions;
  readonly #probe: InputProbe;
  readonly #clock: InputClock;
  readonly #stats = new InputStats();
  #held: HeldTag[] = [];
  #heldBytes = 0;
  #running: Running | null = null;
  /** The newest video frame on the connection's clock, milliseconds. */
  #lastVideo: number | null = null;
  #dropped = 0;
  #declaredKeyInterval: number | null = null;
  #lags: { atMs: number; lagMs: number }[] = [];
  #cutAtKeyFrame: string | null = null;
  #state: "open" | "ending" | "over" = "open";
  #flushed: Promise<void> = Promise.resolve();
  #warnings: string[] = [];

  constructor(options: PipelineOptions) {
    this.#options = options;
    this.#probe = new InputProbe(options.profile);
    this.#clock = new InputClock(options.afterJump);
  }

  /** FFmpeg's process number; null while none runs. */
  get ffmpegPid(): number | null {
    return this.#running?.production.ffmpegPid ?? null;
  }

  /** What is made of the input; null until it is known. */
  get plan(): Plan | null {
    return this.#running?.production.plan ?? null;
  }

  /** Whether there are pictures; true until it is known. */
  get hasVideo(): boolean {
    return this.#running === null || this.#running.video !== null;
  }

  /** Frames a second as the encoder announced them; null where it did not. */
  get usualFps(): number | null {
    return this.#running?.tracks.metadata?.frameRate ?? null;
  }

  /** Seconds between the encoder's key frames at most, as it says or as they came; null where neither is known. */
  get keyInterval(): number | null {
    return this.#declaredKeyInterval ?? this.#stats.longestKeyInterval ?? this.#options.keyInterval;
  }

  /** How far what is encoded lies behind the input, milliseconds. */
  get lagMs(): number {
    return this.#running?.production.lagMs ?? 0;
  }

  /** Takes the next tag, with what `parseMediaTag` read of it; `arrivedMs` by `performance.now()`. */
  push(tag: FlvTag, media: MediaTag | null, arrivedMs = performance.now()): Taken {
    if (this.#state !== "open") return TAKEN;
    const held = { tag, media, arrivedMs };
    try {
      return this.#running === null ? this.#probeTag(held) : this.#feed(this.#running, held);
    } catch (error) {
      this.#fail("unsupported_input", describe(error));
      return TAKEN;
    }
  }

  /** The next key frame is not taken: it is for another epoch. Audio alone changes at the next frame. */
  cutAtKeyFrame(message: string): void {
    this.#cutAtKeyFrame = message;
  }

  /** The encoder has gone, or goes on in another epoch: brings out everything that it sent, within `patienceMs`. Settles when the sink has it all. */
  async end(patienceMs: number): Promise<void> {
    if (this.#state === "open") {
      this.#state = "ending";
      this.#flushed = this.#flush(patienceMs);
    }
    await this.#flushed;
    this.#state = "over";
  }

  /** Ends at once; the sink gets nothing more. */
  kill(): void {
    this.#state = "over";
    this.#running?.production.kill();
  }

  /** The figures of a heartbeat, without a judgement; `nowMs` is `performance.now()`'s time. Gives up on an encoder that sends too much. */
  stats(nowMs: number): HeartbeatInput {
    const figures = this.#stats.read(nowMs);
    const { maxBitrateKbps } = this.#options;
    if (figures.bitrate_kbps > maxBitrateKbps) {
      const [sent, allowed] = [figures.bitrate_kbps, maxBitrateKbps].map((kbps) => (kbps / 1000).toFixed(1));
      this.#fail("unsupported_input", `the encoder sends ${sent} Mbit/s, and ${allowed} are allowed: lower its bitrate`);
    }
    const dropped_frames = this.#dropped + (this.#running?.production.dropped ?? 0);
    const speed = Math.min(figures.speed, this.#encodingSpeed(nowMs));
    return { ...figures, speed, dropped_frames, warnings: [...this.#warnings] };
  }

  /** Media time that encoders bring out over wall time: 1 where they keep up, or there are none. */
  #encodingSpeed(nowMs: number): number {
    const { lagMs } = this;
    this.#lags = [...this.#lags.filter(({ atMs }) => atMs > nowMs - SPEED_WINDOW_MS), { atMs: nowMs, lagMs }];
    const first = this.#lags[0];
    if (first === undefined || nowMs - first.atMs < 1000) return 1;
    return Math.min(1, Math.max(0, 1 - (lagMs - first.lagMs) / (nowMs - first.atMs)));
  }

  #probeTag(held: HeldTag): Taken {
    const { tag, media } = held;
    const result = this.#probe.push(tag, media, performance.now());
    this.#held.push(held);
    this.#heldBytes += tag.raw.length;
    if (result.state === "refused") this.#fail("unsupported_input", result.message);
    else if (result.state === "ready") return this.#start(result.tracks);
    else if (this.#held.length > MAX_HELD_TAGS || this.#heldBytes > MAX_HELD_BYTES) {
      this.#fail("unsupported_input", "the encoder sent no configuration of its codecs");
    }
    return TAKEN;
  }

  #start(tracks: InputTracks): Taken {
    const { profile, maxPixels, without, sink } = this.#options;
    const video = tracks.video === null ? null : parseVideoConfig(tracks.video.codec, tracks.video.config);
    this.#declaredKeyInterval = video === null ? null : readKeyInterval(tracks, video);
    const plan = planRenditions(profile, describeInput(tracks, video, this.keyInterval), { maxPixels, without: [...without] });
    if ("refusal" in plan) {
      this.#fail("unsupported_input", plan.refusal);
      return TAKEN;
    }
    const production = new Production({ tracks, video, plan }, this.#options, {
      sink: { ...sink, onWarning: (message) => this.#warn(message) },
      onFailure: (message) => this.#fail("transcoder_failed", message),
      onEncodingLost: (message) => {
        if (this.#state === "open") this.#options.onEncodingLost(message);
      },
      onRestart: () => {
        this.#warn("the transcoder failed and was started again");
        this.#options.onRestart();
      },
    });
    const running: Running = {
      tracks,
      video,
      production,
      gate: video === null ? null : new KeyGate(),
      silence: video === null ? null : silenceFor(tracks),
    };
    this.#running = running;
    const held = this.#held;
    this.#held = [];
    for (const [index, one] of held.entries()) {
      const taken: Taken = this.#state === "open" ? this.#feed(running, one) : TAKEN;
      if (taken.state === "changed") return { ...taken, untaken: held.slice(index) };
    }
    return TAKEN;
  }

  #feed(running: Running, held: HeldTag): Taken {
    const { media } = held;
    if (media === null) return TAKEN;
    const track = running.tracks[media.type];
    if (track === null) {
      this.#warn(`the encoder began to send ${media.type} after the stream had begun: it is left out until the next connection`);
      return TAKEN;
    }
    if (media.codec !== track.codec) return changed(held, `the encoder changed its ${media.type} to ${media.codec}`);
    if (media.role === "config") {
      const isSame = media.payload.length === 0 || track.config === null || media.payload.equals(track.config);
      return isSame ? TAKEN : changed(held, `the encoder changed its ${media.type} format`);
    }
    if (media.role !== "frame" || media.payload.length === 0) return TAKEN;
    const cut = this.#cutAtKeyFrame;
    if (cut !== null && (media.type === "video" ? media.key : running.video === null)) return changed(held, cut);
    return this.#feedFrame(running, held, media);
  }

  #feedFrame(running: Running, held: HeldTag, media: MediaTag): Taken {
    const { tag, arrivedMs } = held;
    const placed = this.#clock.place(media.type, tag.timestamp);
    if (placed.state === "broken") return { state: "changed", message: placed.message, clock: true, untaken: [held] };
    const frame = readFrame(running, media);
    this.#stats.note({ type: media.type, timestamp: tag.timestamp, bytes: tag.raw.length, key: frame?.key ?? false }, arrivedMs);
    if (placed.state === "late" || frame === null) {
      this.#dropped += 1;
      return TAKEN;
    }
    const { timestamp } = placed;
    if (media.type === "audio") this.#pushSilence(running, running.silence?.note(timestamp) ?? []);
    else {
      this.#lastVideo = timestamp;
      this.#fillSilence(running, false);
    }
    this.#push(running, { type: media.type, timestamp, compositionOffset: media.compositionOffset, ...frame });
    return TAKEN;
  }

  #fillSilence(running: Running, ended: boolean): void {
    if (this.#lastVideo === null || running.silence === null) return;
    const silence = running.silence.fill(this.#lastVideo, ended).filter(({ timestamp }) => this.#clock.fill(timestamp));
    this.#pushSilence(running, silence);
    if (silence.length > 0 && !ended) this.#warn("the encoder's audio has stopped: silence takes its place");
  }

  #pushSilence(running: Running, silence: { timestamp: number; frame: Buffer }[]): void {
    for (const { timestamp, frame } of silence) {
      this.#push(running, { type: "audio", timestamp, compositionOffset: 0, key: false, recovery: false, payload: frame });
    }
  }

  #push({ gate, production }: Running, frame: Frame): void {
    for (const passed of gate?.push(frame) ?? [frame]) production.push(passed);
  }

  #warn(message: string): void {
    if (this.#warnings.includes(message)) return;
    this.#warnings.push(message);
    if (this.#warnings.length > MAX_WARNINGS) this.#warnings.shift();
    this.#options.sink.onWarning(message);
  }

  async #flush(patienceMs: number): Promise<void> {
    const running = this.#running;
    if (running === null) return;
    try {
      this.#fillSilence(running, true);
    } catch {
      // There was no picture for the sound to go with: nor for the rest of it.
    }
    await running.production.end(patienceMs);
  }

  /** Saves what there was, then reports. */
  #fail(code: PipelineFailure, message: string): void {
    if (this.#state !== "open") return;
    this.#options.log.warn({ code, reason: message }, "the pipeline gave up");
    this.#state = "ending";
    const flushed = this.#flush(FAILURE_PATIENCE_MS).catch((error: unknown) => {
      this.#options.log.warn({ reason: describe(error) }, "not all of what came could be saved");
    });
    this.#flushed = flushed.then(() => {
      if (this.#state === "over") return;
      this.#state = "over";
      this.#options.onFailure(code, message);
    });
  }
}

function silenceFor({ audio }: InputTracks): SilenceFiller | null {
  if (audio === null) return null;
  return audio.codec === "AAC" ? SilenceFiller.forAac(audio.config) : SilenceFiller.forMp3(audio);
}

function changed(held: HeldTag, message: string): Taken {
  return { state: "changed", message, clock: false, untaken: [held] };
}

/** The frame as players can take it; null where nothing of it can be decoded. */
function readFrame({ video }: Running, media: MediaTag): Pick<Frame, "payload" | "key" | "recovery"> | null {
  if (media.type === "audio" || video === null) return { payload: media.payload, key: false, recovery: false };
  const payload = repairSample(media.payload, video);
  if (payload === null) return null;
  const entry = videoEntry(payload, video);
  return { payload, key: entry === "idr", recovery: entry === "recovery" || (media.key && entry === null) };
}

function describeInput(tracks: InputTracks, video: VideoConfig | null, keyInterval: number | null): Parameters<typeof planRenditions>[1] {
  const { metadata, audio } = tracks;
  return {
    video: video && {
      codec: video.codec,
      width: video.width,
      height: video.height,
      frameRate: frameRateOf(tracks, video),
      bitrate: metadata?.videoBitrate ?? null,
      keyInterval,
    },
    audio: audio && {
      codec: audio.codec,
      sampleRate: audio.sampleRate,
      channels: audio.channels,
      objectType: audio.objectType,
      bitrate: metadata?.audioBitrate ?? null,
    },
  };
}

function frameRateOf({ metadata }: InputTracks, video: VideoConfig): number | null {
  return metadata?.frameRate ?? video.frameRate;
}

/** Seconds between the encoder's key frames at most, as x264 says it in its first frame; null where nobody says it. */
function readKeyInterval(tracks: InputTracks, video: VideoConfig): number | null {
  if (video.codec !== "H.264" || tracks.firstKeyFrame === null) return null;
  const frames = x264KeyInterval(tracks.firstKeyFrame, video.lengthSize);
  const frameRate = frameRateOf(tracks, video);
  return typeof frames === "number" && frameRate !== null ? frames / frameRate : null;
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
