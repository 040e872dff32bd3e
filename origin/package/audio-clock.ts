import type { Sample } from "./sample.ts";

const TOLERANCE_SECONDS = 0.018;

/**
 * Rebuilds exact audio times. RTMP carries whole milliseconds, so a frame's time is taken as the one before plus one frame,
 * as long as what arrived is within 18 ms of that (CM2). Further ahead is a gap: the frame before lasts until its end.
 * Further behind is a frame too many, and is dropped.
 */
export class AudioClock {
  #frameTicks: number;
  #tolerance: number;
  #pending: Sample | null = null;
  #dropped = 0;

  /** Ticks of the track's timescale. */
  constructor(clock: { timescale: number; frameTicks: number }) {
    this.#frameTicks = clock.frameTicks;
    this.#tolerance = Math.min(TOLERANCE_SECONDS * clock.timescale, 0.75 * clock.frameTicks);
  }

  /** Frames that came too early to be played, or twice. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Takes a frame and gives the one before it, now that its duration is known; null at the first and at a dropped one. */
  push(sample: Sample): Sample | null {
    const before = this.#pending;
    if (before === null) {
      this.#pending = sample;
      return null;
    }
    const predicted = before.dts + this.#frameTicks;
    const offset = sample.dts - predicted;
    if (offset < -this.#tolerance) {
      this.#dropped += 1;
      return null;
    }
    const dts = offset > this.#tolerance ? sample.dts : predicted;
    this.#pending = { ...sample, dts };
    return { ...before, duration: dts - before.dts, compositionOffset: 0, key: true };
  }

  /** The last frame. */
  end(): Sample | null {
    const last = this.#pending;
    this.#pending = null;
    return last && { ...last, duration: this.#frameTicks, compositionOffset: 0, key: true };
  }
}
