import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import type { VideoCodec } from "../../domain/profiles.ts";
import { encodeAudioInit, encodeVideoInit, parseInit } from "../../origin/package/init.ts";
import { isIdr, repairSample, videoEntry } from "../../origin/package/nal.ts";
import { parseVideoConfig } from "../../origin/package/video-config.ts";
import { readInit } from "../conformance/track-media.ts";
import { codecOfDash, decode, type Encoded, encode, probe, removeFiles, source, write } from "./package-codecs-media.ts";

afterAll(removeFiles);

const FRAMING: Record<VideoCodec, { codec: VideoCodec; lengthSize: number }> = {
  "H.264": { codec: "H.264", lengthSize: 4 },
  HEVC: { codec: "HEVC", lengthSize: 4 },
  AV1: { codec: "AV1", lengthSize: 0 },
};

const X264 = "-c:v libx264 -preset ultrafast";
const X265 = "-c:v libx265 -preset ultrafast -tag:v hvc1 -x265-params log-level=none";
const AOM = "-c:v libaom-av1 -usage realtime -cpu-used 8";
const RATE = 30000 / 1001;

const VIDEOS: [what: string, codec: VideoCodec, args: string, expected: object][] = [
  [
    "1080p with cropping",
    "H.264",
    `${source("1920x1080", 2)} ${X264} -pix_fmt yuv420p`,
    { width: 1920, height: 1080, frameRate: RATE, colour: null, lengthSize: 4 },
  ],
  [
    "B-frames, scaling lists and picture order",
    "H.264",
    `${source("320x180", 12)} -c:v libx264 -preset medium -x264-params cqm=jvt -pix_fmt yuv420p`,
    { width: 320, height: 180 },
  ],
  [
    "interlaced PAL, wide pixels",
    "H.264",
    `${source("720x540", 4, "setsar=16/11")} ${X264} -flags +ildct+ilme -pix_fmt yuv420p`,
    { width: 720, height: 540, pixelAspect: { horizontal: 16, vertical: 11 } },
  ],
  [
    "4:2:2 with 10 bits, odd pixels and full range",
    "H.264",
    `${source("322x182", 2, "setsar=37/29,format=yuv422p10")} ${X264} -color_primaries bt709 -color_trc bt709 -colorspace bt709 -color_range pc`,
    {
      width: 322,
      height: 182,
      pixelAspect: { horizontal: 37, vertical: 29 },
      colour: { primaries: 1, transfer: 1, matrix: 1, fullRange: true },
    },
  ],
  ["4:4:4", "H.264", `${source("318x178", 2, "format=yuv444p")} ${X264}`, { width: 318, height: 178 }],
  ["no colour", "H.264", `${source("318x178", 2, "format=gray")} ${X264}`, { width: 318, height: 178 }],
  [
    "1080p with cropping, narrow pixels",
    "HEVC",
    `${source("1920x1080", 2, "setsar=4/3")} ${X265} -pix_fmt yuv420p`,
    { width: 1920, height: 1080, frameRate: RATE, pixelAspect: { horizontal: 4, vertical: 3 } },
  ],
  [
    "10 bits and HDR",
    "HEVC",
    `${source("320x180", 3, "format=yuv420p10")} ${X265} -color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc`,
    { width: 320, height: 180, colour: { primaries: 9, transfer: 16, matrix: 9, fullRange: false } },
  ],
  [
    "temporal layers, scaling lists and long references",
    "HEVC",
    `${source("416x240", 20)} -c:v libx265 -preset medium -tag:v hvc1 -x265-params log-level=none:temporal-layers=1:scaling-list=default:interlace=0:ref=4 -pix_fmt yuv420p`,
    { width: 416, height: 240, frameRate: RATE },
  ],
  ["4:2:2", "HEVC", `${source("322x182", 2, "format=yuv422p10")} ${X265}`, { width: 322, height: 182 }],
  ["libaom", "AV1", `${source("1920x1080", 2)} ${AOM} -pix_fmt yuv420p`, { width: 1920, height: 1080, lengthSize: 0 }],
  [
    "4:4:4, full range and colours",
    "AV1",
    `${source("322x182", 3, "format=yuv444p")} ${AOM} -color_primaries bt709 -color_trc bt709 -colorspace bt709 -color_range pc`,
    { name: "av01.1.00M.08.0.000.01.01.01.1", colour: { primaries: 1, transfer: 1, matrix: 1, fullRange: true } },
  ],
  ["no colour", "AV1", `${source("322x182", 3, "format=gray")} ${AOM}`, { name: "av01.0.00M.08.1.110.02.02.02.1" }],
  [
    "10 bits and HDR of SVT-AV1",
    "AV1",
    `${source("320x180", 20, "format=yuv420p10")} -c:v libsvtav1 -preset 12 -color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc`,
    { width: 320, height: 180, name: expect.stringMatching(/^av01\.0\.\d\dM\.10\.0\.110\.09\.16\.09\.0$/) },
  ],
  ["rav1e", "AV1", `${source("322x182", 3)} -c:v librav1e -speed 10 -pix_fmt yuv420p`, { width: 322, height: 182 }],
];

