import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeFlvHeader, encodeFlvTag, FlvReader, type FlvTag } from "../../origin/transcode/flv.ts";
import { InputProbe } from "../../origin/transcode/input.ts";
import { InputClock } from "../../origin/transcode/input-clock.ts";
import { InputStats } from "../../origin/transcode/input-stats.ts";
import { KeyGate } from "../../origin/transcode/key-gate.ts";
import { parseMediaTag } from "../../origin/transcode/media-tag.ts";
import { parseMetadata } from "../../origin/transcode/metadata.ts";
import { SilenceFiller } from "../../origin/transcode/silence.ts";

const AVC_CONFIG = Buffer.from([0x17, 0, 0, 0, 0, 1, 0x64, 0, 0x1f, 0xff, 0xe1, 0]);
const AAC_CONFIG = Buffer.from([0xaf, 0, 0x11, 0x90]);
const AAC_FRAME = Buffer.from([0xaf, 1, 0x21, 0x10]);
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
  const offer = (probe: InputProbe, offered: FlvTag, nowMs: number) => probe.push(offered, parseMediaTag(offered), nowMs);
  const video = tag("video", 0, AVC_CONFIG);
  const audio = tag("audio", 0, AAC_CONFIG);

  it("is ready once both configurations came", () => {
    const probe = new InputProbe("passthrough");
    expect(offer(probe, video, 0).state).toBe("waiting");
    expect(offer(probe, audio, 1)).toMatchObject({ state: "ready", tracks: { audio: { sampleRate: 48000, channels: 2 }, video: {} } });
  });

  it("does not wait for a track that the metadata leaves out", () => {
    const probe = new InputProbe("passthrough");
    expect(offer(probe, tag("script", 0, onMetaData({ videocodecid: 7 })), 0).state).toBe("waiting");
    expect(offer(probe, video, 0)).toMatchObject({ state: "ready", tracks: { audio: null } });
  });

  it("waits 2.5 s for audio and 6 s for video, of media or of time, no longer", () => {
    const media = new InputProbe("passthrough");
    offer(media, video, 0);
    offer(media, tag("video", 0, KEY_FRAME), 0);
    expect(offer(media, tag("video", 2499, KEY_FRAME), 0).state).toBe("waiting");
    expect(offer(media, tag("video", 2500, KEY_FRAME), 0)).toMatchObject({ state: "ready", tracks: { audio: null } });
    const wall = new InputProbe("passthrough");
    offer(wall, audio, 5000);
    offer(wall, tag("audio", 0, AAC_FRAME), 5000);
    expect(offer(wall, tag("audio", 5999, AAC_FRAME), 5000).state).toBe("waiting");
    expect(offer(wall, tag("audio", 10, AAC_FRAME), 11_000)).toMatchObject({ state: "ready", tracks: { video: null } });
    const nothing = new InputProbe("passthrough");
    offer(nothing, tag("video", 0, KEY_FRAME), 0);
    expect(offer(nothing, tag("video", 6000, KEY_FRAME), 0)).toMatchObject({ state: "refused" });
  });

  it("counts from the first frame, whatever time the configurations carry", () => {
    const probe = new InputProbe("passthrough");
    offer(probe, video, 0);
    expect(offer(probe, tag("video", 70_000_000, KEY_FRAME), 1).state).toBe("waiting");
    expect(offer(probe, audio, 2)).toMatchObject({ state: "ready", tracks: { audio: {}, video: {} } });
  });

  it("takes no configuration without a parameter set for one, and refuses pictures that come without", () => {
    const empty = tag("video", 0, Buffer.from([0x17, 0, 0, 0, 0, 1, 0x64, 0, 0x1f, 0xff, 0xe0, 0]));
    const late = new InputProbe("passthrough");
    offer(late, empty, 0);
    expect(offer(late, audio, 0).state).toBe("waiting");
    expect(offer(late, video, 0).state).toBe("ready");
    const never = new InputProbe("passthrough");
    for (const first of [empty, audio, tag("video", 0, KEY_FRAME)]) expect(offer(never, first, 0).state).toBe("waiting");
    expect(offer(never, tag("video", 6000, KEY_FRAME), 0)).toMatchObject({
      state: "refused",
      message: expect.stringMatching(/no configuration/),
    });
  });

  it.each([
    ["HEVC in Enhanced RTMP", tag("video", 0, Buffer.from("\x90hvc1\x01", "latin1")), /^HEVC video is not supported.*H\.264/],
    ["AV1 in Enhanced RTMP", tag("video", 0, Buffer.from("\x90av01\x01", "latin1")), /^AV1 video/],
    ["Opus", tag("audio", 0, Buffer.from("\x91Opus\x01", "latin1")), /^Opus audio is not supported.*AAC/],
    ["an AAC configuration that cannot be read", tag("audio", 0, Buffer.from([0xaf, 0, 0x16])), /audio is not supported/],
  ])("refuses %s in words", (_, first, words) => {
    expect(offer(new InputProbe("passthrough"), first, 0)).toEqual({ state: "refused", message: expect.stringMatching(words) });
  });

  it("takes HEVC and AV1 where the profile does, and MP3 everywhere", () => {
    const any = new InputProbe("passthrough_any");
    offer(any, tag("video", 0, Buffer.from("\x90hvc1\x01\x02\x03\x04", "latin1")), 0);
    const mp3 = tag("audio", 0, Buffer.from([0x2f, 0xff, 0xfb, 0x90, 0x64]));
    const tracks = { video: { codec: "HEVC" }, audio: { codec: "MP3", sampleRate: 44_100, channels: 2 } };
    expect(offer(any, mp3, 0)).toMatchObject({ state: "ready", tracks });
  });

  it("waits for the first key frame of what will be encoded, which says how far apart they are", () => {
    const probe = new InputProbe("ladder");
    offer(probe, video, 0);
    expect(offer(probe, audio, 0).state).toBe("waiting");
    expect(offer(probe, tag("video", 0, KEY_FRAME), 0)).toMatchObject({ state: "ready", tracks: { firstKeyFrame: expect.anything() } });
  });
});

