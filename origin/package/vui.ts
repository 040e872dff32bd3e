import type { BitReader } from "./bit-reader.ts";

/** The shape of a pixel, horizontal to vertical. */
export interface PixelAspect {
  horizontal: number;
  vertical: number;
}

/** Code points of ITU-T H.273. */
export interface Colour {
  primaries: number;
  transfer: number;
  matrix: number;
  fullRange: boolean;
}

/** What a decoder is told about showing the pictures; null where nothing was said. */
export interface Usability {
  pixelAspect: PixelAspect | null;
  colour: Colour | null;
  /** Frames per second. */
  frameRate: number | null;
}

const UNSPECIFIED = 2;
const EXTENDED_ASPECT = 255;
/** By aspect_ratio_idc (H.264 and HEVC, table E-1). */
const ASPECTS: readonly (readonly [number, number])[] = [
  [0, 0],
  [1, 1],
  [12, 11],
  [10, 11],
  [16, 11],
  [40, 33],
  [24, 11],
  [20, 11],
  [32, 11],
  [80, 33],
  [18, 11],
  [15, 11],
  [64, 33],
  [160, 99],
  [4, 3],
  [3, 2],
  [2, 1],
];
const MAX_FRAME_RATE = 300;

/**
 * Reads the VUI of an H.264 or HEVC SPS up to its timing. It only hints, and encoders are known to cut it short: what could be read stands,
 * the rest is null.
 */
export function parseVui(reader: BitReader, codec: "H.264" | "HEVC"): Usability {
  const usability: Usability = { pixelAspect: null, colour: null, frameRate: null };
  try {
    readVui(reader, codec, usability);
  } catch {
    return usability;
  }
  return usability;
}

function readVui(reader: BitReader, codec: "H.264" | "HEVC", into: Usability): void {
  if (reader.flag()) into.pixelAspect = readAspect(reader);
  if (reader.flag()) reader.skip(1); // overscan
  if (reader.flag()) into.colour = readColour(reader);
  if (reader.flag()) {
    reader.ue();
    reader.ue();
  }
  if (codec === "HEVC") {
    reader.skip(3);
    if (reader.flag()) for (let side = 0; side < 4; side++) reader.ue();
  }
  if (!reader.flag()) return;
  const unitsInTick = reader.u(32);
  const timeScale = reader.u(32);
  // H.264 counts fields.
  into.frameRate = computeFrameRate(timeScale, unitsInTick * (codec === "H.264" ? 2 : 1));
}

function readAspect(reader: BitReader): PixelAspect | null {
  const index = reader.u(8);
  const [horizontal, vertical] = index === EXTENDED_ASPECT ? [reader.u(16), reader.u(16)] : (ASPECTS[index] ?? [0, 0]);
  return horizontal > 0 && vertical > 0 ? { horizontal, vertical } : null;
}

function readColour(reader: BitReader): Colour {
  reader.skip(3); // video_format
  const fullRange = reader.flag();
  if (!reader.flag()) return { primaries: UNSPECIFIED, transfer: UNSPECIFIED, matrix: UNSPECIFIED, fullRange };
  return { primaries: reader.u(8), transfer: reader.u(8), matrix: reader.u(8), fullRange };
}

/** Frames per second; null where no camera or screen runs at it: encoders write their clock there as well. */
export function computeFrameRate(timeScale: number, unitsInFrame: number): number | null {
  const rate = timeScale / unitsInFrame;
  return rate >= 1 && rate <= MAX_FRAME_RATE ? rate : null;
}
