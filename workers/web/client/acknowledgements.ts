/** Least time between two acknowledgements, ms: with a playback report beside them they stay below the server's 10 messages in 10 s. */
const INTERVAL_MS = 1_250;

/** When to tell the server how far one socket's frames have been read. The clock comes in. */
export class Acknowledgements {
  /** Null until the server has said after how much it wants one. */
  #every: number | null = null;
  #unread = 0;
  #notBefore = Number.NEGATIVE_INFINITY;

  /** A new socket: nothing has been read of it. */
  restart(): void {
    this.#every = null;
    this.#unread = 0;
    this.#notBefore = Number.NEGATIVE_INFINITY;
  }

  /** The server wants one after so many bytes. */
  expectEvery(bytes: number): void {
    this.#every = bytes;
  }

  /** A frame has been read. Its characters stand for its bytes, of which the server allows four times as many. */
  read(characters: number): void {
    this.#unread += characters;
  }

  /** When one is to be sent; null while too little has been read. A moment in the past is now. */
  get dueAt(): number | null {
    return this.#every !== null && this.#unread >= this.#every ? this.#notBefore : null;
  }

  /** One is sent. */
  sent(now: number): void {
    this.#unread = 0;
    this.#notBefore = now + INTERVAL_MS;
  }
}