describe("video configuration", () => {
  it.each(VIDEOS)("[CM1] %s in %s: FFmpeg reads the init segment as it reads its own", (_what, codec, args, expected) => {
    const encoded = encode(codec, args);
    const config = parseVideoConfig(codec, encoded.record);
    expect(config).toMatchObject(expected);
    const init = encodeVideoInit(config);
    const ours = write(init.bytes, encoded.samples);
    const judged = probe(encoded.file);
    expect(probe(ours)).toEqual(judged);
    expect(judged).toMatchObject({ width: config.width, height: config.height });
    const [decoded, own] = decode(ours, encoded.file);
    expect(decoded).toHaveLength(encoded.samples.length);
    expect(decoded).toEqual(own);
    expect(readInit(init.bytes)).toEqual(init);
    const { bytes: _, trackId: __, timescale: ___, ...read } = parseInit(encoded.moov);
    expect(init).toMatchObject(read);
    // FFmpeg leaves out that there is no colour.
    if (codec === "AV1") expect(config.name.toLowerCase().startsWith(codecOfDash(encoded.file).toLowerCase())).toBe(true);
  });

  it("names HEVC as players ask for it", () => {
    expect(
      parseVideoConfig("HEVC", encode("HEVC", `${source("1280x720", 1)} ${X265}:high-tier=0:level-idc=4 -pix_fmt yuv420p`).record).name,
    ).toBe("hvc1.1.6.L120.90");
    expect(
      parseVideoConfig(
        "HEVC",
        encode("HEVC", `${source("1280x720", 1, "format=yuv420p10")} ${X265}:level-idc=5:high-tier=1 -b:v 1M`).record,
      ).name,
    ).toMatch(/^hvc1\.2\.4\.[HL]150\.90$/);
  });

  it("marks HEVC parameter sets as complete, which encoders on RTMP do not", () => {
    const { record } = encode("HEVC", `${source("320x180", 1)} ${X265.replace("hvc1", "hev1")} -pix_fmt yuv420p`);
    const config = parseVideoConfig("HEVC", record);
    const complete = encode("HEVC", `${source("320x180", 1)} ${X265} -pix_fmt yuv420p`).record;
    expect(record).not.toEqual(complete);
    expect(config.record).toEqual(complete);
  });

  it("says what is wrong with a configuration", () => {
    const { record } = encode("H.264", `${source("320x180", 1)} ${X264} -pix_fmt yuv420p`);
    const broken = (change: (bytes: Buffer) => void): (() => void) => {
      const bytes = Buffer.from(record);
      change(bytes);
      return () => parseVideoConfig("H.264", bytes);
    };
    expect(broken((bytes) => bytes.writeUInt8(2, 0))).toThrow(
      "the encoder's H.264 configuration is broken: it is no AVC decoder configuration record",
    );
    expect(broken((bytes) => bytes.writeUInt8(0xe0, 5))).toThrow(/broken: it has no SPS/);
    expect(broken((bytes) => bytes.writeUInt8(0xfe, 4))).toThrow(/broken: its NAL unit lengths have 3 bytes/);
    expect(broken((bytes) => bytes.writeUInt8(0xff, 5))).toThrow(/broken: it is too short/);
    expect(broken((bytes) => bytes.fill(0, 12))).toThrow(/broken: /);
    expect(() => parseVideoConfig("H.264", Buffer.concat([record, Buffer.alloc(70_000)]))).toThrow(/larger than any encoder/);
    expect(() => parseVideoConfig("AV1", Buffer.from([0x81, 0, 0x0c, 0]))).toThrow(/broken: it has no sequence header/);
    expect(() => parseVideoConfig("HEVC", record)).toThrow(/the encoder's HEVC configuration is broken/);
    // Baseline, 8 × 8192 macroblocks, then 8 macroblocks less than nothing.
    const sps = (bits: string): Buffer => {
      const bytes = Buffer.from(
        (bits.padEnd(Math.ceil(bits.length / 8) * 8, "0").match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)),
      );
      const unit = Buffer.concat([Buffer.from([0x67, 66, 0, 30]), bytes]);
      return Buffer.concat([Buffer.from([1, 66, 0, 30, 0xff, 0xe1, 0, unit.length]), unit, Buffer.from([1, 0, 2, 0x68, 0x80])]);
    };
    // id, frame number, order 2, references, gaps, width, height, frames only, direct, cropping, VUI
    const shape = (width: string, cropping: string): Buffer => sps(`1 1 011 1 0 ${width} 00100 1 1 ${cropping} 0 1`.replaceAll(" ", ""));
    expect(parseVideoConfig("H.264", shape("00100", "0"))).toMatchObject({ width: 64, height: 64 });
    expect(() => parseVideoConfig("H.264", shape("00100", "1 00000100001 1 1 1"))).toThrow(/pictures of 0×64 are out of range/);
    expect(() => parseVideoConfig("H.264", shape("0000000000001000000000000", "0"))).toThrow(/pictures of 65536×64 are out of range/);
    expect(() => parseVideoConfig("H.264", shape("0".repeat(40), "0"))).toThrow(/number of more than 32 bits/);
  });

  it("reads or refuses whatever bytes come, and soon", () => {
    const records = VIDEOS.filter(([what]) => /scaling|HDR|libaom/.test(what)).map(
      ([, codec, args]) => [codec, encode(codec, args).record] as const,
    );
    const hostile = fc.record({
      which: fc.nat(records.length - 1),
      changes: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 }),
      length: fc.option(fc.nat(400)),
      tail: fc.uint8Array({ maxLength: 40 }),
    });
    fc.assert(
      fc.property(hostile, ({ which, changes, length, tail }) => {
        const [codec, record] = records[which] ?? (["H.264", Buffer.alloc(0)] as const);
        const bytes = Buffer.concat([record.subarray(0, length ?? record.length), tail]);
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        try {
          const { width, height } = parseVideoConfig(codec, bytes);
          expect(width >= 16 && width <= 16384 && height >= 16 && height <= 16384).toBe(true);
        } catch (error) {
          expect((error as Error).message).toMatch(/^the encoder's \S+ configuration is broken: (it|its|what|pictures) /);
        }
      }),
      { numRuns: 5000, seed: 6 },
    );
  });
});

