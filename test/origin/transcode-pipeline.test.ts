import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BoxSplitter } from "../../origin/package/boxes.ts";
import { parseFragment } from "../../origin/package/fragment.ts";
import { parseInit } from "../../origin/package/init.ts";
import { isIdr } from "../../origin/package/nal.ts";
import { encodeFlvTag, FlvReader, type FlvTag } from "../../origin/transcode/flv.ts";
import {
  encodeFlv,
  expectNoFault,
  feed,
  frameHashes,
  Output,
  openPipeline,
  pace,
  push,
  readSamples,
  readTags,
  waitUntil,
} from "./pipeline-run.ts";

const run = promisify(execFile);

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "nova-"));
  await Promise.all([
    encodeFlv(join(directory, "plain.flv"), ["-bf", "0", "-g", "60"], "30"),
    encodeFlv(join(directory, "b-frames.flv"), ["-bf", "2", "-g", "50", "-x264-params", "b-adapt=0"], "25"),
    encodeFlv(join(directory, "other.flv"), ["-bf", "0", "-g", "30", "-s", "160x90"], "30"),
  ]);
});

afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

const open = (output: Output) => openPipeline(output, directory);

/** What FFmpeg makes of a track when it copies it into fragmented MP4. */
async function copyByFfmpeg(name: string, map: string) {
  const path = join(directory, `copy-${map.replace(":", "-")}-${name}.mp4`);
  const flags = [
    "-copyts",
    "-use_editlist",
    "0",
    "-avoid_negative_ts",
    "disabled",
    "-movflags",
    "+empty_moov+default_base_moof+frag_every_frame",
  ];
  await run("ffmpeg", [
    "-v",
    "error",
    "-i",
    join(directory, name),
    "-map",
    map,
    "-c",
    "copy",
    "-video_track_timescale",
    "90000",
    ...flags,
    path,
  ]);
  return readSamples(await readFile(path));
}

