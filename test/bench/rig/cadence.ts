/** How evenly spaced frames fall into segments and parts. */
export interface Cadence {
  segmentFrames: number;
  /** For each part of a segment, how many of the segment's frames there are up to its end. */
  partEnds: number[];
}

const SEGMENT_SECONDS = 2;
const PARTS_PER_TARGET = 4;
/** A key frame ends a part early where the part is at least this share of its target. */
const SHORTEST_PART = 0.85;

/** Segments of 2 s or up to the next key frame after, parts of a quarter of 2 s in whole frames. `fps` and `gop` (seconds) are whole numbers. */
export function computeCadence(fps: number, gop: number): Cadence {
  const segmentFrames = fps * gop * Math.ceil(SEGMENT_SECONDS / gop);
  const partFrames = Math.ceil((fps * SEGMENT_SECONDS) / PARTS_PER_TARGET);
  const partEnds: number[] = [];
  for (let frames = 1; frames <= segmentFrames; frames++) {
    const length = frames - (partEnds.at(-1) ?? 0);
    const atKey = frames % (fps * gop) === 0 && length >= SHORTEST_PART * partFrames;
    if (length === partFrames || atKey || frames === segmentFrames) partEnds.push(frames);
  }
  return { segmentFrames, partEnds };
}
