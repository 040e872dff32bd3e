import type { Sample } from "./sample.ts";

/** A whole part, ready to be written. Durations in seconds. */
export interface CutPart {
  msn: number;
  part: number;
  /** At most the part target, also where a frame of a stalled encoder lasts longer. */
  duration: number;
  independent: boolean;
  samples: Sample[];
}

/** A segment whose parts have all been cut. */
export interface CutSegment {
  msn: number;
  duration: number;
  /** Presentation time of its first frame, seconds of the track's clock. */
  start: number;
}

/** Takes what a segmenter cuts: every part, then the segment that they made up. */
export interface CutTarget {
  onPart(part: CutPart): void;
  onSegment(segment: CutSegment): void;
}

/** The segment that a track is filling, and the part at its end. Numbers both. */
export class OpenSegment {
  readonly #timescale: number;
  readonly #partTarget: number;
  readonly #target: CutTarget;
  #msn: number;
  #part = 0;
  #samples: Sample[] = [];
  #partTicks = 0;
  #segmentTicks = 0;
  #start: number | null = null;

  /** `partTarget` in seconds; `msn` numbers the first segment. */
  constructor(track: { timescale: number; partTarget: number; msn: number }, target: CutTarget) {
    this.#timescale = track.timescale;
    this.#partTarget = track.partTarget;
    this.#msn = track.msn;
    this.#target = target;
  }

  /** Seconds in the open part. */
  get partDuration(): number {
    return this.#partTicks / this.#timescale;
  }

  /** Frames in the open part. */
  get partFrames(): number {
    return this.#samples.length;
  }

  /** Seconds since the segment's first frame. */
  get duration(): number {
    return this.#segmentTicks / this.#timescale;
  }

  get isEmpty(): boolean {
    return this.#start === null;
  }

  /** Puts a frame at the end of the open part. */
  add(sample: Sample): void {
    this.#start ??= (sample.dts + sample.compositionOffset) / this.#timescale;
    this.#samples.push(sample);
    this.#partTicks += sample.duration;
    this.#segmentTicks += sample.duration;
  }

  /** Makes the open part's last frame last longer, or shorter; false where there is none any more. */
  stretchLast(ticks: number): boolean {
    const last = this.#samples.at(-1);
    if (last === undefined || last.duration + ticks <= 0) return false;
    this.#samples[this.#samples.length - 1] = { ...last, duration: last.duration + ticks };
    this.#partTicks += ticks;
    this.#segmentTicks += ticks;
    return true;
  }

  /** Ends the open part, where there is one. */
  closePart(): void {
    const [first] = this.#samples;
    if (first === undefined) return;
    const duration = Math.min(this.partDuration, this.#partTarget);
    this.#target.onPart({ msn: this.#msn, part: this.#part, duration, independent: first.key, samples: this.#samples });
    this.#samples = [];
    this.#partTicks = 0;
    this.#part += 1;
  }

  /** Ends the open part and the segment; the number goes on even where the segment is empty. */
  closeSegment(): void {
    this.closePart();
    if (this.#start !== null) this.#target.onSegment({ msn: this.#msn, duration: this.duration, start: this.#start });
    this.#msn += 1;
    this.#part = 0;
    this.#segmentTicks = 0;
    this.#start = null;
  }
}
