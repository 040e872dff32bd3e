import { PROFILES, type ProfileName, VIDEO_CODECS, type VideoCodec } from "../../domain/profiles.ts";
import { parseAacConfig } from "../package/aac.ts";
import type { FlvTag } from "./flv.ts";
import type { MediaTag } from "./media-tag.ts";
import { type FlvMetadata, parseMetadata } from "./metadata.ts";
import { parseMp3Header } from "./mp3.ts";

/** AAC, which can be carried on; `config` is the AudioSpecificConfig. */
export interface AacInput {
  codec: "AAC";
  config: Buffer;
  /** Hz. */
  sampleRate: number;
  channels: number;
  objectType: number;
}

/** MP3, which has to be encoded anew. */
export interface Mp3Input {
  codec: "MP3";
  config: null;
  /** Hz. */
  sampleRate: number;
  channels: number;
  objectType: null;
}

/** The tracks of an encoder connection, settled from its first tags. */
export interface InputTracks {
  /** `config` is the codec's decoder configuration record. */
  video: { codec: VideoCodec; config: Buffer } | null;
  audio: AacInput | Mp3Input | null;
  metadata: FlvMetadata | null;
  /** The first frame that the encoder flags as a key frame, where it was waited for. */
  firstKeyFrame: Buffer | null;
}

/** What the first tags say so far; `message` is for the broadcaster. */
export type ProbeResult = { state: "waiting" } | { state: "ready"; tracks: InputTracks } | { state: "refused"; message: string };

/** How long the other track is waited for, by the encoder's clock and by ours. A broadcast without its picture is the worse mistake. */
const LONGEST_WAIT_MS = { audio: 2500, video: 6000, keyFrame: 2500 };
const NO_SPS = 0;
const WAITING: ProbeResult = { state: "waiting" };

/** Finds out which tracks an encoder sends, and refuses codecs that the profile does not take. */
export class InputProbe {
  readonly #profile: ProfileName;
  #video: InputTracks["video"] = null;
  #audio: InputTracks["audio"] = null;
  #metadata: FlvMetadata | null = null;
  #sawPicture = false;
  #firstKeyFrame: Buffer | null = null;
  #firstFrame: { timestamp: number; atMs: number } | null = null;

  constructor(profile: ProfileName) {
    this.#profile = profile;
  }

  /** Takes the next tag, as `parseMediaTag` reads it; `nowMs` is any clock that does not go back. Once it is ready or refused, nothing more may be pushed. */
  push(tag: FlvTag, media: MediaTag | null, nowMs: number): ProbeResult {
    if (tag.type === "script") {
      this.#metadata = parseMetadata(tag.data) ?? this.#metadata;
      return this.#settle(nowMs, tag.timestamp);
    }
    if (media === null) return WAITING;
    const refusal = media.type === "video" ? this.#takeVideo(media) : this.#takeAudio(media);
    if (refusal !== null) return { state: "refused", message: refusal };
    // Configurations say 0 where the frames count from elsewhere.
    if (media.role !== "config") this.#firstFrame ??= { timestamp: tag.timestamp, atMs: nowMs };
    return this.#settle(nowMs, tag.timestamp);
  }

  #takeVideo(media: MediaTag): string | null {
    const codec = VIDEO_CODECS.find((known) => known === media.codec);
    if (codec === undefined || !PROFILES[this.#profile].videoCodecs.includes(codec))
      return describeVideoRefusal(media.codec, codec !== undefined);
    if (media.role === "frame") {
      this.#sawPicture = true;
      if (media.key) this.#firstKeyFrame ??= media.payload;
    }
    if (media.role !== "config") return null;
    if (media.payload.length < 4) return `the encoder's ${codec} configuration is broken`;
    if (codec === "H.264" && media.payload.length < 7) return "the encoder's H.264 configuration is broken";
    if (codec !== "H.264" || (media.payload.readUInt8(5) & 31) !== NO_SPS) this.#video = { codec, config: media.payload };
    return null;
  }

  #takeAudio(media: MediaTag): string | null {
    if (media.codec === "MP3") {
      const header = parseMp3Header(media.payload);
      if (header !== null) this.#audio ??= { codec: "MP3", config: null, objectType: null, ...header };
      return null;
    }
    if (media.codec !== "AAC") return `${media.codec} audio is not supported by this stream's profile: set the encoder to AAC`;
    if (media.role !== "config") return null;
    try {
      const { sampleRate, channels, objectType } = parseAacConfig(media.payload);
      this.#audio = { codec: "AAC", config: media.payload, sampleRate, channels, objectType };
      return null;
    } catch (error) {
      return `the encoder's audio is not supported: ${error instanceof Error ? error.message : "it cannot be read"}`;
    }
  }

  #settle(nowMs: number, timestamp: number): ProbeResult {
    const [video, audio, metadata, first, firstKeyFrame] = [
      this.#video,
      this.#audio,
      this.#metadata,
      this.#firstFrame,
      this.#firstKeyFrame,
    ];
    const waitedMs = first === null ? 0 : Math.max(timestamp - first.timestamp, nowMs - first.atMs);
    const ready: ProbeResult = { state: "ready", tracks: { video, audio, metadata, firstKeyFrame } };
    const wantsKeyFrame = video !== null && firstKeyFrame === null && PROFILES[this.#profile].rungs.length > 0;
    if (wantsKeyFrame && waitedMs < LONGEST_WAIT_MS.keyFrame) return WAITING;
    if (video !== null && audio !== null) return ready;
    if (metadata !== null && video !== null && metadata.announcesVideo && !metadata.announcesAudio) return ready;
    if (metadata !== null && audio !== null && metadata.announcesAudio && !metadata.announcesVideo) return ready;
    if (first === null || waitedMs < (video === null ? LONGEST_WAIT_MS.video : LONGEST_WAIT_MS.audio)) return WAITING;
    if (video === null && this.#sawPicture)
      return { state: "refused", message: "the encoder's pictures come with no configuration of their codec" };
    if (video !== null || audio !== null) return ready;
    return { state: "refused", message: "the encoder sent neither an H.264 nor an AAC configuration" };
  }
}

function describeVideoRefusal(codec: string, isKnown: boolean): string {
  const remedy = isKnown ? "set the encoder to H.264, or the stream's profile to passthrough_any" : "set the encoder to H.264";
  return `${codec} video is not supported by this stream's profile: ${remedy}`;
}