/** Bare tags as a reader gives them. */
function asTags(bytes: Buffer): FlvTag[] {
  return new FlvReader().push(bytes);
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
      feed(pipeline, new FlvReader().push(bytes));
      const figures = pipeline.stats(performance.now());
      await pipeline.end(3000);
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

      const copied = await copyByFfmpeg(name, "0:v");
      const shift = firstDts - (copied[0]?.dts ?? 0);
      const facts = samples.map(({ dts, duration, compositionOffset, key, data }) => ({
        dts: dts - shift,
        duration,
        compositionOffset,
        key,
        data,
      }));
      // The length of the last frame is anybody's guess.
      expect(facts.slice(0, -1)).toEqual(copied.slice(0, -1).map((sample) => ({ ...sample, data: sample.data })));

      const audioPath = join(directory, `${name}.m4a`);
      await writeFile(audioPath, output.file("audio"));
      await frameHashes(audioPath, "0:a");
      const sentAudio = tags.filter((tag) => tag.type === "audio" && tag.data[1] === 1).map((tag) => tag.data.subarray(2));
      const audio = output.samples("audio").map((sample) => Buffer.from(sample.data));
      // Whatever sounds before the first picture is left out.
      expect(sentAudio.length - audio.length).toBeLessThan(8);
      expect(audio).toEqual(sentAudio.slice(sentAudio.length - audio.length));
      const copiedAudio = (await copyByFfmpeg(name, "0:a")).slice(-audio.length);
      const ours = output.samples("audio");
      const audioShift = (ours[0]?.dts ?? 0) - (copiedAudio[0]?.dts ?? 0);
      for (const [index, sample] of ours.entries()) {
        expect(Buffer.from(sample.data).equals(Buffer.from(copiedAudio[index]?.data ?? []))).toBe(true);
        // FLV counts milliseconds: FFmpeg's times jitter by them, ours are exact.
        expect(Math.abs(sample.dts - audioShift - (copiedAudio[index]?.dts ?? 0))).toBeLessThan(0.0021 * 44100);
      }

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
    const tags = (await readTags(directory, "plain.flv")).filter((tag) => tag.timestamp < 4500);
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
    await pipeline.end(3000);
    expectNoFault(output);
    expect(lags.length).toBeGreaterThanOrEqual(4);
    expect(Math.max(...lags)).toBeLessThan(300);
  });

  it("refuses HEVC in words, before anything is published", () => {
    const output = new Output();
    const pipeline = open(output);
    feed(pipeline, asTags(encodeFlvTag("video", 0, Buffer.from("\x90hvc1\x01\x02\x03", "latin1"))));
    return waitUntil(() => output.failures.length > 0).then(() => {
      expect(output.failures).toEqual([["unsupported_input", expect.stringMatching(/^HEVC video is not supported/)]]);
      expect(output.tracks).toBeNull();
    });
  });

  it("does not take what belongs to another epoch: another format, another codec, a clock that has jumped", async () => {
    const plain = await readTags(directory, "plain.flv");
    const config = (await readTags(directory, "other.flv")).find((tag) => tag.type === "video" && tag.data[1] === 0);
    const last = plain.findLast((tag) => tag.type === "video" && tag.data[1] === 1);
    const cases: [tag: Buffer, message: RegExp, clock: boolean][] = [
      [encodeFlvTag("video", 7100, config?.data ?? Buffer.alloc(0)), /changed its video format/, false],
      [encodeFlvTag("video", 7100, Buffer.from("\x90hvc1\x01\x02\x03", "latin1")), /changed its video to HEVC/, false],
      [encodeFlvTag("video", 90_000, last?.data ?? Buffer.alloc(0)), /jumped by 8\d s/, true],
      [encodeFlvTag("video", 1000, last?.data ?? Buffer.alloc(0)), /went back by 6 s/, true],
    ];
    for (const [bytes, message, clock] of cases) {
      const output = new Output();
      const pipeline = open(output);
      feed(pipeline, plain);
      const [tag] = asTags(bytes);
      if (tag === undefined) throw new Error("no tag");
      expect(push(pipeline, tag)).toEqual({
        state: "changed",
        message: expect.stringMatching(message),
        clock,
        untaken: [expect.objectContaining({ tag })],
      });
      await pipeline.end(3000);
      expect(output.failures).toEqual([]);
      expect(output.samples("source").length).toBe(210);
    }
  });

  it("leaves the next key frame to another epoch when it is asked to", async () => {
    const output = new Output();
    const pipeline = open(output);
    const tags = await readTags(directory, "plain.flv");
    const middle = tags.findIndex(({ timestamp }) => timestamp > 3000);
    feed(pipeline, tags.slice(0, middle));
    pipeline.cutAtKeyFrame("for a reason");
    const refused = tags.slice(middle).find((tag) => push(pipeline, tag).state === "changed");
    expect(refused).toMatchObject({ type: "video", data: expect.objectContaining({ 0: 0x17 }) });
    await pipeline.end(3000);
    expect(output.samples("source").length).toBe(120);
  });

  it("gives up in words where no key frame comes, though there was to be sound", async () => {
    const output = new Output();
    const pipeline = open(output);
    const tags = await readTags(directory, "plain.flv");
    const isFrame = (tag: FlvTag) => tag.type !== "script" && tag.data[1] === 1;
    feed(
      pipeline,
      tags.filter((tag) => !isFrame(tag)),
    );
    const picture = tags.find((tag) => tag.type === "video" && tag.data[0] === 0x27);
    if (picture === undefined) throw new Error("no picture");
    for (let timestamp = 0; timestamp < 17_000; timestamp += 40) push(pipeline, { ...picture, timestamp });
    await waitUntil(() => output.failures.length > 0);
    expect(output.failures).toEqual([["unsupported_input", expect.stringMatching(/^no key frame came within 15 s/)]]);
  });

  it("gives up on an encoder that sends more than is allowed", async () => {
    const output = new Output();
    const pipeline = openPipeline(output, directory, { maxBitrateKbps: 100 });
    feed(pipeline, await readTags(directory, "plain.flv"));
    pipeline.stats(performance.now());
    await waitUntil(() => output.failures.length > 0);
    expect(output.failures).toEqual([
      ["unsupported_input", expect.stringMatching(/^the encoder sends .* Mbit\/s, and 0\.1 are allowed: lower/)],
    ]);
  });

  it("carries video or audio alone, and stands in for audio that stops", async () => {
    const tags = await readTags(directory, "plain.flv");
    const cases = [
      { keep: (tag: FlvTag) => tag.type === "video", renditions: ["source"] },
      { keep: (tag: FlvTag) => tag.type === "audio", renditions: ["audio"] },
      { keep: (tag: FlvTag) => tag.type === "video" || (tag.type === "audio" && tag.timestamp < 2500), renditions: ["source", "audio"] },
    ];
    for (const { keep, renditions } of cases) {
      const output = new Output();
      const pipeline = open(output);
      feed(pipeline, tags.filter(keep));
      await pipeline.end(3000);
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
    const tags = await readTags(directory, "plain.flv");
    const isConfig = (tag: FlvTag) => tag.type === "script" || tag.data[1] === 0;
    const delayed = (tag: FlvTag, delay: number) => ({ ...tag, timestamp: tag.timestamp + delay });
    const audio = tags.filter((tag) => tag.type === "audio" && !isConfig(tag));
    const output = new Output();
    const pipeline = open(output);
    feed(pipeline, tags.filter(isConfig));
    feed(pipeline, audio);
    feed(
      pipeline,
      tags.filter((one) => !isConfig(one)).map((tag) => delayed(tag, 7000)),
    );
    await pipeline.end(3000);
    expectNoFault(output);
    expect(output.warnings).toEqual([]);
    expect(output.samples("source")).toHaveLength(210);
    expect(output.segments.map(({ msn }) => msn)).toEqual(expect.arrayContaining([1, 2, 3, 4]));
  });

  it("carries frames with empty NAL units as they would be without, and leaves out frames that are broken", async () => {
    const tags = await readTags(directory, "plain.flv");
    const output = new Output();
    const pipeline = open(output);
    for (const [index, tag] of tags.entries()) {
      const isFrame = tag.type === "video" && tag.data[1] === 1;
      const [head, payload] = [tag.data.subarray(0, 5), tag.data.subarray(5)];
      const dirty = index === 400 ? Buffer.alloc(300, 0x41) : Buffer.concat([Buffer.alloc(4), payload, Buffer.alloc(4)]);
      push(pipeline, isFrame ? { ...tag, data: Buffer.concat([head, dirty]) } : tag);
    }
    const broken = tags[400]?.type === "video" ? 1 : 0;
    expect(pipeline.stats(performance.now()).dropped_frames).toBe(broken);
    await pipeline.end(3000);
    expectNoFault(output);
    const clean = tags.filter((tag, index) => tag.type === "video" && tag.data[1] === 1 && index !== 400);
    expect(output.samples("source").map(({ data }) => Buffer.from(data))).toEqual(clean.map((tag) => tag.data.subarray(5)));
  });

  it("[PL3] fills a hole in the audio, so that its parts stay within their target", async () => {
    const tags = await readTags(directory, "plain.flv");
    const output = new Output();
    const pipeline = open(output);
    const kept = tags.filter((tag) => tag.type !== "audio" || tag.data[1] === 0 || tag.timestamp < 2200 || tag.timestamp > 3100);
    feed(pipeline, kept);
    await pipeline.end(3000);
    expectNoFault(output);
    const longest = Math.max(...output.samples("audio").map(({ duration }) => duration));
    expect(longest).toBeLessThan(1024 + 0.018 * 44100);
  });
});
