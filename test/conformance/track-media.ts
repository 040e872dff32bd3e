import { listBoxes } from "../../origin/package/boxes.ts";
import { parseFragment } from "../../origin/package/fragment.ts";
import { type AudioInit, parseInit, type VideoInit } from "../../origin/package/init.ts";

/** What some media bytes hold; times in ticks. */
export interface MediaSpan {
  firstDts: number;
  endDts: number;
  /** Presentation time of the first frame. */
  firstPts: number;
  beginsWithKey: boolean;
  frames: number;
}

/** Reads an init segment. Throws where it is anything but `ftyp` and a `moov` of one track (CM1). */
export function readInit(bytes: Buffer): VideoInit | AudioInit {
  const boxes = listBoxes(bytes, 0, bytes.length);
  const [ftyp, moov] = boxes;
  if (boxes.length !== 2 || ftyp?.type !== "ftyp" || moov?.type !== "moov") throw new Error(`init of ${boxes.map((box) => box.type)}`);
  return parseInit(bytes.subarray(moov.start, moov.end));
}

/** Reads a part or a segment. Throws where it is not whole `moof`+`mdat` pairs (CM1), or time does not go on between them (CM2). */
export function readMedia(bytes: Buffer): MediaSpan {
  const boxes = listBoxes(bytes, 0, bytes.length).filter(({ type }) => type !== "styp");
  let span: MediaSpan | null = null;
  for (let index = 0; index < boxes.length; index += 2) {
    const [moof, mdat] = [boxes[index], boxes[index + 1]];
    if (moof?.type !== "moof" || mdat?.type !== "mdat") throw new Error(`boxes ${boxes.map((box) => box.type)}`);
    const samples = parseFragment(bytes.subarray(moof.start, moof.end), bytes.subarray(mdat.start, mdat.end));
    const [first, last] = [samples[0], samples.at(-1)];
    if (first === undefined || last === undefined) throw new Error("a fragment without samples");
    if (span !== null && span.endDts !== first.dts) throw new Error(`tfdt goes from ${span.endDts} to ${first.dts} inside the bytes`);
    const begin: Omit<MediaSpan, "endDts"> = span ?? {
      firstDts: first.dts,
      firstPts: first.dts + first.compositionOffset,
      beginsWithKey: first.key,
      frames: 0,
    };
    span = { ...begin, endDts: last.dts + last.duration, frames: begin.frames + samples.length };
  }
  if (span === null) throw new Error("no fragment");
  return span;
}
