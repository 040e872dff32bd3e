import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseAacConfig } from "../../origin/package/aac.ts";
import { BoxSplitter, encodeBox, listBoxes } from "../../origin/package/boxes.ts";
import { encodeChunk } from "../../origin/package/chunk.ts";
import { parseFragment } from "../../origin/package/fragment.ts";
import { isIdr, repairSample, x264KeyInterval } from "../../origin/package/nal.ts";
import type { Sample } from "../../origin/package/sample.ts";

function header(size: number, type = "free"): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32BE(size, 0);
  bytes.write(type, 4, "latin1");
  return bytes;
}

function largeHeader(size: bigint): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32BE(1, 0);
  bytes.write("mdat", 4, "latin1");
  bytes.writeBigUInt64BE(size, 8);
  return bytes;
}

function split(chunk: Buffer): { moof: Buffer; mdat: Buffer } {
  const [moof, mdat] = new BoxSplitter().push(chunk);
  if (moof === undefined || mdat === undefined) throw new Error("no fragment");
  return { moof: moof.bytes, mdat: mdat.bytes };
}

describe("box splitter", () => {
  it("gives the same boxes however the bytes are cut", () => {
    const stream = Buffer.concat([encodeBox("ftyp", Buffer.from("abcd")), largeHeader(20n), Buffer.from("data"), encodeBox("free")]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 60 }), (sizes) => {
        const splitter = new BoxSplitter();
        const types: string[] = [];
        let offset = 0;
        for (let index = 0; offset < stream.length; index++) {
          const size = sizes[index % sizes.length] ?? 1;
          for (const box of splitter.push(stream.subarray(offset, offset + size))) types.push(`${box.type}:${box.bytes.length}`);
          offset += size;
        }
        expect(types).toEqual(["ftyp:12", "mdat:20", "free:8"]);
      }),
    );
  });

  it.each([
    ["size 0", header(0)],
    ["a size smaller than its header", header(7)],
    ["a size above the cap", header(0x7fffffff)],
    ["a large size smaller than its header", largeHeader(15n)],
    ["a large size out of any range", largeHeader(2n ** 63n)],
  ])("refuses %s", (_, bytes) => {
    expect(() => new BoxSplitter().push(bytes)).toThrow(/MP4 box/);
  });

  it("refuses a child that is larger than its parent", () => {
    const parent = encodeBox("moov", header(100, "trak"));
    expect(() => listBoxes(parent, 8, parent.length)).toThrow(/does not fit/);
    expect(() => listBoxes(parent, 8, parent.length + 1)).toThrow(/outside/);
    const cut = encodeBox("moov", Buffer.alloc(5));
    expect(() => listBoxes(cut, 8, cut.length)).toThrow(/does not fit/);
  });
});

describe("chunk", () => {
  const sample = fc.record({
    duration: fc.integer({ min: 1, max: 2 ** 31 }),
    compositionOffset: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    key: fc.boolean(),
    data: fc.uint8Array({ maxLength: 50 }),
  });

  it("[CM1] writes one moof and one mdat that read back as the same samples", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 50 }), fc.array(sample, { minLength: 1, maxLength: 20 }), (start, fields) => {
        let dts = start;
        const samples: Sample[] = fields.map((field) => {
          const placed = { dts, ...field };
          dts += field.duration;
          return placed;
        });
        const chunk = encodeChunk({ trackId: 1, sequenceNumber: 7, samples });
        expect(listBoxes(chunk, 0, chunk.length).map((box) => box.type)).toEqual(["moof", "mdat"]);
        const { moof, mdat } = split(chunk);
        const read = parseFragment(moof, mdat).map((one) => ({ ...one, data: Uint8Array.from(one.data) }));
        expect(read).toEqual(samples);
      }),
    );
  });

  it("never reads outside of a fragment, whichever byte lies", () => {
    const samples = [0, 1].map((index) => ({
      dts: index * 10,
      duration: 10,
      compositionOffset: 0,
      key: true,
      data: Buffer.from("abcdef"),
    }));
    const { moof, mdat } = split(encodeChunk({ trackId: 1, sequenceNumber: 1, samples }));
    for (let at = 0; at < moof.length; at++) {
      for (const value of [0, 1, 0x7f, 0x80, 0xff]) {
        const lying = Buffer.from(moof);
        lying[at] = value;
        try {
          for (const one of parseFragment(lying, mdat)) expect(one.data.byteLength).toBeLessThanOrEqual(mdat.length);
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
          expect((error as Error).message).toMatch(/MP4|expected one/);
        }
      }
    }
  });

  it("refuses a run that claims more than there is", () => {
    const samples = [{ dts: 0, duration: 10, compositionOffset: 0, key: true, data: Buffer.from("abcdef") }];
    const { moof, mdat } = split(encodeChunk({ trackId: 1, sequenceNumber: 1, samples }));
    expect(() => parseFragment(moof, mdat.subarray(0, 10))).toThrow(/outside of its mdat/);
    const count = moof.indexOf("trun") + 8;
    const lying = Buffer.from(moof);
    lying.writeUInt32BE(0xffffffff, count);
    expect(() => parseFragment(lying, mdat)).toThrow(/claims/);
  });
});

