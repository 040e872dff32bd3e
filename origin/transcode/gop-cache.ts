/** A tag of input on its way to FFmpeg; milliseconds on the connection's clock. */
export interface InputTag {
  type: "video" | "audio";
  timestamp: number;
  body: Buffer;
  /** Decoding can begin with it. */
  startsGop: boolean;
}

/** All that is held for one FFmpeg, read and unread. */
const MAX_BYTES = 16 * 1024 * 1024;
/** Whoever watches live would rather lose some seconds than fall behind by them. */
const MAX_WAITING_MS = 10_000;

/**
 * The input of an FFmpeg: what it has not read yet, and what a fresh one would need to go on, so that it can be read again. Bounded to
 * 16 MiB and 10 s unread: beyond that whole GOPs are left out, the oldest first, and where there is but one, everything up to the next key frame.
 */
export class GopCache {
  #tags: InputTag[] = [];
  /** Index of the next tag to read. */
  #next = 0;
  #bytes = 0;
  #waitingBytes = 0;
  #skipped = 0;
  #waitsForKey = true;

  /** Bytes not read yet. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Tags that were left out because FFmpeg did not keep up. */
  get skipped(): number {
    return this.#skipped;
  }

  /** The next tag to read, which stays. */
  get peek(): InputTag | null {
    return this.#tags[this.#next] ?? null;
  }

  /** All that is held, in order. */
  list(): readonly InputTag[] {
    return this.#tags;
  }

  /** Takes a tag; false for what comes before the first key frame, which is left out. */
  push(tag: InputTag): boolean {
    if (this.#waitsForKey && !tag.startsGop) return false;
    this.#waitsForKey = false;
    this.#tags.push(tag);
    this.#bytes += tag.body.length;
    this.#waitingBytes += tag.body.length;
    this.#boundWaiting(tag);
    if (this.#bytes > MAX_BYTES) this.#forgetRead();
    return true;
  }

  /** Reads the next tag; null where there is none. */
  read(): InputTag | null {
    const tag = this.peek;
    if (tag === null) return null;
    this.#next += 1;
    this.#waitingBytes -= tag.body.length;
    return tag;
  }

  /** Takes the first unread tag of a track out of its order, for good; null where there is none. */
  take(type: InputTag["type"]): InputTag | null {
    const index = this.#tags.findIndex((tag, at) => at >= this.#next && tag.type === type);
    const tag = this.#tags[index] ?? null;
    if (tag !== null) this.#remove(index, index + 1);
    return tag;
  }

  /** Everything that is held, from the first key frame on, is read again. */
  rewind(): void {
    const start = this.#tags.findIndex((tag) => tag.startsGop);
    this.#next = 0;
    this.#waitsForKey = start === -1;
    this.#remove(0, start === -1 ? this.#tags.length : start);
    this.#waitingBytes = this.#bytes;
  }

  /** Forgets the GOPs that were read and lie wholly before that time. */
  forget(untilMs: number): void {
    const start = this.#tags.findLastIndex((tag, index) => index <= this.#next && tag.startsGop && tag.timestamp <= untilMs);
    if (start > 0) this.#remove(0, start);
  }

  #boundWaiting(newest: InputTag): void {
    const waitingMs = newest.timestamp - (this.peek?.timestamp ?? newest.timestamp);
    const tooMuch = this.#waitingBytes > MAX_BYTES;
    if (!tooMuch && waitingMs <= MAX_WAITING_MS) return;
    const lastKey = this.#tags.findLastIndex((tag) => tag.startsGop);
    if (lastKey > this.#next) this.#skip(lastKey);
    else if (tooMuch) {
      this.#skip(this.#tags.length);
      this.#waitsForKey = true;
    }
  }

  #skip(until: number): void {
    this.#skipped += until - this.#next;
    this.#remove(this.#next, until);
  }

  /** Of what was read, the newest GOP is kept where that is enough; a longer one cannot be read again. */
  #forgetRead(): void {
    const lastKey = this.#tags.findLastIndex((tag, index) => index < this.#next && tag.startsGop);
    if (lastKey > 0) this.#remove(0, lastKey);
    if (this.#bytes > MAX_BYTES) this.#remove(0, this.#next);
  }

  #remove(from: number, until: number): void {
    for (const [offset, tag] of this.#tags.splice(from, until - from).entries()) {
      this.#bytes -= tag.body.length;
      if (from + offset >= this.#next) this.#waitingBytes -= tag.body.length;
    }
    this.#next -= Math.max(0, Math.min(this.#next, until) - from);
  }
}
