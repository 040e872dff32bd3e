import type { FlvTag } from "./flv.ts";

/** What a video or audio tag holds. */
export interface MediaTag {
  type: "video" | "audio";
  /** `H.264` and `AAC` are carried on; any other name is for telling the broadcaster. */
  codec: string;
  /** `config` holds the decoder configuration, `frame` media, `other` nothing to decode. */
  role: "config" | "frame" | "other";
  key: boolean;
  /** Milliseconds. */
  compositionOffset: number;
  /** The decoder configuration, or the coded frame. */
  payload: Buffer;
  /** The body in the form that every FLV reader takes: without the Enhanced RTMP header. */
  body: Buffer;
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
  if (codec !== "H.264") return { type: "video", codec, role: "frame", key, compositionOffset: 0, payload: data.subarray(1), body: data };
  if (data.length < 5) return null;
  const packet = data.readUInt8(1);
  const role = packet === 0 ? "config" : packet === 1 && frameType !== COMMAND_FRAME ? "frame" : "other";
  return { type: "video", codec, role, key, compositionOffset: data.readIntBE(2, 3), payload: data.subarray(5), body: data };
}

/** Enhanced RTMP: `1 frameType packetType` in one byte, then a FourCC. */
function parseEnhancedVideo(data: Buffer, first: number): MediaTag | null {
  if (data.length < 5) return null;
  const frameType = (first >> 4) & 7;
  const packet = first & 15;
  const name = data.toString("latin1", 1, 5);
  const codec = FOUR_CC[name] ?? (/^[\x21-\x7e]{4}$/.test(name) ? name : "an unknown video codec");
  const key = frameType === KEY_FRAME;
  const role = packet === 0 ? "config" : (packet === 1 || packet === 3) && frameType !== COMMAND_FRAME ? "frame" : "other";
  const hasOffset = packet === 1 && codec === "H.264";
  if (hasOffset && data.length < 8) return null;
  const compositionOffset = hasOffset ? data.readIntBE(5, 3) : 0;
  const payload = data.subarray(hasOffset ? 8 : 5);
  const legacy = Buffer.from([(frameType << 4) | 7, role === "config" ? 0 : role === "frame" ? 1 : 2, 0, 0, 0]);
  legacy.writeIntBE(compositionOffset, 2, 3);
  return { type: "video", codec, role, key, compositionOffset, payload, body: Buffer.concat([legacy, payload]) };
}

function parseAudio(data: Buffer): MediaTag | null {
  const first = data.readUInt8(0);
  const format = first >> 4;
  if (format === ENHANCED_AUDIO) {
    if (data.length < 5) return null;
    const name = data.toString("latin1", 1, 5);
    const codec = FOUR_CC[name] ?? (/^[\x21-\x7e]{4}$/.test(name) ? name : "an unknown audio codec");
    const role = (first & 15) === 0 ? "config" : (first & 15) === 1 ? "frame" : "other";
    const payload = data.subarray(5);
    return {
      type: "audio",
      codec,
      role,
      key: true,
      compositionOffset: 0,
      payload,
      body: encodeAacBody(role === "config" ? 0 : 1, payload),
    };
  }
  const codec = AUDIO_CODECS[format] ?? `audio codec ${format}`;
  const role = codec === "AAC" && data.readUInt8(1) === 0 ? "config" : "frame";
  return { type: "audio", codec, role, key: true, compositionOffset: 0, payload: data.subarray(2), body: data };
}

/** The body of an AAC tag: packet type 0 for a configuration, 1 for a frame. */
export function encodeAacBody(packetType: 0 | 1, payload: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([0xaf, packetType]), payload]);
}
