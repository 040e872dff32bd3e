const MAX_BYTES = 16 * 1024 * 1024;
const MAX_OLD_GOP_BYTES = 4 * 1024 * 1024;

/**
 * The tags that a fresh FFmpeg needs to go on: those since the last key frame, and the GOP before it where it is small, for
 * FFmpeg may die with some of it unread. A GOP over 16 MiB is not kept.
 */
export class GopCache {
  #previous: Buffer[] = [];
  #current: Buffer[] = [];
  #currentBytes = 0;
  #broken = true;

  /** `startsGop`: a key frame, or in audio alone any frame where the caller wants to begin anew. */
  push(tag: Buffer, startsGop: boolean): void {
    if (startsGop) {
      this.#previous = this.#broken || this.#currentBytes > MAX_OLD_GOP_BYTES ? [] : this.#current;
      this.#current = [];
      this.#currentBytes = 0;
      this.#broken = false;
    }
    if (this.#broken) return;
    this.#current.push(tag);
    this.#currentBytes += tag.length;
    if (this.#currentBytes > MAX_BYTES) {
      this.#previous = [];
      this.#current = [];
      this.#currentBytes = 0;
      this.#broken = true;
    }
  }

  /** The tags to feed again, in order. */
  list(): Buffer[] {
    return [...this.#previous, ...this.#current];
  }
}
