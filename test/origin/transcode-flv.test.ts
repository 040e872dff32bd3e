import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeFlvHeader, encodeFlvTag, FlvReader, type FlvTag } from "../../origin/transcode/flv.ts";
import { GopCache } from "../../origin/transcode/gop-cache.ts";
import { InputProbe } from "../../origin/transcode/input.ts";
import { InputClock } from "../../origin/transcode/input-clock.ts";
import { InputStats } from "../../origin/transcode/input-stats.ts";
import { parseMediaTag } from "../../origin/transcode/media-tag.ts";
import { parseMetadata } from "../../origin/transcode/metadata.ts";
import { SilenceFiller } from "../../origin/transcode/silence.ts";

const AVC_CONFIG = Buffer.from([0x17, 0, 0, 0, 0, 1, 0x64, 0, 0x1f, 0xff, 0xe0, 0]);
const AAC_CONFIG = Buffer.from([0xaf, 0, 0x11, 0x90]);
const KEY_FRAME = Buffer.from([0x17, 1, 0, 0, 67, 0, 0, 0, 1, 0x65]);

function tag(type: FlvTag["type"], timestamp: number, data: Buffer): FlvTag {
  return { type, timestamp, data, raw: data };
}

function amf(...pieces: (string | number)[]): Buffer {
  return Buffer.concat(
    pieces.map((piece) => {
      if (typeof piece === "string") {
        const length = Buffer.alloc(2);
        length.writeUInt16BE(Buffer.byteLength(piece));
        return Buffer.concat([length, Buffer.from(piece)]);
      }
      const number = Buffer.alloc(9);
      number.writeDoubleBE(piece, 1);
      return number;
    }),
  );
}

function onMetaData(fields: Record<string, number>): Buffer {
  const members = Object.entries(fields).map(([name, value]) => amf(name, value));
  return Buffer.concat([Buffer.from([2]), amf("onMetaData"), Buffer.from([8, 0, 0, 0, 0]), ...members, Buffer.from([0, 0, 9])]);
}

describe("FLV reader", () => {
  it("gives the same tags however the bytes are cut, with and without a file header", () => {
    const tags = Buffer.concat([
      encodeFlvTag("video", 40, AVC_CONFIG),
      encodeFlvTag("audio", 41, AAC_CONFIG),
      encodeFlvTag("video", 73, KEY_FRAME),
    ]);
    for (const stream of [
      Buffer.concat([encodeFlvHeader({ video: true, audio: true }), tags]),
      Buffer.concat([Buffer.alloc(4), tags]),
      tags,
    ]) {
      fc.assert(
        fc.property(fc.integer({ min: 1, max: stream.length }), (size) => {
          const reader = new FlvReader();
          const read: FlvTag[] = [];
          for (let offset = 0; offset < stream.length; offset += size) read.push(...reader.push(stream.subarray(offset, offset + size)));
          expect(read.map(({ type, timestamp }) => [type, timestamp])).toEqual([
            ["video", 40],
            ["audio", 41],
            ["video", 73],
          ]);
          expect(Buffer.concat(read.map(({ raw }) => raw))).toEqual(tags);
          expect(read[2]?.data).toEqual(KEY_FRAME);
        }),
      );
    }
  });

  it("unwraps timestamps at 2³², also where they begin just below zero", () => {
    const reader = new FlvReader();
    const times = [2 ** 31 - 5, 2 ** 31 + 5, 2 ** 32 - 3, 2 ** 32 + 4, 2 ** 32 + 2];
    expect(times.flatMap((time) => reader.push(encodeFlvTag("audio", time, AAC_CONFIG))).map(({ timestamp }) => timestamp)).toEqual([
      2 ** 31 - 5,
      2 ** 31 + 5,
      2 ** 32 - 3,
      2 ** 32 + 4,
      2 ** 32 + 2,
    ]);
    const negative = new FlvReader();
    expect([-20, 3].flatMap((time) => negative.push(encodeFlvTag("audio", time, AAC_CONFIG))).map(({ timestamp }) => timestamp)).toEqual([
      -20, 3,
    ]);
  });

  it("refuses what is no FLV", () => {
    expect(() => new FlvReader().push(Buffer.from("GET / HTTP/1.1\r\n\r\n"))).toThrow(/FLV/);
    expect(() => new FlvReader().push(Buffer.from("FLV\x01\x05\xff\xff\xff\xff....", "latin1"))).toThrow(/header claims/);
    const encrypted = encodeFlvTag("video", 0, KEY_FRAME);
    encrypted[0] = 0x29;
    expect(() => new FlvReader().push(encrypted)).toThrow(/encrypted/);
  });
});