describe("audio configuration", () => {
  it.each([
    ["44.1 kHz mono", "-ar 44100 -ac 1"],
    ["48 kHz stereo", "-ar 48000 -ac 2"],
    ["96 kHz, more than the entry can say", "-ar 96000 -ac 2"],
    ["5.1", "-ar 48000 -ac 6"],
  ])("[CM1] %s: FFmpeg reads the init segment as it reads its own", (_what, args) => {
    const encoded = encode("AAC", `-f lavfi -i sine=d=0.3 ${args} -c:a aac`);
    const own = parseInit(encoded.moov);
    const at = encoded.moov.indexOf(Buffer.from([0x80, 0x80, 0x05, 0x80, 0x80, 0x80]).subarray(2));
    const record = encoded.moov.subarray(at + 5, at + 5 + encoded.moov.readUInt8(at + 4));
    const init = encodeAudioInit(record);
    expect(init).toMatchObject({ timescale: own.timescale, codec: "mp4a.40.2" });
    expect(own).toMatchObject({ config: init.config });
    expect(readInit(init.bytes)).toEqual(init);
    const ours = write(init.bytes, encoded.samples);
    expect(probe(ours)).toEqual(probe(encoded.file));
    const [decoded, judged] = decode(ours, encoded.file);
    expect(decoded).not.toHaveLength(0);
    expect(decoded).toEqual(judged);
  });

  it.each([
    ["HE-AAC", "2b118800", "mp4a.40.5"],
    ["HE-AAC that old decoders read as AAC", "131056e598", "mp4a.40.2"],
  ])("counts the samples that come out in %s, as FFmpeg does", (_what, hex, codec) => {
    const record = Buffer.from(hex, "hex");
    const init = encodeAudioInit(record);
    expect(init).toMatchObject({ timescale: 48000, codec, config: { coreSampleRate: 24000, sampleRate: 48000, channels: 2 } });
    const samples = encode("AAC", "-f lavfi -i sine=d=0.3 -ar 24000 -ac 2 -c:a aac").samples;
    const ours = write(
      init.bytes,
      samples.map((sample, index) => ({ ...sample, dts: index * 2048, duration: 2048 })),
    );
    expect(probe(ours)).toMatchObject({ codec_name: "aac", sample_rate: "48000", channels: 2 });
    const copied = encode("AAC", `-i ${ours} -c copy`);
    expect(parseInit(copied.moov)).toMatchObject({ timescale: 48000, codec, config: init.config });
    expect(copied.samples.map(({ dts, duration }) => ({ dts, duration }))).toEqual(
      samples.map((_, index) => ({ dts: index * 2048, duration: 2048 })),
    );
  });

  it("refuses a configuration longer than any", () => {
    expect(() => encodeAudioInit(Buffer.concat([Buffer.from([0x12, 0x10]), Buffer.alloc(200)]))).toThrow(/too long/);
  });
});

