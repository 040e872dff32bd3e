import { CallLimit } from "./call-limit.ts";

/** What waits for a turn. */
export type MediaKind = "segment" | "part";

type Waiting = Map<string, Set<() => void>>;

/**
 * Who of an origin's streams may call the edge with media next, where not all may at once: segments before parts, since a stream whose parts are
 * late still plays and one whose segments are late does not; and the streams in turn.
 */
export class MediaTurns {
  readonly #limit = new CallLimit(performance.now());
  /** By stream, who comes next first. */
  readonly #waiting: Record<MediaKind, Waiting> = { segment: new Map(), part: new Map() };
  #underWay = 0;

  /** How much longer the edge's answers take at present than at best, ms. */
  get delayMs(): number {
    return this.#limit.delay;
  }

  /** Runs a body in its turn, or at once where `signal` is aborted. Rejects as the body does. */
  async take<Value>(kind: MediaKind, stream: string, signal: AbortSignal, body: () => Promise<Value>): Promise<Value> {
    if (this.#underWay >= this.#limit.limit && !signal.aborted) await this.#wait(this.#waiting[kind], stream, signal);
    else this.#underWay += 1;
    try {
      return await body();
    } finally {
      this.#underWay -= 1;
      this.#admit();
    }
  }

  /** A call with media was answered after so many ms. */
  answered(latencyMs: number): void {
    this.#limit.answered(latencyMs, performance.now());
  }

  /** Resolves when the turn has come; it is counted by then. */
  async #wait(waiting: Waiting, stream: string, signal: AbortSignal): Promise<void> {
    this.#limit.reached();
    const { promise, resolve } = Promise.withResolvers<void>();
    const ofStream = waiting.get(stream) ?? new Set();
    waiting.set(stream, ofStream.add(resolve));
    const enterAnyway = () => {
      const own = waiting.get(stream);
      if (own?.delete(resolve) !== true) return;
      if (own.size === 0) waiting.delete(stream);
      this.#underWay += 1;
      resolve();
    };
    signal.addEventListener("abort", enterAnyway, { once: true });
    await promise;
    signal.removeEventListener("abort", enterAnyway);
  }

  #admit(): void {
    while (this.#underWay < this.#limit.limit) {
      const enter = takeNext(this.#waiting.segment) ?? takeNext(this.#waiting.part);
      if (enter === null) return;
      this.#underWay += 1;
      enter();
    }
  }
}

function takeNext(waiting: Waiting): (() => void) | null {
  for (const [stream, ofStream] of waiting) {
    waiting.delete(stream);
    const [enter] = ofStream;
    if (enter === undefined) continue;
    ofStream.delete(enter);
    if (ofStream.size > 0) waiting.set(stream, ofStream);
    return enter;
  }
  return null;
}
