/** FFmpeg's clock begins here, so that tracks which start a little earlier than the first tag stay above zero. */
const LEAD_MS = 1000;
const LONGEST_JUMP_MS = 10_000;

/** A tag's place on the connection's own clock, or why it has none. */
export type Placed = { state: "placed"; timestamp: number } | { state: "late" } | { state: "broken"; message: string };

/**
 * Puts an encoder's timestamps on a clock of the connection's own: milliseconds from near zero, each track rising. Where a track
 * jumps or stays away for more than 10 s, the connection is no longer one timeline.
 */
export class InputClock {
  #base: number | null = null;
  #last: { video: number | null; audio: number | null } = { video: null, audio: null };

  place(type: "video" | "audio", timestamp: number): Placed {
    this.#base ??= timestamp - LEAD_MS;
    const placed = timestamp - this.#base;
    const last = this.#last[type];
    if (placed < 0 || (last !== null && (type === "video" ? placed <= last : placed < last))) return { state: "late" };
    if (placed - (last ?? placed) > LONGEST_JUMP_MS) {
      return { state: "broken", message: `the encoder's ${type} timestamps jumped by ${Math.round((placed - (last ?? 0)) / 1000)} s` };
    }
    const { video } = this.#last;
    if (type === "audio" && video !== null && placed - video > LONGEST_JUMP_MS) {
      return { state: "broken", message: "the encoder's video stopped while its audio went on" };
    }
    this.#last[type] = placed;
    return { state: "placed", timestamp: placed };
  }
}