describe("where decoding may begin", () => {
  const entries = (codec: VideoCodec, { samples }: Encoded) => samples.map(({ data }) => videoEntry(data, FRAMING[codec]));
  const flagged = (encoded: Encoded) => encoded.samples.map(({ key }) => key);

  it.each<[what: string, codec: VideoCodec, args: string, entries: string]>([
    ["closed GOPs", "H.264", `${X264} -g 8 -bf 2 -pix_fmt yuv420p`, "idr,idr,idr"],
    [
      "open GOPs",
      "H.264",
      "-c:v libx264 -preset veryfast -x264-params open-gop=1:keyint=8:bframes=2 -pix_fmt yuv420p",
      "idr,recovery,recovery",
    ],
    ["closed GOPs", "HEVC", `${X265}:keyint=8:no-open-gop=1:bframes=2 -pix_fmt yuv420p`, "idr,idr,idr"],
    ["open GOPs", "HEVC", `${X265}:keyint=8:open-gop=1:bframes=2 -pix_fmt yuv420p`, "idr,recovery,recovery"],
    ["key frames", "AV1", `${AOM} -g 8 -pix_fmt yuv420p`, "idr,idr,idr"],
  ])("[PL4] tells %s of %s by the pictures", (_what, codec, args, expected) => {
    const encoded = encode(codec, `${source("320x180", 20)} ${args}`);
    const found = entries(codec, encoded);
    expect(found.filter((entry) => entry !== null).join()).toBe(expected);
    expect(found.map((entry) => entry !== null)).toEqual(flagged(encoded));
    for (const { data } of encoded.samples) {
      const sample = Buffer.from(data);
      expect(repairSample(sample, FRAMING[codec])).toBe(sample);
      expect(isIdr(sample, FRAMING[codec])).toBe(videoEntry(sample, FRAMING[codec]) === "idr");
    }
  });

  it("takes nothing for an entry that lacks what it needs", () => {
    const nal = (...bytes: number[]): Buffer => Buffer.from([0, 0, 0, bytes.length, ...bytes]);
    const point = nal(6, 5, 4, 0, 0, 3, 1, 6, 6, 1, 0x80);
    expect(videoEntry(Buffer.concat([point, nal(0x41, 0x88)]), FRAMING["H.264"])).toBe("recovery");
    expect(videoEntry(Buffer.concat([point, nal(0x41, 0x9a)]), FRAMING["H.264"])).toBeNull();
    expect(videoEntry(nal(0x41, 0x88), FRAMING["H.264"])).toBeNull();
    // A recovery point's number inside of another message.
    expect(videoEntry(Buffer.concat([nal(6, 5, 4, 6, 1, 6, 1, 0x80), nal(0x41, 0x88)]), FRAMING["H.264"])).toBeNull();
    expect(videoEntry(nal(0x41, 0x88), 0)).toBeNull();
    expect(videoEntry(nal(0x26, 1, 0x80), FRAMING.HEVC)).toBe("idr");
    expect(videoEntry(nal(0x26, 9, 0x80), FRAMING.HEVC)).toBeNull();
    expect(videoEntry(nal(0x02, 1, 0x80), FRAMING.HEVC)).toBeNull();
    const header = [0x0a, 0x01, 0x00];
    expect(videoEntry(Buffer.from([...header, 0x32, 0x01, 0x10]), FRAMING.AV1)).toBe("idr");
    expect(videoEntry(Buffer.from([0x32, 0x01, 0x10]), FRAMING.AV1)).toBeNull();
    expect(videoEntry(Buffer.from([...header, 0x32, 0x01, 0x00]), FRAMING.AV1)).toBeNull();
    expect(videoEntry(Buffer.from([...header, 0x32, 0x01, 0x90]), FRAMING.AV1)).toBeNull();
  });

  it("takes out what has no place in a sample of AV1", () => {
    const { record, samples } = encode("AV1", `${source("320x180", 4)} ${AOM} -pix_fmt yuv420p`);
    const odd = samples.map((sample) => {
      const data = Buffer.concat([Buffer.from([0x12, 0]), sample.data, Buffer.from([0x7a, 1, 0x80]), Buffer.from([0x32, 0xff, 0x7f])]);
      const repaired = repairSample(data, FRAMING.AV1);
      expect(repaired).toEqual(Buffer.from(sample.data));
      return { ...sample, data: repaired ?? data };
    });
    expect(decode(write(encodeVideoInit(parseVideoConfig("AV1", record)).bytes, odd))[0]).toHaveLength(4);
    expect(repairSample(Buffer.from([0x12, 0]), FRAMING.AV1)).toBeNull();
    expect(repairSample(Buffer.alloc(300, 0xff), FRAMING.AV1)).toBeNull();
  });

  it("takes out what is no whole NAL unit of HEVC", () => {
    const { samples } = encode("HEVC", `${source("320x180", 3)} ${X265} -pix_fmt yuv420p`);
    for (const { data } of samples) {
      const odd = Buffer.concat([Buffer.alloc(4), Buffer.from([0, 0, 0, 1, 0x26]), data, Buffer.from([0, 1, 0, 0, 0x26])]);
      expect(repairSample(odd, FRAMING.HEVC)).toEqual(Buffer.from(data));
    }
    expect(repairSample(Buffer.from([0, 0, 0, 3, 0x40, 1, 0x80]), FRAMING.HEVC)).toBeNull();
  });

  it("stays inside of the sample, whatever bytes come", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 80 }),
        fc.constantFrom<VideoCodec>("H.264", "HEVC", "AV1"),
        fc.constantFrom(1, 2, 4),
        (bytes, codec, lengthSize) => {
          const sample = Buffer.from(bytes);
          const framing = { codec, lengthSize };
          const repaired = repairSample(sample, framing);
          expect(["idr", "recovery", null]).toContain(videoEntry(sample, framing));
          if (repaired === null) return;
          expect(repaired.length).toBeLessThanOrEqual(sample.length);
          // What was repaired needs no repair.
          expect(repairSample(repaired, framing)).toBe(repaired);
        },
      ),
      { numRuns: 5000, seed: 6 },
    );
  });
});
