import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { encodeFlvFile } from "../../fakes/media/flv-file.ts";
import { type FlvTag, parseFlvTags } from "../../fakes/rtmp/flv-tags.ts";

/** What to record. Frames and key frames are evenly spaced. */
export interface RecordingOptions {
  width: number;
  height: number;
  /** Frames per second, whole. */
  fps: number;
  /** Seconds between key frames, whole. */
  gop: number;
  videoKbps: number;
}

/** An encoded programme that can be sent again and again: H.264 without B-frames and 48 kHz AAC, in FLV tags. */
export interface Recording {
  /** Metadata and decoder configurations, to send once. */
  headers: FlvTag[];
  /** Audio and video from the first key frame on, in order; timestamps count from 0. */
  tags: FlvTag[];
  /** The video tags among them: one a frame. */
  frames: FlvTag[];
  /** How long it lasts, ms: then it can begin again without a hole in picture or sound. */
  periodMs: number;
}

const VIDEO = 9;
const AUDIO = 8;
/** 375 AAC frames at 48 kHz: sound and picture end together after multiples of it only. */
const AUDIO_CYCLE_SECONDS = 8;

/** Encodes a test pattern and a tone, as fast as the machine can. Rejects where FFmpeg fails. */
export async function record(options: RecordingOptions): Promise<Recording> {
  const { width, height, fps, gop, videoKbps } = options;
  const seconds = AUDIO_CYCLE_SECONDS * gop;
  const rate = `${videoKbps}k`;
  const args = [
    ...["-v", "error", "-nostdin", "-f", "lavfi", "-i", `testsrc2=size=${width}x${height}:rate=${fps}`],
    ...["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", String(seconds + 1)],
    ...["-vf", "noise=alls=12:allf=t,format=yuv420p", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency"],
    ...["-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate, "-g", String(fps * gop), "-sc_threshold", "0"],
    ...["-c:a", "aac", "-b:a", "128k", "-f", "flv", "-flvflags", "no_duration_filesize", "pipe:1"],
  ];
  const { stdout } = await promisify(execFile)("ffmpeg", args, { encoding: "buffer", maxBuffer: 256 << 20, timeout: 120_000 });
  return cutRecording(parseFlvTags(stdout), seconds * 1000, fps * seconds);
}

/** Writes a recording as an FLV file. */
export function saveRecording({ headers, tags }: Recording, path: string): void {
  writeFileSync(path, encodeFlvFile([...headers, ...tags]));
}

/** Reads what `saveRecording` wrote. */
export function loadRecording(path: string, periodMs: number): Recording {
  return splitRecording(parseFlvTags(readFileSync(path)), periodMs);
}

function cutRecording(all: FlvTag[], periodMs: number, frameCount: number): Recording {
  const recording = splitRecording(all, periodMs);
  const { length } = recording.frames;
  if (length !== frameCount) throw new Error(`the recording has ${length} frames instead of ${frameCount}`);
  return recording;
}

function splitRecording(all: FlvTag[], periodMs: number): Recording {
  const headers = all.filter((tag) => !isMedia(tag) && !isEndOfSequence(tag));
  const start = all.find((tag) => tag.type === VIDEO && isMedia(tag))?.timestamp ?? 0;
  const tags = all
    .filter((tag) => isMedia(tag) && tag.timestamp >= start && tag.timestamp < start + periodMs)
    .map((tag) => ({ ...tag, timestamp: tag.timestamp - start }));
  const frames = tags.filter((tag) => tag.type === VIDEO);
  return { headers: headers.map((tag) => ({ ...tag, timestamp: 0 })), tags, frames, periodMs };
}

/** Whether an AVC or AAC tag holds a coded frame, and not a configuration. */
function isMedia(tag: FlvTag): boolean {
  return (tag.type === VIDEO || tag.type === AUDIO) && tag.data[1] === 1;
}

function isEndOfSequence(tag: FlvTag): boolean {
  return tag.type === VIDEO && tag.data[1] === 2;
}