describe("media tags", () => {
  it("reads H.264 alike in the old and in the enhanced form", () => {
    const old = parseMediaTag(tag("video", 0, KEY_FRAME));
    const enhanced = parseMediaTag(
      tag("video", 0, Buffer.concat([Buffer.from([0x91]), Buffer.from("avc1"), Buffer.from([0, 0, 67, 0, 0, 0, 1, 0x65])])),
    );
    expect(enhanced).toEqual(old);
    expect(old).toMatchObject({ codec: "H.264", role: "frame", key: true, compositionOffset: 67 });
  });

  it("never throws on a body, whatever is in it", () => {
    fc.assert(
      fc.property(fc.constantFrom("audio" as const, "video" as const), fc.uint8Array({ maxLength: 12 }), (type, body) => {
        parseMediaTag(tag(type, 0, Buffer.from(body)));
        parseMetadata(Buffer.from(body));
      }),
    );
  });

  it("reads metadata and leaves out figures that make no sense", () => {
    expect(
      parseMetadata(onMetaData({ width: 1920, framerate: 29.97, videodatarate: 2500, audiodatarate: Number.NaN, videocodecid: 7 })),
    ).toEqual({
      width: 1920,
      height: null,
      frameRate: 29.97,
      videoBitrate: 2_500_000,
      audioBitrate: null,
      announcesVideo: true,
      announcesAudio: true,
    });
    expect(parseMetadata(Buffer.concat([Buffer.from([2]), amf("onMetaData"), ...Array(50).fill(Buffer.from([3, 0, 1, 97]))]))).toBeNull();
  });
});

describe("input probe", () => {
  const video = tag("video", 0, AVC_CONFIG);
  const audio = tag("audio", 0, AAC_CONFIG);

  it("is ready once both configurations came", () => {
    const probe = new InputProbe();
    expect(probe.push(video, 0).state).toBe("waiting");
    expect(probe.push(audio, 1)).toMatchObject({ state: "ready", tracks: { audio: { sampleRate: 48000, channels: 2 }, video: {} } });
  });

  it("does not wait for a track that the metadata leaves out", () => {
    const probe = new InputProbe();
    expect(probe.push(tag("script", 0, onMetaData({ videocodecid: 7 })), 0).state).toBe("waiting");
    expect(probe.push(video, 0)).toMatchObject({ state: "ready", tracks: { audio: null } });
  });

  it("waits 1 s of media or 1.5 s of time, no longer", () => {
    const media = new InputProbe();
    media.push(video, 0);
    expect(media.push(tag("video", 999, KEY_FRAME), 0).state).toBe("waiting");
    expect(media.push(tag("video", 1000, KEY_FRAME), 0)).toMatchObject({ state: "ready", tracks: { audio: null } });
    const wall = new InputProbe();
    wall.push(audio, 5000);
    expect(wall.push(tag("audio", 10, Buffer.from([0xaf, 1, 0])), 6500)).toMatchObject({ state: "ready", tracks: { video: null } });
    const nothing = new InputProbe();
    nothing.push(tag("video", 0, KEY_FRAME), 0);
    expect(nothing.push(tag("video", 1000, KEY_FRAME), 0)).toMatchObject({ state: "refused" });
  });

  it.each([
    ["HEVC in Enhanced RTMP", tag("video", 0, Buffer.from("\x90hvc1\x01", "latin1")), /^HEVC video is not supported.*H\.264/],
    ["AV1 in Enhanced RTMP", tag("video", 0, Buffer.from("\x90av01\x01", "latin1")), /^AV1 video/],
    ["MP3", tag("audio", 0, Buffer.from([0x2f, 0xff, 0xfb])), /^MP3 audio is not supported.*AAC/],
    ["an AAC configuration that cannot be read", tag("audio", 0, Buffer.from([0xaf, 0, 0x16])), /audio is not supported/],
  ])("refuses %s in words", (_, first, words) => {
    expect(new InputProbe().push(first, 0)).toEqual({ state: "refused", message: expect.stringMatching(words) });
  });
});

