import { execFile, spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Track } from "../../domain/protocol/origin-link.ts";
import { BoxSplitter } from "../../origin/package/boxes.ts";
import { parseFragment } from "../../origin/package/fragment.ts";
import { parseInit } from "../../origin/package/init.ts";
import { isIdr } from "../../origin/package/nal.ts";
import type { PackagedPart, PackagedSegment } from "../../origin/package/packager.ts";
import type { Sample } from "../../origin/package/sample.ts";
import { encodeFlvTag, FlvReader, type FlvTag } from "../../origin/transcode/flv.ts";
import { Pipeline } from "../../origin/transcode/pipeline.ts";

const run = promisify(execFile);
const silentLog = { debug() {}, info() {}, warn() {}, error() {} };

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "nova-"));
  await Promise.all([
    encode("plain.flv", ["-bf", "0", "-g", "60"], "30"),
    encode("b-frames.flv", ["-bf", "2", "-g", "50", "-x264-params", "b-adapt=0"], "25"),
    encode("other.flv", ["-bf", "0", "-g", "30", "-s", "160x90"], "30"),
  ]);
});

afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

async function encode(name: string, video: string[], fps: string): Promise<void> {
  const sources = ["-f", "lavfi", "-i", `testsrc2=s=320x180:r=${fps}`, "-f", "lavfi", "-i", "sine=r=44100", "-t", "7"];
  const codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-sc_threshold", "0", ...video, "-c:a", "aac", "-ac", "2"];
  await run("ffmpeg", ["-v", "error", ...sources, ...codecs, "-f", "flv", join(directory, name)], { timeout: 30_000 });
}

/** Everything that a pipeline put out. */
class Output {
  tracks: { target_duration: number; renditions: Track[] } | null = null;
  inits = new Map<string, Uint8Array>();
  parts: PackagedPart[] = [];
  segments: PackagedSegment[] = [];
  warnings: string[] = [];
  failures: [code: string, message: string][] = [];

  /** Init and segments of a rendition as one file. */
  file(rendition: string): Buffer {
    const segments = this.segments.filter((segment) => segment.rendition === rendition).map((segment) => segment.bytes);
    return Buffer.concat([this.inits.get(rendition) ?? new Uint8Array(), ...segments]);
  }

  samples(rendition: string): Sample[] {
    let moof: Buffer | null = null;
    return new BoxSplitter().push(this.file(rendition)).flatMap((box) => {
      if (box.type === "moof") moof = box.bytes;
      return box.type === "mdat" && moof !== null ? parseFragment(moof, box.bytes) : [];
    });
  }
}

function open(output: Output): Pipeline {
  return new Pipeline({
    segmentTarget: 2,
    partTarget: 0.5,
    nextMsn: 1,
    declared: null,
    runDirectory: directory,
    log: silentLog,
    onFailure: (code, message) => output.failures.push([code, message]),
    sink: {
      onTracks: (tracks) => {
        output.tracks = tracks;
      },
      onInit: (rendition, bytes) => output.inits.set(rendition, bytes),
      onPart: (part) => output.parts.push(part),
      onSegment: (segment) => output.segments.push(segment),
      onWarning: (message) => output.warnings.push(message),
    },
  });
}

async function feed(pipeline: Pipeline, bytes: Buffer): Promise<void> {
  for (let offset = 0; offset < bytes.length; offset += 10_000) {
    if (!pipeline.write(bytes.subarray(offset, offset + 10_000))) await pipeline.drain();
  }
}

/** Writes tags when their time has come, `speed` times as fast as they were made. */
async function pace(pipeline: Pipeline, tags: FlvTag[], speed: number, each: (timestamp: number) => void = () => {}): Promise<void> {
  const start = performance.now();
  for (const tag of tags) {
    const wait = tag.timestamp / speed - (performance.now() - start);
    if (wait > 1) await sleep(wait);
    each(tag.timestamp);
    pipeline.write(tag.raw);
  }
}

async function readTags(name: string): Promise<FlvTag[]> {
  return new FlvReader().push(await readFile(join(directory, name)));
}

async function frameHashes(path: string, stream: string): Promise<string[]> {
  const { stdout, stderr } = await run("ffmpeg", [
    "-v",
    "error",
    "-i",
    path,
    "-map",
    stream,
    "-fps_mode",
    "passthrough",
    "-f",
    "framemd5",
    "-",
  ]);
  expect(stderr).toBe("");
  return stdout.split("\n").flatMap((line) => (line.startsWith("#") || line === "" ? [] : [line.split(",").at(-1)?.trim() ?? ""]));
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function waitUntil(condition: () => boolean, timeoutMs = 5000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error("it did not happen in time");
    await sleep(10);
  }
}

