import { z } from "zod";

/** What is made of an encoder's input, by name; a stream chooses one. */
export const ProfileName = z.enum(["passthrough", "passthrough_any", "ladder", "ladder_source"]);
export type ProfileName = z.infer<typeof ProfileName>;

/** A video codec as encoders are told about it. */
export const VIDEO_CODECS = ["H.264", "HEVC", "AV1"] as const;
export type VideoCodec = (typeof VIDEO_CODECS)[number];

/** One encoded quality of a ladder. */
export interface Rung {
  name: "1080p" | "720p" | "480p";
  /** Pixels; the width follows the input's shape. */
  height: number;
  /** Bits per second of video: what is aimed at, and what no second of it may exceed. */
  bitrate: number;
  maxBitrate: number;
}

/** A profile as data. */
export interface Profile {
  /** Codecs of video that are taken. */
  videoCodecs: readonly VideoCodec[];
  /** Whether viewers are offered the encoder's own pictures, as `source`. */
  source: boolean;
  /** Encoded qualities, the highest first; those above the input's height are left out. */
  rungs: readonly Rung[];
  /** Bits per second that AAC may have before it is encoded anew, and that it is encoded with; null: it is carried on as it is. */
  audioBitrate: number | null;
}

const RUNGS: readonly Rung[] = [
  { name: "1080p", height: 1080, bitrate: 8_000_000, maxBitrate: 8_560_000 },
  { name: "720p", height: 720, bitrate: 5_000_000, maxBitrate: 5_350_000 },
  { name: "480p", height: 480, bitrate: 2_000_000, maxBitrate: 2_140_000 },
];

/** Rungs keep the input's frame rate up to this, frames per second. */
export const MAX_RUNG_FRAME_RATE = 60;

/** AAC that has to be made, bits per second. */
export const AAC_BITRATE = 128_000;

export const PROFILES: Record<ProfileName, Profile> = {
  passthrough: { videoCodecs: ["H.264"], source: true, rungs: [], audioBitrate: null },
  passthrough_any: { videoCodecs: ["H.264", "HEVC", "AV1"], source: true, rungs: [], audioBitrate: null },
  ladder: { videoCodecs: ["H.264"], source: false, rungs: RUNGS, audioBitrate: AAC_BITRATE },
  ladder_source: { videoCodecs: ["H.264"], source: true, rungs: RUNGS, audioBitrate: AAC_BITRATE },
};
