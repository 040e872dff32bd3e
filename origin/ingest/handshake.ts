import { answerHandshake, HELLO_BYTES } from "./rtmp-encoder.ts";

/** C2, which repeats what the encoder was sent and is not looked at. */
const ECHO_BYTES = 1536;
const EMPTY: Buffer = Buffer.alloc(0);

/** The encoder's half of RTMP's handshake: C0 and C1, which are answered, and C2. */
export class Handshake {
  readonly #answer: (bytes: Buffer) => void;
  #hello: Buffer = Buffer.allocUnsafe(HELLO_BYTES);
  #received = 0;

  constructor(answer: (bytes: Buffer) => void) {
    this.#answer = answer;
  }

  get isDone(): boolean {
    return this.#received === HELLO_BYTES + ECHO_BYTES;
  }

  /** Takes the next bytes; what of them comes after the handshake. */
  take(bytes: Buffer): Buffer {
    let rest = bytes;
    if (this.#received < HELLO_BYTES) {
      const count = bytes.copy(this.#hello, this.#received);
      this.#received += count;
      if (this.#received < HELLO_BYTES) return EMPTY;
      this.#answer(answerHandshake(this.#hello));
      this.#hello = EMPTY;
      rest = bytes.subarray(count);
    }
    const echo = Math.min(rest.length, HELLO_BYTES + ECHO_BYTES - this.#received);
    this.#received += echo;
    return rest.subarray(echo);
  }
}