function expectNoFault(output: Output): void {
  expect(output.failures).toEqual([]);
  for (const rendition of ["source", "audio"]) {
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

describe("pipeline", () => {
  for (const [name, gop, partTarget] of [
    ["plain.flv", 2, 0.5],
    ["b-frames.flv", 2, 0.52],
  ] as const) {
    it(`[CM1] [CM2] [CM3] [PL3] [PL4] carries ${name} over bit by bit`, async () => {
      const output = new Output();
      const pipeline = open(output);
      const bytes = await readFile(join(directory, name));
      await feed(pipeline, bytes);
      const figures = pipeline.stats(performance.now());
      await pipeline.end();
      expectNoFault(output);
      expect(figures).toMatchObject({ dropped_frames: 0, keyframe_interval: gop });
      expect(output.tracks).toMatchObject({
        target_duration: 2,
        renditions: [
          { name: "source", codec: expect.stringMatching(/^avc1\.[0-9a-f]{6}$/), part_target: partTarget, width: 320, height: 180 },
          { name: "audio", codec: "mp4a.40.2", channels: 2, sample_rate: 44100 },
        ],
      });

      const path = join(directory, `${name}.mp4`);
      await writeFile(path, output.file("source"));
      expect(await frameHashes(path, "0:v")).toEqual(await frameHashes(join(directory, name), "0:v"));
      const tags = new FlvReader().push(bytes);
      const sentVideo = tags.filter((tag) => tag.type === "video" && tag.data[1] === 1);
      const samples = output.samples("source");
      expect(samples.map((sample) => Buffer.from(sample.data))).toEqual(sentVideo.map((tag) => tag.data.subarray(5)));
      const firstTime = sentVideo[0]?.timestamp ?? 0;
      const firstDts = samples[0]?.dts ?? 0;
      expect(samples.map((sample) => sample.dts - firstDts)).toEqual(sentVideo.map((tag) => (tag.timestamp - firstTime) * 90));
      expect(samples.map((sample) => sample.compositionOffset)).toEqual(sentVideo.map((tag) => tag.data.readIntBE(2, 3) * 90));

      const audioPath = join(directory, `${name}.m4a`);
      await writeFile(audioPath, output.file("audio"));
      await frameHashes(audioPath, "0:a");
      const sentAudio = tags.filter((tag) => tag.type === "audio" && tag.data[1] === 1).map((tag) => tag.data.subarray(2));
      const audio = output.samples("audio").map((sample) => Buffer.from(sample.data));
      // Whatever sounds before the first picture is left out.
      expect(sentAudio.length - audio.length).toBeLessThan(8);
      expect(audio).toEqual(sentAudio.slice(sentAudio.length - audio.length));

      for (const segment of output.segments) {
        const parts = output.parts.filter((part) => part.rendition === segment.rendition && part.msn === segment.msn);
        expect(Buffer.concat(parts.map((part) => part.bytes)).equals(segment.bytes)).toBe(true);
        const twin = output.segments.find((other) => other.rendition !== segment.rendition && other.msn === segment.msn);
        expect(Math.abs((twin?.start ?? Number.NaN) - segment.start)).toBeLessThan(0.02);
      }
      for (const part of output.parts.filter((one) => one.rendition === "source")) {
        const [moof, mdat] = new BoxSplitter().push(part.bytes);
        if (moof === undefined || mdat === undefined) throw new Error("a part is no chunk");
        expect(isIdr(parseFragment(moof.bytes, mdat.bytes)[0]?.data ?? new Uint8Array(), 4)).toBe(part.independent);
        if (part.part === 0) expect(part.independent).toBe(true);
      }
      const [, moov] = new BoxSplitter().push(output.inits.get("source") ?? new Uint8Array());
      expect(parseInit(moov?.bytes ?? Buffer.alloc(0))).toMatchObject({ kind: "video", timescale: 90000 });
    });
  }

  it("[BR7] puts parts out while the encoder sends, soon after their last frame", async () => {
    const output = new Output();
    const pipeline = open(output);
    const tags = (await readTags("plain.flv")).filter((tag) => tag.timestamp < 4500);
    let mediaTime = 0;
    const lags: number[] = [];
    let seen = 0;
    const watch = setInterval(() => {
      for (; seen < output.parts.length; seen++) {
        const part = output.parts[seen];
        if (part?.rendition === "source" && part.msn > 1) lags.push(mediaTime - (part.msn - 1) * 2000 - (part.part + 1) * 500);
      }
    }, 5);
    await pace(pipeline, tags, 1, (timestamp) => {
      mediaTime = timestamp;
    });
    clearInterval(watch);
    await pipeline.end();
    expectNoFault(output);
    expect(lags.length).toBeGreaterThanOrEqual(4);
    expect(Math.max(...lags)).toBeLessThan(300);
  });

  it("[CM2] goes on without loss or repetition where FFmpeg is killed", async () => {
    const output = new Output();
    const pipeline = open(output);
    const tags = await readTags("b-frames.flv");
    const killed = new Set<number>();
    await pace(pipeline, tags, 2, (timestamp) => {
      for (const at of [2500, 4900]) {
        const pid = pipeline.ffmpegPid;
        if (timestamp < at || killed.has(at) || pid === null) continue;
        killed.add(at);
        process.kill(pid, "SIGKILL");
      }
    });
    await pipeline.end();
    expect(killed.size).toBe(2);
    expectNoFault(output);
    expect(output.warnings).toEqual([expect.stringContaining("started again")]);
    const sent = tags.filter((tag) => tag.type === "video" && tag.data[1] === 1).map((tag) => tag.data.subarray(5));
    expect(output.samples("source").map((sample) => Buffer.from(sample.data))).toEqual(sent);
  });

  it("gives up in words where FFmpeg dies again and again", async () => {
    const output = new Output();
    const pipeline = open(output);
    const tags = await readTags("plain.flv");
    await pace(pipeline, tags, 2, () => {
      const pid = pipeline.ffmpegPid;
      if (pid !== null && isRunning(pid)) process.kill(pid, "SIGKILL");
    });
    await pipeline.end();
    expect(output.failures).toEqual([["transcoder_failed", expect.stringContaining("FFmpeg failed 4 times")]]);
  });

  it("refuses HEVC in words, before anything is published", () => {
    const output = new Output();
    const pipeline = open(output);
    pipeline.write(encodeFlvTag("video", 0, Buffer.from("\x90hvc1\x01\x02\x03", "latin1")));
    return waitUntil(() => output.failures.length > 0).then(() => {
      expect(output.failures).toEqual([["unsupported_input", expect.stringMatching(/^HEVC video is not supported/)]]);
      expect(output.tracks).toBeNull();
    });
  });

  it("saves what there was where the encoder changes its format", async () => {
    const output = new Output();
    const pipeline = open(output);
    const bytes = await readFile(join(directory, "plain.flv"));
    await feed(pipeline, bytes);
    const config = (await readTags("other.flv")).find((tag) => tag.type === "video" && tag.data[1] === 0);
    pipeline.write(encodeFlvTag("video", 7100, config?.data ?? Buffer.alloc(0)));
    await waitUntil(() => output.failures.length > 0);
    expect(output.failures).toEqual([["input_changed", "the encoder changed its video format"]]);
    expect(output.samples("source").length).toBe(210);
  });

  it("carries video or audio alone, and stands in for audio that stops", async () => {
    const tags = await readTags("plain.flv");
    const cases = [
      { keep: (tag: FlvTag) => tag.type === "video", renditions: ["source"] },
      { keep: (tag: FlvTag) => tag.type === "audio", renditions: ["audio"] },
      { keep: (tag: FlvTag) => tag.type === "video" || (tag.type === "audio" && tag.timestamp < 2500), renditions: ["source", "audio"] },
    ];
    for (const { keep, renditions } of cases) {
      const output = new Output();
      const pipeline = open(output);
      await feed(pipeline, Buffer.concat(tags.filter(keep).map((tag) => tag.raw)));
      await pipeline.end();
      expect(output.failures).toEqual([]);
      expect(output.tracks?.renditions.map((track) => track.name)).toEqual(renditions);
      for (const rendition of renditions) {
        const segments = output.segments.filter((segment) => segment.rendition === rendition);
        expect(segments.map((segment) => segment.msn)).toEqual([1, 2, 3, 4]);
        const path = join(directory, `alone-${rendition}.mp4`);
        await writeFile(path, output.file(rendition));
        expect((await frameHashes(path, "0")).length).toBeGreaterThan(200);
      }
    }
  });

  it("begins with the first picture, however much audio comes before it", async () => {
    const tags = await readTags("plain.flv");
    const isConfig = (tag: FlvTag) => tag.type === "script" || tag.data[1] === 0;
    const body = (tag: FlvTag, delay: number) => encodeFlvTag(tag.type === "audio" ? "audio" : "video", tag.timestamp + delay, tag.data);
    const audio = tags.filter((tag) => tag.type === "audio" && !isConfig(tag));
    const output = new Output();
    const pipeline = open(output);
    for (const tag of tags.filter(isConfig)) pipeline.write(tag.raw);
    for (const tag of audio) pipeline.write(body(tag, 0));
    await sleep(400);
    for (const tag of tags.filter((one) => !isConfig(one))) pipeline.write(body(tag, 7000));
    await pipeline.end();
    expectNoFault(output);
    expect(output.warnings).toEqual([]);
    expect(output.samples("source")).toHaveLength(210);
    expect(output.segments.map(({ msn }) => msn)).toEqual(expect.arrayContaining([1, 2, 3, 4]));
  });

  it("carries frames with empty NAL units as they would be without, and leaves out frames that are broken", async () => {
    const tags = await readTags("plain.flv");
    const output = new Output();
    const pipeline = open(output);
    for (const [index, tag] of tags.entries()) {
      const isFrame = tag.type === "video" && tag.data[1] === 1;
      const [head, payload] = [tag.data.subarray(0, 5), tag.data.subarray(5)];
      const dirty = index === 400 ? Buffer.alloc(300, 0x41) : Buffer.concat([Buffer.alloc(4), payload, Buffer.alloc(4)]);
      const bytes = isFrame ? encodeFlvTag("video", tag.timestamp, Buffer.concat([head, dirty])) : tag.raw;
      if (!pipeline.write(bytes)) await pipeline.drain();
    }
    const broken = tags[400]?.type === "video" ? 1 : 0;
    expect(pipeline.stats(performance.now()).dropped_frames).toBe(broken);
    await pipeline.end();
    expectNoFault(output);
    const clean = tags.filter((tag, index) => tag.type === "video" && tag.data[1] === 1 && index !== 400);
    expect(output.samples("source").map(({ data }) => Buffer.from(data))).toEqual(clean.map((tag) => tag.data.subarray(5)));
  });

  it("[PL3] fills a hole in the audio, so that its parts stay within their target", async () => {
    const tags = await readTags("plain.flv");
    const output = new Output();
    const pipeline = open(output);
    const kept = tags.filter((tag) => tag.type !== "audio" || tag.data[1] === 0 || tag.timestamp < 2200 || tag.timestamp > 3100);
    await feed(pipeline, Buffer.concat(kept.map((tag) => tag.raw)));
    await pipeline.end();
    expectNoFault(output);
    const longest = Math.max(...output.samples("audio").map(({ duration }) => duration));
    expect(longest).toBeLessThan(1024 + 0.018 * 44100);
  });

  it("leaves no FFmpeg and no files behind, by kill or where its parent is killed", async () => {
    const tags = await readTags("plain.flv");
    const output = new Output();
    const pipeline = open(output);
    for (const tag of tags.slice(0, 60)) pipeline.write(tag.raw);
    await waitUntil(() => pipeline.ffmpegPid !== null);
    const pid = pipeline.ffmpegPid ?? 0;
    pipeline.kill();
    await waitUntil(() => !isRunning(pid));

    const script = `
      import { readFileSync } from "node:fs";
      import { Pipeline } from ${JSON.stringify(join(import.meta.dirname, "../../origin/transcode/pipeline.ts"))};
      const quiet = () => {};
      const pipeline = new Pipeline({ segmentTarget: 2, partTarget: 0.5, nextMsn: 1, declared: null, runDirectory: ${JSON.stringify(directory)},
        log: { debug: quiet, info: quiet, warn: quiet, error: quiet }, onFailure: quiet,
        sink: { onTracks: quiet, onInit: quiet, onPart: quiet, onSegment: quiet, onWarning: quiet } });
      pipeline.write(readFileSync(${JSON.stringify(join(directory, "plain.flv"))}));
      setInterval(() => pipeline.ffmpegPid && console.log(pipeline.ffmpegPid), 50);
    `;
    const parent = spawn(process.execPath, ["--input-type=module-typescript", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    const orphan = await new Promise<number>((resolve) =>
      parent.stdout.once("data", (line: Buffer) => resolve(Number(String(line).split("\n")[0]))),
    );
    expect(isRunning(orphan)).toBe(true);
    parent.kill("SIGKILL");
    await waitUntil(() => !isRunning(orphan));
    const left = (await readdir(directory)).filter((name) => name.startsWith("ff-"));
    // The killed parent could not clean up after itself; nobody else's directory is there.
    expect(left.length).toBeLessThanOrEqual(1);
  });
});
