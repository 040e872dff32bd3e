import { BitReader, unescapeNal } from "./bit-reader.ts";
import type { VideoFacts } from "./video-config.ts";
import { parseVui } from "./vui.ts";

const NAL_SPS = 7;
/** profile_idc of those whose SPS has the fields of the High profiles (ISO/IEC 14496-10 §7.3.2.1.1). */
const HIGH_PROFILES = new Set([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135]);

/** Reads an AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3.1). Throws where decoders could not begin with it. */
export function parseH264Record(record: Buffer): VideoFacts {
  if (record.length < 7 || record[0] !== 1) throw new Error("it is no AVC decoder configuration record");
  const lengthSize = (record.readUInt8(4) & 3) + 1;
  if (lengthSize === 3) throw new Error("its NAL unit lengths have 3 bytes");
  const spsCount = record.readUInt8(5) & 31;
  const sps = readUnits(record, 6, spsCount);
  const ppsCount = record[sps.end];
  if (sps.first === null) throw new Error("it has no SPS");
  if (ppsCount === undefined || readUnits(record, sps.end + 1, ppsCount).first === null) throw new Error("it has no PPS");
  if (((sps.first[0] ?? 0) & 31) !== NAL_SPS) throw new Error("what it has for an SPS is none");
  return { name: `avc1.${record.toString("hex", 1, 4)}`, lengthSize, record, ...parseH264Sps(unescapeNal(sps.first, 1)) };
}

function readUnits(record: Buffer, from: number, count: number): { first: Buffer | null; end: number } {
  let first: Buffer | null = null;
  let end = from;
  for (let index = 0; index < count; index++) {
    if (end + 2 > record.length) throw new Error("it is too short");
    const length = record.readUInt16BE(end);
    if (end + 2 + length > record.length) throw new Error("it is too short");
    first ??= record.subarray(end + 2, end + 2 + length);
    end += 2 + length;
  }
  return { first, end };
}

/** `sps` without its NAL unit header and escapes. */
function parseH264Sps(sps: Uint8Array): Pick<VideoFacts, "width" | "height" | "pixelAspect" | "colour" | "frameRate"> {
  const reader = new BitReader(sps, "its SPS");
  const profile = reader.u(8);
  reader.skip(16); // constraints, level
  reader.ue(31);
  const chroma = HIGH_PROFILES.has(profile) ? readHighProfile(reader) : 1;
  reader.ue(12); // log2_max_frame_num_minus4
  skipPictureOrder(reader);
  reader.ue(16); // max_num_ref_frames
  reader.skip(1);
  const widthInMacroblocks = reader.ue(0xffff) + 1;
  const heightInMapUnits = reader.ue(0xffff) + 1;
  const framesOnly = reader.flag();
  const fields = framesOnly ? 1 : 2;
  if (!framesOnly) reader.skip(1);
  reader.skip(1);
  const crop = { left: 0, right: 0, top: 0, bottom: 0 };
  if (reader.flag()) {
    crop.left = reader.ue(0xffff);
    crop.right = reader.ue(0xffff);
    crop.top = reader.ue(0xffff);
    crop.bottom = reader.ue(0xffff);
  }
  const cropX = chroma === 1 || chroma === 2 ? 2 : 1;
  const cropY = (chroma === 1 ? 2 : 1) * fields;
  const usability = reader.flag() ? parseVui(reader, "H.264") : { pixelAspect: null, colour: null, frameRate: null };
  return {
    width: widthInMacroblocks * 16 - (crop.left + crop.right) * cropX,
    height: heightInMapUnits * 16 * fields - (crop.top + crop.bottom) * cropY,
    ...usability,
  };
}

/** Gives ChromaArrayType. */
function readHighProfile(reader: BitReader): number {
  const format = reader.ue(3);
  const separatePlanes = format === 3 && reader.flag();
  reader.ue(6); // bit depths
  reader.ue(6);
  reader.skip(1);
  if (reader.flag()) for (let list = 0; list < (format === 3 ? 12 : 8); list++) skipScalingList(reader, list < 6 ? 16 : 64);
  return separatePlanes ? 0 : format;
}

function skipScalingList(reader: BitReader, size: number): void {
  if (!reader.flag()) return;
  let last = 8;
  for (let index = 0; index < size; index++) {
    const next = (last + reader.se() + 256) % 256;
    if (next === 0) return;
    last = next;
  }
}

function skipPictureOrder(reader: BitReader): void {
  const type = reader.ue(2);
  if (type === 0) reader.ue(12);
  if (type !== 1) return;
  reader.skip(1);
  reader.se();
  reader.se();
  const frames = reader.ue(255);
  for (let index = 0; index < frames; index++) reader.se();
}
