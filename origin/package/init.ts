import type { VideoCodec } from "../../domain/profiles.ts";
import { type AacConfig, parseAacConfig } from "./aac.ts";
import { type Box, encodeBox, listBoxes, onlyBox } from "./boxes.ts";
import { encodeMoov, TRACK_ID } from "./moov.ts";
import { encodeAudioEntry, encodeVideoEntry, VIDEO_BOXES } from "./sample-entry.ts";
import { parseVideoConfig, type VideoConfig } from "./video-config.ts";

interface TrackInit {
  trackId: number;
  timescale: number;
  /** RFC 6381. */
  codec: string;
  /** The init segment to publish: `ftyp` and `moov` of exactly one track (CM1). */
  bytes: Buffer;
}

/** The init segment of a video track. */
export interface VideoInit extends TrackInit {
  kind: "video";
  format: VideoCodec;
  /** Pixels as coded and cropped. */
  width: number;
  height: number;
  /** Bytes of a NAL unit's length field; 0 for AV1, which has none. */
  lengthSize: number;
}

/** The init segment of an AAC track. */
export interface AudioInit extends TrackInit {
  kind: "audio";
  config: AacConfig;
}

/** Ticks of a second of video. */
export const VIDEO_TIMESCALE = 90_000;

const VIDEO_FORMATS: readonly VideoCodec[] = ["H.264", "HEVC", "AV1"];
const FTYP = encodeBox("ftyp", Buffer.from("iso6\0\0\0\0iso6cmfcisommp41", "latin1"));
const AV1_FTYP = encodeBox("ftyp", Buffer.from("iso6\0\0\0\0iso6cmfcisommp41av01", "latin1"));
/** What a 16.16 field can hold. */
const MAX_SHOWN_SIDE = 0xffff;
const VIDEO_ENTRY_FIELDS = 78;
const AUDIO_ENTRY_FIELDS = 28;

/** Makes the init segment of video that is passed on as the encoder sends it. */
export function encodeVideoInit(config: VideoConfig): VideoInit {
  const { width, height, pixelAspect } = config;
  const shownWidth = pixelAspect === null ? width : (width * pixelAspect.horizontal) / pixelAspect.vertical;
  const moov = encodeMoov({
    kind: "video",
    timescale: VIDEO_TIMESCALE,
    width: Math.min(MAX_SHOWN_SIDE, shownWidth),
    height,
    sampleEntry: encodeVideoEntry(config),
  });
  return {
    kind: "video",
    trackId: TRACK_ID,
    timescale: VIDEO_TIMESCALE,
    codec: config.name,
    format: config.codec,
    bytes: withFtyp(moov, config.codec),
    width,
    height,
    lengthSize: config.lengthSize,
  };
}

/** Makes the init segment of AAC from its AudioSpecificConfig; ticks are samples that come out. Throws in words for the broadcaster. */
export function encodeAudioInit(record: Buffer): AudioInit {
  const config = parseAacConfig(record);
  const timescale = config.sampleRate;
  const moov = encodeMoov({ kind: "audio", timescale, width: 0, height: 0, sampleEntry: encodeAudioEntry(config, record) });
  return { kind: "audio", trackId: TRACK_ID, timescale, codec: audioCodec(config), bytes: withFtyp(moov, null), config };
}

