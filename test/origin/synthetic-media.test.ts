import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lumaOf } from "../fakes/media/avc-programme.ts";
import { enhancedTags } from "../fakes/media/enhanced-tags.ts";
import { encodeFlvFile } from "../fakes/media/flv-file.ts";
import { type SyntheticOptions, syntheticTags } from "../fakes/media/synthetic-tags.ts";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "synthetic-media-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Decoded {
  /** Brightness of the first pixel of each frame, as shown. */
  lumas: number[];
  /** The same of the last pixel. */
  corners: number[];
  /** Seconds of sound. */
  soundSeconds: number;
  /** The loudest sample. */
  loudest: number;
}

function fileOf(options: SyntheticOptions): string {
  const path = join(directory, "media.flv");
  writeFileSync(path, encodeFlvFile(syntheticTags(options)));
  return path;
}

/** What FFmpeg makes of a file. Fails where it has anything to say about it. */
function decode(path: string, width: number, height: number, rate: number, channels: number): Decoded {
  const run = (args: string[]) => {
    const base = ["-v", "warning", "-nostdin", "-xerror", "-err_detect", "explode", "-i", path];
    const { stdout, stderr, status } = spawnSync("ffmpeg", [...base, ...args, "pipe:1"], { maxBuffer: 1 << 30, timeout: 30_000 });
    expect({ status, words: stderr.toString() }).toEqual({ status: 0, words: "" });
    return stdout;
  };
  const pictures = run(["-map", "0:v", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "yuv420p"]);
  const lumaSize = width * height;
  const size = lumaSize * 1.5;
  expect(pictures.length % size).toBe(0);
  const sound = channels === 0 ? Buffer.alloc(0) : run(["-map", "0:a", "-f", "s16le"]);
  const samples = new Int16Array(sound.buffer, sound.byteOffset, sound.length / 2);
  return {
    lumas: Array.from({ length: pictures.length / size }, (_, frame) => pictures.readUInt8(frame * size)),
    corners: Array.from({ length: pictures.length / size }, (_, frame) => pictures.readUInt8(frame * size + lumaSize - 1)),
    soundSeconds: channels === 0 ? 0 : samples.length / channels / rate,
    loudest: samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0),
  };
}

function probe(path: string, entries: string, stream: string): Record<string, unknown>[] {
  const args = ["-v", "error", "-select_streams", stream, "-show_entries", entries, "-of", "json", path];
  const { packets, streams } = JSON.parse(execFileSync("ffprobe", args, { encoding: "utf8" })) as Record<string, Record<string, unknown>[]>;
  return packets ?? streams ?? [];
}

const frames = (count: number) => Array.from({ length: count }, (_, frame) => frame);

describe("synthetic media", () => {
  it.each([
    { width: 320, height: 180, fps: 25, gop: 1, bFrames: 0, audio: { codec: "AAC", sampleRate: 48_000, channels: 2 } as const },
    { width: 322, height: 182, fps: 30_000 / 1001, gop: 1, bFrames: 2, audio: { codec: "AAC", sampleRate: 44_100, channels: 1 } as const },
    { width: 1280, height: 720, fps: 30, gop: 0.5, bFrames: 1, audio: { codec: "MP3", sampleRate: 44_100, channels: 2 } as const },
    { width: 16, height: 16, fps: 10, gop: 1, bFrames: 0, audio: { codec: "MP3", sampleRate: 48_000, channels: 1 } as const },
    { width: 3840, height: 2160, fps: 10, gop: 1, bFrames: 3, audio: null },
  ])("is decoded without a word: $width×$height, $fps frames per second, $bFrames B-frames, $audio.codec", ({ audio, ...video }) => {
    const seconds = 2;
    const path = fileOf({ seconds, video, audio });
    const decoded = decode(path, video.width, video.height, audio?.sampleRate ?? 1, audio?.channels ?? 0);
    const shown = frames(Math.round(seconds * video.fps));
    expect(decoded.lumas).toEqual(shown.map(lumaOf));
    if (video.width > 16) {
      const gopFrames = Math.round(video.gop * video.fps);
      expect(decoded.corners).toEqual(shown.map((frame) => lumaOf(frame - (frame % gopFrames))));
    }
    if (audio !== null) expect(Math.abs(decoded.soundSeconds - seconds)).toBeLessThan(0.06);
    expect(decoded.loudest).toBe(0);
    const [stream] = probe(path, "stream=width,height,has_b_frames", "v");
    expect(stream).toMatchObject({ width: video.width, height: video.height, has_b_frames: video.bFrames > 0 ? 1 : 0 });
  });

  it("places frames where their rate says, key frames where the GOP says, and nothing before it can be decoded", () => {
    const path = fileOf({ seconds: 2, startMs: 5_000, video: { fps: 25, gop: 1, bFrames: 2 }, audio: null });
    const packets = probe(path, "packet=pts_time,dts_time,flags", "v");
    const times = packets.map(({ pts_time }) => Math.round(Number(pts_time) * 1000)).sort((a, b) => a - b);
    expect(times).toEqual(frames(50).map((frame) => 5_040 + frame * 40));
    expect(packets.map(({ dts_time }) => Math.round(Number(dts_time) * 1000))).toEqual(frames(50).map((frame) => 5_000 + frame * 40));
    expect(packets.flatMap(({ flags }, index) => (String(flags).startsWith("K") ? [index] : []))).toEqual([0, 25]);
  });

  it("is as large as it is asked to be", () => {
    const video = syntheticTags({ seconds: 4, video: { kbps: 1500 }, audio: null, metadata: false });
    const bytes = video.reduce((sum, { data }) => sum + data.length, 0);
    expect(Math.abs(bytes / (4 * 187_500) - 1)).toBeLessThan(0.02);
  });

  it("takes any start and any rhythm", () => {
    const wrapping = syntheticTags({ seconds: 1, startMs: 2 ** 32 - 500, audio: null, metadata: false }).map(({ timestamp }) => timestamp);
    expect(wrapping[0]).toBe(2 ** 32 - 500);
    expect(wrapping.at(-1)).toBe(467);
    expect(syntheticTags({ seconds: 1, startMs: -40, video: null })[0]?.timestamp).toBe(2 ** 32 - 40);
    const uneven = (frame: number) => frame * 40 + (frame % 2) * 15;
    const video = syntheticTags({ seconds: 1, audio: null, metadata: false, video: { fps: 25, shownAtMs: uneven } }).slice(1);
    expect(video.map(({ timestamp }) => timestamp)).toEqual(frames(25).map(uneven));
  });

  it.each([
    ["HEVC", 0x01, "hvc1"],
    ["AV1", 0x81, "av01"],
  ] as const)("wraps %s as Enhanced RTMP does", async (codec, version, fourCc) => {
    const [config, ...media] = await enhancedTags({ codec, seconds: 1, gop: 0.5, width: 160, height: 96 });
    expect(config?.data.readUInt8(0)).toBe(0x90);
    expect(config?.data.readUInt8(5)).toBe(version);
    expect(media.map(({ timestamp }) => timestamp)).toEqual(frames(30).map((frame) => Math.round((frame * 1000) / 30)));
    expect(media.map(({ data }) => data.readUInt8(0))).toEqual(frames(30).map((frame) => (frame % 15 === 0 ? 0x91 : 0xa1)));
    expect(new Set(media.map(({ data }) => data.toString("latin1", 1, 5)))).toEqual(new Set([fourCc]));
  });
});