describe("input clock", () => {
  it("starts near zero, rises, and breaks where 10 s are missing", () => {
    const clock = new InputClock();
    expect(clock.place("video", 70_000_000)).toEqual({ state: "placed", timestamp: 1000 });
    expect(clock.place("audio", 69_999_990)).toEqual({ state: "placed", timestamp: 990 });
    expect(clock.place("audio", 69_999_980)).toEqual({ state: "late" });
    expect(clock.place("audio", 70_009_000)).toMatchObject({ state: "placed" });
    expect(clock.place("audio", 70_010_001)).toMatchObject({ state: "broken", message: expect.stringContaining("video stopped") });
    expect(clock.place("video", 70_010_001)).toMatchObject({ state: "broken", message: expect.stringContaining("jumped") });
  });
});

describe("input clock of a careless encoder", () => {
  it("keeps video frames that share a millisecond or step back a little: others refer to them", () => {
    const clock = new InputClock();
    const times = [500, 533, 533, 530, 566, 300, 600].map((time) => clock.place("video", time));
    expect(times).toEqual([1000, 1033, 1034, 1035, 1066, 1067, 1100].map((timestamp) => ({ state: "placed", timestamp })));
  });

  it("breaks where time goes back by more than a second, instead of waiting for it to come again", () => {
    const clock = new InputClock();
    clock.place("video", 100_000);
    clock.place("audio", 100_000);
    expect(clock.place("video", 40)).toMatchObject({ state: "broken", message: expect.stringContaining("went back by 100 s") });
    expect(clock.place("audio", 40)).toMatchObject({ state: "broken" });
  });

  it("says so where audio and video count from different moments, whichever comes first", () => {
    for (const [first, second] of [
      ["video", "audio"],
      ["audio", "video"],
    ] as const) {
      for (const offset of [-50_000, 50_000]) {
        const clock = new InputClock();
        clock.place(first, 60_000);
        expect(clock.place(second, 60_000 + offset)).toMatchObject({ state: "broken", message: expect.stringContaining("50 s apart") });
      }
    }
  });

  it("waits for the track that jumps a little later, after a jump", () => {
    const clock = new InputClock(true);
    expect(clock.place("video", 900_000)).toMatchObject({ state: "placed" });
    expect(clock.place("audio", 5000)).toEqual({ state: "late" });
    expect(clock.place("audio", 900_020)).toMatchObject({ state: "placed", timestamp: 1020 });
    const apart = new InputClock(true);
    apart.place("video", 900_000);
    apart.place("video", 904_000);
    expect(apart.place("audio", 5000)).toMatchObject({ state: "broken" });
  });

  it("does not blame an encoder's late audio on it, where silence has taken its place", () => {
    const clock = new InputClock();
    clock.place("video", 0);
    clock.place("audio", 0);
    expect(clock.fill(3000)).toBe(true);
    expect(clock.fill(2990)).toBe(false);
    expect(clock.place("audio", 20)).toEqual({ state: "late" });
    expect(clock.place("audio", 2001)).toMatchObject({ state: "placed", timestamp: 3001 });
  });
});

