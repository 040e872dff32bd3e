import type { VideoCodec } from "../../domain/profiles.ts";
import { OBU, ObuCursor } from "./obu.ts";
import type { VideoConfig } from "./video-config.ts";

const NAL_IDR = 5;
const NAL_SEI = 6;
const SEI_USER_DATA_UNREGISTERED = 5;
const SEI_RECOVERY_POINT = 6;
const HEVC_BLA_W_LP = 16;
const HEVC_IDR_W_RADL = 19;
const HEVC_IDR_N_LP = 20;
const HEVC_CRA = 21;
const HEVC_LAST_VCL = 31;

/** How decoding may begin at a sample: at once and with nothing from before it needed later, or so that it comes right within a few frames. */
export type VideoEntry = "idr" | "recovery";

/** How a sample is put together; a number alone is the length size of H.264. */
export type VideoFraming = Pick<VideoConfig, "codec" | "lengthSize"> | number;

/** Goes through the NAL units of a sample without copying. Ends at the first one whose length does not fit; leaves out those too short to be one. */
class NalCursor {
  readonly #sample: Uint8Array;
  readonly #lengthSize: number;
  readonly #headerSize: number;
  start = 0;
  end = 0;

  constructor(sample: Uint8Array, lengthSize: number, codec: VideoCodec) {
    this.#sample = sample;
    this.#lengthSize = lengthSize;
    this.#headerSize = codec === "HEVC" ? 2 : 1;
  }

