/** A frame of an encoder; `timestamp` in milliseconds on the connection's clock. */
export interface Frame {
  type: "video" | "audio";
  timestamp: number;
  /** Milliseconds. */
  compositionOffset: number;
  /** A real IDR. */
  key: boolean;
  /** No IDR, but flagged as one to begin with. */
  recovery: boolean;
  payload: Buffer;
}

/** Audio that lies further before the first picture is not played. */
const KEPT_AUDIO_MS = 1000;
const LONGEST_WAIT_MS = 15_000;

/**
 * Keeps everything back until the first key frame, and lets that go first: nobody can begin without a picture, and what comes
 * before it belongs to no segment.
 */
export class KeyGate {
  #audio: Frame[] = [];
  #firstMs: number | null = null;
  #open = false;

  /** The frames that may go on, in order. Throws in words for the broadcaster where no key frame comes for 15 s. */
  push(frame: Frame): Frame[] {
    if (this.#open) return [frame];
    if (frame.key && frame.type === "video") {
      this.#open = true;
      const audio = this.#audio.filter((early) => early.timestamp > frame.timestamp - KEPT_AUDIO_MS);
      this.#audio = [];
      return [frame, ...audio];
    }
    this.#firstMs ??= frame.timestamp;
    if (frame.timestamp - this.#firstMs > LONGEST_WAIT_MS) {
      throw new Error(`no key frame came within ${LONGEST_WAIT_MS / 1000} s: set the encoder's keyframe interval to 2 s`);
    }
    if (frame.type === "audio") {
      this.#audio.push(frame);
      while ((this.#audio[0]?.timestamp ?? frame.timestamp) < frame.timestamp - 2 * KEPT_AUDIO_MS) this.#audio.shift();
    }
    return [];
  }
}
