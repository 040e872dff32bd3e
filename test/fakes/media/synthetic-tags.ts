import { encodeAmf0 } from "../rtmp/amf0.ts";
import type { FlvTag } from "../rtmp/flv-tags.ts";
import { encodeAvcConfig } from "./avc-picture.ts";
import { type AvcFrame, encodeFrames } from "./avc-programme.ts";
import { encodeSilence, type SilenceFormat } from "./silent-audio.ts";

/** What a synthetic encoder sends. Everything has a default but how long it lasts. */
export interface SyntheticOptions {
  seconds: number;
  /** Timestamp of the first tag, ms; negative ones and those past 2³² wrap as RTMP's do. */
  startMs?: number;
  /** H.264; null sends none. */
  video?: SyntheticVideo | null;
  /** null sends none. */
  audio?: SilenceFormat | null;
  /** Whether `onMetaData` comes first. */
  metadata?: boolean;
}

export interface SyntheticVideo {
  /** Pixels, even. */
  width?: number;
  height?: number;
  /** Frames per second, also 30000 / 1001. */
  fps?: number;
  /** Seconds between key frames. */
  gop?: number;
  /** Of the video, padding included; 0 pads nothing. */
  kbps?: number;
  /** Non-reference B-frames between two other frames. */
  bFrames?: number;
  /** When each frame is shown, ms from the start: another than `fps` says. Must rise. */
  shownAtMs?: (frame: number) => number;
}

const VIDEO = 9;
const AUDIO = 8;
const SCRIPT = 18;

/**
 * FLV tags of an encoder that has no encoder: metadata, decoder configurations, then frames in the order of their timestamps. Pictures are of one colour that
 * changes with each key frame; the first macroblock tells each frame from its neighbours (`lumaOf`). Begin again with other options to change the input in mid-stream.
 */
export function syntheticTags(options: SyntheticOptions): FlvTag[] {
  const { seconds, startMs = 0, video = {}, audio = { codec: "AAC", sampleRate: 48_000, channels: 2 }, metadata = true } = options;
  const start = { type: SCRIPT, at: 0, data: encodeMetadata(video, audio) };
  const pictures = video === null ? [] : [...videoTags(video, seconds)];
  const sounds = audio === null ? [] : [...audioTags(audio, seconds)];
  const isConfig = ({ isConfig = false }: Timed) => isConfig;
  const media = [...pictures, ...sounds].filter((tag) => !isConfig(tag)).sort((a, b) => a.at - b.at);
  const configs = [...pictures, ...sounds].filter(isConfig);
  return [...(metadata ? [start] : []), ...configs, ...media].map(({ type, at, data }) => ({ type, timestamp: wrap(startMs + at), data }));
}

/** A tag and its time from the start, ms. */
interface Timed {
  type: number;
  at: number;
  data: Buffer;
  isConfig?: boolean;
}

function* videoTags(video: SyntheticVideo, seconds: number): Generator<Timed> {
  const { width = 320, height = 180, fps = 30, gop = 2, kbps = 0, bFrames = 0 } = video;
  const { shownAtMs = (frame: number) => Math.round((frame * 1000) / fps) } = video;
  const format = { width, height, fps, bFrames };
  yield { type: VIDEO, at: 0, data: avcBody(true, 0, 0, encodeAvcConfig(format)), isConfig: true };
  // With B-frames everything is shown one frame after it could be decoded.
  const delay = bFrames > 0 ? 1 : 0;
  const count = Math.round(seconds * fps);
  let decoded = 0;
  for (const frame of encodeFrames(format, Math.max(1, Math.round(gop * fps)), count, (kbps * 125) / fps)) {
    const at = shownAtMs(decoded++);
    yield { type: VIDEO, at, data: frameBody(frame, shownAtMs(frame.shownAs + delay) - at) };
  }
}

function* audioTags(format: SilenceFormat, seconds: number): Generator<Timed> {
  const { config, frame, samplesPerFrame } = encodeSilence(format);
  if (config !== null) yield { type: AUDIO, at: 0, data: config, isConfig: true };
  const count = Math.round((seconds * format.sampleRate) / samplesPerFrame);
  for (let index = 0; index < count; index++) {
    yield { type: AUDIO, at: Math.round((index * samplesPerFrame * 1000) / format.sampleRate), data: frame(index) };
  }
}

function frameBody({ key, data }: AvcFrame, compositionOffset: number): Buffer {
  return avcBody(key, 1, compositionOffset, data);
}

function avcBody(key: boolean, packetType: number, compositionOffset: number, payload: Buffer): Buffer {
  const head = Buffer.from([key ? 0x17 : 0x27, packetType, 0, 0, 0]);
  head.writeIntBE(compositionOffset, 2, 3);
  return Buffer.concat([head, payload]);
}

function encodeMetadata(video: SyntheticVideo | null, audio: SilenceFormat | null): Buffer {
  const { width = 320, height = 180, fps = 30, kbps = 0 } = video ?? {};
  return encodeAmf0("onMetaData", {
    ...(video === null ? {} : { width, height, framerate: fps, videocodecid: 7, ...(kbps === 0 ? {} : { videodatarate: kbps }) }),
    ...(audio === null
      ? {}
      : { audiosamplerate: audio.sampleRate, stereo: audio.channels === 2, audiocodecid: audio.codec === "AAC" ? 10 : 2 }),
    encoder: "Synthetic/1.0",
  });
}

function wrap(ms: number): number {
  return ((Math.round(ms) % 2 ** 32) + 2 ** 32) % 2 ** 32;
}