describe("key gate", () => {
  const frame = (type: "video" | "audio", timestamp: number, key = false) => ({
    type,
    timestamp,
    key,
    compositionOffset: 0,
    recovery: false,
    payload: Buffer.alloc(0),
  });

  it("lets the first key frame go before anything else, and keeps the audio around it", () => {
    const gate = new KeyGate();
    for (let time = 0; time < 3000; time += 20) expect(gate.push(frame("audio", time))).toEqual([]);
    expect(gate.push(frame("video", 2900))).toEqual([]);
    const passed = gate.push(frame("video", 3000, true));
    expect(passed[0]).toMatchObject({ type: "video", timestamp: 3000 });
    expect(passed.slice(1).map(({ timestamp }) => timestamp)).toEqual(Array.from({ length: 49 }, (_, index) => 2020 + index * 20));
    expect(gate.push(frame("audio", 3000))).toHaveLength(1);
  });

  it("gives up in words where no key frame comes", () => {
    const gate = new KeyGate();
    gate.push(frame("audio", 1000));
    expect(() => gate.push(frame("audio", 16_001))).toThrow(/no key frame/);
  });
});

describe("silence", () => {
  it("stands in for audio that stopped, and only then", () => {
    const filler = SilenceFiller.forAac(Buffer.from([0x11, 0x90]));
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

describe("silence in holes", () => {
  it("fills the time before audio that comes back, and leaves jitter alone", () => {
    const filler = SilenceFiller.forAac(Buffer.from([0x11, 0x90]));
    expect(filler.note(1000)).toEqual([]);
    for (const time of [1030, 1035, 1076, 1073]) expect(filler.note(time)).toEqual([]);
    const frames = filler.note(2000);
    expect(frames.length).toBeGreaterThanOrEqual(40);
    expect(Math.abs(2000 - ((frames.at(-1)?.timestamp ?? 0) + 21.333))).toBeLessThan(17);
    expect(filler.note(2021)).toEqual([]);
  });
});

describe("input figures", () => {
  it("count the jumps of each track's clock", () => {
    const stats = new InputStats();
    for (const timestamp of [0, 40, 5000, 5040, 4000]) stats.note({ type: "video", timestamp, bytes: 1, key: false }, 0);
    stats.note({ type: "audio", timestamp: 9000, bytes: 1, key: false }, 0);
    expect(stats.read(0).timestamp_jumps).toBe(2);
  });

  it("never report a negative distance between key frames, which no heartbeat may carry", () => {
    const stats = new InputStats();
    for (const timestamp of [100_000, 102_000, 40]) stats.note({ type: "video", timestamp, bytes: 1, key: true }, 0);
    expect(stats.read(0).keyframe_interval).toBe(2);
  });

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