  /** Goes to the next one; false at the end. */
  next(): boolean {
    const sample = this.#sample;
    let offset = this.end;
    while (this.#lengthSize > 0 && offset + this.#lengthSize < sample.length) {
      let length = 0;
      for (let index = 0; index < this.#lengthSize; index++) length = length * 256 + (sample[offset + index] ?? 0);
      offset += this.#lengthSize;
      if (offset + length > sample.length) return false;
      if (length >= this.#headerSize) {
        this.start = offset;
        this.end = offset + length;
        return true;
      }
      offset += length;
    }
    return false;
  }
}

/**
 * A sample without what decoders and players stumble over. NAL units: the empty ones, and what follows a length that does not fit. AV1: OBUs
 * that have no place in a sample (AV1-ISOBMFF §2.4), and what follows one that does not fit. Null where no picture is left. The same bytes
 * where nothing is wrong.
 */
export function repairSample(sample: Buffer, framing: VideoFraming): Buffer | null {
  const codec = codecOf(framing);
  return codec === "AV1" ? repairObus(sample) : repairNals(sample, lengthSizeOf(framing), codec);
}

function codecOf(framing: VideoFraming): VideoCodec {
  return typeof framing === "number" ? "H.264" : framing.codec;
}

function lengthSizeOf(framing: VideoFraming): number {
  return typeof framing === "number" ? framing : framing.lengthSize;
}

function repairNals(sample: Buffer, lengthSize: number, codec: VideoCodec): Buffer | null {
  const units = new NalCursor(sample, lengthSize, codec);
  let hasPicture = false;
  let kept = 0;
  while (units.next()) {
    const header = sample[units.start] ?? 0;
    hasPicture ||= codec === "HEVC" ? ((header >> 1) & 63) <= HEVC_LAST_VCL : (header & 31) >= 1 && (header & 31) <= NAL_IDR;
    kept += lengthSize + units.end - units.start;
  }
  if (!hasPicture) return null;
  if (kept === sample.length) return sample;
  const repaired = Buffer.allocUnsafe(kept);
  const again = new NalCursor(sample, lengthSize, codec);
  for (let at = 0; again.next(); ) at += sample.copy(repaired, at, again.start - lengthSize, again.end);
  return repaired;
}

function repairObus(sample: Buffer): Buffer | null {
  const units = new ObuCursor(sample);
  let hasPicture = false;
  let kept = 0;
  while (units.next()) {
    hasPicture ||= units.type === OBU.frame || units.type === OBU.frameHeader;
    if (belongsInSample(units.type)) kept += units.end - units.start;
  }
  if (!hasPicture) return null;
  if (kept === sample.length) return sample;
  const repaired = Buffer.allocUnsafe(kept);
  const again = new ObuCursor(sample);
  for (let at = 0; again.next(); ) if (belongsInSample(again.type)) at += sample.copy(repaired, at, again.start, again.end);
  return repaired;
}

function belongsInSample(type: number): boolean {
  return type !== OBU.temporalDelimiter && type !== OBU.tileList && type !== OBU.padding;
}

/** Whether and how decoding may begin at a sample, told from its pictures: a container's key frame flag alone does not prove it (PL4). */
export function videoEntry(sample: Uint8Array, framing: VideoFraming): VideoEntry | null {
  const codec = codecOf(framing);
  if (codec === "AV1") return av1Entry(sample);
  const units = new NalCursor(sample, lengthSizeOf(framing), codec);
  return codec === "HEVC" ? hevcEntry(sample, units) : h264Entry(sample, units);
}

/** Whether a sample holds an IDR picture, or AV1's like of it. */
export function isIdr(sample: Uint8Array, framing: VideoFraming): boolean {
  return videoEntry(sample, framing) === "idr";
}

function h264Entry(sample: Uint8Array, units: NalCursor): VideoEntry | null {
  let recovers = false;
  while (units.next()) {
    const type = (sample[units.start] ?? 0) & 31;
    if (type === NAL_IDR) return "idr";
    // A coded slice of another kind: no IDR follows in the same picture.
    if (type >= 1 && type <= 4) return recovers && isFirstSliceIntra(sample[units.start + 1] ?? 0) ? "recovery" : null;
    if (type === NAL_SEI) recovers ||= hasRecoveryPoint(sample, units.start + 1, units.end);
  }
  return null;
}

/** By the first byte of a slice header: macroblock 0 (`1`), then slice type 2 (`011`) or 7 (`0001000`). */
function isFirstSliceIntra(byte: number): boolean {
  return byte >> 4 === 0b1011 || byte === 0b10001000;
}

/** Goes over the messages of an SEI (ISO/IEC 14496-10 §7.3.2.3.1), whose sizes do not count the bytes that keep start codes out. */
function hasRecoveryPoint(sample: Uint8Array, from: number, end: number): boolean {
  let zeros = 0;
  let at = from;
  const next = (): number => {
    if (zeros >= 2 && sample[at] === 3) {
      at += 1;
      zeros = 0;
    }
    const byte = at < end ? (sample[at] ?? 0) : 0;
    at += 1;
    zeros = byte === 0 ? zeros + 1 : 0;
    return byte;
  };
  const nextNumber = (): number => {
    let value = 0;
    for (let byte = 255; byte === 255; value += byte) byte = next();
    return value;
  };
  while (at + 2 < end) {
    const type = nextNumber();
    if (type === SEI_RECOVERY_POINT) return true;
    for (let left = nextNumber(); left > 0 && at < end; left--) next();
  }
  return false;
}

function hevcEntry(sample: Uint8Array, units: NalCursor): VideoEntry | null {
  while (units.next()) {
    const header = sample[units.start] ?? 0;
    const type = (header >> 1) & 63;
    if (type > HEVC_LAST_VCL || isUpperLayer(header, sample[units.start + 1] ?? 0)) continue;
    if (type === HEVC_IDR_W_RADL || type === HEVC_IDR_N_LP) return "idr";
    return type >= HEVC_BLA_W_LP && type <= HEVC_CRA ? "recovery" : null;
  }
  return null;
}

/** Whether nuh_layer_id is above 0: a picture for decoders of more than one layer. */
function isUpperLayer(first: number, second: number): boolean {
  return (first & 1) !== 0 || second >> 3 !== 0;
}

/** A sync sample of AV1-ISOBMFF §2.5: a sequence header, then a key frame that is shown. */
function av1Entry(sample: Uint8Array): VideoEntry | null {
  const units = new ObuCursor(sample);
  let isStill: boolean | null = null;
  while (units.next()) {
    const byte = sample[units.body] ?? 0;
    if (units.type === OBU.sequenceHeader) isStill = (byte & 0b1000) !== 0;
    if (units.type !== OBU.frame && units.type !== OBU.frameHeader) continue;
    if (isStill === null) return null;
    // show_existing_frame 0, frame_type KEY_FRAME, show_frame 1; a reduced still picture has none of the three.
    return isStill || byte >> 4 === 0b0001 ? "idr" : null;
  }
  return null;
}

/** The longest distance between key frames that x264 wrote into its SEI, in frames; null where no x264 spoke. */
export function x264KeyInterval(sample: Uint8Array, lengthSize: number): number | "infinite" | null {
  const units = new NalCursor(sample, lengthSize, "H.264");
  while (units.next()) {
    if (((sample[units.start] ?? 0) & 31) !== NAL_SEI || sample[units.start + 1] !== SEI_USER_DATA_UNREGISTERED) continue;
    const text = Buffer.from(sample.buffer, sample.byteOffset + units.start, Math.min(units.end - units.start, 4096)).toString("latin1");
    const match = text.includes("x264") ? /\bkeyint=(\d{1,6}|infinite)\b/.exec(text) : null;
    if (match?.[1] === undefined) continue;
    if (match[1] === "infinite") return "infinite";
    return Number(match[1]) > 0 ? Number(match[1]) : null;
  }
  return null;
}
