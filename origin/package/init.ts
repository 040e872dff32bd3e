import { type AacConfig, parseAacConfig } from "./aac.ts";
import { type Box, encodeBox, listBoxes, onlyBox } from "./boxes.ts";

interface TrackInit {
  trackId: number;
  timescale: number;
  /** RFC 6381. */
  codec: string;
  /** The init segment to publish: `ftyp` and `moov` of exactly one track (CM1). */
  bytes: Buffer;
}

/** The init segment of an H.264 track. */
export interface VideoInit extends TrackInit {
  kind: "video";
  width: number;
  height: number;
  /** Bytes of a NAL unit's length field. */
  lengthSize: number;
}

/** The init segment of an AAC track. */
export interface AudioInit extends TrackInit {
  kind: "audio";
  config: AacConfig;
}

const FTYP = encodeBox("ftyp", Buffer.from("iso6\0\0\0\0iso6cmfcisommp41", "latin1"));
const VIDEO_ENTRY_FIELDS = 78;
const AUDIO_ENTRY_FIELDS = 28;

/** Reads a `moov` of one H.264 or AAC track. Throws on anything else. */
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
  const shared = { trackId, timescale, bytes: Buffer.concat([FTYP, moov]) };
  if (entry?.type === "avc1") {
    const avcC = onlyBox(moov, { body: entry.body + VIDEO_ENTRY_FIELDS, end: entry.end }, "avcC");
    const profileAndLevel = slice(moov, avcC, 1, 3).toString("hex");
    return {
      kind: "video",
      ...shared,
      codec: `avc1.${profileAndLevel}`,
      width: slice(moov, entry, 24, 2).readUInt16BE(),
      height: slice(moov, entry, 26, 2).readUInt16BE(),
      lengthSize: (slice(moov, avcC, 4, 1).readUInt8() & 3) + 1,
    };
  }
  if (entry?.type === "mp4a") {
    const esds = onlyBox(moov, { body: entry.body + AUDIO_ENTRY_FIELDS, end: entry.end }, "esds");
    const config = parseAacConfig(decoderSpecificInfo(moov.subarray(esds.body + 4, esds.end)));
    return { kind: "audio", ...shared, codec: `mp4a.40.${config.objectType}`, config };
  }
  throw new Error(`MP4 track is coded as ${entry?.type ?? "nothing"}, not as H.264 or AAC`);
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