/** Reads a `moov` of one video or AAC track. Throws on anything else. */
export function parseInit(moov: Buffer): VideoInit | AudioInit {
  const whole = { body: 8, end: moov.length };
  const trak = onlyBox(moov, whole, "trak");
  const tkhd = onlyBox(moov, trak, "tkhd");
  const mdia = onlyBox(moov, trak, "mdia");
  const mdhd = onlyBox(moov, mdia, "mdhd");
  const trackId = u32(moov, tkhd, isVersion1(moov, tkhd) ? 20 : 12);
  const timescale = u32(moov, mdhd, isVersion1(moov, mdhd) ? 20 : 12);
  if (timescale === 0) throw new Error("MP4 track has no timescale");
  onlyBox(moov, onlyBox(moov, whole, "mvex"), "trex");

  const stsd = onlyBox(moov, onlyBox(moov, onlyBox(moov, mdia, "minf"), "stbl"), "stsd");
  if (u32(moov, stsd, 4) !== 1) throw new Error("MP4 track has more than one sample description");
  const [entry] = listBoxes(moov, stsd.body + 8, stsd.end);
  const format = VIDEO_FORMATS.find((one) => VIDEO_BOXES[one].entry === entry?.type);
  if (entry !== undefined && format !== undefined) {
    const box = onlyBox(moov, { body: entry.body + VIDEO_ENTRY_FIELDS, end: entry.end }, VIDEO_BOXES[format].record);
    const { name, lengthSize } = parseVideoConfig(format, moov.subarray(box.body, box.end));
    return {
      kind: "video",
      trackId,
      timescale,
      codec: name,
      format,
      bytes: withFtyp(moov, format),
      width: slice(moov, entry, 24, 2).readUInt16BE(),
      height: slice(moov, entry, 26, 2).readUInt16BE(),
      lengthSize,
    };
  }
  if (entry?.type === "mp4a") {
    const esds = onlyBox(moov, { body: entry.body + AUDIO_ENTRY_FIELDS, end: entry.end }, "esds");
    const config = parseAacConfig(decoderSpecificInfo(moov.subarray(esds.body + 4, esds.end)));
    return { kind: "audio", trackId, timescale, codec: audioCodec(config), bytes: withFtyp(moov, null), config };
  }
  throw new Error(`MP4 track is coded as ${entry?.type ?? "nothing"}, not as H.264, HEVC, AV1 or AAC`);
}

function withFtyp(moov: Buffer, format: VideoCodec | null): Buffer {
  return Buffer.concat([format === "AV1" ? AV1_FTYP : FTYP, moov]);
}

function audioCodec(config: AacConfig): string {
  return `mp4a.40.${config.objectType}`;
}

function slice(buffer: Buffer, box: Box, offset: number, size: number): Buffer {
  const at = box.body + offset;
  if (at + size > box.end) throw new Error(`MP4 box ${box.type} is too short`);
  return buffer.subarray(at, at + size);
}

function u32(buffer: Buffer, box: Box, offset: number): number {
  return slice(buffer, box, offset, 4).readUInt32BE();
}

function isVersion1(buffer: Buffer, box: Box): boolean {
  return slice(buffer, box, 0, 1).readUInt8() === 1;
}

/** Fields that stand before the nested descriptors (ISO/IEC 14496-1 §7.2.6), by descriptor tag. */
const FIELDS_BEFORE_NESTED: Record<number, number> = { 3: 3, 4: 13 };
const DECODER_SPECIFIC_INFO = 5;

/** Goes down ES descriptor → decoder configuration → decoder specific info, each the first in the one around it. */
function decoderSpecificInfo(descriptors: Buffer): Buffer {
  let rest = descriptors;
  for (let depth = 0; depth < 3; depth++) {
    const tag = rest[0];
    let size = 0;
    let offset = 1;
    for (let more = true; more && offset < 6; offset++) {
      const byte = rest[offset];
      if (byte === undefined) throw new Error("esds box is too short");
      size = size * 128 + (byte & 0x7f);
      more = (byte & 0x80) !== 0;
    }
    if (tag === undefined || offset + size > rest.length) throw new Error("esds box is too short");
    const body = rest.subarray(offset, offset + size);
    if (tag === DECODER_SPECIFIC_INFO) return body;
    const skip = FIELDS_BEFORE_NESTED[tag];
    if (skip === undefined || skip > body.length) throw new Error("esds box has no decoder configuration");
    rest = body.subarray(skip);
  }
  throw new Error("esds box has no decoder configuration");
}
