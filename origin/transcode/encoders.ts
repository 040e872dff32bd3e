import { execFile } from "node:child_process";
import { availableParallelism } from "node:os";
import { promisify } from "node:util";
import type { VideoEncoder } from "../config.ts";
import { computeLevel } from "./level.ts";
import type { PlannedRung } from "./plan.ts";

/** Which of the decoded pictures become a rung; times in seconds. */
export interface RungTiming {
  /** Where rungs have their key frames: where the input has them, or each 2 s. */
  keyFrames: "source" | "forced";
  /** From the first picture of all to the first one that is encoded here: so old the grid of forced key frames is. */
  elapsed: number;
  /** Pictures before it, on FFmpeg's clock, are left out; null: none are. */
  notBefore: number | null;
}

const SECONDS_BETWEEN_KEYS = 2;
/** Timestamps are rounded to milliseconds; a key frame a little before its time is better than one that is late by a frame. */
const KEY_TOLERANCE_SECONDS = 0.005;
/** Key frames come where they are asked for, and nowhere else. */
const NO_OTHER_KEYS = "100000";
const CHECK_TIMEOUT_MS = 15_000;
const ASKED_FRAME_RATE = 60;

/** FFmpeg's options that stand before its input: the hardware. */
export function encoderInputArguments(encoder: VideoEncoder, renderDevice: string): string[] {
  if (encoder === "vaapi") return ["-init_hw_device", `vaapi=gpu:${renderDevice}`, "-filter_hw_device", "gpu"];
  if (encoder === "qsv") return ["-init_hw_device", `qsv=gpu,child_device=${renderDevice}`];
  return [];
}

/** FFmpeg's options of one output that is a rung: its filters, encoder and key frames. */
export function encoderArguments(encoder: VideoEncoder, rung: PlannedRung, timing: RungTiming): string[] {
  return [
    "-vf",
    [...pictureFilters(rung, timing), ...scaleFilters(encoder, rung)].join(","),
    "-fps_mode",
    "passthrough",
    "-enc_time_base",
    "-1",
    "-force_key_frames",
    timing.keyFrames === "source" ? "source" : forcedKeys(timing.elapsed),
    ...codecArguments(encoder, rung),
    "-b:v",
    String(rung.bitrate),
    "-maxrate",
    String(rung.maxBitrate),
    "-bufsize",
    String(rung.maxBitrate),
    "-bf",
    "0",
    "-g",
    NO_OTHER_KEYS,
    "-video_track_timescale",
    "90000",
  ];
}

/** A key frame at once, and then on the grid. FFmpeg counts `t` from the first picture that it encodes. */
function forcedKeys(elapsed: number): string {
  const slot = (time: string) => `floor((${time}+${(elapsed + KEY_TOLERANCE_SECONDS).toFixed(3)})/${SECONDS_BETWEEN_KEYS})`;
  return `expr:if(isnan(prev_forced_t),1,gt(${slot("t")},${slot("prev_forced_t")}))`;
}

/** Which of the decoded pictures are encoded. They keep their times: rungs must not differ from each other, nor from the copied source. */
function pictureFilters(rung: PlannedRung, timing: RungTiming): string[] {
  const filters: string[] = [];
  if (timing.notBefore !== null) filters.push(`trim=start=${timing.notBefore}`);
  if (rung.frameRate !== null) {
    const slot = (time: string) => `floor(${time}*${rung.frameRate}+0.05)`;
    filters.push(`select='key+isnan(prev_selected_t)+gt(${slot("t")},${slot("prev_selected_t")})'`);
  }
  return filters;
}

function scaleFilters(encoder: VideoEncoder, { width, height }: PlannedRung): string[] {
  // Even sizes distort by less than a pixel, which is not worth telling players; a picture that came distorted stays so.
  const shape = "setsar='if(lt(abs(sar-1),0.02),1,sar)'";
  switch (encoder) {
    case "vaapi":
      return ["format=nv12", "hwupload", `scale_vaapi=w=${width}:h=${height}`, shape];
    case "qsv":
      return [`scale=${width}:${height}`, shape, "format=nv12"];
    case "x264":
    case "nvenc":
      return [`scale=${width}:${height}`, shape, "format=yuv420p"];
  }
}

function codecArguments(encoder: VideoEncoder, rung: PlannedRung): string[] {
  const level = computeLevel(rung.width, rung.height, rung.frameRate ?? ASKED_FRAME_RATE, rung.maxBitrate);
  switch (encoder) {
    case "x264":
      return [
        ...["-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-profile:v", "high", "-level:v", level],
        ...["-sc_threshold", "0", "-forced-idr", "1", "-flags", "+cgop", "-threads", String(threadCount(rung))],
      ];
    case "nvenc":
      return [
        ...["-c:v", "h264_nvenc", "-preset", "p4", "-tune", "ll", "-rc", "vbr", "-profile:v", "high", "-level:v", level],
        ...["-no-scenecut", "1", "-forced-idr", "1", "-strict_gop", "1", "-zerolatency", "1", "-delay", "0"],
      ];
    case "vaapi":
      // A frame that is asked for as a key frame is an IDR here without more words.
      return ["-c:v", "h264_vaapi", "-profile:v", "high", "-level:v", level, "-rc_mode", "VBR", "-async_depth", "1"];
    case "qsv":
      return [
        ...["-c:v", "h264_qsv", "-preset", "veryfast", "-profile:v", "high", "-level:v", level],
        ...["-forced_idr", "1", "-async_depth", "1", "-look_ahead", "0", "-adaptive_i", "0"],
      ];
  }
}

const PIXELS_A_THREAD = 700_000;
const MAX_THREADS = 4;

/** One thread encodes one picture for every stream on the machine alike; only large ones are worth cutting into slices. */
function threadCount({ width, height }: PlannedRung): number {
  return Math.max(1, Math.min(MAX_THREADS, availableParallelism(), Math.ceil((width * height) / PIXELS_A_THREAD)));
}

const CHECK_RUNG: PlannedRung = { name: "check", width: 640, height: 360, bitrate: 1e6, maxBitrate: 1_070_000, frameRate: null };

/** Encodes half a second with it: null where that works, else what is wrong, in words for whoever set it. */
export async function checkEncoder(encoder: VideoEncoder, renderDevice: string): Promise<string | null> {
  const timing: RungTiming = { keyFrames: "source", elapsed: 0, notBefore: null };
  const source = ["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30:duration=0.5"];
  const quiet = ["-hide_banner", "-nostats", "-loglevel", "error"];
  const encode = [...encoderArguments(encoder, CHECK_RUNG, timing), "-f", "null", "-"];
  try {
    await promisify(execFile)("ffmpeg", [...quiet, ...encoderInputArguments(encoder, renderDevice), ...source, ...encode], {
      timeout: CHECK_TIMEOUT_MS,
      killSignal: "SIGKILL",
    });
    return null;
  } catch (error) {
    return `VIDEO_ENCODER=${encoder} does not work on this machine: ${describeFailure(error)}; check its driver and device, or set x264`;
  }
}

function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return "FFmpeg failed";
  if ("code" in error && error.code === "ENOENT") return "FFmpeg is not installed";
  if ("killed" in error && error.killed === true) return `FFmpeg did not finish within ${CHECK_TIMEOUT_MS / 1000} s`;
  const stderr = "stderr" in error && typeof error.stderr === "string" ? error.stderr : "";
  const line = stderr.split("\n").find((text) => text.trim() !== "");
  return line === undefined ? "FFmpeg failed without a word" : `FFmpeg says "${line.trim().slice(0, 200)}"`;
}
