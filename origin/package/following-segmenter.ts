import type { CutTarget } from "./open-segment.ts";
import type { Sample } from "./sample.ts";
import { type CutTrack, VideoCutter } from "./video-cutter.ts";

/** Where a track that follows another one reports to. */
export interface FollowingCutTarget extends CutTarget {
  /** No frame came for a segment: it begins at `start` and lasts `duration`, seconds. */
  onMissing(missing: { msn: number; start: number; duration: number }): void;
}

/**
 * Cuts a video rendition where another one was cut (CM3). Both show the same pictures at the same times, in decode order without
 * reordering. Frames wait until `advance` says that no earlier boundary can come any more.
 */
export class FollowingSegmenter {
  readonly #timescale: number;
  readonly #target: FollowingCutTarget;
  readonly #cutter: VideoCutter;
  #boundaries: number[] = [];
  #segmentStart: number | null = null;
  #msn: number;
  #waiting: Sample[] = [];
  #decidedUntil = Number.NEGATIVE_INFINITY;

  constructor(track: CutTrack, target: FollowingCutTarget) {
    this.#timescale = track.timescale;
    this.#target = target;
    this.#msn = track.nextMsn;
    this.#cutter = new VideoCutter(track, target);
  }

  /** Frames that came with a decode time already passed. */
  get dropped(): number {
    return this.#cutter.dropped;
  }

  /** The next segment begins at that presentation time, seconds. Boundaries rise. */
  boundary(time: number): void {
    this.#boundaries.push(time);
  }

  /** No boundary will come before that presentation time, seconds: frames up to there can be cut. */
  advance(time: number): void {
    this.#decidedUntil = Math.max(this.#decidedUntil, time);
    let taken = 0;
    for (const sample of this.#waiting) {
      if (this.#presentation(sample) > this.#decidedUntil + halfOf(sample) / this.#timescale) break;
      this.#cut(sample);
      taken += 1;
    }
    if (taken > 0) this.#waiting.splice(0, taken);
  }

  /** Frames in order. */
  push(sample: Sample): void {
    this.#waiting.push(sample);
    this.advance(this.#decidedUntil);
  }

  /** Cuts what is there, short as it is. */
  end(): void {
    this.advance(Number.POSITIVE_INFINITY);
    if (this.#segmentStart !== null) this.#close(this.#boundaries[0] ?? null);
  }

  #cut(sample: Sample): void {
    const time = this.#presentation(sample);
    const tolerance = halfOf(sample) / this.#timescale;
    for (let next = this.#boundaries[0]; next !== undefined && time >= next - tolerance; next = this.#boundaries[0]) {
      // Where frames are missing before the boundary, the one that is there lasts until it, and not beyond.
      this.#cutter.fillUntil(Math.round(next * this.#timescale) - sample.compositionOffset);
      if (this.#segmentStart !== null) this.#close(next);
      this.#boundaries.shift();
      this.#segmentStart = next;
    }
    if (this.#segmentStart === null) return;
    const joined = this.#cutter.join(sample);
    if (joined !== null) this.#cutter.add(joined, joined.key);
  }

  #close(until: number | null): void {
    const missing = this.#cutter.isEmpty;
    this.#cutter.closeSegment();
    const start = this.#segmentStart;
    if (missing && start !== null && until !== null) this.#target.onMissing({ msn: this.#msn, start, duration: until - start });
    this.#msn += 1;
  }

  #presentation(sample: Sample): number {
    return (sample.dts + sample.compositionOffset) / this.#timescale;
  }
}

function halfOf(sample: Sample): number {
  return sample.duration / 2;
}
