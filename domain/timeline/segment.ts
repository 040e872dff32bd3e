import type { Millis, Seconds } from "../time.ts";

/** A part as the timeline knows it: everything but its bytes. */
export interface Part {
  duration: Seconds;
  /** Begins with an IDR (PL4). */
  independent: boolean;
  /** Length in bytes. */
  size: number;
  /** Of the bytes, to tell a repeated push from a different one. */
  digest: string;
}

/** Where a segment lies on its track's own clock: when its first picture or sample is presented, and how long it lasts, in ticks. */
export interface MediaTime {
  start: number;
  duration: number;
  /** Ticks a second. */
  timescale: number;
}

/** A complete media segment. Its bytes lie in R2 under the same names, unless it is a gap. */
export interface Segment {
  msn: number;
  epoch: number;
  duration: Seconds;
  /** Program date time of its first frame. */
  pdt: Millis;
  /** Read from its bytes; null for a gap, and where they could not be read. */
  time: MediaTime | null;
  size: number;
  digest: string;
  /** Its bytes are lost: listed with `EXT-X-GAP` (PL12). */
  gap: boolean;
  /** In order; empty where a part was never pushed. */
  parts: Part[];
}

/** One encoder connection within the broadcast. */
export interface EpochStart {
  epoch: number;
  /** The first media sequence number of every rendition in it. */
  firstMsn: number;
  /** Program date time of its first frame; null until its tracks are known. */
  startedAt: Millis | null;
  /** Renditions it carries, the one that the others follow first; empty until its tracks are known. */
  renditions: string[];
  /** Media time of its first frame, on the clock that its tracks share; null until a segment has said it. */
  origin: Seconds | null;
  /** Segments that follow a gap in some rendition, with their media time: where a DASH period begins (DA3). */
  breaks: { msn: number; at: Seconds }[];
}
