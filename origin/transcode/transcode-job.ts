import { availableParallelism } from "node:os";
import { AAC_BITRATE } from "../../domain/profiles.ts";
import type { VideoEncoder } from "../config.ts";
import { encoderArguments, encoderInputArguments } from "./encoders.ts";
import type { FfmpegJob } from "./ffmpeg.ts";
import { encodeFlvHeader, encodeFlvTag } from "./flv.ts";
import { encodeAacBody, encodeMp3Body } from "./media-tag.ts";
import { encodeSilentMp3 } from "./mp3.ts";
import type { PlannedRung } from "./plan.ts";

/** What is encoded, and from what. */
export interface TranscodeTask {
  input: {
    /** `config` is the AVCDecoderConfigurationRecord. */
    video: { config: Buffer } | null;
    /** `config` is the AudioSpecificConfig; MP3 has none. */
    audio: { codec: "AAC" | "MP3"; config: Buffer | null } | null;
  };
  rungs: readonly PlannedRung[];
  keyFrames: "source" | "forced";
  /** Whether AAC is made of the audio. */
  audio: boolean;
  encoder: VideoEncoder;
  renderDevice: string;
}

/** Where an FFmpeg begins. Times are milliseconds on the connection's clock. */
export interface TranscodeStart {
  /** The connection's time at FFmpeg's zero, whole seconds. */
  baseMs: number;
  /** From the presentation time of the very first picture to that of the first one that is not delivered yet. */
  elapsedMs: number;
  /** Presentation time of the newest picture that has already been delivered; null: none has. */
  deliveredMs: number | null;
  /** Audio samples from the connection's zero to the end of what has been delivered; null: none has. */
  deliveredAudio: { samples: number; sampleRate: number } | null;
}

/** Name of the audio's output and rendition. */
export const AUDIO_OUTPUT = "audio";

/** The body of an MP3 tag that sounds like nothing: 44.1 kHz, stereo. */
export const SILENT_MP3_BODY = encodeMp3Body(encodeSilentMp3(44_100, 2) ?? Buffer.alloc(0));

const AAC_FRAME = 1024;
/** A fresh encoder's first frames are its warming up: as many are made before the one that goes on. */
const AUDIO_PREROLL_FRAMES = 2;
const MANY_CORES = 4;

/** The whole of what FFmpeg is told. */
export function buildJob(task: TranscodeTask, start: TranscodeStart): FfmpegJob {
  const { encoder, renderDevice, rungs } = task;
  // A second thread decodes a frame later, and at the same time as the frame before it is encoded.
  const decoderThreads = availableParallelism() >= MANY_CORES ? 2 : 1;
  const outputs = rungs.map((rung) => ({
    name: rung.name,
    arguments: [
      "-map",
      "0:v:0",
      ...encoderArguments(encoder, rung, {
        keyFrames: task.keyFrames,
        elapsed: start.elapsedMs / 1000,
        notBefore: start.deliveredMs === null ? null : (start.deliveredMs + 0.5 - start.baseMs) / 1000,
      }),
    ],
  }));
  if (task.audio) outputs.push({ name: AUDIO_OUTPUT, arguments: audioArguments(start) });
  const hardware = rungs.length > 0 ? encoderInputArguments(encoder, renderDevice) : [];
  return { inputArguments: ["-threads", String(decoderThreads), ...hardware], outputs };
}

/** AAC-LC, stereo at most, at one of the two rates that every player takes; holes become silence, and drift is taken out at 2 % at most. */
function audioArguments(start: TranscodeStart): string[] {
  const filters = ["aresample=async=1000", "aformat=sample_rates=44100|48000:channel_layouts=mono|stereo"];
  const { deliveredAudio, baseMs } = start;
  if (deliveredAudio !== null) {
    const end = deliveredAudio.samples - (baseMs / 1000) * deliveredAudio.sampleRate;
    filters.push(`atrim=start_pts=${end + AAC_FRAME - AUDIO_PREROLL_FRAMES * AAC_FRAME}`);
  }
  return ["-map", "0:a:0", "-af", filters.join(","), "-c:a", "aac", "-b:a", String(AAC_BITRATE)];
}

/** What every FFmpeg must read first: the header, and the decoder configuration of each track that it uses. */
export function encodeHead({ input, rungs, audio }: TranscodeTask): Buffer {
  const usesVideo = rungs.length > 0;
  const head = [encodeFlvHeader({ video: usesVideo, audio })];
  if (usesVideo && input.video !== null) {
    head.push(encodeFlvTag("video", 0, Buffer.concat([Buffer.from([0x17, 0, 0, 0, 0]), input.video.config])));
  }
  if (audio && input.audio?.config != null) head.push(encodeFlvTag("audio", 0, encodeAacBody(0, input.audio.config)));
  return Buffer.concat(head);
}
