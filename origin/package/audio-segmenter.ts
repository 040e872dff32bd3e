import { type AudioCadence, SEGMENT_SLACK_SECONDS } from "./cadence.ts";
import type { FollowingCutTarget } from "./following-segmenter.ts";
import { OpenSegment } from "./open-segment.ts";
import type { Sample } from "./sample.ts";

/**
 * Cuts AAC frames at the frame nearest to each boundary of the video (CM3), into parts that fit their target (PL3). Frames wait
 * until `advance` says that no earlier boundary can come any more.
 */
export class AudioSegmenter {
  readonly #timescale: number;
  readonly #frameSeconds: number;
  readonly #cadence: AudioCadence;
  readonly #open: OpenSegment;
  readonly #target: FollowingCutTarget;
  #msn: number;
  /** Longest segment, seconds. */
  readonly #limit: number;
  #boundaries: number[] = [];
  #segmentStart: number | null = null;
  #nextGrid = 1;
  #waiting: Sample[] = [];
  #decidedUntil = Number.NEGATIVE_INFINITY;
  #leftOut = 0;

  /** `frameTicks` of the track's timescale; `targetDuration` in seconds; `nextMsn` numbers the first segment. */
  constructor(
    track: { timescale: number; frameTicks: number; cadence: AudioCadence; targetDuration: number; nextMsn: number },
    target: FollowingCutTarget,
  ) {
    this.#timescale = track.timescale;
    this.#frameSeconds = track.frameTicks / track.timescale;
    this.#cadence = track.cadence;
    this.#target = target;
    this.#msn = track.nextMsn;
    this.#limit = track.targetDuration + SEGMENT_SLACK_SECONDS + this.#frameSeconds / 2;
    this.#open = new OpenSegment({ timescale: track.timescale, partTarget: track.cadence.partTarget, msn: track.nextMsn }, target);
  }

  /** Frames left out because their segment was full while the video stood still. */
  get leftOut(): number {
    return this.#leftOut;
  }

  /** The next segment begins at the frame nearest to that time, seconds. Boundaries rise. */
  boundary(time: number): void {
    this.#boundaries.push(time);
  }

  /** No boundary will come before that time, seconds: frames up to there can be cut. */
  advance(time: number): void {
    this.#decidedUntil = Math.max(this.#decidedUntil, time);
    let taken = 0;
    for (const sample of this.#waiting) {
      if (sample.dts / this.#timescale + this.#frameSeconds / 2 > this.#decidedUntil) break;
      this.#cut(sample);
      taken += 1;
    }
    if (taken > 0) this.#waiting.splice(0, taken);
  }

  /** Frames in order, their times exact. */
  push(sample: Sample): void {
    this.#waiting.push(sample);
    this.advance(this.#decidedUntil);
  }

  /** Cuts what is there, short as it is. */
  end(): void {
    this.advance(Number.POSITIVE_INFINITY);
    if (!this.#open.isEmpty) this.#open.closeSegment();
  }

  #cut(sample: Sample): void {
    const time = sample.dts / this.#timescale;
    for (let next = this.#boundaries[0]; next !== undefined && time >= next - this.#frameSeconds / 2; next = this.#boundaries[0]) {
      if (this.#segmentStart !== null) this.#close(this.#segmentStart, next);
      this.#boundaries.shift();
      this.#segmentStart = next;
      this.#nextGrid = 1;
    }
    if (this.#segmentStart === null) return;
    const left = this.#limit - this.#open.duration;
    if (left < this.#frameSeconds) {
      this.#leftOut += 1;
      return;
    }
    if (this.#partEndsBefore(time, this.#segmentStart)) this.#open.closePart();
    this.#open.add({ ...sample, duration: Math.min(sample.duration, Math.floor(left * this.#timescale)) });
    // The next frame's time is known: viewers need not wait for it.
    if (this.#partEndsBefore((sample.dts + sample.duration) / this.#timescale, this.#segmentStart)) this.#open.closePart();
  }

  #close(start: number, until: number): void {
    const missing = this.#open.isEmpty;
    this.#open.closeSegment();
    if (missing) this.#target.onMissing({ msn: this.#msn, start, duration: until - start });
    this.#msn += 1;
  }

  #partEndsBefore(time: number, segmentStart: number): boolean {
    const { gridSeconds, maxFrames } = this.#cadence;
    let gridPassed = false;
    while (gridSeconds !== null && time >= segmentStart + this.#nextGrid * gridSeconds - this.#frameSeconds / 2) {
      this.#nextGrid += 1;
      gridPassed = true;
    }
    const fullTicks = this.#open.partDuration + this.#frameSeconds > this.#cadence.partTarget + 1e-6;
    return gridPassed || this.#open.partFrames >= maxFrames || (this.#open.partFrames > 0 && fullTicks);
  }
}
