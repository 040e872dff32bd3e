import type { Millis } from "../../domain/time.ts";
import { closeSocket } from "./sockets.ts";

const DELAY_MS: Millis = 20;
/** Answered in one go; whatever else has come in between has its turn then. */
const BATCH = 50;

/**
 * Answers clients who have closed their sockets: until then they wait, and both sides keep the connection. A moment later, and in batches: where
 * many leave at once, counting them comes first.
 */
export class CloseAnswers {
  #waiting: { socket: WebSocket; code: number }[] = [];
  #isScheduled = false;

  /** `code`: what the client closed with. Codes that stand for no frame cannot be sent back. */
  add(socket: WebSocket, code: number): void {
    const isPlain = code >= 1000 && code <= 1014 && ![1004, 1005, 1006].includes(code);
    this.#waiting.push({ socket, code: isPlain || (code >= 3000 && code <= 4999) ? code : 1000 });
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled || this.#waiting.length === 0) return;
    this.#isScheduled = true;
    setTimeout(() => {
      this.#isScheduled = false;
      for (const { socket, code } of this.#waiting.splice(0, BATCH)) closeSocket(socket, code, "");
      this.#schedule();
    }, DELAY_MS);
  }
}
