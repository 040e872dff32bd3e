import type { FlvTag } from "./flv.ts";

/** What a video or audio tag holds. */
export interface MediaTag {
  type: "video" | "audio";
  /** The codec's usual name; which of them are taken is decided elsewhere. */
  codec: string;
  /** `config` holds the decoder configuration, `frame` media, `other` nothing to decode. */
  role: "config" | "frame" | "other";
  /** The encoder flags the frame as one to begin with. */
  key: boolean;
  /** Milliseconds. */
  compositionOffset: number;
  /** The decoder configuration, or the coded frame. */
  payload: Buffer;
}

const VIDEO_CODECS: Record<number, string> = {
  2: "Sorenson H.263",
  3: "Screen Video",
  4: "VP6",
  5: "VP6",
  6: "Screen Video 2",
  7: "H.264",
  12: "HEVC",
};
const AUDIO_CODECS: Record<number, string> = {
  0: "PCM",
  1: "ADPCM",
  2: "MP3",
  3: "PCM",
  4: "Nellymoser",
  5: "Nellymoser",
  6: "Nellymoser",
  7: "G.711",
  8: "G.711",
  10: "AAC",
  11: "Speex",
  13: "Opus",
  14: "MP3",
};
const FOUR_CC: Record<string, string> = {
  avc1: "H.264",
  hvc1: "HEVC",
  vvc1: "VVC",
  av01: "AV1",
  vp08: "VP8",
  vp09: "VP9",
  mp4a: "AAC",
  Opus: "Opus",
  fLaC: "FLAC",
  "ac-3": "AC-3",
  "ec-3": "E-AC-3",
  ".mp3": "MP3",
};
const KEY_FRAME = 1;
const COMMAND_FRAME = 5;
const ENHANCED_AUDIO = 9;

/** Video codecs whose frames have a composition offset in FLV. */
const WITH_OFFSET: readonly string[] = ["H.264", "HEVC"];

/** Reads the codec header of a tag; null for a script tag, and for a body too short to have one. */
export function parseMediaTag(tag: FlvTag): MediaTag | null {
  if (tag.type === "script" || tag.data.length < 2) return null;
  return tag.type === "video" ? parseVideo(tag.data) : parseAudio(tag.data);
}

function parseVideo(data: Buffer): MediaTag | null {
  const first = data.readUInt8(0);
  if (first & 0x80) return parseEnhancedVideo(data, first);
  const codec = VIDEO_CODECS[first & 15] ?? `video codec ${first & 15}`;
  const frameType = first >> 4;
  const key = frameType === KEY_FRAME;
  if (!WITH_OFFSET.includes(codec)) return { type: "video", codec, role: "frame", key, compositionOffset: 0, payload: data.subarray(1) };
  if (data.length < 5) return null;
  const packet = data.readUInt8(1);
  const role = packet === 0 ? "config" : packet === 1 && frameType !== COMMAND_FRAME ? "frame" : "other";
  return { type: "video", codec, role, key, compositionOffset: data.readIntBE(2, 3), payload: data.subarray(5) };
}

/** Enhanced RTMP: `1 frameType packetType` in one byte, then a FourCC. */
function parseEnhancedVideo(data: Buffer, first: number): MediaTag | null {
  if (data.length < 5) return null;
  const frameType = (first >> 4) & 7;
  const packet = first & 15;
  const codec = describeFourCc(data, "an unknown video codec");
  const role = packet === 0 ? "config" : (packet === 1 || packet === 3) && frameType !== COMMAND_FRAME ? "frame" : "other";
  const hasOffset = packet === 1 && WITH_OFFSET.includes(codec);
  if (hasOffset && data.length < 8) return null;
  return {
    type: "video",
    codec,
    role,
    key: frameType === KEY_FRAME,
    compositionOffset: hasOffset ? data.readIntBE(5, 3) : 0,
    payload: data.subarray(hasOffset ? 8 : 5),
  };
}

function parseAudio(data: Buffer): MediaTag | null {
  const first = data.readUInt8(0);
  const format = first >> 4;
  const common = { type: "audio", key: true, compositionOffset: 0 } as const;
  if (format === ENHANCED_AUDIO) {
    if (data.length < 5) return null;
    const codec = describeFourCc(data, "an unknown audio codec");
    const role = (first & 15) === 0 ? "config" : (first & 15) === 1 ? "frame" : "other";
    return { ...common, codec, role, payload: data.subarray(5) };
  }
  const codec = AUDIO_CODECS[format] ?? `audio codec ${format}`;
  if (codec !== "AAC") return { ...common, codec, role: "frame", payload: data.subarray(1) };
  return { ...common, codec, role: data.readUInt8(1) === 0 ? "config" : "frame", payload: data.subarray(2) };
}

function describeFourCc(data: Buffer, unknown: string): string {
  const name = data.toString("latin1", 1, 5);
  return FOUR_CC[name] ?? (/^[\x21-\x7e]{4}$/.test(name) ? name : unknown);
}

/** The body of an H.264 tag that every FLV reader takes: packet type 0 for a configuration, 1 for a frame; the offset in milliseconds. */
export function encodeAvcBody(packetType: 0 | 1, key: boolean, compositionOffset: number, payload: Uint8Array): Buffer {
  const body = Buffer.allocUnsafe(5 + payload.byteLength);
  body.writeUInt8(key ? 0x17 : 0x27, 0);
  body.writeUInt8(packetType, 1);
  body.writeIntBE(compositionOffset, 2, 3);
  body.set(payload, 5);
  return body;
}

/** The body of an AAC tag: packet type 0 for a configuration, 1 for a frame. */
export function encodeAacBody(packetType: 0 | 1, payload: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([0xaf, packetType]), payload]);
}

/** The body of an MP3 tag. */
export function encodeMp3Body(payload: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([0x2f]), payload]);
}
