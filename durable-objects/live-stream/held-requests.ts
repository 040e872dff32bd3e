import { NovaError } from "../../domain/errors.ts";
import type { Millis } from "../../domain/time.ts";

/** Different things that may be waited for at once; players ask for the next few parts only. */
const MAX_KEYS = 256;
/** Requests that may wait at once: isolates fold equal ones before they come here. */
const MAX_WAITING = 20_000;

interface Held {
  answer: PromiseWithResolvers<unknown>;
  /** The answer where it is there; null to wait on. Throws where it will never come. */
  ready: () => unknown;
  waiting: number;
  timer: ReturnType<typeof setTimeout>;
}

/** Requests that wait for the stream to go on: bounded in number and time, and all who wait for one thing get the same answer (BR8). */
export class HeldRequests {
  readonly #held = new Map<string, Held>();
  #waiting = 0;

  /**
   * Waits until `ready` gives an answer. All calls with one key share the first one's `ready`.
   * Throws what `ready` throws, 503 `held_too_long` after `timeout` (BR5), and 503 `too_many_waiting`.
   */
  hold<Answer>(key: string, ready: () => Answer | null, timeout: Millis): Promise<Answer> {
    let held = this.#held.get(key);
    if (this.#waiting >= MAX_WAITING || (held === undefined && this.#held.size >= MAX_KEYS)) {
      throw new NovaError(503, "too_many_waiting", "too many requests wait for this stream: try again in a moment");
    }
    if (held === undefined) {
      const answer = Promise.withResolvers<unknown>();
      // Every waiter has a handler of its own; this one keeps a refusal from counting as unhandled.
      answer.promise.catch(() => undefined);
      const timer = setTimeout(() => this.#settle(key, () => Promise.reject(heldTooLong())), timeout);
      held = { answer, ready, waiting: 0, timer };
      this.#held.set(key, held);
    }
    held.waiting += 1;
    this.#waiting += 1;
    return held.answer.promise as Promise<Answer>;
  }

  /** Something changed: answers those whose wait is over. */
  wake(): void {
    for (const [key, { ready }] of this.#held) {
      try {
        const answer = ready();
        if (answer !== null) this.#settle(key, () => answer);
      } catch (error) {
        this.#settle(key, () => Promise.reject(error));
      }
    }
  }

  #settle(key: string, answer: () => unknown): void {
    const held = this.#held.get(key);
    if (held === undefined) return;
    this.#held.delete(key);
    this.#waiting -= held.waiting;
    clearTimeout(held.timer);
    held.answer.resolve(answer());
  }
}

function heldTooLong(): NovaError {
  return new NovaError(503, "held_too_long", "nothing new came in time: the encoder may be away; ask without directives");
}
