/** A connection's clock begins here, so that tracks which start a little earlier than the first tag stay above zero. */
const LEAD_MS = 1000;
const LONGEST_JUMP_MS = 10_000;
const LONGEST_STEP_BACK_MS = 1000;
/** Where an encoder's clock has jumped, its tracks jump one after the other: so long one of them may still be on the old clock. */
const STRAGGLING_MS = 3000;

type Track = "video" | "audio";

/** A tag's place on the connection's own clock, or why it has none. */
export type Placed = { state: "placed"; timestamp: number } | { state: "late" } | { state: "broken"; message: string };

/**
 * Puts an encoder's timestamps on a clock of the connection's own: milliseconds from near zero, each track rising. Where a track
 * jumps or stays away for more than 10 s, or goes back by more than 1 s, the connection is no longer one timeline.
 */
export class InputClock {
  readonly #afterJump: boolean;
  #base: number | null = null;
  /** The last that was placed on each track, and the last that the encoder itself sent there. */
  #last: Record<Track, number | null> = { video: null, audio: null };
  #own: Record<Track, number | null> = { video: null, audio: null };

  /** `afterJump`: the encoder went on with another clock, of which this is the first. */
  constructor(afterJump = false) {
    this.#afterJump = afterJump;
  }

  place(type: Track, timestamp: number): Placed {
    this.#base ??= timestamp - LEAD_MS;
    const placed = timestamp - this.#base;
    const last = this.#last[type];
    const own = this.#own[type];
    if (last === null && this.#isStraggler(type, placed)) return { state: "late" };
    const message = last === null || own === null ? this.#startFault(type, placed) : this.#jumpFault(type, placed, last, own);
    this.#own[type] = placed;
    if (message !== null) return { state: "broken", message };
    if (placed < 0) return { state: "late" };
    if (last === null || placed > last || (type === "audio" && placed === last)) return this.#placed(type, placed);
    // A picture that comes with a time already used, or a little late, is still needed by those that refer to it.
    return type === "video" ? this.#placed(type, last + 1) : { state: "late" };
  }

  /** Takes a place on the audio track for a frame that the encoder did not send; false where that time has passed. */
  fill(timestamp: number): boolean {
    if (this.#last.audio !== null && timestamp < this.#last.audio) return false;
    this.#last.audio = timestamp;
    return true;
  }

  #isStraggler(type: Track, placed: number): boolean {
    const other = type === "video" ? this.#last.audio : this.#last.video;
    return this.#afterJump && other !== null && Math.abs(placed - other) > LONGEST_JUMP_MS && other - LEAD_MS < STRAGGLING_MS;
  }

  #placed(type: Track, timestamp: number): Placed {
    this.#last[type] = timestamp;
    return { state: "placed", timestamp };
  }

  /** What is wrong with a track's first timestamp: there are encoders that count audio and video from different moments. */
  #startFault(type: Track, placed: number): string | null {
    const other = type === "video" ? this.#last.audio : this.#last.video;
    if (other === null || Math.abs(placed - other) <= LONGEST_JUMP_MS) return null;
    return `the encoder's audio and video timestamps are ${describeSeconds(Math.abs(placed - other))} apart`;
  }

  #jumpFault(type: Track, placed: number, last: number, own: number): string | null {
    if (placed - last > LONGEST_JUMP_MS) return `the encoder's ${type} timestamps jumped by ${describeSeconds(placed - last)}`;
    if (own - placed > LONGEST_STEP_BACK_MS) return `the encoder's ${type} timestamps went back by ${describeSeconds(own - placed)}`;
    const { video } = this.#last;
    if (type === "audio" && video !== null && placed - video > LONGEST_JUMP_MS)
      return "the encoder's video stopped while its audio went on";
    return null;
  }
}

function describeSeconds(milliseconds: number): string {
  return `${Math.round(milliseconds / 1000)} s`;
}
