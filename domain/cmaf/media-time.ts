import type { MediaTime } from "../timeline/segment.ts";

/** A time on a clock whose timescale is in the init segment. */
export type Ticks = Omit<MediaTime, "timescale">;

/** What a run adds: how long its samples last, and how much later than decoded its first one is shown. */
interface Run {
  duration: number;
  firstOffset: number;
}

/** Where a box's content lies. */
interface Box {
  type: string;
  body: number;
  end: number;
}

const CONTAINERS = ["moov", "trak", "mdia", "moof", "traf"];
/** Containers lie no deeper in each other than `mdhd` does in `moov`. */
const MAX_DEPTH = 3;
const TFHD_BASE_OFFSET = 0x1;
const TFHD_DESCRIPTION = 0x2;
const TFHD_DURATION = 0x8;
const TRUN_DATA_OFFSET = 0x1;
const TRUN_FIRST_FLAGS = 0x4;
const TRUN_DURATION = 0x100;
const TRUN_COMPOSITION_OFFSET = 0x800;
/** Duration, size, flags, composition offset: each four bytes of a sample's entry where its flag is set. */
const TRUN_SAMPLE_FIELDS = [TRUN_DURATION, 0x200, 0x400, TRUN_COMPOSITION_OFFSET];

/** Ticks a second of an init segment's track (`mdhd`, ISO/IEC 14496-12 §8.4.2); null where the bytes hold none. */
export function parseTimescale(init: Uint8Array): number | null {
  const view = viewOf(init);
  try {
    for (const { type, body } of walkBoxes(view, 0, view.byteLength)) {
      if (type !== "mdhd") continue;
      const timescale = view.getUint32(body + (view.getUint8(body) === 1 ? 20 : 12));
      return timescale > 0 ? timescale : null;
    }
  } catch {
    // No MP4.
  }
  return null;
}

/**
 * Where a segment of one track lies on the track's clock. It starts when its first sample is shown: `tfdt` of its first fragment and that sample's
 * composition offset, so that B-frames shift nothing against the audio (§8.8.12, §8.8.8). It lasts as long as its samples. Null where the bytes
 * are no fragments. Walks headers only.
 */
export function parseMediaTime(segment: Uint8Array): Ticks | null {
  const view = viewOf(segment);
  let decodeStart: number | null = null;
  let start: number | null = null;
  let duration = 0;
  let sampleDuration = 0;
  try {
    for (const { type, body, end } of walkBoxes(view, 0, view.byteLength)) {
      if (type === "tfhd") sampleDuration = readDefaultDuration(view, body);
      if (type === "tfdt") decodeStart ??= view.getUint8(body) === 1 ? Number(view.getBigUint64(body + 4)) : view.getUint32(body + 4);
      if (type !== "trun") continue;
      const run = readRun(view, body, end, sampleDuration);
      duration += run.duration;
      if (decodeStart !== null) start ??= decodeStart + run.firstOffset;
    }
  } catch {
    return null;
  }
  return start === null || start < 0 || duration === 0 ? null : { start, duration };
}

function readDefaultDuration(view: DataView, body: number): number {
  const flags = view.getUint32(body);
  if ((flags & TFHD_DURATION) === 0) return 0;
  return view.getUint32(body + 8 + (flags & TFHD_BASE_OFFSET ? 8 : 0) + (flags & TFHD_DESCRIPTION ? 4 : 0));
}

function readRun(view: DataView, body: number, end: number, sampleDuration: number): Run {
  const flags = view.getUint32(body);
  const count = view.getUint32(body + 4);
  const first = body + 8 + (flags & TRUN_DATA_OFFSET ? 4 : 0) + (flags & TRUN_FIRST_FLAGS ? 4 : 0);
  const stride = 4 * TRUN_SAMPLE_FIELDS.filter((field) => flags & field).length;
  if (first + count * stride > end) throw new RangeError("a run is longer than its box");
  let duration = count * sampleDuration;
  if (flags & TRUN_DURATION) {
    duration = 0;
    for (let index = 0; index < count; index++) duration += view.getUint32(first + index * stride);
  }
  // The last field of an entry; signed in version 1, and small enough to be read so in version 0.
  const firstOffset = count > 0 && flags & TRUN_COMPOSITION_OFFSET ? view.getInt32(first + stride - 4) : 0;
  return { duration, firstOffset };
}

/** Every box between two offsets, the boxes in containers too. Throws RangeError where one does not fit. */
function* walkBoxes(view: DataView, start: number, end: number, depth = 0): Generator<Box> {
  for (let offset = start; offset < end; ) {
    const small = view.getUint32(offset);
    const header = small === 1 ? 16 : 8;
    const size = small === 1 ? Number(view.getBigUint64(offset + 8)) : small;
    if (size < header || offset + size > end) throw new RangeError("a box does not fit");
    const type = String.fromCharCode(...[4, 5, 6, 7].map((at) => view.getUint8(offset + at)));
    const box = { type, body: offset + header, end: offset + size };
    yield box;
    if (depth < MAX_DEPTH && CONTAINERS.includes(type)) yield* walkBoxes(view, box.body, box.end, depth + 1);
    offset = box.end;
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
