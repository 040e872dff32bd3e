import { parseAacConfig } from "../package/aac.ts";
import type { FlvTag } from "./flv.ts";
import { type MediaTag, parseMediaTag } from "./media-tag.ts";
import { type FlvMetadata, parseMetadata } from "./metadata.ts";

/** The tracks of an encoder connection, settled from its first tags. */
export interface InputTracks {
  /** `config` is the AVCDecoderConfigurationRecord. */
  video: { config: Buffer } | null;
  /** `config` is the AudioSpecificConfig; `sampleRate` in Hz. */
  audio: { config: Buffer; sampleRate: number; channels: number } | null;
  metadata: FlvMetadata | null;
}

/** What the first tags say so far; `message` is for the broadcaster. */
export type ProbeResult = { state: "waiting" } | { state: "ready"; tracks: InputTracks } | { state: "refused"; message: string };

/** How long the other track is waited for, by the encoder's clock and by ours. A broadcast without its picture is the worse mistake. */
const LONGEST_WAIT_MS = { audio: 2500, video: 6000 };
const NO_SPS = 0;
const WAITING: ProbeResult = { state: "waiting" };

/** Finds out which tracks an encoder sends, and refuses what is not H.264 and AAC. */
export class InputProbe {
  #video: InputTracks["video"] = null;
  #audio: InputTracks["audio"] = null;
  #metadata: FlvMetadata | null = null;
  #sawPicture = false;
  #firstFrame: { timestamp: number; atMs: number } | null = null;

  /** Takes the next tag; `nowMs` is any clock that does not go back. Once it is ready or refused, nothing more may be pushed. */
  push(tag: FlvTag, nowMs: number): ProbeResult {
    if (tag.type === "script") {
      this.#metadata = parseMetadata(tag.data) ?? this.#metadata;
      return this.#settle(nowMs, tag.timestamp);
    }
    const media = parseMediaTag(tag);
    if (media === null) return WAITING;
    const refusal = this.#take(media);
    if (refusal !== null) return { state: "refused", message: refusal };
    // Configurations say 0 where the frames count from elsewhere.
    if (media.role !== "config") this.#firstFrame ??= { timestamp: tag.timestamp, atMs: nowMs };
    return this.#settle(nowMs, tag.timestamp);
  }

  #take(media: MediaTag): string | null {
    if (media.type === "video") {
      if (media.codec !== "H.264") return `${media.codec} video is not supported by this stream's profile: set the encoder to H.264`;
      this.#sawPicture ||= media.role === "frame";
      if (media.role === "config" && media.payload.length < 7) return "the encoder's H.264 configuration is broken";
      if (media.role === "config" && (media.payload.readUInt8(5) & 31) !== NO_SPS) this.#video = { config: media.payload };
      return null;
    }
    if (media.codec !== "AAC") return `${media.codec} audio is not supported by this stream's profile: set the encoder to AAC`;
    if (media.role !== "config") return null;
    try {
      const { sampleRate, channels } = parseAacConfig(media.payload);
      this.#audio = { config: media.payload, sampleRate, channels };
      return null;
    } catch (error) {
      return `the encoder's audio is not supported: ${error instanceof Error ? error.message : "it cannot be read"}`;
    }
  }

  #settle(nowMs: number, timestamp: number): ProbeResult {
    const [video, audio, metadata, first] = [this.#video, this.#audio, this.#metadata, this.#firstFrame];
    const ready: ProbeResult = { state: "ready", tracks: { video, audio, metadata } };
    if (video !== null && audio !== null) return ready;
    if (metadata !== null && video !== null && metadata.announcesVideo && !metadata.announcesAudio) return ready;
    if (metadata !== null && audio !== null && metadata.announcesAudio && !metadata.announcesVideo) return ready;
    if (first === null) return WAITING;
    const waitMs = video === null ? LONGEST_WAIT_MS.video : LONGEST_WAIT_MS.audio;
    if (timestamp - first.timestamp < waitMs && nowMs - first.atMs < waitMs) return WAITING;
    if (video === null && this.#sawPicture) return { state: "refused", message: "the encoder's pictures come with no H.264 configuration" };
    if (video !== null || audio !== null) return ready;
    return { state: "refused", message: "the encoder sent neither an H.264 nor an AAC configuration" };
  }
}
