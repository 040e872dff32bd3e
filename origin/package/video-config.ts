import type { VideoCodec } from "../../domain/profiles.ts";
import { parseAv1Record } from "./av1.ts";
import { parseH264Record } from "./h264.ts";
import { parseHevcRecord } from "./hevc.ts";
import type { Usability } from "./vui.ts";

/** What a decoder configuration record says of the video. */
export interface VideoFacts extends Usability {
  /** RFC 6381. */
  name: string;
  /** Pixels of the pictures that are shown: cropped, before any aspect of theirs. */
  width: number;
  height: number;
  /** Bytes of a NAL unit's length field; 0 for AV1, which has none. */
  lengthSize: number;
  /** As it stands in the sample entry. */
  record: Buffer;
}

/** A video track's codec and what its configuration says. */
export interface VideoConfig extends VideoFacts {
  codec: VideoCodec;
}

const MAX_RECORD_BYTES = 64 * 1024;
const MIN_SIDE = 16;
const MAX_SIDE = 16384;
const PARSERS: Record<VideoCodec, (record: Buffer) => VideoFacts> = {
  "H.264": parseH264Record,
  HEVC: parseHevcRecord,
  AV1: parseAv1Record,
};

/** Reads what encoders send before the first picture. Throws in words for the broadcaster. The record is not copied. */
export function parseVideoConfig(codec: VideoCodec, record: Buffer): VideoConfig {
  let facts: VideoFacts;
  try {
    if (record.length > MAX_RECORD_BYTES) throw new Error("it is larger than any encoder makes it");
    facts = PARSERS[codec](record);
    for (const side of [facts.width, facts.height]) {
      if (side < MIN_SIDE || side > MAX_SIDE) throw new Error(`pictures of ${facts.width}×${facts.height} are out of range`);
    }
  } catch (error) {
    throw new Error(`the encoder's ${codec} configuration is broken: ${error instanceof Error ? error.message : String(error)}`);
  }
  return { codec, ...facts };
}
