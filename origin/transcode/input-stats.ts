/** How an encoder's input runs, over the last 5 s of wall time unless said otherwise. */
export interface InputFigures {
  /** Video frames per second. */
  fps: number;
  bitrate_kbps: number;
  /** Seconds of media time between the last two key frames; null before the second. */
  keyframe_interval: number | null;
  /** Media time over wall time, never above 1 by more than a burst. */
  speed: number;
  /** How often the clock of a track has gone back, or forward by more than a second. */
  timestamp_jumps: number;
}

const WINDOW_MS = 5000;
const JUMP_MS = 1000;
const MOMENT_MS = 20;

/** Counts tags as they arrive. Times in milliseconds; `nowMs` comes from a clock that does not go back. */
export class InputStats {
  #arrivals: { atMs: number; bytes: number; frames: number; first: number; last: number }[] = [];
  #firstArrivalMs: number | null = null;
  #lastKey: number | null = null;
  #keyInterval: number | null = null;
  #longestKeyInterval: number | null = null;
  readonly #last: Record<"video" | "audio", number | null> = { video: null, audio: null };
  #jumps = 0;

  /** The longest distance between two key frames so far, seconds of media time; null before the second. */
  get longestKeyInterval(): number | null {
    return this.#longestKeyInterval;
  }

  note(tag: { type: "video" | "audio"; timestamp: number; bytes: number; key: boolean }, nowMs: number): void {
    this.#firstArrivalMs ??= nowMs;
    const step = tag.timestamp - (this.#last[tag.type] ?? tag.timestamp);
    if (step < 0 || step > JUMP_MS) this.#jumps += 1;
    this.#last[tag.type] = tag.timestamp;
    this.#arrived(tag, nowMs);
    if (tag.type !== "video" || !tag.key) return;
    if (this.#lastKey !== null && tag.timestamp > this.#lastKey) {
      this.#keyInterval = (tag.timestamp - this.#lastKey) / 1000;
      this.#longestKeyInterval = Math.max(this.#longestKeyInterval ?? 0, this.#keyInterval);
    }
    this.#lastKey = tag.timestamp;
  }

  read(nowMs: number): InputFigures {
    this.#forget(nowMs);
    const elapsed = Math.min(WINDOW_MS, Math.max(1000, nowMs - (this.#firstArrivalMs ?? nowMs)));
    const frames = this.#arrivals.reduce((sum, arrival) => sum + arrival.frames, 0);
    const bytes = this.#arrivals.reduce((sum, arrival) => sum + arrival.bytes, 0);
    const first = this.#arrivals[0];
    const last = this.#arrivals.at(-1);
    const mediaMs = first === undefined || last === undefined ? 0 : Math.max(0, last.last - first.first);
    const wallMs = first === undefined ? 0 : nowMs - first.atMs;
    return {
      fps: (frames * 1000) / elapsed,
      bitrate_kbps: (bytes * 8) / elapsed,
      keyframe_interval: this.#keyInterval,
      speed: wallMs < 1000 ? 1 : mediaMs / wallMs,
      timestamp_jumps: this.#jumps,
    };
  }

  /** Tags of a moment count together: how many there may be of them is the encoder's to say. */
  #arrived({ type, timestamp, bytes }: { type: "video" | "audio"; timestamp: number; bytes: number }, nowMs: number): void {
    const frames = type === "video" ? 1 : 0;
    const moment = this.#arrivals.at(-1);
    if (moment !== undefined && nowMs - moment.atMs < MOMENT_MS) {
      moment.bytes += bytes;
      moment.frames += frames;
      moment.last = timestamp;
      return;
    }
    this.#arrivals.push({ atMs: nowMs, bytes, frames, first: timestamp, last: timestamp });
    this.#forget(nowMs);
  }

  #forget(nowMs: number): void {
    const index = this.#arrivals.findIndex((arrival) => arrival.atMs > nowMs - WINDOW_MS);
    const old = index === -1 ? this.#arrivals.length : index;
    if (old > 0) this.#arrivals.splice(0, old);
  }
}
