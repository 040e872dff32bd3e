import { SEGMENT_SLACK_SECONDS, type VideoCadence } from "./cadence.ts";
import { ROUNDING_SECONDS } from "./frame-rate.ts";
import { type CutTarget, OpenSegment } from "./open-segment.ts";
import type { Sample } from "./sample.ts";

/** What cutting needs to know of a video track. */
export interface CutTrack {
  /** Ticks a second. */
  timescale: number;
  cadence: VideoCadence;
  /** Numbers the first segment. */
  nextMsn: number;
}

const EPSILON_SECONDS = 1e-6;
const SHORTEST_PART = 0.85;

/** Fills one video track's parts and segments with frames and keeps its timeline whole (PL3); where segments end is decided by whoever uses it. */
export class VideoCutter {
  readonly #timescale: number;
  readonly #cadence: VideoCadence;
  readonly #open: OpenSegment;
  /** Longest segment, seconds. */
  readonly limit: number;
  #nextDts: number | null = null;
  #dropped = 0;

  constructor(track: CutTrack, target: CutTarget) {
    this.#timescale = track.timescale;
    this.#cadence = track.cadence;
    this.limit = track.cadence.targetDuration + SEGMENT_SLACK_SECONDS;
    this.#open = new OpenSegment({ timescale: track.timescale, partTarget: track.cadence.partTarget, msn: track.nextMsn }, target);
  }

  /** Frames that came with a decode time already passed. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Decode time after the newest frame, ticks; null before the first. */
  get nextDts(): number | null {
    return this.#nextDts;
  }

  /** The open segment has no frame yet. */
  get isEmpty(): boolean {
    return this.#open.isEmpty;
  }

  /** Seconds in the open segment. */
  get duration(): number {
    return this.#open.duration;
  }

  /** The frame on the timeline as it has been cut so far: null where its time has passed, else without a hole before it if that is still possible. */
  join(sample: Sample): Sample | null {
    const expected = this.#nextDts;
    if (expected === null || sample.dts === expected) return sample;
    if (sample.dts > expected) {
      this.fillUntil(sample.dts);
      return sample;
    }
    const overlap = expected - sample.dts;
    if (overlap >= sample.duration) {
      this.#dropped += 1;
      return null;
    }
    return { ...sample, dts: expected, duration: sample.duration - overlap, compositionOffset: sample.compositionOffset - overlap };
  }

  /** Makes the newest frame last until that decode time, ticks, as far as its segment has room. */
  fillUntil(dts: number): void {
    const hole = this.#nextDts === null ? 0 : dts - this.#nextDts;
    const left = Math.floor((this.limit - this.#open.duration) * this.#timescale);
    if (hole > 0) this.#open.stretchLast(Math.max(0, Math.min(hole, left)));
  }

  /** Adds a joined frame, after ending the open part where the frame no longer fits, or begins a new one as an `entry`. False where the segment was too full for all of its time. */
  add(sample: Sample, entry: boolean): boolean {
    if (this.#partEndsBefore(sample, entry)) this.#open.closePart();
    const left = this.limit - this.#open.duration;
    const fits = sample.duration / this.#timescale <= left;
    // An encoder that stalled for longer than a segment may last: the frame ends with the segment, and time goes on in the next.
    this.#open.add(fits ? sample : { ...sample, duration: Math.max(1, Math.floor(left * this.#timescale)) });
    this.#nextDts = sample.dts + sample.duration;
    if (this.#partIsFull()) this.#open.closePart();
    return fits;
  }

  /** Ends the open segment; the number goes on even where it is empty. */
  closeSegment(): void {
    this.#open.closeSegment();
  }

  #partEndsBefore(sample: Sample, entry: boolean): boolean {
    const { partTarget } = this.#cadence;
    const part = this.#open.partDuration;
    if (part + sample.duration / this.#timescale > partTarget + EPSILON_SECONDS) return true;
    return entry && part >= SHORTEST_PART * partTarget;
  }

  /** Whether no further frame can fit, so that viewers need not wait for that frame to find out. */
  #partIsFull(): boolean {
    const { partTarget, frameRate } = this.#cadence;
    const part = this.#open.partDuration;
    return frameRate !== null && part >= SHORTEST_PART * partTarget && part + 1 / frameRate - ROUNDING_SECONDS > partTarget;
  }
}
