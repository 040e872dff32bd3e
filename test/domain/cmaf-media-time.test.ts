import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseMediaTime, parseTimescale } from "../../domain/cmaf/media-time.ts";
import { encodeBox } from "../../origin/package/boxes.ts";
import { encodeChunk } from "../../origin/package/chunk.ts";
import type { CutSegment } from "../../origin/package/open-segment.ts";
import type { PackagedSegment } from "../../origin/package/packager.ts";
import type { Sample } from "../../origin/package/sample.ts";
import { TrackWriter } from "../../origin/package/track-writer.ts";
import { VideoSegmenter } from "../../origin/package/video-segmenter.ts";

function init(version: 0 | 1, timescale: number): Buffer {
  const mdhd = Buffer.alloc(version === 1 ? 36 : 24);
  mdhd.writeUInt8(version, 0);
  mdhd.writeUInt32BE(timescale, version === 1 ? 20 : 12);
  const mdia = encodeBox("mdia", encodeBox("mdhd", mdhd), encodeBox("minf"));
  return Buffer.concat([
    encodeBox("ftyp", Buffer.from("iso6")),
    encodeBox("moov", encodeBox("mvhd", Buffer.alloc(100)), encodeBox("trak", mdia)),
  ]);
}

/** Frames as an encoder sends them, cut and written by the packager. */
function packaged(frames: Sample[]): PackagedSegment[] {
  const segments: PackagedSegment[] = [];
  const ignore = () => {};
  const sink = {
    onTracks: ignore,
    onInit: ignore,
    onPart: ignore,
    onWarning: ignore,
    onSegment: (one: PackagedSegment) => segments.push(one),
    onGap: () => {},
  };
  const writer = new TrackWriter("source", 1, () => 0, sink);
  const cadence = { targetDuration: 2, partTarget: 0.5, nominalPart: 0.5, keyInterval: 2, frameRate: 30 };
  const segmenter = new VideoSegmenter(
    { timescale: 90000, cadence, segmentTarget: 2, nextMsn: 1 },
    {
      onPart: (part) => writer.onPart(part),
      onSegment: (segment: CutSegment) => writer.onSegment(segment),
      onBoundary: ignore,
      onWarning: ignore,
    },
  );
  for (const frame of frames) segmenter.push(frame);
  segmenter.end();
  return segments;
}

function frames(count: number, compositionOffset: number): Sample[] {
  return Array.from({ length: count }, (_, frame) => ({
    dts: 900_000 + frame * 3000,
    duration: 3000,
    compositionOffset: frame % 3 === 1 ? compositionOffset + 6000 : compositionOffset,
    key: frame % 60 === 0,
    data: new Uint8Array(50),
  }));
}

describe("parseTimescale", () => {
  it("reads both versions of the header", () => {
    expect(parseTimescale(init(0, 90000))).toBe(90000);
    expect(parseTimescale(init(1, 48000))).toBe(48000);
  });

  it("finds none where there is none", () => {
    expect(parseTimescale(new Uint8Array(0))).toBeNull();
    expect(parseTimescale(init(0, 0))).toBeNull();
    expect(parseTimescale(encodeBox("moov", encodeBox("trak", encodeBox("mdia", encodeBox("mdhd", Buffer.alloc(4))))))).toBeNull();
  });
});

describe("parseMediaTime", () => {
  it.each([0, 6000])("[DA2] says of a segment what the packager cut, with pictures shown %d ticks after they are decoded", (offset) => {
    const segments = packaged(frames(180, offset));
    expect(segments.length).toBe(3);
    for (const { bytes, start, duration } of segments) {
      expect(parseMediaTime(bytes)).toEqual({ start: Math.round(start * 90000), duration: Math.round(duration * 90000) });
    }
    expect(segments.map(({ bytes }) => parseMediaTime(bytes)?.start)).toEqual([0, 1, 2].map((index) => 900_000 + offset + index * 180_000));
  });

  it("adds up fragments that say their samples' duration once", () => {
    const tfdt = Buffer.alloc(8);
    tfdt.writeUInt32BE(4000, 4);
    const tfhd = Buffer.alloc(20);
    tfhd.writeUInt32BE(0x00000a, 0);
    tfhd.writeUInt32BE(1024, 12);
    const trun = Buffer.alloc(8);
    trun.writeUInt32BE(23, 4);
    const moof = encodeBox("moof", encodeBox("traf", encodeBox("tfhd", tfhd), encodeBox("tfdt", tfdt), encodeBox("trun", trun)));
    expect(parseMediaTime(Buffer.concat([moof, encodeBox("mdat"), moof]))).toEqual({ start: 4000, duration: 2 * 23 * 1024 });
  });

  it("never throws, whichever byte lies or is missing", () => {
    const whole = encodeChunk({ trackId: 1, sequenceNumber: 1, samples: frames(3, 0) });
    // Cut right there the boxes are whole, and say all that is asked for.
    const headerEnd = whole.indexOf("mdat") - 4;
    for (let at = 0; at < whole.length; at++) {
      expect(parseMediaTime(whole.subarray(0, at))).toEqual(at === headerEnd ? { start: 900_000, duration: 9000 } : null);
      for (const value of [0, 1, 0x7f, 0x80, 0xff]) {
        const lying = Buffer.from(whole);
        lying[at] = value;
        parseMediaTime(lying);
        parseTimescale(lying);
      }
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        parseMediaTime(bytes);
        parseTimescale(bytes);
      }),
    );
  });

  it("goes down no further than headers lie", () => {
    const mdhd = init(0, 90000).subarray(-40, -8);
    expect(mdhd.toString("latin1", 4, 8)).toBe("mdhd");
    expect(parseTimescale(encodeBox("moov", encodeBox("trak", encodeBox("mdia", mdhd))))).toBe(90000);
    expect(parseTimescale(encodeBox("moov", encodeBox("moov", encodeBox("trak", encodeBox("mdia", mdhd)))))).toBeNull();
    const deep = Buffer.alloc(8 * 200_000);
    for (let at = 0; at < deep.length; at += 8) {
      deep.writeUInt32BE(deep.length - at, at);
      deep.write("moov", at + 4, "latin1");
    }
    expect(parseTimescale(deep)).toBeNull();
  });

  it("reads bytes that lie within a larger buffer", () => {
    const chunk = encodeChunk({ trackId: 1, sequenceNumber: 1, samples: frames(3, 0) });
    const within = new Uint8Array(chunk.length + 7);
    within.set(chunk, 7);
    expect(parseMediaTime(within.subarray(7))).toEqual({ start: 900_000, duration: 9000 });
  });
});
