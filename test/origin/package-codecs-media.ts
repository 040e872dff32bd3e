import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { VideoCodec } from "../../domain/profiles.ts";
import { BoxSplitter } from "../../origin/package/boxes.ts";
import { encodeChunk } from "../../origin/package/chunk.ts";
import { parseFragment } from "../../origin/package/fragment.ts";
import type { Sample } from "../../origin/package/sample.ts";

const directory = mkdtempSync(join(tmpdir(), "codecs-"));

/** A file of FFmpeg's, taken apart. */
export interface Encoded {
  file: string;
  /** The configuration as the encoder gave it. */
  record: Buffer;
  moov: Buffer;
  samples: Sample[];
}

const RECORD_BOX = { "H.264": "avcC", HEVC: "hvcC", AV1: "av1C" };
let files = 0;

function run(tool: "ffmpeg" | "ffprobe", args: string[]): string {
  const env = { ...process.env, SVT_LOG: "0" };
  return execFileSync(tool, ["-v", "error", ...args], { encoding: "utf8", timeout: 30_000, env, stdio: ["ignore", "pipe", "ignore"] });
}

const encodedBefore = new Map<string, Encoded>();

/** What FFmpeg makes of `args`, as single-frame fragments. */
export function encode(codec: VideoCodec | "AAC", args: string): Encoded {
  const encoded = encodedBefore.get(args) ?? encodeAnew(codec, args);
  encodedBefore.set(args, encoded);
  return encoded;
}

function encodeAnew(codec: VideoCodec | "AAC", args: string): Encoded {
  files += 1;
  const file = join(directory, `${files}.mp4`);
  // Encoders of AV1 have no configuration before their first picture.
  const moovAt = codec === "AV1" ? "delay_moov" : "empty_moov";
  const fragments = ["-use_editlist", "0", "-movflags", `${moovAt}+default_base_moof+frag_every_frame`, "-y", file];
  run("ffmpeg", [...args.split(" "), ...fragments]);
  const boxes = new BoxSplitter().push(readFileSync(file));
  const moov = boxes.find(({ type }) => type === "moov")?.bytes ?? Buffer.alloc(0);
  const samples = boxes.flatMap(({ type, bytes }, index) => {
    const mdat = boxes[index + 1];
    return type === "moof" && mdat !== undefined ? parseFragment(bytes, mdat.bytes) : [];
  });
  const name = codec === "AAC" ? -1 : moov.indexOf(RECORD_BOX[codec]);
  const record = name < 0 ? Buffer.alloc(0) : moov.subarray(name + 4, name - 4 + moov.readUInt32BE(name - 4));
  return { file, record, moov, samples };
}

/** FFmpeg's arguments for so many frames of a moving picture, at 29.97 a second. */
export function source(size: string, frames: number, filters = "null"): string {
  return `-f lavfi -i testsrc2=s=${size}:r=30000/1001 -frames:v ${frames} -vf ${filters}`;
}

/** A file of an init segment and chunks of our own. */
export function write(init: Uint8Array, samples: Sample[]): string {
  files += 1;
  const file = join(directory, `${files}.mp4`);
  const chunks = samples.map((sample, index) => encodeChunk({ trackId: 1, sequenceNumber: index + 1, samples: [sample] }));
  writeFileSync(file, Buffer.concat([init, ...chunks]));
  return file;
}

const FACTS =
  "codec_name,codec_tag_string,profile,level,width,height,pix_fmt,sample_aspect_ratio,color_range,color_space,color_transfer,color_primaries,sample_rate,channels,extradata_hash";

/** What FFmpeg says of a file's track. */
export function probe(file: string): Record<string, string> {
  const args = ["-show_streams", "-show_data_hash", "sha256", "-show_entries", `stream=${FACTS}`, "-of", "json", file];
  const { streams } = JSON.parse(run("ffprobe", args)) as { streams: Record<string, string>[] };
  const facts = Object.entries(streams[0] ?? {}).filter(([name]) => FACTS.split(",").includes(name));
  // FFmpeg writes square pixels of AV1 down, which says nothing about them otherwise.
  return { sample_aspect_ratio: "1:1", ...Object.fromEntries(facts) };
}

/** Hashes of all decoded frames of each file. */
export function decode(...inputs: string[]): string[][] {
  const maps = inputs.flatMap((_, index) => ["-map", `${index}`]);
  const output = [...maps, "-fps_mode", "passthrough", "-f", "framehash", "-hash", "murmur3", "-"];
  const lines = run("ffmpeg", [...inputs.flatMap((file) => ["-i", file]), ...output]).split("\n");
  return inputs.map((_, index) => lines.filter((line) => line.startsWith(`${index},`)).map((line) => line.split(",").at(-1)?.trim() ?? ""));
}

/** FFmpeg's own RFC 6381 name. */
export function codecOfDash(file: string): string {
  const manifest = `${file}.mpd`;
  run("ffmpeg", ["-i", file, "-c", "copy", "-f", "dash", "-y", manifest]);
  return /codecs="([^"]*)"/.exec(readFileSync(manifest, "utf8"))?.[1] ?? "";
}

/** Takes all files away. */
export function removeFiles(): void {
  rmSync(directory, { recursive: true });
}
