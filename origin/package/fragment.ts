import { type Box, listBoxes, onlyBox } from "./boxes.ts";
import type { Sample } from "./sample.ts";

/** Reads big-endian fields one after another inside fixed bounds. */
class Fields {
  #buffer: Buffer;
  #offset: number;
  #end: number;

  constructor(buffer: Buffer, box: Box) {
    this.#buffer = buffer;
    this.#offset = box.body;
    this.#end = box.end;
  }

  #advance(size: number): number {
    const at = this.#offset;
    if (at + size > this.#end) throw new Error("MP4 box ends in the middle of a field");
    this.#offset = at + size;
    return at;
  }

  u32(): number {
    return this.#buffer.readUInt32BE(this.#advance(4));
  }

  i32(): number {
    return this.#buffer.readInt32BE(this.#advance(4));
  }

  u64(): number {
    const value = this.#buffer.readBigUInt64BE(this.#advance(8));
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new Error("MP4 time is out of range");
    return Number(value);
  }

  get left(): number {
    return this.#end - this.#offset;
  }
}

const NON_SYNC = 0x10000;

/**
 * The samples of one fragment: a `moof` with one `traf` and the `mdat` right behind it, addressed from the moof
 * (default-base-is-moof). Sample data are views into `mdat`. Throws where a size or offset leads out of `mdat`.
 */
export function parseFragment(moof: Buffer, mdat: Buffer): Sample[] {
  const traf = onlyBox(moof, { body: 8, end: moof.length }, "traf");
  const tfhd = new Fields(moof, onlyBox(moof, traf, "tfhd"));
  const headerFlags = tfhd.u32() & 0xffffff;
  tfhd.u32();
  if (headerFlags & 0x1) throw new Error("MP4 fragment with absolute data offsets");
  if (headerFlags & 0x2) tfhd.u32();
  const defaultDuration = headerFlags & 0x8 ? tfhd.u32() : 0;
  const defaultSize = headerFlags & 0x10 ? tfhd.u32() : 0;
  const defaultFlags = headerFlags & 0x20 ? tfhd.u32() : 0;

  const tfdt = new Fields(moof, onlyBox(moof, traf, "tfdt"));
  let dts = tfdt.u32() >>> 24 === 1 ? tfdt.u64() : tfdt.u32();

  const samples: Sample[] = [];
  const mdatStart = moof.length + (mdat.readUInt32BE(0) === 1 ? 16 : 8);
  let position = mdatStart;
  for (const box of listBoxes(moof, traf.body, traf.end)) {
    if (box.type !== "trun") continue;
    const trun = new Fields(moof, box);
    const versionAndFlags = trun.u32();
    const count = trun.u32();
    if (versionAndFlags & 0x1) position = trun.i32();
    const firstFlags = versionAndFlags & 0x4 ? trun.u32() : null;
    const fields = [0x100, 0x200, 0x400, 0x800].filter((flag) => versionAndFlags & flag).length;
    if (count * fields * 4 > trun.left) throw new Error(`MP4 run claims ${count} samples`);
    if (fields === 0 && count > 1 && defaultSize === 0) throw new Error(`MP4 run claims ${count} empty samples`);
    for (let index = 0; index < count; index++) {
      const duration = versionAndFlags & 0x100 ? trun.u32() : defaultDuration;
      const size = versionAndFlags & 0x200 ? trun.u32() : defaultSize;
      const own = versionAndFlags & 0x400 ? trun.u32() : defaultFlags;
      const flags = index === 0 && firstFlags !== null ? firstFlags : own;
      const signed = versionAndFlags >>> 24 !== 0;
      const compositionOffset = versionAndFlags & 0x800 ? (signed ? trun.i32() : trun.u32() | 0) : 0;
      const from = position - moof.length;
      if (position < mdatStart || from + size > mdat.length) throw new Error("MP4 sample lies outside of its mdat");
      samples.push({ dts, duration, compositionOffset, key: (flags & NON_SYNC) === 0, data: mdat.subarray(from, from + size) });
      dts += duration;
      position += size;
    }
  }
  return samples;
}
