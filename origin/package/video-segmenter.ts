import { SEGMENT_SLACK_SECONDS, type VideoCadence } from "./cadence.ts";
import { ROUNDING_SECONDS } from "./frame-rate.ts";
import { type CutTarget, OpenSegment } from "./open-segment.ts";
import type { Sample } from "./sample.ts";

/** Where the video segmenter reports to, besides the cut parts and segments. */
export interface VideoCutTarget extends CutTarget {
  /** A segment begins at that presentation time, seconds: the boundary for every other track (CM3). */
  onBoundary(time: number): void;
  onWarning(message: string): void;
}

const EPSILON_SECONDS = 1e-6;
const SHORTEST_PART = 0.85;
const EARLY_SECONDS = 0.05;
const REMEMBERED_KEY_INTERVALS = 8;

/** Cuts H.264 frames into parts and segments (PL3, PL4, CM3). Samples' `key` must be true for real IDRs only. */
export class VideoSegmenter {
  readonly #timescale: number;
  readonly #cadence: VideoCadence;
  readonly #segmentTarget: number;
  readonly #target: VideoCutTarget;
  readonly #open: OpenSegment;
  /** Longest segment, seconds. */
  readonly #limit: number;
  #keyIntervals: number[] = [];
  #lastKeyDts: number | null = null;
  #lastIdrDts: number | null = null;
  #keyOffset = 0;
  #nextDts: number | null = null;
  #cutAtNext = false;
  #warnedNoKey = false;
  #dropped = 0;

  /** `segmentTarget` in seconds; `nextMsn` numbers the first segment. */
  constructor(track: { timescale: number; cadence: VideoCadence; segmentTarget: number; nextMsn: number }, target: VideoCutTarget) {
    this.#timescale = track.timescale;
    this.#cadence = track.cadence;
    this.#segmentTarget = track.segmentTarget;
    this.#target = target;
    this.#limit = track.cadence.targetDuration + SEGMENT_SLACK_SECONDS;
    this.#open = new OpenSegment({ timescale: track.timescale, partTarget: track.cadence.partTarget, msn: track.nextMsn }, target);
  }

  /** Frames that came with a decode time already passed. */
  get dropped(): number {
    return this.#dropped;
  }

  /** No later boundary lies before this presentation time, seconds. */
  get decidedUntil(): number {
    return this.#nextDts === null ? Number.NEGATIVE_INFINITY : (this.#nextDts + this.#keyOffset) / this.#timescale;
  }

  /** Frames in decode order; those before the first IDR are left out. */
  push(input: Sample): void {
    const sample = this.#joined(input);
    if (sample === null) return;
    if (this.#open.isEmpty) {
      if (this.#nextDts === null && !sample.key) return;
      this.#begin(sample);
    } else if (this.#mustCutBefore(sample)) {
      this.#open.closeSegment();
      this.#begin(sample);
    } else if (this.#partEndsBefore(sample)) {
      this.#open.closePart();
    }
    if (this.#isEntry(sample)) this.#noteKey(sample);
    if (sample.key) this.#lastIdrDts = sample.dts;
    this.#add(sample);
    this.#nextDts = input.dts + input.duration;
    if (this.#partIsFull()) this.#open.closePart();
  }

  /** Cuts what is open, short as it is. */
  end(): void {
    if (!this.#open.isEmpty) this.#open.closeSegment();
  }

  /** The frame on the timeline as it has been cut so far: null where its time has passed, else without a hole before it if that is still possible. */
  #joined(sample: Sample): Sample | null {
    const expected = this.#nextDts;
    if (expected === null || sample.dts === expected) return sample;
    if (sample.dts > expected) {
      const left = Math.floor((this.#limit - this.#open.duration) * this.#timescale);
      this.#open.stretchLast(Math.max(0, Math.min(sample.dts - expected, left)));
      return sample;
    }
    const overlap = expected - sample.dts;
    if (overlap >= sample.duration) {
      this.#dropped += 1;
      return null;
    }
    return { ...sample, dts: expected, duration: sample.duration - overlap, compositionOffset: sample.compositionOffset - overlap };
  }

  #begin(sample: Sample): void {
    this.#cutAtNext = false;
    // A frame that others are shown before does not say where the segment's pictures begin: the last key frame's offset does.
    const offset = sample.key ? sample.compositionOffset : this.#keyOffset;
    this.#target.onBoundary((sample.dts + offset) / this.#timescale);
  }

  #add(sample: Sample): void {
    const left = this.#limit - this.#open.duration;
    if (sample.duration / this.#timescale <= left) {
      this.#open.add(sample);
      return;
    }
    // An encoder that stalled for longer than a segment may last: the frame ends with the segment, and time goes on in the next.
    this.#open.add({ ...sample, duration: Math.max(1, Math.floor(left * this.#timescale)) });
    this.#cutAtNext = true;
  }

  #mustCutBefore(sample: Sample): boolean {
    if (this.#cutAtNext) return true;
    const elapsed = this.#open.duration;
    if (this.#isEntry(sample)) return elapsed >= this.#segmentTarget - EARLY_SECONDS || elapsed + this.#expectedKeyInterval() > this.#limit;
    const duration = sample.duration / this.#timescale;
    if (duration > this.#cadence.partTarget || elapsed + duration <= this.#limit) return false;
    if (!this.#warnedNoKey) {
      this.#warnedNoKey = true;
      const seconds = this.#lastKeyDts === null ? elapsed : (sample.dts - this.#lastKeyDts) / this.#timescale;
      this.#target.onWarning(`no key frame for ${seconds.toFixed(1)} s: set the encoder's keyframe interval to 2 s`);
    }
    return true;
  }

  #partEndsBefore(sample: Sample): boolean {
    const { partTarget } = this.#cadence;
    const part = this.#open.partDuration;
    if (part + sample.duration / this.#timescale > partTarget + EPSILON_SECONDS) return true;
    return this.#isEntry(sample) && part >= SHORTEST_PART * partTarget;
  }

  /** Whether no further frame can fit, so that viewers need not wait for that frame to find out. */
  #partIsFull(): boolean {
    const { partTarget, frameRate } = this.#cadence;
    const part = this.#open.partDuration;
    return frameRate !== null && part >= SHORTEST_PART * partTarget && part + 1 / frameRate - ROUNDING_SECONDS > partTarget;
  }

  /** Whether players can begin there: at an IDR, and where no IDR comes within a segment's time, at what comes nearest to it. */
  #isEntry(sample: Sample): boolean {
    if (sample.key) return true;
    const withoutIdr = (sample.dts - (this.#lastIdrDts ?? sample.dts)) / this.#timescale;
    return sample.recovery === true && withoutIdr > this.#limit;
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
    const elapsed = this.#open.duration;
    return Math.max(seen, this.#cadence.keyInterval ?? 0, this.#keyIntervals.length === 0 ? elapsed : 0);
  }
}
