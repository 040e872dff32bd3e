import type { VideoCodec } from "../../domain/profiles.ts";
import type { AacConfig } from "./aac.ts";
import { encodeBox } from "./boxes.ts";
import { u16, u32 } from "./moov.ts";
import type { VideoConfig } from "./video-config.ts";

/** Names of a codec's sample entry and of the box with its configuration record in it. */
export const VIDEO_BOXES: Record<VideoCodec, { entry: string; record: string }> = {
  "H.264": { entry: "avc1", record: "avcC" },
  HEVC: { entry: "hvc1", record: "hvcC" },
  AV1: { entry: "av01", record: "av1C" },
};

const DATA_REFERENCE = 1;
const DPI_72 = 0x480000;
const DEPTH_24 = 24;
const NO_COLOUR_TABLE = 0xffff;
const MAX_DESCRIPTOR_BYTES = 127;

/** Descriptor tags of ISO/IEC 14496-1 §7.2.6. */
const ES = 3;
const DECODER_CONFIG = 4;
const DECODER_SPECIFIC_INFO = 5;
const SL_CONFIG = 6;
const MPEG4_AUDIO = 0x40;
const AUDIO_STREAM = 0x15;
const MP4_FILE = 2;

/** The sample entry of a video track, with pixel aspect and colours where the encoder told them. */
export function encodeVideoEntry(config: VideoConfig): Buffer {
  const names = VIDEO_BOXES[config.codec];
  const boxes = [encodeBox(names.record, config.record)];
  const { colour, pixelAspect } = config;
  if (colour !== null) {
    const codes = u16(colour.primaries, colour.transfer, colour.matrix);
    boxes.push(encodeBox("colr", Buffer.from("nclx", "latin1"), codes, Buffer.from([colour.fullRange ? 0x80 : 0])));
  }
  if (pixelAspect !== null) boxes.push(encodeBox("pasp", u32(pixelAspect.horizontal, pixelAspect.vertical)));
  return encodeBox(
    names.entry,
    u16(0, 0, 0, DATA_REFERENCE),
    u32(0, 0, 0, 0),
    u16(config.width, config.height),
    u32(DPI_72, DPI_72, 0),
    u16(1),
    Buffer.alloc(32), // compressor name
    u16(DEPTH_24, NO_COLOUR_TABLE),
    ...boxes,
  );
}

/** The sample entry of an AAC track; `record` is its AudioSpecificConfig. Throws where that is too long for any AAC. */
export function encodeAudioEntry(config: AacConfig, record: Buffer): Buffer {
  const decoder = Buffer.concat([Buffer.from([MPEG4_AUDIO, AUDIO_STREAM, 0, 0, 0]), u32(0, 0)]);
  const descriptors = encodeDescriptor(
    ES,
    Buffer.from([0, 0, 0]),
    encodeDescriptor(DECODER_CONFIG, decoder, encodeDescriptor(DECODER_SPECIFIC_INFO, record)),
    encodeDescriptor(SL_CONFIG, Buffer.from([MP4_FILE])),
  );
  // A 16.16 field: rates above it are told by the configuration alone.
  const rate = config.sampleRate <= 0xffff ? config.sampleRate : 0;
  return encodeBox(
    "mp4a",
    u16(0, 0, 0, DATA_REFERENCE),
    u32(0, 0),
    u16(config.channels, 16, 0, 0, rate, 0),
    encodeBox("esds", u32(0), descriptors),
  );
}

function encodeDescriptor(tag: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  if (body.length > MAX_DESCRIPTOR_BYTES) throw new Error(`AAC configuration is too long for any AAC`);
  return Buffer.concat([Buffer.from([tag, body.length]), body]);
}
