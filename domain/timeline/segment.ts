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

/** A complete media segment. Its bytes lie in R2 under the same names, unless it is a gap. */
export interface Segment {
  msn: number;
  epoch: number;
  duration: Seconds;
  /** Program date time of its first frame. */
  pdt: Millis;
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
  /** Renditions it carries; empty until its tracks are known. */
  renditions: string[];
}
