import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { BoxSplitter } from "../../../origin/package/boxes.ts";
import { parseFragment } from "../../../origin/package/fragment.ts";
import type { FlvTag } from "../rtmp/flv-tags.ts";

/** What FFmpeg is to encode for Enhanced RTMP. */
export interface EnhancedOptions {
  codec: "HEVC" | "AV1";
  seconds: number;
  width?: number;
  height?: number;
  /** Frames per second, whole. */
  fps?: number;
  /** Seconds between key frames. */
  gop?: number;
  startMs?: number;
}

const VIDEO = 9;
const TIMESCALE = 90_000;
const CODECS = {
  HEVC: { fourCc: "hvc1", record: "hvcC", hasOffset: true },
  AV1: { fourCc: "av01", record: "av1C", hasOffset: false },
};

/** Video tags with the header of Enhanced RTMP, a configuration first, around what a real encoder made. Rejects where FFmpeg has no such encoder. */
export async function enhancedTags(options: EnhancedOptions): Promise<FlvTag[]> {
  const { codec, seconds, width = 320, height = 180, fps = 30, gop = 2, startMs = 0 } = options;
  const { fourCc, record, hasOffset } = CODECS[codec];
  const key = Math.round(fps * gop);
  const encoder =
    codec === "HEVC"
      ? [
          "-c:v",
          "libx265",
          "-preset",
          "ultrafast",
          "-x265-params",
          `log-level=error:keyint=${key}:min-keyint=${key}:scenecut=0:open-gop=0:pools=1`,
        ]
      : ["-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-g", String(key), "-keyint_min", String(key), "-b:v", "500k"];
  const args = [
    ...["-v", "error", "-nostdin", "-f", "lavfi", "-i", `testsrc2=size=${width}x${height}:rate=${fps}`, "-t", String(seconds)],
    ...["-pix_fmt", "yuv420p", ...encoder, "-tag:v", fourCc, "-video_track_timescale", String(TIMESCALE)],
    ...["-f", "mp4", "-movflags", "delay_moov+frag_keyframe+default_base_moof", "-use_editlist", "0", "pipe:1"],
  ];
  const { stdout } = await promisify(execFile)("ffmpeg", args, { encoding: "buffer", maxBuffer: 64 << 20, timeout: 60_000 });
  const boxes = new BoxSplitter().push(stdout);
  const at = (dts: number) => (startMs + Math.round(dts / (TIMESCALE / 1000))) >>> 0;
  const head = (isKey: boolean, packetType: number) =>
    Buffer.concat([Buffer.from([0x80 | ((isKey ? 1 : 2) << 4) | packetType]), Buffer.from(fourCc)]);
  const tags: FlvTag[] = [];
  let moof: Buffer | null = null;
  for (const { type, bytes } of boxes) {
    if (type === "moov") tags.push({ type: VIDEO, timestamp: at(0), data: Buffer.concat([head(true, 0), findRecord(bytes, record)]) });
    if (type === "moof") moof = bytes;
    if (type !== "mdat" || moof === null) continue;
    for (const sample of parseFragment(moof, bytes)) {
      const offset = Buffer.alloc(hasOffset ? 3 : 0);
      if (hasOffset) offset.writeIntBE(Math.round(sample.compositionOffset / (TIMESCALE / 1000)), 0, 3);
      tags.push({ type: VIDEO, timestamp: at(sample.dts), data: Buffer.concat([head(sample.key, 1), offset, sample.data]) });
    }
  }
  return tags;
}

/** The payload of the only box of that name. */
function findRecord(moov: Buffer, name: string): Buffer {
  const at = moov.indexOf(name, 0, "latin1");
  if (at === -1) throw new Error(`FFmpeg's header has no ${name}`);
  return moov.subarray(at + 4, at - 4 + moov.readUInt32BE(at - 4));
}
