import { BitReader, unescapeNal } from "./bit-reader.ts";
import type { VideoFacts } from "./video-config.ts";
import { parseVui, type Usability } from "./vui.ts";

const NAL_VPS = 32;
const NAL_SPS = 33;
const NAL_PPS = 34;
const COMPLETE = 0x80;
const NOTHING: Usability = { pixelAspect: null, colour: null, frameRate: null };

/**
 * Reads an HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 §8.3.3.1). Throws where decoders could not begin with it. The record given back
 * says that its parameter sets are complete, as `hvc1` wants.
 */
export function parseHevcRecord(given: Buffer): VideoFacts {
  if (given.length < 23 || given[0] !== 1) throw new Error("it is no HEVC decoder configuration record");
  const record = Buffer.from(given);
  const lengthSize = (record.readUInt8(21) & 3) + 1;
  if (lengthSize === 3) throw new Error("its NAL unit lengths have 3 bytes");
  const units = readArrays(record);
  const sps = units.get(NAL_SPS);
  if (sps === undefined) throw new Error("it has no SPS");
  if (!units.has(NAL_VPS) || !units.has(NAL_PPS)) throw new Error("it has no VPS or no PPS");
  return { name: nameOf(record), lengthSize, record, ...parseHevcSps(unescapeNal(sps, 2)) };
}

/** The first NAL unit of each kind of parameter sets, which are marked as complete. */
function readArrays(record: Buffer): Map<number, Buffer> {
  const units = new Map<number, Buffer>();
  let at = 23;
  for (let array = record.readUInt8(22); array > 0; array--) {
    if (at + 3 > record.length) throw new Error("it is too short");
    const type = record.readUInt8(at) & 63;
    if (type >= NAL_VPS && type <= NAL_PPS) record.writeUInt8(record.readUInt8(at) | COMPLETE, at);
    const count = record.readUInt16BE(at + 1);
    at += 3;
    for (let index = 0; index < count; index++) {
      if (at + 2 > record.length) throw new Error("it is too short");
      const end = at + 2 + record.readUInt16BE(at);
      if (end > record.length) throw new Error("it is too short");
      if (!units.has(type)) units.set(type, record.subarray(at + 2, end));
      at = end;
    }
  }
  return units;
}

/** ISO/IEC 14496-15 §E.3: profile, compatibility with its bits turned round, tier and level, constraints without the empty bytes at their end. */
function nameOf(record: Buffer): string {
  const profile = record.readUInt8(1);
  const space = ["", "A", "B", "C"][profile >> 6] ?? "";
  let compatibility = 0;
  for (let bit = 0; bit < 32; bit++) compatibility += ((record.readUInt32BE(2) >>> bit) & 1) * 2 ** (31 - bit);
  const tier = (profile & 0x20) === 0 ? "L" : "H";
  const constraints = [...record.subarray(6, 12)];
  while (constraints.at(-1) === 0) constraints.pop();
  return [`hvc1.${space}${profile & 31}`, hex(compatibility), `${tier}${record.readUInt8(12)}`, ...constraints.map(hex)].join(".");
}

function hex(value: number): string {
  return value.toString(16).toUpperCase();
}

/** `sps` without its NAL unit header and escapes. */
function parseHevcSps(sps: Uint8Array): Pick<VideoFacts, "width" | "height" | keyof Usability> {
  const reader = new BitReader(sps, "its SPS");
  reader.skip(4);
  const subLayers = reader.u(3);
  reader.skip(1);
  skipProfileTierLevel(reader, subLayers);
  reader.ue(15);
  const chroma = reader.ue(3);
  const separatePlanes = chroma === 3 && reader.flag();
  const codedWidth = reader.ue(0xffff);
  const codedHeight = reader.ue(0xffff);
  const window = { left: 0, right: 0, top: 0, bottom: 0 };
  if (reader.flag()) {
    window.left = reader.ue(0xffff);
    window.right = reader.ue(0xffff);
    window.top = reader.ue(0xffff);
    window.bottom = reader.ue(0xffff);
  }
  const unitX = !separatePlanes && (chroma === 1 || chroma === 2) ? 2 : 1;
  const unitY = !separatePlanes && chroma === 1 ? 2 : 1;
  skipCodingTools(reader, subLayers);
  return {
    width: codedWidth - (window.left + window.right) * unitX,
    height: codedHeight - (window.top + window.bottom) * unitY,
    ...(reader.flag() ? parseVui(reader, "HEVC") : NOTHING),
  };
}

function skipProfileTierLevel(reader: BitReader, subLayers: number): void {
  if (subLayers > 6) throw new Error("its SPS has more than 7 temporal layers");
  reader.skip(96);
  const present: { profile: boolean; level: boolean }[] = [];
  for (let layer = 0; layer < subLayers; layer++) present.push({ profile: reader.flag(), level: reader.flag() });
  if (subLayers > 0) reader.skip(2 * (8 - subLayers));
  for (const { profile, level } of present) reader.skip((profile ? 88 : 0) + (level ? 8 : 0));
}

/** From the bit depths to the flag before the VUI (ISO/IEC 23008-2 §7.3.2.2.1). */
function skipCodingTools(reader: BitReader, subLayers: number): void {
  reader.ue(8);
  reader.ue(8);
  const orderBits = reader.ue(12) + 4;
  for (let layer = reader.flag() ? 0 : subLayers; layer <= subLayers; layer++) for (let field = 0; field < 3; field++) reader.ue();
  for (let field = 0; field < 6; field++) reader.ue(); // block and transform sizes
  if (reader.flag() && reader.flag()) skipScalingLists(reader);
  reader.skip(2);
  if (reader.flag()) {
    reader.skip(8);
    reader.ue();
    reader.ue();
    reader.skip(1);
  }
  skipShortTermSets(reader);
  if (reader.flag()) for (let picture = reader.ue(32); picture > 0; picture--) reader.skip(orderBits + 1);
  reader.skip(2);
}

function skipScalingLists(reader: BitReader): void {
  for (let size = 0; size < 4; size++) {
    for (let matrix = 0; matrix < 6; matrix += size === 3 ? 3 : 1) {
      if (!reader.flag()) {
        reader.ue(5);
        continue;
      }
      if (size > 1) reader.se();
      for (let index = Math.min(64, 1 << (4 + 2 * size)); index > 0; index--) reader.se();
    }
  }
}

/** ISO/IEC 23008-2 §7.3.7. A set told by its difference from the one before has as many pictures as that one, and one, at most. */
function skipShortTermSets(reader: BitReader): void {
  const sets = reader.ue(64);
  let pictures = 0;
  for (let set = 0; set < sets; set++) {
    if (set > 0 && reader.flag()) {
      reader.skip(1);
      reader.ue();
      let kept = 0;
      for (let picture = 0; picture <= pictures; picture++) {
        // Used by the current picture, or if not, kept for later ones.
        if (reader.flag() || reader.flag()) kept += 1;
      }
      pictures = kept;
    } else {
      pictures = reader.ue(16) + reader.ue(16);
      for (let picture = 0; picture < pictures; picture++) {
        reader.ue();
        reader.skip(1);
      }
    }
  }
}
