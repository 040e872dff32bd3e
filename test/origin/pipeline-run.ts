import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { expect } from "vitest";
import type { Track } from "../../domain/protocol/origin-link.ts";
import type { Log } from "../../origin/log.ts";
import { BoxSplitter } from "../../origin/package/boxes.ts";
import { parseFragment } from "../../origin/package/fragment.ts";
import type { PackagedGap, PackagedPart, PackagedSegment } from "../../origin/package/packager.ts";
import type { Sample } from "../../origin/package/sample.ts";
import { FlvReader, type FlvTag } from "../../origin/transcode/flv.ts";
import { parseMediaTag } from "../../origin/transcode/media-tag.ts";
import { Pipeline, type PipelineOptions, type Taken } from "../../origin/transcode/pipeline.ts";

const run = promisify(execFile);

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silentLog };

/** Everything that a pipeline put out. */
export class Output {
  tracks: { target_duration: number; renditions: Track[] } | null = null;
  inits = new Map<string, Uint8Array>();
  parts: PackagedPart[] = [];
  segments: PackagedSegment[] = [];
  gaps: PackagedGap[] = [];
  warnings: string[] = [];
  failures: [code: string, message: string][] = [];
  lost: string[] = [];
  restarts = 0;

  /** Init and segments of a rendition as one file. */
  file(rendition: string): Buffer {
    const segments = this.segments.filter((segment) => segment.rendition === rendition).map((segment) => segment.bytes);
    return Buffer.concat([this.inits.get(rendition) ?? new Uint8Array(), ...segments]);
  }

  samples(rendition: string): Sample[] {
    return readSamples(this.file(rendition));
  }
}

/** The samples of a fragmented MP4 of one track. */
export function readSamples(file: Buffer): Sample[] {
  let moof: Buffer | null = null;
  return new BoxSplitter().push(file).flatMap((box) => {
    if (box.type === "moof") moof = box.bytes;
    return box.type === "mdat" && moof !== null ? parseFragment(moof, box.bytes) : [];
  });
}

/** A pipeline of real parts, whose sockets lie in `directory`. */
export function openPipeline(output: Output, directory: string, options: Partial<PipelineOptions> = {}): Pipeline {
  return new Pipeline({
    profile: "passthrough",
    without: [],
    afterJump: false,
    keyInterval: null,
    maxPixels: 4096 * 2304,
    maxBitrateKbps: 50_000,
    videoEncoder: "x264",
    renderDevice: "/dev/dri/renderD128",
    segmentTarget: 2,
    partTarget: 0.5,
    nextMsn: 1,
    declared: null,
    runDirectory: directory,
    log: silentLog,
    onFailure: (code, message) => output.failures.push([code, message]),
    onEncodingLost: (message) => output.lost.push(message),
    onRestart: () => {
      output.restarts += 1;
    },
    sink: {
      onTracks: (tracks) => {
        output.tracks = tracks;
      },
      onInit: (rendition, bytes) => output.inits.set(rendition, bytes),
      onPart: (part) => output.parts.push(part),
      onSegment: (segment) => output.segments.push(segment),
      onGap: (gap) => output.gaps.push(gap),
      onWarning: (message) => output.warnings.push(message),
    },
    ...options,
  });
}

/** Feeds one tag. */
export function push(pipeline: Pipeline, tag: FlvTag): Taken {
  return pipeline.push(tag, parseMediaTag(tag));
}

/** Feeds tags as fast as they are taken. */
export function feed(pipeline: Pipeline, tags: FlvTag[]): void {
  for (const tag of tags) push(pipeline, tag);
}

/** Feeds tags when their time has come, `speed` times as fast as they were made. */
export async function pace(pipeline: Pipeline, tags: FlvTag[], speed: number, each: (timestamp: number) => void = () => {}): Promise<void> {
  const start = performance.now();
  for (const tag of tags) {
    const wait = tag.timestamp / speed - (performance.now() - start);
    if (wait > 1) await sleep(wait);
    each(tag.timestamp);
    push(pipeline, tag);
  }
}

/** The tags of an FLV file. */
export async function readTags(directory: string, name: string): Promise<FlvTag[]> {
  return new FlvReader().push(await readFile(join(directory, name)));
}

/** A hash of each decoded frame; the decoder must have nothing to say. */
export async function frameHashes(path: string, stream: string): Promise<string[]> {
  const options = ["-v", "error", "-i", path, "-map", stream, "-fps_mode", "passthrough", "-f", "framemd5", "-"];
  const { stdout, stderr } = await run("ffmpeg", options);
  expect(stderr).toBe("");
  return stdout.split("\n").flatMap((line) => (line.startsWith("#") || line === "" ? [] : [line.split(",").at(-1)?.trim() ?? ""]));
}

/** Writes a test picture of 320×180 with a tone of 44.1 kHz as FLV, 7 s of it. */
export async function encodeFlv(path: string, video: string[], fps: string): Promise<void> {
  const sources = ["-f", "lavfi", "-i", `testsrc2=s=320x180:r=${fps}`, "-f", "lavfi", "-i", "sine=r=44100", "-t", "7"];
  const codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-sc_threshold", "0", ...video, "-c:a", "aac", "-ac", "2"];
  await run("ffmpeg", ["-v", "error", ...sources, ...codecs, "-f", "flv", path], { timeout: 30_000 });
}

/** Nothing failed, parts fit their target, and times go on without a hole. */
export function expectNoFault(output: Output, renditions = ["source", "audio"]): void {
  expect(output.failures).toEqual([]);
  for (const rendition of renditions) {
    const target = output.tracks?.renditions.find((track) => track.name === rendition)?.part_target ?? 0;
    for (const part of output.parts.filter((one) => one.rendition === rendition)) expect(part.duration).toBeLessThanOrEqual(target + 1e-6);
    const samples = output.samples(rendition);
    expect(samples.length).toBeGreaterThan(0);
    for (const [index, sample] of samples.entries()) {
      const next = samples[index + 1];
      if (next !== undefined) expect(next.dts).toBe(sample.dts + sample.duration);
    }
  }
}

/** Waits until it holds; rejects after `timeoutMs`. */
export async function waitUntil(condition: () => boolean, timeoutMs = 5000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error("it did not happen in time");
    await sleep(10);
  }
}