describe("input clock", () => {
  it("starts near zero, rises, and breaks where 10 s are missing", () => {
    const clock = new InputClock();
    expect(clock.place("video", 70_000_000)).toEqual({ state: "placed", timestamp: 1000 });
    expect(clock.place("audio", 69_999_990)).toEqual({ state: "placed", timestamp: 990 });
    expect(clock.place("video", 70_000_000)).toEqual({ state: "late" });
    expect(clock.place("audio", 69_999_980)).toEqual({ state: "late" });
    expect(clock.place("audio", 70_009_000)).toMatchObject({ state: "placed" });
    expect(clock.place("audio", 70_010_001)).toMatchObject({ state: "broken", message: expect.stringContaining("video stopped") });
    expect(clock.place("video", 70_010_001)).toMatchObject({ state: "broken", message: expect.stringContaining("jumped") });
  });
});

describe("silence", () => {
  it("stands in for audio that stopped, and only then", () => {
    const filler = new SilenceFiller(Buffer.from([0x11, 0x90]));
    filler.note(1000);
    expect(filler.fill(2400)).toEqual([]);
    const frames = filler.fill(2600);
    expect(frames.length).toBe(Math.ceil((2100 - 1021.33) / 21.333));
    expect(frames[0]?.timestamp).toBe(1021);
    expect(filler.fill(2633)).toHaveLength(2);
    expect(filler.fill(2700, true).at(-1)?.timestamp).toBeGreaterThan(2670);
    filler.note(2700);
    expect(filler.fill(3400)).toEqual([]);
    expect(filler.fill(2800, true)).toEqual([]);
  });
});

describe("GOP cache", () => {
  it("keeps the GOP that is open and a small one before it", () => {
    const cache = new GopCache();
    const tags = Array.from({ length: 7 }, (_, index) => Buffer.from([index]));
    for (const [index, one] of tags.entries()) cache.push(one, index === 1 || index === 3 || index === 5);
    expect(cache.list().map((one) => one[0])).toEqual([3, 4, 5, 6]);
    cache.push(Buffer.alloc(17 * 1024 * 1024), false);
    cache.push(Buffer.from([8]), false);
    expect(cache.list()).toEqual([]);
    cache.push(Buffer.from([9]), true);
    expect(cache.list().map((one) => one[0])).toEqual([9]);
  });
});

describe("input figures", () => {
  it("count the last 5 s", () => {
    const stats = new InputStats();
    for (let frame = 0; frame < 300; frame++) {
      stats.note({ type: "video", timestamp: frame * 40, bytes: 1000, key: frame % 50 === 0 }, frame * 40);
    }
    const figures = stats.read(299 * 40);
    expect(figures.fps).toBeCloseTo(25, 0);
    expect(figures.bitrate_kbps).toBeCloseTo(200, -1);
    expect(figures.keyframe_interval).toBe(2);
    expect(figures.speed).toBeCloseTo(1, 2);
    expect(stats.read(60_000)).toMatchObject({ fps: 0, bitrate_kbps: 0 });
  });
});