function avcc(...units: Uint8Array[]): Buffer {
  return Buffer.concat(
    units.flatMap((unit) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(unit.length);
      return [length, unit];
    }),
  );
}

describe("NAL units", () => {
  const sei = Buffer.concat([
    Buffer.from([6, 5, 40]),
    Buffer.alloc(16),
    Buffer.from("x264 - core 164 - options: keyint=60 keyint_min=6\0", "latin1"),
  ]);

  it("[PL4] takes a picture for independent only where an IDR slice is in it", () => {
    expect(isIdr(avcc(sei, Buffer.from([0x65, 1])), 4)).toBe(true);
    expect(isIdr(avcc(Buffer.from([0x67, 1]), Buffer.from([0x41, 1])), 4)).toBe(false);
    expect(isIdr(Buffer.from([0, 0, 0, 99, 0x65, 1]), 4)).toBe(false);
    expect(isIdr(new Uint8Array(0), 4)).toBe(false);
  });

  it("takes out what decoders stumble over, and leaves a whole sample as it is", () => {
    const whole = avcc(Buffer.from([9, 0xf0]), sei, Buffer.from([0x65, 1, 2]));
    expect(repairSample(whole, 4)).toBe(whole);
    const empty = Buffer.alloc(4);
    expect(repairSample(Buffer.concat([empty, whole, empty, empty]), 4)).toEqual(whole);
    expect(repairSample(Buffer.concat([whole, Buffer.from([0, 0, 9, 9, 1])]), 4)).toEqual(whole);
    expect(repairSample(Buffer.concat([whole, Buffer.from([0])]), 4)).toEqual(whole);
    expect(repairSample(avcc(sei), 4)).toBeNull();
    expect(repairSample(Buffer.alloc(300, 0x41), 4)).toBeNull();
    expect(repairSample(Buffer.alloc(0), 4)).toBeNull();
    const short = Buffer.from([0, 2, 0x41, 1, 0, 0, 0, 1, 0x41]);
    expect(repairSample(short, 2)).toEqual(Buffer.from([0, 2, 0x41, 1, 0, 1, 0x41]));
  });

  it("reads x264's key interval", () => {
    expect(x264KeyInterval(avcc(sei, Buffer.from([0x65])), 4)).toBe(60);
    expect(x264KeyInterval(avcc(Buffer.from(sei.toString("latin1").replace("keyint=60", "keyint=infinite"), "latin1")), 4)).toBe(
      "infinite",
    );
    expect(x264KeyInterval(avcc(Buffer.from([0x65])), 4)).toBeNull();
  });
});

describe("AAC configuration", () => {
  it("reads LC, HE-AAC and explicit rates, and refuses what it cannot read", () => {
    expect(parseAacConfig(Buffer.from([0x12, 0x10]))).toEqual({
      objectType: 2,
      coreSampleRate: 44100,
      sampleRate: 44100,
      channels: 2,
      frameLength: 1024,
    });
    expect(parseAacConfig(Buffer.from([0x2b, 0x92, 0x08, 0x00]))).toMatchObject({
      objectType: 5,
      coreSampleRate: 22050,
      sampleRate: 44100,
    });
    expect(() => parseAacConfig(Buffer.from([0x12]))).toThrow(/too short/);
    expect(() => parseAacConfig(Buffer.from([0x16, 0x90]))).toThrow(/sample rate/);
    expect(() => parseAacConfig(Buffer.from([0xf9, 0x50, 0x40]))).toThrow(/not supported|usable/);
  });
});
