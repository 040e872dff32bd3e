import { VIDEO_TIMESCALE } from "../package/init.ts";
import type { Sample } from "../package/sample.ts";

/** Frames of the encoder's video as CMAF carries them. A frame lasts until the next one, so each waits for that. */
export class VideoRemuxer {
  #pending: Sample | null = null;
  #lastDuration = 0;

  /** Takes a frame with its times in milliseconds and gives the one before it; null at the first. Times rise. */
  push(frame: { timestamp: number; compositionOffset: number; key: boolean; recovery: boolean; data: Uint8Array }): Sample | null {
    const ticks = VIDEO_TIMESCALE / 1000;
    const before = this.#pending;
    const dts = frame.timestamp * ticks;
    const { key, recovery, data } = frame;
    this.#pending = { dts, duration: 0, compositionOffset: frame.compositionOffset * ticks, key, recovery, data };
    if (before === null) return null;
    this.#lastDuration = dts - before.dts;
    return { ...before, duration: this.#lastDuration };
  }

  /** The last frame, which lasts as long as the one before it. */
  end(): Sample | null {
    const last = this.#pending;
    this.#pending = null;
    return last && { ...last, duration: Math.max(1, this.#lastDuration) };
  }
}

/** A frame of the encoder's AAC on the track's clock; `timestamp` in milliseconds, `timescale` in ticks a second. */
export function remuxAudio(timestamp: number, timescale: number, data: Uint8Array): Sample {
  return { dts: Math.round((timestamp * timescale) / 1000), duration: 0, compositionOffset: 0, key: true, data };
}
