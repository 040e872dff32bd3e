import type { Millis } from "../../domain/time.ts";
import type { MediaWindow } from "./media-window.ts";

/** After so many failures of R2 the open segments of an ended epoch are given up as gaps. */
const ATTEMPTS = 5;
const RETRY_MS: Millis = 1_000;

/** Settles what ended epochs left open: once at a time, and again while R2 fails. */
export class Settler {
  readonly #media: MediaWindow;
  readonly #bucket: R2Bucket;
  #running: Promise<void> | null = null;
  #failures = 0;
  #dueAt: Millis | null;

  constructor(media: MediaWindow, bucket: R2Bucket, now: Millis) {
    this.#media = media;
    this.#bucket = bucket;
    this.#dueAt = media.hasRemnants ? now : null;
  }

  /** When to try next; null where nothing is open or a try is under way. */
  get dueAt(): Millis | null {
    return this.#running === null ? this.#dueAt : null;
  }

  /** Settles what there is. Never rejects. */
  run(): Promise<void> {
    this.#running ??= this.#try().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #try(): Promise<void> {
    try {
      while (this.#media.hasRemnants) await this.#media.settle(this.#bucket, this.#failures >= ATTEMPTS);
      this.#failures = 0;
      this.#dueAt = null;
    } catch (error) {
      this.#failures += 1;
      this.#dueAt = Date.now() + RETRY_MS * this.#failures;
      console.warn(JSON.stringify({ event: "settle_failed", attempt: this.#failures, error: String(error) }));
    }
  }
}
