import type { CutTarget } from "./open-segment.ts";
import type { Sample } from "./sample.ts";
import { type CutTrack, VideoCutter } from "./video-cutter.ts";

/** Where the video segmenter reports to, besides the cut parts and segments. */
export interface VideoCutTarget extends CutTarget {
  /** A segment begins at that presentation time, seconds: the boundary for every other track (CM3). */
  onBoundary(time: number): void;
  onWarning(message: string): void;
}

const EARLY_SECONDS = 0.05;
const REMEMBERED_KEY_INTERVALS = 8;

/** Cuts the frames of the video that the others follow into parts and segments (PL3, PL4, CM3). Samples' `key` must be true for real IDRs only. */
export class VideoSegmenter {
  readonly #timescale: number;
  readonly #keyInterval: number | null;
  readonly #partTarget: number;
  readonly #segmentTarget: number;
  readonly #target: VideoCutTarget;
  readonly #cutter: VideoCutter;
  #keyIntervals: number[] = [];
  #lastKeyDts: number | null = null;
  #lastIdrDts: number | null = null;
  #keyOffset = 0;
  #cutAtNext = false;
  #warnedNoKey = false;

  /** `segmentTarget` in seconds. */
  constructor(track: CutTrack & { segmentTarget: number }, target: VideoCutTarget) {
    this.#timescale = track.timescale;
    this.#keyInterval = track.cadence.keyInterval;
    this.#partTarget = track.cadence.partTarget;
    this.#segmentTarget = track.segmentTarget;
    this.#target = target;
    this.#cutter = new VideoCutter(track, target);
  }

  /** Frames that came with a decode time already passed. */
  get dropped(): number {
    return this.#cutter.dropped;
  }

  /** No later boundary lies before this presentation time, seconds. */
  get decidedUntil(): number {
    const { nextDts } = this.#cutter;
    return nextDts === null ? Number.NEGATIVE_INFINITY : (nextDts + this.#keyOffset) / this.#timescale;
  }

  /** Frames in decode order; those before the first IDR are left out. */
  push(input: Sample): void {
    const sample = this.#cutter.join(input);
    if (sample === null) return;
    if (this.#cutter.isEmpty) {
      if (this.#cutter.nextDts === null && !sample.key) return;
      this.#begin(sample);
    } else if (this.#mustCutBefore(sample)) {
      this.#cutter.closeSegment();
      this.#begin(sample);
    }
    const entry = this.#isEntry(sample);
    if (entry) this.#noteKey(sample);
    if (sample.key) this.#lastIdrDts = sample.dts;
    if (!this.#cutter.add(sample, entry)) this.#cutAtNext = true;
  }

  /** Cuts what is open, short as it is. */
  end(): void {
    if (!this.#cutter.isEmpty) this.#cutter.closeSegment();
  }

  #begin(sample: Sample): void {
    this.#cutAtNext = false;
    // A frame that others are shown before does not say where the segment's pictures begin: the last key frame's offset does.
    const offset = sample.key ? sample.compositionOffset : this.#keyOffset;
    this.#target.onBoundary((sample.dts + offset) / this.#timescale);
  }

  #mustCutBefore(sample: Sample): boolean {
    if (this.#cutAtNext) return true;
    const elapsed = this.#cutter.duration;
    if (this.#isEntry(sample))
      return elapsed >= this.#segmentTarget - EARLY_SECONDS || elapsed + this.#expectedKeyInterval() > this.#cutter.limit;
    const duration = sample.duration / this.#timescale;
    if (duration > this.#partTarget || elapsed + duration <= this.#cutter.limit) return false;
    if (!this.#warnedNoKey) {
      this.#warnedNoKey = true;
      const seconds = this.#lastKeyDts === null ? elapsed : (sample.dts - this.#lastKeyDts) / this.#timescale;
      this.#target.onWarning(`no key frame for ${seconds.toFixed(1)} s: set the encoder's keyframe interval to 2 s`);
    }
    return true;
  }

  /** Whether players can begin there: at an IDR, and where no IDR comes within a segment's time, at what comes nearest to it. */
  #isEntry(sample: Sample): boolean {
    if (sample.key) return true;
    const withoutIdr = (sample.dts - (this.#lastIdrDts ?? sample.dts)) / this.#timescale;
    return sample.recovery === true && withoutIdr > this.#cutter.limit;
  }

  #noteKey(sample: Sample): void {
    if (this.#lastKeyDts !== null) {
      this.#keyIntervals.push((sample.dts - this.#lastKeyDts) / this.#timescale);
      if (this.#keyIntervals.length > REMEMBERED_KEY_INTERVALS) this.#keyIntervals.shift();
    }
    this.#lastKeyDts = sample.dts;
    if (sample.key) this.#keyOffset = sample.compositionOffset;
  }

  #expectedKeyInterval(): number {
    const seen = Math.max(0, ...this.#keyIntervals);
    const elapsed = this.#cutter.duration;
    return Math.max(seen, this.#keyInterval ?? 0, this.#keyIntervals.length === 0 ? elapsed : 0);
  }
}
