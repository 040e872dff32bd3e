import { execFile } from "node:child_process";
import { promisify } from "node:util";

/** A tag of an FLV stream. `timestamp` in milliseconds, unsigned 32 bits. */
export interface FlvTag {
  type: number;
  timestamp: number;
  data: Buffer;
}

/** The whole tags of an FLV stream that begins with its header. Throws where the framing is wrong. */
export function parseFlvTags(flv: Buffer): FlvTag[] {
  if (flv.toString("latin1", 0, 3) !== "FLV") throw new Error("no FLV header");
  const tags: FlvTag[] = [];
  let at = 13;
  while (at + 11 <= flv.length) {
    const size = flv.readUIntBE(at + 1, 3);
    if (at + 15 + size > flv.length) break;
    if (flv.readUInt32BE(at + 11 + size) !== 11 + size) throw new Error("a tag whose size is not repeated behind it");
    const timestamp = (flv.readUIntBE(at + 4, 3) | (flv.readUInt8(at + 7) << 24)) >>> 0;
    tags.push({ type: flv.readUInt8(at), timestamp, data: flv.subarray(at + 11, at + 11 + size) });
    at += 15 + size;
  }
  return tags;
}

/** Input options of FFmpeg for a small picture with a tone, and codecs that FLV takes. */
export const syntheticSource = [
  ["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100"],
  ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "64k"],
].flat();

/** Tags of a real, decodable stream: metadata, H.264 with a key frame each second, AAC. */
export async function recordFlvTags(seconds: number): Promise<FlvTag[]> {
  const argv = ["-v", "error", ...syntheticSource, "-t", String(seconds), "-f", "flv", "pipe:1"];
  const { stdout } = await promisify(execFile)("ffmpeg", argv, { encoding: "buffer", maxBuffer: 64 * 1024 * 1024, timeout: 20_000 });
  return parseFlvTags(stdout);
}
